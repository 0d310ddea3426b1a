"""GEPC, part by part: an autoencoder over graphs, clusters of its codes, a mixture over the soft assignments.

Markovitz et al., "Graph Embedded Pose Clustering for Anomaly Detection", CVPR 2020 (arXiv 1912.11850). Written from
facts about the layers; the released code is CC BY-NC 4.0, and no line of it is here.

Shapes: x (B, C, T, V): batch; x, y and, as published, confidence; samples in time; joints.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from alfred.detectors.gepc.clustering import Clusters
from alfred.detectors.gepc.mixture import DirichletMixture
from alfred.detectors.spatial_graph import SHRINKS, WIDTHS, GraphDecoder, GraphEncoder
from alfred.pose.skeleton import JOINTS18

_DROPOUT = 0.3


@dataclass(frozen=True, slots=True)
class GepcSettings:
    """`channels` 2 (x, y) or 3 (as published, with confidence), `length` T, `width` the channels' unit (h_dim),
    `clusters` K of the codes, `components` M of the mixture at most.
    """

    length: int = 12
    channels: int = 2
    width: int = 8
    clusters: int = 10
    components: int = 10

    def __post_init__(self) -> None:
        if not (SHRINKS <= self.length <= 120 and self.length % SHRINKS == 0):
            raise ValueError(f"length is {self.length}; must be a multiple of {SHRINKS} up to 120")
        if self.channels not in (2, 3):
            raise ValueError(f"{self.channels} channels; must be 2 (x, y) or 3 (with confidence)")
        if not 1 <= self.width <= 64:
            raise ValueError(f"width is {self.width}; must be 1 to 64")
        if not (2 <= self.clusters <= 100 and 1 <= self.components <= 100):
            raise ValueError(f"{self.clusters} clusters, {self.components} components; must be 2 and 1 to 100")

    @property
    def code(self) -> int:
        """Numbers in the code of a window: 1152 as published."""
        return WIDTHS[-1] * self.width * (self.length // SHRINKS) * JOINTS18


class Autoencoder(nn.Module):
    """Nine graph-attentive blocks down to a code, six back to the window: 793,431 parameters as published."""

    def __init__(self, settings: GepcSettings) -> None:
        super().__init__()
        self.encoder = GraphEncoder(settings.channels, settings.width, dropout=_DROPOUT)
        self.decoder = GraphDecoder(settings.width, settings.channels, dropout=_DROPOUT)

    def encode(self, x: Tensor) -> Tensor:
        """(B, C, T, V) → codes (B, D)."""
        code: Tensor = self.encoder(x)
        return code.flatten(1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, T, V) → codes (B, D), and the windows as rebuilt from them (B, C, T, V)."""
        code = self.encoder(x)
        return code.flatten(1), self.decoder(code)


class GepcModel(nn.Module):
    """All that is learned. A score needs encoder, clusters and mixture; the decoder serves training alone."""

    def __init__(self, settings: GepcSettings) -> None:
        super().__init__()
        self.settings = settings
        self.autoencoder = Autoencoder(settings)
        self.clusters = Clusters(settings.clusters, settings.code)
        self.mixture = DirichletMixture(settings.components, settings.clusters)

    def log_assignment(self, x: Tensor) -> Tensor:
        """(B, C, T, V) → log of the soft assignment to the clusters (B, K)."""
        log_q: Tensor = self.clusters(self.autoencoder.encode(x))
        return log_q

    def log_likelihood(self, x: Tensor) -> Tensor:
        """(B, C, T, V) → log density (B,) of the soft assignment under the mixture, float64: high = normal."""
        return self.mixture.log_likelihood(self.log_assignment(x).exp())


def seeded_model(settings: GepcSettings, seed: int) -> GepcModel:
    """A model before training: torch's default layer initialisation from `seed`, all centres at 0."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return GepcModel(settings)
