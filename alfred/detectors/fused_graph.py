"""The blocks of `spatial_graph` for scoring: BatchNorm folded into the convolutions beside it, ReLU in place.

Exact up to rounding in evaluation mode, and without gradients. The static and the learned adjacency cannot be merged:
each has its own BatchNorm and ReLU before the two are added up.
"""

from __future__ import annotations

import copy
from typing import TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_conv_bn_weights

from alfred.detectors.spatial_graph import GROUPS, KINDS, ConvBlock, SpatialAttention, attention

Module = TypeVar("Module", bound=nn.Module)


def fused(module: Module) -> Module:
    """A copy of `module` with every attentive `ConvBlock` in it fused, in evaluation mode, for inference only."""
    made = copy.deepcopy(module).eval()
    for parent in list(made.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, ConvBlock) and isinstance(child.gcn["g_conv"], SpatialAttention):
                setattr(parent, name, FusedBlock(child))
    return made.requires_grad_(False)


class FusedBlock(nn.Module):
    """What an attentive `ConvBlock` in evaluation mode computes."""

    def __init__(self, block: ConvBlock) -> None:
        super().__init__()
        self.graph = FusedAttention(cast(SpatialAttention, block.gcn["g_conv"]), cast(nn.BatchNorm2d, block.tcn[0]))
        self.temporal = fuse_conv_bn_eval(cast(nn.Conv2d, block.tcn[2]), cast(nn.BatchNorm2d, block.tcn[3]))
        self.residual = _folded(block.residual) if isinstance(block.residual, nn.Sequential) else block.residual
        self.activate = block.activate

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        """(B, C, T, V) and the static (3, V, V) → (B, C', ceil(T / stride), V)."""
        y: Tensor = self.temporal(self.graph(x, adjacency))
        if self.residual is not None:
            y += self.residual(x)
        return y.relu_() if self.activate else y


class FusedAttention(nn.Module):
    """`SpatialAttention` with the BatchNorm and ReLU that follow it."""

    def __init__(self, graph: SpatialAttention, after: nn.BatchNorm2d) -> None:
        super().__init__()
        parts = [_fold(weight, None, norm) for weight, norm in zip(graph.weight(), graph.norms, strict=True)]
        self.learned = nn.Parameter(graph.g_adj.detach().clone())
        self.weight = nn.Parameter(torch.stack([weight for weight, _ in parts]))
        self.bias = nn.Parameter(torch.stack([bias for _, bias in parts]).unsqueeze(2))
        embedding, shift = graph.embedding()
        self.embedding, self.shift = nn.Parameter(embedding), nn.Parameter(shift)
        reduction = graph.reduction_conv.weight
        if isinstance(graph.down, nn.Sequential):
            down = _folded(graph.down)
            direct, offset = down.weight, down.bias
        else:
            direct, offset = torch.eye(len(reduction), device=reduction.device)[:, :, None, None], None
        joined, self.offset = _fold(torch.cat([reduction, direct], dim=1), offset, after)
        of_mixed = reduction.shape[1]
        self.reduction, self.direct = nn.Parameter(joined[:, :of_mixed]), nn.Parameter(joined[:, of_mixed:])

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        """(B, C, T, V) and the static (3, V, V) → (B, C', T, V), not negative."""
        batch, channels, time, joints = x.shape
        rows = x.reshape(batch, channels * time, joints)
        moved = x.new_empty(batch, KINDS * GROUPS, channels * time, joints)
        inferred = attention(F.conv2d(x, self.embedding, self.shift))
        shared = torch.cat([adjacency, self.learned]).unsqueeze(1).expand(-1, batch, -1, -1)
        for index, one in enumerate((*shared, *inferred.unbind(dim=1))):
            torch.bmm(rows, one, out=moved[:, index])
        mixed = self.weight @ moved.view(batch, KINDS, GROUPS * channels, time * joints)
        mixed = mixed.add_(self.bias).relu_().view(batch, -1, time, joints)
        reduced = F.conv2d(mixed, self.reduction, self.offset)
        return reduced.add_(F.conv2d(x, self.direct)).relu_()


def _folded(layers: nn.Sequential) -> nn.Conv2d:
    """A convolution and its BatchNorm as one convolution."""
    conv, norm = layers
    return fuse_conv_bn_eval(cast(nn.Conv2d, conv), cast(nn.BatchNorm2d, norm))


def _fold(weight: Tensor, bias: Tensor | None, norm: nn.BatchNorm2d) -> tuple[nn.Parameter, nn.Parameter]:
    """A linear map's weight and bias with the BatchNorm after it."""
    mean, variance = cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)
    return fuse_conv_bn_weights(weight, bias, mean, variance, norm.eps, norm.weight, norm.bias)
