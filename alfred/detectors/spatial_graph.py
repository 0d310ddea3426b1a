"""Layers that TSGAD and GEPC share: graph convolutions over the 18 joints that learn whom to listen to.

Markovitz et al., "Graph Embedded Pose Clustering for Anomaly Detection", CVPR 2020 (arXiv 1912.11850), section 3.1
(spatial attention graph convolution), on the partitions of Yan et al., "Spatial Temporal Graph Convolutional
Networks", AAAI 2018 (arXiv 1801.07455), section 3.3. Written from facts about the layers; names and shapes of the
weights are those of the published modules, also where a layer is never used.

Shapes: x (B, C, T, V): batch, channels, samples in time, joints. adjacency (K, V, V): groups, from, to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alfred.pose.skeleton import JOINTS18, LIMBS18

GROUPS = 3
"""Parts of the neighbourhood: the joint itself, neighbours at least as far from the centre, and nearer ones."""

KINDS = 3
"""Of adjacency: static, learned, inferred from the window."""

NECK = 1

WIDTHS = (4, 4, 4, 6, 6, 6, 8, 8, 4)
"""Channels of the encoder's blocks, in units of `hidden`."""

STRIDES = (1, 1, 2, 1, 1, 3, 1, 1, 1)
"""Strides in time of the encoder's blocks: T shrinks to a sixth."""

SHRINKS = 6

_KERNEL = 9  # samples in time that a temporal convolution sees
_START = 1e-6  # every entry of the learned adjacency, before training


def partitioned_adjacency(
    limbs: Sequence[tuple[int, int]] = LIMBS18, joints: int = JOINTS18, centre: int = NECK
) -> Tensor:
    """(3, V, V) float32: `[:, i, j]` is what joint j takes from i; the columns of the three groups add up to 1.

    Group 0 is the joint itself, 1 its neighbours as far from `centre` as it is or farther, 2 the nearer ones (ST-GCN's
    spatial partition). All joints more than one limb from the centre count as equally far, as published.
    """
    near = torch.eye(joints)
    for a, b in limbs:
        near[a, b] = near[b, a] = 1
    near = near / near.sum(dim=0, keepdim=True)
    distance = torch.full((joints,), 2.0)
    distance[near[centre] > 0] = 1
    distance[centre] = 0
    itself = torch.eye(joints, dtype=torch.bool)
    nearer = (distance[:, None] < distance[None, :]) & ~itself
    return torch.stack([near * itself, near * ~(itself | nearer), near * nearer])


