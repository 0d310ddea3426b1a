"""Tracked poses as parallel arrays: what extractors and file formats make and everything else reads."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

JOINTS = 17
"""COCO-17 keypoints; the order is in `alfred.pose.skeleton`."""


@dataclass(frozen=True, slots=True)
class Poses:
    """n poses, sorted by (pts, track); checked once, here.

    track      (n,)        int32    person within the recording; unique across its whole length
    frame      (n,)        int64    frame number in the file, from 0
    pts        (n,)        float64  seconds since the first frame of the recording
    keypoints  (n, 17, 3)  float32  x px, y px, confidence 0..1; a missing joint has confidence 0
    bbox       (n, 4)      float32  x, y, w, h in px
    score      (n,)        float32  detection confidence 0..1

    Raises ValueError naming the array and the expected shape, or non-finite values.
    """

    track: npt.NDArray[np.int32]
    frame: npt.NDArray[np.int64]
    pts: npt.NDArray[np.float64]
    keypoints: npt.NDArray[np.float32]
    bbox: npt.NDArray[np.float32]
    score: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        n = len(self.track)
        shapes = {"track": (n,), "frame": (n,), "pts": (n,), "keypoints": (n, JOINTS, 3), "bbox": (n, 4), "score": (n,)}
        for name, shape in shapes.items():
            array = getattr(self, name)
            if array.shape != shape:
                raise ValueError(f"poses: {name} has shape {array.shape}, expected {shape}")
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise ValueError(f"poses: {name} holds values that are not finite")

    def __len__(self) -> int:
        return len(self.track)

    def take(self, index: npt.NDArray[np.intp] | npt.NDArray[np.bool_] | slice) -> Poses:
        """The poses at `index` (positions, mask or slice), in that order."""
        return Poses(*(getattr(self, f.name)[index] for f in fields(self)))

    def sorted(self) -> Poses:
        """The same poses by (pts, track)."""
        return self.take(np.lexsort((self.track, self.pts)))


def empty() -> Poses:
    """No poses: what an empty recording holds."""
    return from_arrays(*(np.zeros(s) for s in ((0,), (0,), (0,), (0, JOINTS, 3), (0, 4), (0,))))


def from_arrays(
    track: npt.ArrayLike,
    frame: npt.ArrayLike,
    pts: npt.ArrayLike,
    keypoints: npt.ArrayLike,
    bbox: npt.ArrayLike,
    score: npt.ArrayLike,
) -> Poses:
    """Cast to the declared types, check, and sort by (pts, track)."""
    return Poses(
        np.asarray(track, np.int32),
        np.asarray(frame, np.int64),
        np.asarray(pts, np.float64),
        np.asarray(keypoints, np.float32),
        np.asarray(bbox, np.float32),
        np.asarray(score, np.float32),
    ).sorted()


def concatenate(parts: list[Poses]) -> Poses:
    """All poses of `parts`, sorted by (pts, track)."""
    if not parts:
        return empty()
    return Poses(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Poses))).sorted()
