"""Where people are in a picture, with room around them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from alfred.pose.tracks import Poses

SURE = 0.2
"""Confidence from which a keypoint widens a person's box: an uncertain one may lie anywhere."""


def boxes_with_room(poses: Poses, room: float) -> npt.NDArray[np.float64]:
    """(n, 4) x0, y0, x1, y1 px: each pose's box and sure keypoints, wider on every side by `room` × its longer side.

    No pose gives (0, 4). The corners may lie outside the picture.
    """
    box = poses.bbox.astype(np.float64)
    sure = poses.keypoints[..., 2:] >= SURE
    points = poses.keypoints[..., :2].astype(np.float64)
    low = np.minimum(box[:, :2], np.where(sure, points, np.inf).min(axis=1, initial=np.inf))
    high = np.maximum(box[:, :2] + box[:, 2:], np.where(sure, points, -np.inf).max(axis=1, initial=-np.inf))
    wider = room * (high - low).max(axis=1, keepdims=True, initial=0)
    return np.concatenate([low - wider, high + wider], axis=1)