class KindNorm(nn.Module):
    """Holds the BatchNorm of one kind of adjacency; `SpatialAttention` applies all three at once."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels)


class SpatialAttention(nn.Module):
    """Spatial attention graph convolution (SAGC): joints mixed by a static, a learned and an inferred adjacency.

    As published, channels are expanded ninefold, then mixed over joints. Both are linear, so here joints are mixed
    first and the expansion sums over groups: the same values at less than half the time.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        inner = channels_out // 4
        self.g_adj = nn.Parameter(torch.full((GROUPS, JOINTS18, JOINTS18), _START))
        self.conv_a = nn.ModuleList(nn.Conv2d(channels_in, inner, 1) for _ in range(GROUPS))
        self.conv_b = nn.ModuleList(nn.Conv2d(channels_in, inner, 1) for _ in range(GROUPS))
        self.gconv = nn.ModuleList(KindNorm(channels_out) for _ in range(KINDS))
        self.down = _matched(channels_in, channels_out) if channels_in != channels_out else nn.Identity()
        self.bn = nn.BatchNorm2d(channels_out)  # never used; the published weights hold it
        self.expanding_conv = nn.Conv2d(channels_in, KINDS * GROUPS * channels_out, 1, bias=False)
        self.reduction_conv = nn.Conv2d(KINDS * channels_out, channels_out, 1, bias=False)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        """(B, C, T, V) and the static (3, V, V) → (B, C', T, V)."""
        mixed = torch.relu(self.normed(mix(x, self.adjacencies(x, adjacency), self.weight())))
        reduced: Tensor = self.reduction_conv(mixed) + self.down(x)
        return reduced

    def weight(self) -> Tensor:
        """The expanding convolution's weights as `mix` takes them: (3, C', 3 C)."""
        expanding = self.expanding_conv
        weight = expanding.weight.view(KINDS, GROUPS, -1, expanding.in_channels)
        return weight.transpose(1, 2).reshape(KINDS, -1, GROUPS * expanding.in_channels)

    def adjacencies(self, x: Tensor, static: Tensor) -> Tensor:
        """The nine adjacencies of each window (B, 9, V, V): static, learned, inferred."""
        shared = torch.cat([static, self.g_adj]).expand(len(x), -1, -1, -1)
        return torch.cat([shared, self.inferred(x)], dim=1)

    def inferred(self, x: Tensor) -> Tensor:
        """(B, C, T, V) → (B, 3, V, V): how alike two joints are in this window, in what the two embeddings see.

        Each column is a softmax over the joints listened to; the products are not scaled, as published.
        """
        return attention(F.conv2d(x, *self.embedding()))

    def embedding(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the 1x1 convolution that gives all six embeddings."""
        convs = [cast(nn.Conv2d, conv) for conv in (*self.conv_a, *self.conv_b)]
        return torch.cat([conv.weight for conv in convs]), torch.cat([cast(Tensor, conv.bias) for conv in convs])

    @property
    def norms(self) -> list[nn.BatchNorm2d]:
        """The BatchNorm of each kind of adjacency."""
        return [cast(KindNorm, part).bn for part in self.gconv]

    def normed(self, x: Tensor) -> Tensor:
        """The BatchNorm of each kind on its third of the channels of x (B, 3 C', T, V)."""
        norms = self.norms
        means = [cast(Tensor, norm.running_mean) for norm in norms]
        variances = [cast(Tensor, norm.running_var) for norm in norms]
        mean, variance = torch.cat(means), torch.cat(variances)
        weight, bias = torch.cat([norm.weight for norm in norms]), torch.cat([norm.bias for norm in norms])
        training, momentum = norms[0].training, cast(float, norms[0].momentum)
        out = F.batch_norm(x, mean, variance, weight, bias, training, momentum, norms[0].eps)
        if training:
            for kept, moved in zip(means + variances, mean.chunk(KINDS) + variance.chunk(KINDS), strict=True):
                kept.copy_(moved)
            for norm in norms:
                cast(Tensor, norm.num_batches_tracked).add_(1)
        return out


def mix(x: Tensor, adjacency: Tensor, weight: Tensor) -> Tensor:
    """Mix x (B, C, T, V) over joints by adjacency (B, 9, V, V), then over channels by weight (3, C', 3 C).

    Gives (B, 3 C', T, V): of each kind of adjacency, the sum over its three groups.
    """
    batch, channels, time, joints = x.shape
    moved = x.reshape(batch, 1, channels * time, joints) @ adjacency
    return (weight @ moved.view(batch, KINDS, GROUPS * channels, time * joints)).view(batch, -1, time, joints)


def attention(embedded: Tensor) -> Tensor:
    """Two embeddings for each group (B, 2 · 3 · C, T, V) → the inferred adjacency (B, 3, V, V)."""
    ours, theirs = embedded.view(len(embedded), 2, GROUPS, -1, embedded.shape[3]).unbind(dim=1)
    return (ours.transpose(-2, -1) @ theirs).softmax(dim=-2)


class StaticGraph(nn.Module):
    """Graph convolution by the static adjacency alone."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, GROUPS * channels_out, 1)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        """(B, C, T, V) and (3, V, V) → (B, C', T, V)."""
        batch, _, time, joints = x.shape
        expanded = self.conv(x).view(batch, GROUPS, -1, time, joints)
        mixed: Tensor = (expanded @ adjacency.unsqueeze(-3)).sum(dim=1)
        return mixed


class ConvBlock(nn.Module):
    """Graph convolution, temporal convolution of 9 samples, residual, ReLU.

    `attentive` False mixes joints by the static adjacency alone and leaves out the last BatchNorm (the decoders' last
    layer). `residual` False: none; otherwise the input itself, or a 1x1 convolution of it where shapes differ.
    `activate` False leaves out the last ReLU. `dropout` is the share dropped after the temporal convolution.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        *,
        stride: int = 1,
        dropout: float = 0.0,
        residual: bool = True,
        activate: bool = True,
        attentive: bool = True,
    ) -> None:
        super().__init__()
        graph = SpatialAttention(channels_in, channels_out) if attentive else StaticGraph(channels_in, channels_out)
        self.gcn = nn.ModuleDict({"g_conv": graph})
        layers: list[nn.Module] = [
            nn.BatchNorm2d(channels_out),
            nn.ReLU(),
            nn.Conv2d(channels_out, channels_out, (_KERNEL, 1), (stride, 1), (_KERNEL // 2, 0)),
        ]
        if attentive:
            layers += [nn.BatchNorm2d(channels_out), nn.Dropout(dropout)]
        self.tcn = nn.Sequential(*layers)
        self.activate = activate
        self.residual: nn.Module | None = None
        if residual:
            same = channels_in == channels_out and stride == 1
            self.residual = nn.Identity() if same else _matched(channels_in, channels_out, stride)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        """(B, C, T, V) and the static (3, V, V) → (B, C', ceil(T / stride), V)."""
        y: Tensor = self.tcn(self.gcn["g_conv"](x, adjacency))
        if self.residual is not None:
            y = y + self.residual(x)
        return torch.relu(y) if self.activate else y


class GraphEncoder(nn.Module):
    """Nine blocks that shrink a window to a sixth of its length: the encoder of GEPC and of TSGAD."""

    A: Tensor

    def __init__(self, channels_in: int, hidden: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("A", partitioned_adjacency())
        self.data_bn = nn.BatchNorm1d(channels_in * JOINTS18)
        widths = [channels_in, *(factor * hidden for factor in WIDTHS)]
        last = len(WIDTHS) - 1
        self.st_gcn_enc = nn.ModuleList(
            ConvBlock(
                widths[index],
                widths[index + 1],
                stride=stride,
                dropout=dropout,
                residual=index > 0,
                activate=index < last,
            )
            for index, stride in enumerate(STRIDES)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, V) → (B, 4 hidden, T / 6, V). T is a multiple of 6."""
        x = normalised_by_joint(self.data_bn, x)
        for block in self.st_gcn_enc:
            x = block(x, self.A)
        return x


class GraphDecoder(nn.Module):
    """From a latent of a sixth of the length back to a window: the decoder of GEPC and of TSGAD."""

    A: Tensor

    def __init__(self, unit: int, channels_out: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("A", partitioned_adjacency())
        four, six, eight = 4 * unit, 6 * unit, 8 * unit
        self.st_gcn_dec = nn.ModuleList(
            [
                nn.Upsample(scale_factor=(3, 1), mode="bilinear"),
                ConvBlock(four, eight, dropout=dropout),
                ConvBlock(eight, eight, dropout=dropout),
                ConvBlock(eight, six, dropout=dropout),
                nn.Upsample(scale_factor=(2, 1), mode="bilinear"),
                ConvBlock(six, six, dropout=dropout),
                ConvBlock(six, six, dropout=dropout),
            ]
        )
        self.dec_final_gcn = ConvBlock(six, channels_out, residual=False, activate=False, attentive=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 4 unit, T / 6, V) → (B, C, T, V), of any sign."""
        for layer in self.st_gcn_dec:
            x = layer(x) if isinstance(layer, nn.Upsample) else layer(x, self.A)
        out: Tensor = self.dec_final_gcn(x, self.A)
        return out


def normalised_by_joint(norm: nn.BatchNorm1d, x: Tensor) -> Tensor:
    """BatchNorm of every channel of every joint (joints first) of x (B, C, T, V), which keeps its shape."""
    batch, channels, time, joints = x.shape
    flat = norm(x.permute(0, 3, 1, 2).reshape(batch, joints * channels, time))
    normed: Tensor = flat.view(batch, joints, channels, time).permute(0, 2, 3, 1).contiguous()
    return normed


def _matched(channels_in: int, channels_out: int, stride: int = 1) -> nn.Sequential:
    """A 1x1 convolution and BatchNorm that bring the input to the output's shape."""
    return nn.Sequential(nn.Conv2d(channels_in, channels_out, 1, (stride, 1)), nn.BatchNorm2d(channels_out))
