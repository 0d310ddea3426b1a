"""Tracks → windows: resample by PTS, cut at gaps, slide, normalise. And a window's score → its poses.

INTERFACE; the body is written with the detector.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WindowSpec:
    """How a detector wants its windows: `length` samples at `fps` (Hz), one window every `stride` samples.

    Gaps of a track up to `max_gap_s` seconds are filled by interpolation; longer ones cut it.
    """

    length: int = 24
    stride: int = 1
    fps: float = 30.0
    max_gap_s: float = 0.2
