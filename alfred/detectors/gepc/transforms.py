"""The five ways GEPC turns and mirrors a window, in training and, averaged, in scoring.

Markovitz et al., "Graph Embedded Pose Clustering for Anomaly Detection", CVPR 2020 (arXiv 1912.11850), section 4.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

COUNT = 5
"""As it is, mirrored, a quarter turn, a quarter turn mirrored, an eighth turn."""


def _matrices() -> Tensor:
    """(5, 2, 2): each takes (x, y) of a joint to its new place."""
    mirror = torch.tensor([[-1.0, 0.0], [0.0, 1.0]])
    rotations = [_rotation(degrees) for degrees in (0, 0, 90, 90, 45)]
    mirrored = [False, True, False, True, False]
    return torch.stack([mirror @ turn if flip else turn for turn, flip in zip(rotations, mirrored, strict=True)])


def _rotation(degrees: float) -> Tensor:
    angle = math.radians(degrees)
    turn = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    return torch.tensor(turn, dtype=torch.float64).round(decimals=12).float()  # a quarter turn is exact


_MATRICES = _matrices()


def transformed(windows: Tensor, which: Tensor) -> Tensor:
    """Window i (B, C, T, V) through transform `which[i]` (B,), 0 to 4; channels after x and y stay as they are."""
    matrices = _MATRICES.to(windows.device)[which]
    turned = torch.einsum("bij,bjtv->bitv", matrices, windows[:, :2])
    return torch.cat([turned, windows[:, 2:]], dim=1)


def randomly_transformed(windows: Tensor, count: int) -> Tensor:
    """Each window (B, C, T, V) through one of the first `count` transforms, drawn from torch's own generator."""
    if count == 1:
        return windows
    which = torch.randint(count, (len(windows),))  # on the CPU: one sequence of draws for every device
    return transformed(windows, which.to(windows.device))
