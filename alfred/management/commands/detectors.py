"""`manage.py detectors`: which detectors there are, and the weights that come with them."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from alfred.detectors import presets, registry

COLUMNS = ("name", "family", "parameters", "window", "presets", "source weights", "licence")


class Command(BaseCommand):
    help = "List the detectors: name, family, parameters, window, shipped weights and their licence."
    requires_system_checks = ()  # needs no page and no database

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="as JSON, with the whole cards")

    def handle(self, *args: Any, **options: Any) -> None:
        rows = [describe(name) for name in registry.names()]
        if options["json"]:
            self.stdout.write(json.dumps(rows, indent=1, sort_keys=True, ensure_ascii=False))
            return
        cells = [COLUMNS, *(tuple(str(row[column]) for column in COLUMNS) for row in rows)]
        widths = [max(len(line[i]) for line in cells) for i in range(len(COLUMNS))]
        for line in cells:
            self.stdout.write("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def describe(name: str) -> dict[str, Any]:
    """One detector as a row; a plug-in that can't be made says why instead of stopping the list."""
    try:
        made = registry.create(name)
        card = made.info()
    except Exception as error:  # what an entry point names is somebody else's code
        return dict.fromkeys(COLUMNS, "") | {"name": name, "family": f"can't be made: {error}"}
    shipped = registry.source_versions(name)
    window = made.window
    return {
        "name": name,
        "family": made.family,
        "parameters": card.get("parameters", "n/a"),
        "window": f"{window.length} samples at {window.fps:g} fps",
        "presets": ", ".join(presets.names(name)),
        "source weights": ", ".join(card["version"] for _, card in shipped) or "none",
        "licence": "; ".join(dict.fromkeys(_short(card.get("licence", "not said")) for _, card in shipped)) or "n/a",
        "card": card,
    }


def _short(licence: str) -> str:
    """The licence's name, where the card explains it in sentences."""
    for known in ("AGPL-3.0-or-later", "Apache-2.0", "CC BY-NC 4.0", "MIT"):
        if known in licence:
            return known
    return licence
