"""How much two people in a picture are the same one: box IoU, keypoint similarity, and duplicate removal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]

JOINT_MIN = 0.1
SAME_BOX = 0.6
SAME_POSE = 0.5


@dataclass(frozen=True, slots=True)
class Detections:
    """People found in one frame: keypoints (n, 17, 3) px and confidence, bbox (n, 4) x, y, w, h px, score
    (n,).
    """

    keypoints: F32
    bbox: F32
    score: F32

    def __len__(self) -> int:
        return len(self.score)

    def take(self, index: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> Detections:
        """Those at `index`."""
        return Detections(self.keypoints[index], self.bbox[index], self.score[index])


def nobody() -> Detections:
    """An empty frame."""
    return Detections(np.zeros((0, 17, 3), np.float32), np.zeros((0, 4), np.float32), np.zeros(0, np.float32))


def iou(a: F32, b: F32) -> F32:
    """Intersection over union of boxes x, y, w, h: (n, 4), (m, 4) → (n, m); 0 for empty boxes."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum((a[:, :2] + a[:, 2:])[:, None], (b[:, :2] + b[:, 2:])[None])
    inside = np.clip(high - low, 0, None).prod(axis=2)
    whole = a[:, 2:].prod(axis=1)[:, None] + b[:, 2:].prod(axis=1)[None] - inside
    result: F32 = np.divide(inside, whole, out=np.zeros_like(inside), where=whole > 0)
    return result


def pose_similarity(a: F32, b: F32, size: F32, tolerance: float | F32) -> F32:
    """Keypoint similarity in the manner of COCO's OKS, one tolerance for all joints: → (n, m) in 0..1.

    Mean over joints that both see (confidence ≥ JOINT_MIN) of exp(−d² / 2(size·tolerance)²), with d in px;
    a (n, 17, 3), b (m, 17, 3), size (n,) px (the square root of the box area), tolerance a number or (n,). 0
    where fewer than 3 joints are seen by both.
    """
    square = ((a[:, None, :, :2] - b[None, :, :, :2]) ** 2).sum(axis=3)
    spread = 2 * (size * tolerance) ** 2 + np.float32(1e-6)
    both = (a[:, None, :, 2] >= JOINT_MIN) & (b[None, :, :, 2] >= JOINT_MIN)
    near = np.where(both, np.exp(-square / spread[:, None, None]), 0).sum(axis=2)
    seen = both.sum(axis=2)
    mean = np.where(seen >= 3, near / np.maximum(seen, 1), 0)
    return mean.astype(np.float32)


def suppress(found: Detections) -> Detections:
    """Keep the best of detections that show one person: IoU over SAME_BOX, or joints in the same places."""
    if len(found) < 2:
        return found
    order = np.argsort(-found.score, kind="stable")
    found = found.take(order)
    size = np.sqrt(found.bbox[:, 2:].prod(axis=1))
    same = (iou(found.bbox, found.bbox) > SAME_BOX) | (
        pose_similarity(found.keypoints, found.keypoints, size, 0.1) > SAME_POSE
    )
    keep = np.ones(len(found), bool)
    for i in range(len(found)):
        if keep[i]:
            keep[i + 1 :] &= ~same[i, i + 1 :]
    return found.take(keep)
