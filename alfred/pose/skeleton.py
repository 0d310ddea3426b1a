"""The two skeletons: COCO-17, in which poses are kept, and the 18 joints with a neck that the detectors read.

Both are published joint orders: COCO-17 of the COCO keypoint challenge, and the 18 joints of OpenPose, which
the released weights of STG-NF, SPARTA and GEPC expect.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

COCO17 = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
)
"""Joint names in the order of `Poses.keypoints`."""

LEFT = tuple(i for i, name in enumerate(COCO17) if name.startswith("left_"))
RIGHT = tuple(i for i, name in enumerate(COCO17) if name.startswith("right_"))
"""`LEFT[i]` and `RIGHT[i]` are the same joint on the two sides."""

LIMBS = (
    *((0, 1), (0, 2), (1, 3), (2, 4)),  # head
    *((5, 6), (5, 11), (6, 12), (11, 12)),  # trunk
    *((5, 7), (7, 9), (6, 8), (8, 10)),  # arms
    *((11, 13), (13, 15), (12, 14), (14, 16)),  # legs
)
"""Pairs of COCO-17 joints to draw a line between."""

JOINTS18 = 18
"""nose, neck, R shoulder elbow wrist, L shoulder elbow wrist, R hip knee ankle, L hip knee ankle, R L eye, R
L ear.
"""

LIMBS18 = (
    *((0, 1), (0, 14), (0, 15), (14, 16), (15, 17)),  # head
    *((1, 2), (2, 3), (3, 4), (5, 6), (6, 7), (1, 5)),  # arms
    *((2, 8), (8, 9), (9, 10), (5, 11), (11, 12), (12, 13)),  # trunk and legs
)
"""The 17 edges of the 18-joint graph; hips hang from the shoulders, as the published detectors have it."""

_NECK = 17  # where the neck stands once it is appended to the COCO joints
_ORDER18 = np.array([0, _NECK, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3])
_SHOULDERS = (5, 6)


def to_18(keypoints: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(..., 17, C) COCO joints → (..., 18, C): the neck is the mean of the shoulders, in every channel.

    So the neck's confidence is the mean of theirs. Raises ValueError when there are not 17 joints.
    """
    if keypoints.ndim < 2 or keypoints.shape[-2] != len(COCO17):
        raise ValueError(f"keypoints have shape {keypoints.shape}, expected (..., {len(COCO17)}, channels)")
    left, right = (keypoints[..., joint, :] for joint in _SHOULDERS)
    neck = np.float32(0.5) * (left + right)
    with_neck = np.concatenate([keypoints, neck[..., None, :]], axis=-2)
    return with_neck[..., _ORDER18, :]
