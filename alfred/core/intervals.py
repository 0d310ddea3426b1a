"""How sure a rate is: intervals over blocks of time, and differences between two models on the same blocks.

People, minutes and tracks are not independent, so what is resampled is a block (one minute of a camera, all
its tracks together), never a segment. What an interval covers is test-data uncertainty only: training varies
with the seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
import numpy.typing as npt

from alfred.core.audit import Stratum as Stratum
from alfred.core.audit import estimate_total as estimate_total
from alfred.core.ebi import ebi
from alfred.core.exact import hypergeometric_bounds as hypergeometric_bounds

Floats = npt.NDArray[np.float64]
Metric = Literal["ebi", "fpr", "fnr"]
Verdict = Literal["no difference", "better", "worse", "too few"]

TOO_FEW: Literal["too few"] = "too few"
CAVEAT = "test-data uncertainty only; training varies with the seed"
TP, FP, TN, FN = range(4)
CHUNK_CELLS = 4_000_000


@dataclass(frozen=True, slots=True)
class Interval:
    """`low` ≤ `high`, both 0..1 for a rate; `method` is "BCa", "Clopper-Pearson" or "corners"."""

    low: float
    high: float
    method: str


@dataclass(frozen=True, slots=True)
class RateIntervals:
    """An interval for each rate, or None and the reason why not."""

    fpr: Interval | None
    fnr: Interval | None
    ebi: Interval | None
    fpr_reason: str | None = None
    fnr_reason: str | None = None
    ebi_reason: str | None = None


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """`estimate` = b − a of the metric, its interval, and whether b is better than a.

    All numbers are None where the verdict is "too few". Show `CAVEAT` beside it.
    """

    estimate: float | None
    low: float | None
    high: float | None
    verdict: Verdict


def rate_intervals(
    block_counts: npt.ArrayLike, *, seed: int, level: float = 0.95, resamples: int = 2000, ci_min: int = 10
) -> RateIntervals:
    """Intervals of FPR, FNR and EBI from counts per block (b, 4): tp, fp, tn, fn (whole, or estimates).

    - BCa bootstrap over blocks.
    - Without a single error in a class, or with nothing but errors, every resample looks alike; there
      Clopper–Pearson over the blocks that hold the class. EBI then takes the corners of both intervals: it
      falls with either rate, so that errs on the wide side.
    - Fewer than `ci_min` blocks that hold the class: None, "too few".

    Same seed and blocks → same interval. Raises ValueError on counts that are negative or not finite.
    """
    blocks = _checked(block_counts)
    draws = _resample(blocks, resamples, np.random.default_rng(seed))
    found: dict[str, Interval | None] = {}
    for name, wrong, right in (("fpr", FP, TN), ("fnr", FN, TP)):
        found[name] = _class_interval(blocks, draws, wrong, right, level, ci_min)
    fpr, fnr = found["fpr"], found["fnr"]
    both: Interval | None
    if fpr is None or fnr is None:
        both = None
    elif "Clopper-Pearson" in (fpr.method, fnr.method):
        both = Interval(_ebi_of(fpr.high, fnr.high), _ebi_of(fpr.low, fnr.low), "corners")
    else:
        both = Interval(*_bca(blocks, draws, _statistic("ebi"), level), "BCa")
    reasons = [None if interval else TOO_FEW for interval in (fpr, fnr, both)]
    return RateIntervals(fpr, fnr, both, *reasons)


def paired_difference(
    block_counts_a: npt.ArrayLike,
    block_counts_b: npt.ArrayLike,
    *,
    seed: int,
    metric: Metric = "ebi",
    level: float = 0.95,
    resamples: int = 2000,
    ci_min: int = 10,
) -> PairedDifference:
    """The metric of b less that of a on the same blocks (n, 4), with its interval and a verdict.

    The same resample is used for both, so what both find hard cancels out. "better" and "worse" speak of b
    (a higher EBI, a lower error rate) and only where 0 lies outside the interval. Fewer than `ci_min` blocks
    with a class that the metric reads: "too few". Raises ValueError on unequal blocks.
    """
    a, b = _checked(block_counts_a), _checked(block_counts_b)
    if a.shape != b.shape:
        raise ValueError(f"a paired difference needs the same blocks: {len(a)} and {len(b)}")
    classes = {"ebi": ((FP, TN), (FN, TP)), "fpr": ((FP, TN),), "fnr": ((FN, TP),)}[metric]
    if min(_holding(counts, *pair) for counts in (a, b) for pair in classes) < max(ci_min, 2):
        return PairedDifference(None, None, None, TOO_FEW)
    single = _statistic(metric)

    def difference(counts: Floats) -> Floats:
        return single(counts[:, 4:]) - single(counts[:, :4])

    pairs = np.hstack([a, b])
    draws = _resample(pairs, resamples, np.random.default_rng(seed))
    low, high = _bca(pairs, draws, difference, level)
    estimate = float(difference(pairs.sum(axis=0, keepdims=True))[0])
    verdict: Verdict = "no difference"
    if low > 0 or high < 0:
        verdict = "better" if (estimate > 0) == (metric == "ebi") else "worse"
    return PairedDifference(estimate, low, high, verdict)


Statistic = Callable[[Floats, npt.NDArray[np.bool_], Floats], float | None]
"""Scores (n,), labels (n,), weights (n,) → a number, or None where a class is missing: e.g. `roc.auc_roc`."""


def score_interval(
    scores: npt.ArrayLike,
    labels: npt.ArrayLike,
    blocks: npt.ArrayLike,
    statistic: Statistic,
    *,
    seed: int,
    level: float = 0.95,
    resamples: int = 1000,
    ci_min: int = 10,
) -> Interval | None:
    """BCa interval of a statistic of scores (n,) and labels (n,), resampling `blocks` (n,) of any kind.

    None ("too few") where fewer than `ci_min` blocks hold either class. Same seed, same interval.
    """
    values, truth = np.asarray(scores, np.float64), np.asarray(labels, bool)
    _, owner = np.unique(np.asarray(blocks), return_inverse=True)
    n = int(owner.max()) + 1 if len(owner) else 0
    holding = min(len(np.unique(owner[truth])), len(np.unique(owner[~truth])))
    if holding < max(ci_min, 2):
        return None

    def with_blocks(times: Floats) -> float:
        found = statistic(values, truth, times[owner])
        return math.nan if found is None else found

    rng = np.random.default_rng(seed)
    draws = rng.multinomial(n, np.full(n, 1 / n), size=resamples).astype(np.float64)
    replicates = np.array([with_blocks(times) for times in draws])
    left_out = np.array([with_blocks((np.arange(n) != block).astype(np.float64)) for block in range(n)])
    return Interval(*bca(with_blocks(np.ones(n)), replicates, left_out, level), "BCa")


def clopper_pearson(errors: int, trials: int, level: float = 0.95) -> tuple[float, float]:
    """The exact interval of a proportion: both tails of the binomial hold at most (1 − level) / 2.

    Raises ValueError unless 0 ≤ errors ≤ trials and trials > 0.
    """
    if not 0 <= errors <= trials or trials == 0:
        raise ValueError(f"{errors} errors in {trials} trials")
    tail = (1 - level) / 2
    # P(X ≤ k) falls with p; the two ends are where a tail is just used up.
    low = 0.0 if errors == 0 else _bisect(lambda p: _binomial_cdf(errors - 1, trials, p) > 1 - tail)
    high = 1.0 if errors == trials else _bisect(lambda p: _binomial_cdf(errors, trials, p) > tail)
    return low, high


def _bisect(still_below: Callable[[float], bool]) -> float:
    low, high = 0.0, 1.0
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if still_below(middle) else (low, middle)
    return middle


def _binomial_cdf(k: int, n: int, p: float) -> float:
    """P(X ≤ k) of a binomial with 0 < p < 1."""
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    i = np.arange(k + 1)
    log_ways = log_factorial[n] - log_factorial[i] - log_factorial[n - i]
    return float(np.sum(np.exp(log_ways + i * math.log(p) + (n - i) * math.log1p(-p))))


def _checked(block_counts: npt.ArrayLike) -> Floats:
    blocks = np.asarray(block_counts, np.float64)
    if blocks.ndim != 2 or blocks.shape[1] != 4 or not np.isfinite(blocks).all() or (blocks < 0).any():
        raise ValueError("block counts: expected rows of tp, fp, tn, fn, finite and not negative")
    return blocks


def _holding(blocks: Floats, wrong: int, right: int) -> int:
    """How many blocks hold the class."""
    return int(np.count_nonzero(blocks[:, wrong] + blocks[:, right]))


def _class_interval(
    blocks: Floats, draws: Floats, wrong: int, right: int, level: float, ci_min: int
) -> Interval | None:
    holding = _holding(blocks, wrong, right)
    if holding < max(ci_min, 2):
        return None
    errors, correct = blocks[:, wrong].sum(), blocks[:, right].sum()
    if errors == 0 or correct == 0:
        return Interval(*clopper_pearson(0 if errors == 0 else holding, holding, level), "Clopper-Pearson")
    return Interval(*_bca(blocks, draws, _statistic("fpr" if wrong == FP else "fnr"), level), "BCa")


def _ebi_of(fpr: float, fnr: float) -> float:
    value = ebi(fpr, fnr)
    return 0.0 if value is None else value


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.full_like(whole, np.nan), where=whole > 0)


def _statistic(metric: Metric) -> Callable[[Floats], Floats]:
    """(r, 4) summed counts → (r,) the metric; NaN where a class is missing."""

    def fpr(counts: Floats) -> Floats:
        return _ratio(counts[:, FP], counts[:, FP] + counts[:, TN])

    def fnr(counts: Floats) -> Floats:
        return _ratio(counts[:, FN], counts[:, FN] + counts[:, TP])

    def balance(counts: Floats) -> Floats:
        specificity, recall = 1 - fpr(counts), 1 - fnr(counts)
        total = specificity + recall
        return np.divide(2 * specificity * recall, total, out=np.zeros_like(total), where=total != 0)

    return {"fpr": fpr, "fnr": fnr, "ebi": balance}[metric]


def _resample(blocks: Floats, resamples: int, rng: np.random.Generator) -> Floats:
    """Sums (resamples, c) of as many blocks as there are, drawn with replacement.

    Blocks with equal counts are drawn as one kind with their multiplicity: the same distribution, and a month
    of mostly empty minutes costs little.
    """
    kinds, multiplicity = np.unique(blocks, axis=0, return_counts=True)
    sums = np.zeros((resamples, blocks.shape[1]))
    if not len(blocks):
        return sums
    step = max(1, CHUNK_CELLS // len(kinds))
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        times = rng.multinomial(len(blocks), multiplicity / len(blocks), size=size)
        sums[start : start + size] = times @ kinds
    return sums


def _bca(blocks: Floats, draws: Floats, statistic: Callable[[Floats], Floats], level: float) -> tuple[float, float]:
    total = blocks.sum(axis=0, keepdims=True)
    return bca(float(statistic(total)[0]), statistic(draws), statistic(total - blocks), level)


def bca(estimate: float, replicates: Floats, left_out: Floats, level: float = 0.95) -> tuple[float, float]:
    """Bias-corrected, accelerated interval (Efron 1987) of an estimate.

    `replicates` (r,) are the statistic on resamples, `left_out` (b,) with each block left out in turn. NaN among them
    says nothing: a resample that missed a class; with ten blocks that is 1 in 20 000.
    """
    replicates = replicates[np.isfinite(replicates)]
    left_out = left_out[np.isfinite(left_out)]
    pull = np.mean(left_out) - left_out
    spread = float(np.sum(pull**2)) ** 1.5
    acceleration = float(np.sum(pull**3)) / (6 * spread) if spread > 0 else 0.0
    normal, count = NormalDist(), len(replicates)
    close = np.isclose(replicates, estimate, rtol=0, atol=1e-12)
    below = (np.count_nonzero((replicates < estimate) & ~close) + np.count_nonzero(close) / 2) / count
    bias = normal.inv_cdf(min(max(below, 0.5 / count), 1 - 0.5 / count))

    def corrected(quantile: float) -> float:
        z = bias + normal.inv_cdf(quantile)
        # Beyond 1/a the correction turns round; there it has reached the extreme replicate.
        return normal.cdf(bias + z / max(1 - acceleration * z, 1e-9))

    tail = (1 - level) / 2
    low, high = np.quantile(replicates, [corrected(tail), corrected(1 - tail)])
    return float(low), float(high)
