"""Who is drawn for people to judge, and with which probability: strata, allocation, simple random draws.

Every draw gives its inclusion probability π for all candidates, chosen or not; weights are 1/π, so that what
is computed from the sample refers to the stream.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

WARM_UP_SHARES = (0.5, 0.2, 0.14, 0.1, 0.06)
"""Shares of a warm-up sample: at or above θ, then the four bands below it, the nearest first."""


def strata_bounds(scores: npt.ArrayLike, theta: float, bands: int = 4) -> Floats:
    """Lower bounds (bands − 1,), falling, of all bands below `theta` but the last.

    They are quantiles of the scores below it; −inf where there are none. Raises ValueError on NaN.
    """
    values = _scores(scores)
    below = values[values < theta]
    if not len(below):
        return np.full(bands - 1, -np.inf)
    return np.asarray(np.quantile(below, 1 - np.arange(1, bands) / bands), np.float64)


def stratify(
    scores: npt.ArrayLike, theta: float, bands: int = 4, bounds: Floats | None = None
) -> npt.NDArray[np.int64]:
    """Stratum of each score (n,): 0 = at or above θ, 1..bands = bands below it by quantiles, 1 the nearest.

    `bounds` from an earlier `strata_bounds` keeps the strata of a sample that is drawn in several goes.
    """
    values = _scores(scores)
    cuts = strata_bounds(values, theta, bands) if bounds is None else bounds
    band = 1 + (values[:, None] < cuts).sum(axis=1)
    return np.where(values >= theta, 0, band).astype(np.int64)


def _scores(scores: npt.ArrayLike) -> Floats:
    values = np.asarray(scores, np.float64)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise ValueError("sampling: scores must be one finite number each; leave unscored segments out")
    return values


def allocate(
    stratum_sizes: Sequence[int] | npt.NDArray[np.int64], total: int, shares: Sequence[float] = WARM_UP_SHARES
) -> npt.NDArray[np.int64]:
    """How many to draw from each stratum: by `shares`, never more than it holds.

    They add up to `total` where there are as many. Every stratum that holds anything gets one, as far as
    `total` reaches (the largest shares first): without one its weight in the stream would be lost. What is
    left goes one by one to the stratum furthest below its share (Sainte-Laguë: the largest share / (2 given
    + 1)), so what a small stratum can't use falls to the others.
    """
    sizes = np.asarray(stratum_sizes, np.int64)
    if len(shares) < len(sizes) or total < 0 or (sizes < 0).any():
        raise ValueError(f"allocate: {len(shares)} shares for {len(sizes)} strata, total {total}")
    # A share of 0 comes last, but still before nothing.
    share = np.maximum(np.asarray(shares[: len(sizes)], np.float64), 1e-12)
    claims = [np.arange(min(int(size), total)) for size in sizes]
    stratum = np.repeat(np.arange(len(sizes)), [len(c) for c in claims])
    given = np.concatenate(claims) if claims else np.zeros(0, np.int64)
    priority = share[stratum] / (2 * given + 1)
    order = np.lexsort((stratum, -priority, given > 0))
    return np.bincount(stratum[order[:total]], minlength=len(sizes)).astype(np.int64)


def draw(
    strata: npt.NDArray[np.int64], allocation: npt.NDArray[np.int64], rng: np.random.Generator
) -> tuple[npt.NDArray[np.bool_], Floats]:
    """A simple random sample of `allocation[h]` within each stratum h.

    strata (n,) ints from 0. Returns (chosen (n,) bool, π (n,) = n_h / N_h for every candidate, chosen or
    not). Raises ValueError when a stratum holds fewer than its allocation, or has none.
    """
    sizes = np.bincount(strata, minlength=len(allocation))
    if len(sizes) > len(allocation) or (allocation > sizes).any():
        raise ValueError(f"draw: allocation {list(allocation)} from strata of sizes {list(sizes)}")
    # Shuffle, then sort by stratum: the first n_h of each stratum are its sample.
    order = rng.permutation(len(strata))
    order = order[np.argsort(strata[order], kind="stable")]
    rank = np.empty(len(strata), np.int64)
    rank[order] = np.arange(len(strata)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    probability = allocation / np.maximum(sizes, 1)
    return rank < allocation[strata], probability[strata]


def whole(expected: float, rng: np.random.Generator) -> int:
    """A whole number that is `expected` (≥ 0) on average: the one below it or the one above."""
    below = int(expected)
    rest = expected - below
    return below + int(rest > 0 and rng.random() < rest)


def thin(n: int, expected: float, rng: np.random.Generator) -> tuple[npt.NDArray[np.bool_], Floats]:
    """`expected` of `n` candidates at random, on average, or all: (chosen (n,) bool, π (n,) = expected / n)."""
    wanted = min(float(n), max(expected, 0.0))
    chosen, _ = draw(np.zeros(n, np.int64), np.array([whole(wanted, rng)], np.int64), rng)
    return chosen, np.full(n, wanted / max(n, 1))


def draw_stratified(
    strata: npt.NDArray[np.int64], expected: float, rng: np.random.Generator, shares: Sequence[float] = WARM_UP_SHARES
) -> tuple[npt.NDArray[np.bool_], Floats]:
    """`expected` candidates on average, allocated by `shares`: (chosen (n,) bool, π (n,)).

    Where `expected` does not reach every stratum that holds anything, all candidates get the same chance instead: with
    some strata left out the sample would not speak for the whole score range.
    """
    sizes = np.bincount(strata, minlength=len(shares))
    if expected < np.count_nonzero(sizes):
        return thin(len(strata), expected, rng)
    return draw(strata, allocate(sizes, min(len(strata), whole(expected, rng)), shares), rng)


def effective_sample_size(weights: npt.ArrayLike) -> float:
    """Kish: (Σw)² / Σw². How many equally weighted items would say as much; 0.0 for none."""
    values = np.asarray(weights, np.float64)
    squares = float(np.sum(values**2))
    return float(np.sum(values)) ** 2 / squares if squares > 0 else 0.0
