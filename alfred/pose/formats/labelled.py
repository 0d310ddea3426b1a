"""Poses with ground truth, and what a reader says when a file is not what it should be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from alfred.pose.tracks import Poses

MAX_TRACKS = 100_000
"""More tracks than this in one file is refused: a recording of a day has a tenth of it."""

MAX_COORDINATE = 1e6
"""Pixels. Larger ones are no picture's."""


class BadPoses(ValueError):
    """A pose file cannot be used; the message is one sentence: the file, what is wrong, what to do."""


@dataclass(frozen=True, slots=True)
class LabelledPoses:
    """Poses and what is known about each; every array is in the order of `poses`.

    labels        (n,) uint8  1 = anomalous, or None when the file has none
    blocks        (n,) int32  scene of the pose: tracks of one block are resampled together; or None
    width, height             px of the picture, or None when unknown
    fps                       frames a second of the footage
    actions       (n,) uint8  index into `action_names`, or None
    """

    poses: Poses
    labels: npt.NDArray[np.uint8] | None
    blocks: npt.NDArray[np.int32] | None
    width: int | None
    height: int | None
    fps: float
    actions: npt.NDArray[np.uint8] | None = None
    action_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("labels", "blocks", "actions"):
            array = getattr(self, name)
            if array is not None and array.shape != (len(self.poses),):
                raise ValueError(f"{name} has shape {array.shape}, expected ({len(self.poses)},)")

    def take(self, index: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> LabelledPoses:
        """The poses at `index` (positions or mask), with what is known about them."""
        return LabelledPoses(
            self.poses.take(index),
            None if self.labels is None else self.labels[index],
            None if self.blocks is None else self.blocks[index],
            self.width,
            self.height,
            self.fps,
            None if self.actions is None else self.actions[index],
            self.action_names,
        )
