"""The Dirichlet-process mixture over soft assignments: fitted by scikit-learn, kept as tensors, evaluated here.

Blei & Jordan, "Variational inference for Dirichlet process mixtures", Bayesian Analysis 1(1), 2006; its use on soft
assignments is that of Markovitz et al., CVPR 2020 (arXiv 1912.11850).
"""

from __future__ import annotations

import logging
import math

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import digamma
from sklearn.mixture import BayesianGaussianMixture
from torch import Tensor, nn

from alfred.detectors.gepc.scikit import repeatable

Float64 = npt.NDArray[np.float64]

log = logging.getLogger(__name__)

MAX_ITERATIONS = 500


class DirichletMixture(nn.Module):
    """A mixture of M Gaussians in K dimensions, float64.

    offset (M,): the expected log weight of a component plus all of its log density that x has no part in;
    means (M, K); cholesky (M, K, K): x - mean times it has unit covariance (scikit-learn's precisions_cholesky_).
    Before `fit` each component is a standard normal.
    """

    offset: Tensor
    means: Tensor
    cholesky: Tensor

    def __init__(self, components: int, dimensions: int) -> None:
        super().__init__()
        gauss = -math.log(components) - 0.5 * dimensions * math.log(2 * math.pi)
        self.register_buffer("offset", torch.full((components,), gauss, dtype=torch.float64))
        self.register_buffer("means", torch.zeros(components, dimensions, dtype=torch.float64))
        self.register_buffer("cholesky", torch.eye(dimensions, dtype=torch.float64).repeat(components, 1, 1))

    @property
    def components(self) -> int:
        """How many Gaussians there are."""
        return len(self.offset)

    def fit(self, points: Float64, *, seed: int, floor: float) -> None:
        """Fit to points (n, K) in place. `floor` is added to every variance, so that no component is a spike.

        Raises ValueError when there are fewer points than components, or values that are not finite.
        """
        if len(points) < self.components:
            raise ValueError(f"{len(points)} windows for a mixture of {self.components}; give at least as many")
        fitted = BayesianGaussianMixture(
            n_components=self.components,
            covariance_type="full",
            weight_concentration_prior_type="dirichlet_process",
            reg_covar=floor,
            max_iter=MAX_ITERATIONS,
            random_state=seed,
        )
        with repeatable():
            fitted.fit(points)
        if not fitted.converged_:
            log.info("the mixture was still moving after %d iterations", MAX_ITERATIONS)
        self.adopt(fitted)

    def adopt(self, fitted: BayesianGaussianMixture) -> None:
        """Take over the parameters of a fitted mixture with full covariances and a Dirichlet process."""
        self.offset.copy_(torch.from_numpy(_offset(fitted)))
        self.means.copy_(torch.from_numpy(fitted.means_))
        self.cholesky.copy_(torch.from_numpy(fitted.precisions_cholesky_))

    def draw(self, n: int, *, seed: int) -> Float64:
        """Points (n, K) from the mixture of expected weights and precisions, to stand for those it was fitted to."""
        rng = np.random.default_rng(seed)
        means, cholesky = self.means.cpu().numpy(), self.cholesky.cpu().numpy()
        log_weight = self.offset.cpu().numpy() - np.log(np.diagonal(cholesky, axis1=1, axis2=2)).sum(axis=1)
        weight = np.exp(log_weight - log_weight.max())
        which = rng.choice(len(means), size=n, p=weight / weight.sum())
        spread = np.linalg.inv(cholesky).transpose(0, 2, 1)
        away = np.einsum("nij,nj->ni", spread[which], rng.normal(size=(n, means.shape[1])))
        points: Float64 = means[which] + away
        return points

    def log_likelihood(self, points: Tensor) -> Tensor:
        """(n, K) float64 → log density (n,), float64: what `score_samples` of scikit-learn gives."""
        away = torch.einsum("nmk,mkj->nmj", points[:, None] - self.means, self.cholesky)
        return torch.logsumexp(self.offset - 0.5 * away.square().sum(dim=2), dim=1)


def _offset(fitted: BayesianGaussianMixture) -> Float64:
    """(M,) E[log weight] + E[log density] at the mean (Bishop, PRML 2006, eqs. 10.64 to 10.66)."""
    dimensions = fitted.means_.shape[1]
    freedom = fitted.degrees_of_freedom_
    spread = np.log(np.diagonal(fitted.precisions_cholesky_, axis1=1, axis2=2)).sum(axis=1)
    halves = 0.5 * (freedom[:, None] - np.arange(dimensions))
    # E[log |precision|], where the Cholesky factor is that of the mean precision (so less K log freedom)
    log_precision = digamma(halves).sum(axis=1) + dimensions * (math.log(2) - np.log(freedom)) + 2 * spread
    uncertain_mean = dimensions / fitted.mean_precision_
    gauss = 0.5 * (log_precision - uncertain_mean - dimensions * math.log(2 * math.pi))
    offset: Float64 = _stick_breaking(*fitted.weight_concentration_) + gauss
    return offset


def _stick_breaking(taken: Float64, left: Float64) -> Float64:
    """E[log weight] (M,) where component m breaks a Beta(taken, left) share off what those before it left."""
    both = digamma(taken + left)
    before = np.append(0, np.cumsum(digamma(left) - both)[:-1])
    weights: Float64 = digamma(taken) - both + before
    return weights
