"""Likeness of movements: the same wherever a person stands, however tall they seem, whichever way they walk."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from alfred.pose.likeness import SIZE, describe, distance
from alfred.pose.tracks import Poses
from tests import world


def one(seconds: float = 4.0, fps: float = 15.0) -> Poses:
    return world.walkers(people_seen=1, seconds=seconds, fps=fps)


def changed(poses: Poses, scale: float = 1.0, by: tuple[float, float] = (0.0, 0.0)) -> Poses:
    keypoints, bbox = poses.keypoints.copy(), poses.bbox.copy()
    keypoints[:, :, :2] = keypoints[:, :, :2] * scale + by
    bbox[:, :2] = bbox[:, :2] * scale + by
    bbox[:, 2:] *= scale
    return replace(poses, keypoints=keypoints, bbox=bbox)


def mirrored(poses: Poses, width: float = 1280.0) -> Poses:
    """As seen in a mirror: left joints become right ones."""
    order = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]
    keypoints = poses.keypoints[:, order].copy()
    keypoints[:, :, 0] = width - keypoints[:, :, 0]
    return replace(poses, keypoints=keypoints)


def test_place_size_and_direction_change_nothing_and_posture_does() -> None:
    walker = one()
    like = [changed(walker, by=(300, -80)), changed(walker, scale=0.5), mirrored(walker), one(fps=30)]
    apart = distance(describe(walker), np.stack([describe(other) for other in like]))
    assert apart[:3] == pytest.approx(0, abs=1e-5) and apart[3] < 0.005
    fallen = walker.keypoints.copy()
    middle = fallen[:, :, :2].mean(axis=1, keepdims=True)
    fallen[:, :, :2] = middle + (fallen[:, :, :2] - middle)[:, :, ::-1]
    (far,) = distance(describe(walker), describe(replace(walker, keypoints=fallen))[None])
    assert far > 0.15


def test_a_hand_worked_case() -> None:
    """Two frames, a box of 100 px: nose 40 px above the torso's middle in both; the torso moves 20 px to the right."""
    keypoints = np.zeros((2, 17, 3), np.float32)
    keypoints[..., 2] = 1
    keypoints[:, :, :2] = [[[200, 300]], [[220, 300]]]
    keypoints[:, 0, 1] = 260
    walker = replace(
        one().take(np.arange(2)), keypoints=keypoints, bbox=np.tile(np.float32([150, 250, 50, 100]), (2, 1)),
        pts=np.array([0.0, 0.5]),
    )  # fmt: skip
    found = describe(walker)
    assert found.shape == (SIZE,)
    assert found[:4].tolist() == pytest.approx([0, -0.4, 0, 0]) and not found[34:68].any()
    assert found[68:].tolist() == pytest.approx([0.4, 0])  # 20 px in half a second: .4 heights a second


def test_nothing_is_said_of_one_frame_or_no_height() -> None:
    assert np.isnan(describe(one().take(np.arange(1)))).all()
    assert np.isnan(describe(replace(one(), bbox=np.zeros_like(one().bbox)))).all()
