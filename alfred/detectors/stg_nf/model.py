"""STG-NF, layer by layer: a normalizing flow over windows of poses.

Hirschorn & Avidan, "Normalizing Flows for Human Pose Anomaly Detection", ICCV 2023 (arXiv 2211.10946).
Written from the paper and the shapes of the released weights, whose 180 tensors load here under their own
names.

Shapes: x (B, 2, T, V): batch, x and y, samples in time, joints.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from alfred.pose.skeleton import JOINTS18, LIMBS18

CHANNELS = 2
EPSILON = 1e-6
"""Added to the coupling's scale and the prior's variance, as in the released weights' training."""


@dataclass(frozen=True, slots=True)
class FlowSettings:
    """`length` T samples a window, `radius` R of the normal prior's mean, `steps` K of the flow."""

    length: int = 24
    radius: float = 3.0
    steps: int = 8

    def __post_init__(self) -> None:
        if not (4 <= self.length <= 512 and self.kernel % 2 == 1):
            raise ValueError(f"length is {self.length}; must be 4 to 512 with an odd length // 2 + 1 (24, 16, 12)")
        if not 1 <= self.steps <= 64:
            raise ValueError(f"{self.steps} flow steps; must be 1 to 64")

    @property
    def kernel(self) -> int:
        """Extent in time of the temporal convolution."""
        return self.length // 2 + 1


def hop_adjacency(max_hop: int, limbs: Sequence[tuple[int, int]] = LIMBS18, joints: int = JOINTS18) -> Tensor:
    """(V, V) float32: 1 where two joints are at most `max_hop` limbs apart, columns divided by their sums.

    The graph of 18 joints is 8 hops wide, so the published `max_hop` of 8 gives the constant 1/18: every
    joint sees the mean over the body.
    """
    reached = torch.eye(joints)
    step = torch.eye(joints)
    for a, b in limbs:
        step[a, b] = step[b, a] = 1
    for _ in range(max_hop):
        reached = ((reached @ step) > 0).float()
    return reached / reached.sum(dim=0, keepdim=True)


class ActNorm(nn.Module):
    """Per-channel affine map, set from the first training batch so that its output is standardised."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1, CHANNELS, 1, 1))
        self.logs = nn.Parameter(torch.zeros(1, CHANNELS, 1, 1))
        self.initialised = False

    def initialise(self, x: Tensor) -> None:
        """Set bias and scale so that each channel of x (B, 2, T, V) comes out with mean 0, deviation 1."""
        with torch.no_grad():
            mean = x.mean(dim=(0, 2, 3), keepdim=True)
            variance = x.var(dim=(0, 2, 3), correction=0, keepdim=True)
            self.bias.copy_(-mean)
            self.logs.copy_(-torch.log(variance.sqrt() + EPSILON))
        self.initialised = True

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 2, T, V) → the same, and log |det| (a scalar, the same for every window)."""
        if self.training and not self.initialised:
            self.initialise(x)
        logdet = self.logs.sum() * (x.shape[2] * x.shape[3])
        return (x + self.bias) * torch.exp(self.logs), logdet


class GraphConvolution(nn.Module):
    """A 1x1 convolution, then joints mixed by the adjacency."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, CHANNELS, 1)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        """(B, 1, T, V) and (V, V) → (B, 2, T, V)."""
        mixed: Tensor = self.conv(x) @ adjacency
        return mixed


class SpatioTemporalBlock(nn.Module):
    """Graph convolution, temporal convolution and residual: what the coupling learns from one coordinate."""

    def __init__(self, kernel: int, residual: bool) -> None:
        super().__init__()
        self.gcn = GraphConvolution()
        self.tcn = nn.Sequential(
            nn.BatchNorm2d(CHANNELS),
            nn.ReLU(),
            nn.Conv2d(CHANNELS, CHANNELS, (kernel, 1), padding=((kernel - 1) // 2, 0)),
            nn.BatchNorm2d(CHANNELS),
        )
        self.residual = nn.Sequential(nn.Conv2d(1, CHANNELS, 1), nn.BatchNorm2d(CHANNELS)) if residual else None

    @property
    def temporal(self) -> tuple[nn.BatchNorm2d, nn.Conv2d, nn.BatchNorm2d]:
        """The layers of `tcn` that have weights."""
        before, _, conv, after = self.tcn
        return cast(nn.BatchNorm2d, before), cast(nn.Conv2d, conv), cast(nn.BatchNorm2d, after)

    @property
    def direct(self) -> tuple[nn.Conv2d, nn.BatchNorm2d] | None:
        """The layers of `residual`, where there is one."""
        if self.residual is None:
            return None
        conv, norm = self.residual
        return cast(nn.Conv2d, conv), cast(nn.BatchNorm2d, norm)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        """(B, 1, T, V) → (B, 2, T, V), not negative."""
        h: Tensor = self.tcn(self.gcn(x, adjacency))
        if self.residual is not None:
            h = h + self.residual(x)
        return torch.relu(h)


class FlowStep(nn.Module):
    """ActNorm, exchange of the two channels, affine coupling of the second by the first."""

    def __init__(self, kernel: int, residual: bool) -> None:
        super().__init__()
        self.actnorm = ActNorm()
        self.block = nn.ModuleList([SpatioTemporalBlock(kernel, residual)])

    @property
    def coupling(self) -> SpatioTemporalBlock:
        """The one block of the coupling network."""
        return cast(SpatioTemporalBlock, self.block[0])

    def forward(self, x: Tensor, adjacency: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 2, T, V) → the same, and log |det| (B,)."""
        z, logdet = self.actnorm(x)
        z = z.flip(1)
        z1, z2 = z[:, :1], z[:, 1:]
        h = self.coupling(z1, adjacency)
        scale = torch.sigmoid(h[:, 1:] + 2) + EPSILON
        z2 = (z2 + h[:, :1]) * scale
        return torch.cat([z1, z2], dim=1), logdet + scale.log().sum(dim=(1, 2, 3))


