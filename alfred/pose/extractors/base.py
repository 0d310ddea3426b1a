"""What a pose extractor is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from alfred.pose.tracks import Poses


@dataclass(frozen=True, slots=True)
class Chunk:
    """Tracked poses of some consecutive frames, and how far the file has been read.

    `frames_done` counts decoded frames so far; `pts` is the last decoded frame's, in seconds from the first.
    """

    poses: Poses
    frames_done: int
    pts: float


class MissingWeightsError(Exception):
    """The weights this extractor needs are not on this machine; the message says how to get them."""


class PoseExtractor(Protocol):
    """Decodes a video file and tracks the people in it. Built with its settings; holds its model between
    files.

    `name` and `info()` go into the record of what made the poses: same settings, same file → same poses.
    """

    name: str

    def info(self) -> dict[str, Any]:
        """Settings, weights' sha256 and library versions: all that the output depends on. JSON-able."""
        ...

    def extract(self, path: Path) -> Iterator[Chunk]:
        """Yield chunks of at most a few hundred frames in time order; memory does not grow with the file.

        Track numbers are unique over the file. PTS are the frames' own (variable frame rate is real),
        relative to the first frame. Keypoints are in pixels of the upright picture (after the file's
        rotation). Raises `alfred.video.probe.BadVideo` when the file stops being readable.
        """
        ...
