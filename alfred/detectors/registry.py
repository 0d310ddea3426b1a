"""Which detectors there are, and which source weights come with them.

Imports no torch: the web process reads cards here. A detector's own module is imported when one is made.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, cast

from alfred.detectors import presets
from alfred.detectors.base import Detector
from alfred.pose.windows import slowest_fps

ENTRY_POINTS = "alfred.detectors"
"""Group under which an installed package may offer more: `name = "package.module:Class"`."""

BUILT_IN = {
    "gepc": "alfred.detectors.gepc.detector:Gepc",
    "memory": "alfred.detectors.memory.detector:Memory",
    "sparta": "alfred.detectors.sparta.detector:Sparta",
    "stg_nf": "alfred.detectors.stg_nf.detector:StgNf",
    "tsgad": "alfred.detectors.tsgad.detector:Tsgad",
}

SOURCE = Path(__file__).parent / "source"

Card = dict[str, Any]


@cache
def _paths() -> dict[str, str]:
    offered = {point.name: point.value for point in entry_points(group=ENTRY_POINTS)}
    return {**offered, **BUILT_IN}  # a package cannot take the name of a detector that is here


def names() -> list[str]:
    """Every detector that can be created, sorted."""
    return sorted(_paths())


def create(name: str, *, preset: str = presets.TUNED, **settings: Any) -> Detector:
    """A detector, untrained: a preset of it (`alfred.detectors.presets`) with settings of one's own (`device`,
    `length`, …). Raises ValueError for an unknown name or preset.
    """
    if name not in _paths():
        raise ValueError(f"there is no detector {name!r}; there are: {', '.join(names())}")
    module, _, attribute = _paths()[name].partition(":")
    chosen = presets.preset(name, preset)
    made = getattr(import_module(module), attribute)(**{**chosen.settings, **settings})
    if preset != presets.TUNED:
        made.preset = preset
    return cast(Detector, made)  # what an entry point names is its author's promise


def source_versions(name: str, folder: Path = SOURCE) -> list[tuple[Path, Card]]:
    """Weights that come with the product for `name`: (path, card), the highest frame rate first."""
    found = []
    for card_path in sorted(folder.glob("*.json")):
        card = json.loads(card_path.read_text(encoding="utf-8"))
        path = card_path.with_suffix(".safetensors")
        if card.get("name") == name and path.is_file():
            found.append((path, card))
    return sorted(found, key=lambda item: (-float(item[1]["fps"]), str(item[1]["version"])))


def with_source_weights(folder: Path = SOURCE) -> list[str]:
    """The detectors a camera can start with: those that weights come with, sorted."""
    return [name for name in names() if source_versions(name, folder)]


def source_for(name: str, source_fps: float, folder: Path = SOURCE) -> tuple[Path, Card]:
    """The source version (path, card) with the highest frame rate that footage of `source_fps` Hz can serve.

    Poses may be resampled to at most twice their rate. Raises ValueError that says what to do where none
    fits.
    """
    versions = source_versions(name, folder)
    for path, card in versions:
        if source_fps >= slowest_fps(float(card["fps"])):
            return path, card
    have = ", ".join(f"{card['fps']:g}" for _, card in versions) or "none"
    raise ValueError(
        f"{name} has no source weights for {source_fps:g} fps (there are: {have}); "
        f"train some with: manage.py train-source --detector {name} --data FOLDER --fps {source_fps:g}"
    )
