"""Which pose extractors there are. Nothing heavy is imported until one is created."""

from __future__ import annotations

import importlib
import importlib.metadata
from typing import Any, cast

from alfred.pose.extractors.base import PoseExtractor

GROUP = "alfred.pose_extractors"

BUILT_IN: dict[str, str] = {
    "movenet": "alfred.pose.extractors.movenet:MoveNet",
    "ultralytics": "alfred.pose.extractors.ultralytics:UltralyticsPose",
}


class UnknownExtractorError(LookupError):
    """No extractor of that name is installed."""


def names() -> list[str]:
    """All names, sorted: built in, and from installed packages' entry points of the group `GROUP`."""
    return sorted({*BUILT_IN, *(e.name for e in importlib.metadata.entry_points(group=GROUP))})


def create(name: str, **settings: Any) -> PoseExtractor:
    """The extractor `name` with its settings; a built-in name cannot be taken over by a package.

    Raises UnknownExtractorError, ValueError for settings it does not take, MissingWeightsError.
    """
    return cast(PoseExtractor, _factory(name)(**settings))


def _factory(name: str) -> Any:
    if name in BUILT_IN:
        module, _, attribute = BUILT_IN[name].partition(":")
        return getattr(importlib.import_module(module), attribute)
    for entry in importlib.metadata.entry_points(group=GROUP):
        if entry.name == name:
            return entry.load()
    raise UnknownExtractorError(f"no pose extractor {name!r}; there are {', '.join(names())}")
