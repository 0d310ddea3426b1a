"""Deep embedded clustering: soft assignments of codes to centres, and the loss that sharpens them.

Xie et al., "Unsupervised Deep Embedding for Clustering Analysis", ICML 2016 (arXiv 1511.06335), as used by Markovitz
et al., CVPR 2020 (arXiv 1912.11850).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from sklearn.cluster import KMeans
from torch import Tensor, nn

from alfred.detectors.gepc.scikit import repeatable

DIVERGENCES = ("target_first", "assignment_first")
"""KL(p‖q) of the paper by Xie et al., and KL(q‖p), which GEPC was trained with; p target, q assignment."""


class Clusters(nn.Module):
    """K centres in the space of codes; a window belongs to each by Student's t with one degree of freedom."""

    def __init__(self, clusters: int, dimensions: int) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.zeros(clusters, dimensions))

    def place(self, codes: npt.NDArray[np.float32], seed: int) -> None:
        """Put the centres where k-means finds them among codes (n, D).

        Raises ValueError when there are fewer codes than centres.
        """
        clusters = len(self.centres)
        if len(codes) < clusters:
            raise ValueError(f"{len(codes)} windows for {clusters} clusters; give at least as many")
        with repeatable():
            found = KMeans(clusters, n_init=5, random_state=seed).fit(codes)
        with torch.no_grad():
            self.centres.copy_(torch.from_numpy(found.cluster_centers_))

    def forward(self, codes: Tensor) -> Tensor:
        """(B, D) → log of the soft assignment q (B, K), float64; eq. 1 of Xie et al.

        In double precision, since the mixture's components are narrow and tell apart what single precision rounds off.
        """
        codes, centres = codes.double(), self.centres.double()
        apart = codes.square().sum(dim=1, keepdim=True) - 2 * codes @ centres.T + centres.square().sum(dim=1)
        return torch.log_softmax(-torch.log1p(apart.clamp(min=0)), dim=1)


def log_target(log_q: Tensor) -> Tensor:
    """Log of the target p (B, K): q² over the clusters' sizes in this batch, normalised (eq. 3 of Xie et al.)."""
    sizes = torch.logsumexp(log_q, dim=0)
    return torch.log_softmax(2 * log_q - sizes, dim=1)


def divergence(log_p: Tensor, log_q: Tensor, kind: str) -> Tensor:
    """Kullback-Leibler divergence (B,) between target p and assignment q (B, K), in the order `kind` names."""
    if kind == "target_first":
        return (log_p.exp() * (log_p - log_q)).sum(dim=1)
    return (log_q.exp() * (log_q - log_p)).sum(dim=1)
