"""Boxes around people: what is sure of them lies inside, with room; what is not sure widens nothing."""

from __future__ import annotations

import numpy as np
import pytest

from alfred.pose.boxes import boxes_with_room
from alfred.pose.tracks import Poses, empty, from_arrays


def one(keypoints: np.ndarray) -> Poses:
    return from_arrays([1], [0], [0.0], keypoints[None], [[10, 20, 30, 60]], [1.0])


def test_a_box_is_wider_by_its_share_on_every_side() -> None:
    assert boxes_with_room(one(np.zeros((17, 3))), 0.1).tolist() == [[4, 14, 46, 86]]


def test_a_sure_joint_outside_the_box_widens_it_and_an_unsure_one_does_not() -> None:
    keypoints = np.zeros((17, 3))
    keypoints[9] = (100, 40, 0.9)  # a stretched arm
    keypoints[10] = (-500, 900, 0.1)
    assert boxes_with_room(one(keypoints), 0.0).tolist() == [[10, 20, 100, 80]]
    assert boxes_with_room(one(keypoints), 0.5)[0] == pytest.approx([-35, -25, 145, 125])


def test_nobody_has_no_box() -> None:
    assert boxes_with_room(empty(), 0.2).shape == (0, 4)
