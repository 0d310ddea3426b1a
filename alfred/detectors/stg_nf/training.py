"""Training STG-NF: the folded idea made differentiable.

With the constant adjacency everything a coupling learns depends on the mean over joints and on one coordinate
of each joint. BatchNorm over (B, T, V) of an affine map of either is again affine, with statistics that
follow from those of its input; so training needs no (B, 2, T, V) network either. Losses and gradients equal
those of `StgNfModel` in train mode (tested), at a tenth of the time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alfred.detectors import training
from alfred.detectors.base import Cancelled, Progress, TrainingLog
from alfred.detectors.cpu import lean_cpu
from alfred.detectors.stg_nf.folded import frozen_norm
from alfred.detectors.stg_nf.model import EPSILON, FlowStep, StgNfModel, bias_of
from alfred.detectors.training import TrainingSettings

Nll = Callable[[StgNfModel, Tensor, Tensor | None], Tensor]

LABELLED = 3
"""Channels of windows that say what they are."""


@lean_cpu()
def train(
    model: StgNfModel,
    windows: npt.NDArray[np.float32],
    settings: TrainingSettings,
    *,
    seed: int,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> TrainingLog:
    """Train `model` in place on the mean nll of windows (n, 2, T, V), as `alfred.detectors.training.train`.

    Windows of three channels carry in the last what each is: 1 normal, -1 anomalous (`labelled`), whose prior has the
    mean R or -R. That is the published supervised form; there is no other term.
    The published schedule (8 epochs of Adamax at 5e-4) is far too short on small data, hence steps and a higher rate.
    """
    nll = uniform_nll if model.adjacency_is_uniform else StgNfModel.nll
    supervised = windows.shape[1] == LABELLED
    loss = partial(_labelled_nll, model, nll) if supervised else partial(nll, model)
    try:
        return training.train(model, loss, windows, settings, seed=seed, progress=progress, cancelled=cancelled)
    finally:
        model.mark_initialised()


def labelled(windows: npt.NDArray[np.float32], anomalous: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """Windows (n, 2, T, V) and what each is (n,) → (n, 3, T, V), as `train` takes them for supervised training."""
    sign = np.where(anomalous, np.float32(-1), np.float32(1))[:, None, None, None]
    return np.concatenate([windows, np.broadcast_to(sign, (len(windows), 1, *windows.shape[2:]))], axis=1)


def _labelled_nll(model: StgNfModel, nll: Nll, x: Tensor) -> Tensor:
    return nll(model, x[:, :-1], model.radius * x[:, -1, 0, 0])


def uniform_nll(model: StgNfModel, x: Tensor, mean: Tensor | None = None) -> Tensor:
    """`StgNfModel.nll` of windows (B, 2, T, V), differentiable, for the constant adjacency. `mean` (B,), or None = R.

    In train mode BatchNorm uses and updates statistics and ActNorm sets itself, exactly as the layers would.
    """
    moved, given = x.permute(1, 3, 0, 2).contiguous()
    logs = x.new_zeros(())
    log_scale = x.new_zeros(())
    for step in model.flow.steps:
        norm = step.actnorm
        if model.training and not norm.initialised:
            norm.initialise(torch.stack([moved, given], dim=1).permute(2, 1, 3, 0))
        gain = norm.logs.flatten().exp()
        offset = norm.bias.flatten() * gain
        given = torch.addcmul(offset[1], given, gain[1])
        shift, scale = _coupling(step, given, model.training)
        moved = (torch.addcmul(offset[0], moved, gain[0]) + shift) * scale
        log_scale = log_scale + scale.log().sum(dim=0).sum(dim=1)
        logs = logs + norm.logs.sum()
        moved, given = given, moved
    elements = x[0].numel()
    centre = model.radius if mean is None else mean[:, None]
    square = ((moved - centre).square() + (given - centre).square()).sum(dim=0).sum(dim=1)
    logp = -0.5 * (square / (1 + EPSILON) + elements * math.log(2 * math.pi))
    logdet = log_scale + logs * (elements // 2)
    bits: Tensor = -(logp + logdet) / (math.log(2) * elements)
    return bits


def _coupling(step: FlowStep, given: Tensor, training: bool) -> tuple[Tensor, Tensor]:
    """(V, B, T) normalised coordinate → shift and scale, each (V, B, T) or (B, T) where joints share them."""
    block = step.coupling
    norm1, conv, norm2 = block.temporal
    joints = len(given)
    mean = given.mean(dim=0)
    slope, shift = _normed_line(block.gcn.conv, norm1, mean, joints, training)
    hidden = torch.relu(torch.addcmul(shift[:, None], mean.unsqueeze(1), slope[:, None]))
    weight = conv.weight.squeeze(3)
    hidden = F.conv1d(hidden, weight, conv.bias, padding=weight.shape[2] // 2)
    slope, shift = _norm(norm2, hidden, joints, training)
    hidden = torch.addcmul(shift[:, None], hidden, slope[:, None])
    if block.direct is None:
        out_shift, raw = hidden[:, 0].expand_as(given), hidden[:, 1].expand_as(given)
    else:
        direct, norm3 = block.direct
        slope, shift = _normed_line(direct, norm3, given, 1, training)
        hidden = hidden + shift[:, None]
        out_shift = torch.addcmul(hidden[:, 0], given, slope[0])
        raw = torch.addcmul(hidden[:, 1], given, slope[1])
    return torch.relu(out_shift), torch.sigmoid(torch.relu(raw) + 2) + EPSILON


def _normed_line(
    conv: nn.Conv2d, norm: nn.BatchNorm2d, x: Tensor, repeats: int, training: bool
) -> tuple[Tensor, Tensor]:
    """A 1x1 convolution of one channel x, then BatchNorm, as slope and shift (2,) on x.

    `repeats`: how often each value of x stands in the layer's own input (V for the mean over joints).
    """
    weight = conv.weight.flatten()
    if not training:
        slope, shift = frozen_norm(norm)
        return slope * weight, slope * bias_of(conv) + shift
    variance, mean = torch.var_mean(x, correction=0)
    _track(norm, weight * mean + bias_of(conv), weight.square() * variance, x.numel() * repeats)
    slope = norm.weight * weight / torch.sqrt(weight.square() * variance + norm.eps)
    return slope, norm.bias - slope * mean


def _norm(norm: nn.BatchNorm2d, x: Tensor, repeats: int, training: bool) -> tuple[Tensor, Tensor]:
    """BatchNorm of x (B, 2, T) as slope and shift (2,)."""
    if not training:
        return frozen_norm(norm)
    variance, mean = torch.var_mean(x, dim=(0, 2), correction=0)
    _track(norm, mean, variance, x.shape[0] * x.shape[2] * repeats)
    slope = norm.weight / torch.sqrt(variance + norm.eps)
    return slope, norm.bias - slope * mean


@torch.no_grad()
def _track(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor, count: int) -> None:
    """Move the running statistics as BatchNorm does: the variance by its unbiased estimate."""
    momentum = cast(float, norm.momentum)
    cast(Tensor, norm.running_mean).lerp_(mean, momentum)
    cast(Tensor, norm.running_var).lerp_(variance * (count / (count - 1)), momentum)
    cast(Tensor, norm.num_batches_tracked).add_(1)
