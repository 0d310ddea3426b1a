"""The published benchmark protocol of the STG-NF family, to compare with published figures.

Frame numbers are taken as they are and nothing is interpolated; each track's last possible window is left
out; a frame's score is that of its least normal person; scores are smoothed over time, looking ahead. None of
this is used where thresholds are set: see `alfred.pose.windows` for live footage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d

from alfred.pose.skeleton import JOINTS18, to_18
from alfred.pose.tracks import Poses
from alfred.pose.windows import normalise

PUBLISHED_SIZE = (856, 480)
"""Width and height, px, that the published code divides by whatever the footage is."""

SMOOTHING = range(1, 7)
"""Standard deviations, in frames, of the Gaussians applied one after another."""


@dataclass(frozen=True, slots=True)
class PublishedWindows:
    """n windows of one clip, by (track, start).

    values  (n, 3, length, 18)  float32  normalised x, y; confidence
    pixels  (n, 3, length, 18)  float32  the same before normalisation
    track   (n,)                int32
    start   (n,)                int64    frame number of the first pose
    """

    values: npt.NDArray[np.float32]
    pixels: npt.NDArray[np.float32]
    track: npt.NDArray[np.int32]
    start: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.track)


def published_windows(
    poses: Poses,
    *,
    width: float = PUBLISHED_SIZE[0],
    height: float = PUBLISHED_SIZE[1],
    length: int = 24,
    stride: int = 1,
    missing: int = 2,
) -> PublishedWindows:
    """Cut each track's present frames into windows of `length`, one every `stride` of them.

    A track of n poses gives ceil((n - length) / stride) windows, so the last possible start is left out and a
    track of exactly `length` poses gives none. A window is kept when at least `length - missing` of its
    frames lie within `length` frames of its first; the others stand in for what is missing.
    """
    order = np.lexsort((poses.frame, poses.track))
    track, frame = poses.track[order], poses.frame[order]
    starts = np.concatenate(
        [np.zeros(0, np.intp)]
        + [
            rows[0] + np.arange(0, max(0, len(rows) - length), stride)
            for rows in np.split(np.arange(len(order)), np.flatnonzero(np.diff(track)) + 1)
            if len(rows)
        ]
    )
    if len(starts):
        taken = np.lib.stride_tricks.sliding_window_view(frame, length)[starts]
        inside = (taken < taken[:, :1] + length).sum(axis=1)  # frames rise: only the later ones can lie outside
        starts = starts[inside >= length - missing]
    keypoints = to_18(poses.keypoints[order])
    pixels = np.zeros((0, 3, length, JOINTS18), np.float32)
    if len(starts):
        pixels = np.ascontiguousarray(keypoints[starts[:, None] + np.arange(length)].transpose(0, 3, 1, 2), np.float32)
    return PublishedWindows(normalise(pixels, width, height), pixels, track[starts], frame[starts])


@dataclass(frozen=True, slots=True)
class ClipScores:
    """Scores of one clip's windows (n,), higher = more anomalous, and the clip's length in frames."""

    windows: PublishedWindows
    scores: npt.NDArray[np.floating]
    n_frames: int


def frame_scores(clips: Sequence[ClipScores], *, smooth: bool = True) -> list[npt.NDArray[np.float64]]:
    """Scores (n_frames,) of each clip, higher = more anomalous.

    A window counts at its start + length // 2; a frame takes the highest score of its persons. Frames without
    any take the lowest score of all clips (they read as normal: with a live camera they have none). Then
    Gaussian smoothing clip by clip. Raises ValueError when no clip has a score.
    """
    raw = [_highest(clip) for clip in clips]
    finite = [scores[np.isfinite(scores)] for scores in raw]
    if not sum(map(len, finite)):
        raise ValueError("no clip has a scored frame")
    lowest = float(np.concatenate(finite).min())
    filled = [np.where(np.isfinite(scores), scores, lowest) for scores in raw]
    return [_smoothed(scores) for scores in filled] if smooth else filled


def _highest(clip: ClipScores) -> npt.NDArray[np.float64]:
    out = np.full(clip.n_frames, -np.inf)
    length = clip.windows.values.shape[2]
    centre = clip.windows.start + length // 2
    inside = centre < clip.n_frames
    np.maximum.at(out, centre[inside], np.asarray(clip.scores, np.float64)[inside])
    return out


def _smoothed(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    for sigma in SMOOTHING:
        scores = gaussian_filter1d(scores, sigma=sigma)
    return scores
