"""How alike two stretches of movement are: posture and its change, in heights of the person, wherever they stand."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from alfred.pose.tracks import Poses

Floats = npt.NDArray[np.float64]

TORSO = (5, 6, 11, 12)
"""Shoulders and hips (COCO's order): their middle is where a person stands."""
LEFT, RIGHT = (1, 3, 5, 7, 9, 11, 13, 15), (2, 4, 6, 8, 10, 12, 14, 16)
SEEN = 0.1
"""Joints of less confidence are left out of the means."""
SIZE = 70
"""17 joints: mean place and its spread, in x and y; then the speed along x and y."""


def describe(poses: Poses) -> Floats:
    """One person's poses over some seconds → a vector (70,) in heights of the person (speeds: heights per second).

    Joints are taken from the middle of the torso and divided by the median height of the box: the mean (34) and the
    standard deviation (34) of each coordinate over time, and the torso's mean absolute speed along x and y (2). Walking
    left and walking right are the same movement: the vector is that of whichever mirror image leans right. NaN
    throughout where there are fewer than two frames or no height.
    """
    height = float(np.median(poses.bbox[:, 3])) if len(poses) else 0.0
    if len(poses) < 2 or height <= 0:
        return np.full(SIZE, np.nan)
    xy = poses.keypoints[:, :, :2].astype(np.float64) / height
    middle = xy[:, TORSO].mean(axis=1)
    seconds = max(float(poses.pts[-1] - poses.pts[0]), 1e-6)
    moved = middle[-1, 0] - middle[0, 0]
    relative = xy - middle[:, None]
    if moved < 0:
        relative[:, :, 0] *= -1
        relative[:, LEFT + RIGHT] = relative[:, RIGHT + LEFT]
    weight = (poses.keypoints[:, :, 2] >= SEEN).astype(np.float64)[:, :, None]
    total = np.maximum(weight.sum(axis=0), 1.0)
    mean = (relative * weight).sum(axis=0) / total
    spread = np.sqrt((weight * (relative - mean) ** 2).sum(axis=0) / total)
    speed = np.abs(np.diff(middle, axis=0)).sum(axis=0) / seconds
    return np.concatenate([mean.ravel(), spread.ravel(), speed])


def distance(one: Floats, others: Floats) -> Floats:
    """Root mean square difference of a vector (70,) from each of (n, 70), in heights; NaN stays NaN."""
    found: Floats = np.sqrt(np.mean((others - one) ** 2, axis=1))
    return found
