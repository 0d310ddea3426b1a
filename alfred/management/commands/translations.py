"""Collect the words of pages and scripts into annotator/locale, and compile what is translated (needs GNU gettext)."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.core.management.commands import makemessages

PATTERNS = ["tests/*", "benchmarks/*", "docs/*", "deploy/*", "var/*", "vendor/*"]


class Command(makemessages.Command):
    """One language file for Python and templates, one for scripts; run again after editing them."""

    help = __doc__ or ""
    # Words of the layers without Django (alfred/core/phrases.py).
    xgettext_options = [*makemessages.Command.xgettext_options, "--keyword=phrase:1", "--keyword=counted:1,2"]

    def handle(self, *args: Any, **options: Any) -> None:
        languages = [code for code, _ in settings.LANGUAGES if code != settings.LANGUAGE_CODE]
        ours = {"locale": languages, "ignore_patterns": PATTERNS, "no_obsolete": True, "no_wrap": True}
        ours |= {"add_location": "file"}
        for domain, extensions in (("django", ["html", "py"]), ("djangojs", ["js"])):
            super().handle(*args, **options | ours | {"domain": domain, "extensions": extensions})
        for path in settings.LOCALE_PATHS:
            for file in sorted(Path(path).rglob("*.po")):
                _compile(file)


def _compile(file: Path) -> None:
    """Without the hour it was collected at, so that what has not changed is the same file."""
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(line for line in lines if not line.startswith('"POT-Creation-Date')))
    # No --check-format: it takes the sign in "95 % interval" for a directive. The test of translations checks parts.
    command = ["msgfmt", "-o", str(file.with_suffix(".mo")), str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommandError(done.stderr)