class Flow(nn.Module):
    """The flow's steps; only the first has no residual."""

    def __init__(self, settings: FlowSettings) -> None:
        super().__init__()
        self.layers = nn.ModuleList(FlowStep(settings.kernel, residual=index > 0) for index in range(settings.steps))

    @property
    def steps(self) -> list[FlowStep]:
        """The layers, typed."""
        return [cast(FlowStep, layer) for layer in self.layers]


def bias_of(conv: nn.Conv2d) -> Tensor:
    """The convolution's bias; every one here has one."""
    return cast(Tensor, conv.bias)


def _weights_are_in_place(model: StgNfModel, _: object) -> None:
    model.mark_initialised()


class StgNfModel(nn.Module):
    """The flow and its Gaussian prior. `adjacency` (V, V) is not part of the weights."""

    prior_h: Tensor
    prior_h_normal: Tensor
    prior_h_abnormal: Tensor
    adjacency: Tensor

    def __init__(self, settings: FlowSettings, adjacency: Tensor | None = None) -> None:
        super().__init__()
        self.settings = settings
        mean_logs = torch.zeros(2 * CHANNELS, settings.length, JOINTS18)
        mean_logs[:CHANNELS] = settings.radius
        self.register_buffer("prior_h", torch.zeros(1, 2 * CHANNELS, settings.length, JOINTS18))
        self.register_buffer("prior_h_normal", mean_logs)
        self.register_buffer("prior_h_abnormal", -mean_logs)
        self.flow = Flow(settings)
        mixing = hop_adjacency(max_hop=JOINTS18) if adjacency is None else adjacency
        self.register_buffer("adjacency", mixing, persistent=False)
        self.register_load_state_dict_post_hook(_weights_are_in_place)  # type: ignore[no-untyped-call]  # torch's own

    @property
    def adjacency_is_uniform(self) -> bool:
        """Whether every joint sees the plain mean of all: then the folded form is exact."""
        return bool((self.adjacency - 1 / JOINTS18).abs().max() < 1e-6)

    @property
    def radius(self) -> float:
        """R: the mean of the normal prior in every element."""
        return float(self.prior_h_normal[0, 0, 0])

    def mark_initialised(self) -> None:
        """Weights are in place: ActNorm must not set itself from the next batch."""
        for step in self.flow.steps:
            step.actnorm.initialised = True

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 2, T, V) → latent z of the same shape, and log |det| (B,)."""
        logdet = x.new_zeros(len(x))
        for step in self.flow.steps:
            x, added = step(x, self.adjacency)
            logdet = logdet + added
        return x, logdet

    def nll(self, x: Tensor, mean: float | Tensor | None = None) -> Tensor:
        """(B, 2, T, V) → negative log-likelihood in bits per dimension (B,), under N(mean, 1).

        `mean`, one for all or one a window (B,): None = R, the prior of normal windows; -R is that of anomalous ones, 0
        that of unlabelled ones.
        """
        z, logdet = self.encode(x)
        centre = self.radius if mean is None else mean
        away = z - (centre[:, None, None, None] if isinstance(centre, Tensor) else centre)
        logp = -0.5 * (away.square() / (1 + EPSILON) + math.log(2 * math.pi)).sum(dim=(1, 2, 3))
        return -(logp + logdet) / (math.log(2) * x[0].numel())

    def forward(self, x: Tensor) -> Tensor:
        """`nll` of normal windows."""
        return self.nll(x)


def seeded_model(settings: FlowSettings, seed: int) -> StgNfModel:
    """A model before training: torch's default layer initialisation from `seed`, ActNorm not yet set."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return StgNfModel(settings)
