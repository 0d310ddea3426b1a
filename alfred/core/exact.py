"""Exact bounds on how many of a finite population are marked, from a simple random sample of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import lgamma

import numpy as np

_ROUNDING = 1e-8
"""How far rounding may put a tail off (populations of millions). A tie within it keeps the number in: never too
narrow."""


def hypergeometric_bounds(k: int, n: int, N: int, alpha_low: float, alpha_high: float) -> tuple[int, int]:
    """Smallest and largest number K of marked items in `N`, when `k` of `n` drawn without replacement are marked.

    `low` is the smallest K with P(X ≥ k | K) > alpha_low, `high` the largest with P(X ≤ k | K) > alpha_high,
    X hypergeometric: the tests inverted tail by tail (Katz 1953; Buonaccorsi 1987). K lies below `low` with a
    chance of at most alpha_low, above `high` of at most alpha_high, whatever K is. n = 0: (0, N).
    Raises ValueError unless 0 ≤ k ≤ n ≤ N and both alphas lie in 0..1.
    """
    if not 0 <= k <= n <= N:
        raise ValueError(f"bounds need 0 ≤ found ≤ sampled ≤ population, got {k}, {n}, {N}")
    if not (0 < alpha_low < 1 and 0 < alpha_high < 1):
        raise ValueError(f"tail probabilities must lie between 0 and 1, got {alpha_low} and {alpha_high}")
    return _bounds(int(k), int(n), int(N), alpha_low, alpha_high)


@lru_cache(maxsize=8192)
def _bounds(k: int, n: int, N: int, alpha_low: float, alpha_high: float) -> tuple[int, int]:
    least, most = k, N - n + k
    # P(X ≥ k) rises with K and P(X ≤ k) falls; K outside least..most cannot have given this sample.
    low = _first(least, most, lambda marked: _tails(k, n, N, marked)[1] > alpha_low - _ROUNDING)
    beyond = _first(least, most + 1, lambda marked: _tails(k, n, N, marked)[0] <= alpha_high - _ROUNDING)
    return low, beyond - 1


def _first(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """The first whole number in low..high at which it holds; it goes on holding, and `high` is not tried."""
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


def _log_choose(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)


def _tails(k: int, n: int, N: int, marked: int) -> tuple[float, float]:
    """P(X ≤ k), P(X ≥ k) for a `k` that is possible.

    From P(X = k) downwards by the ratio of neighbours, in logarithms: O(k), and nothing overflows.
    """
    at_k = _log_choose(marked, k) + _log_choose(N - marked, n - k) - _log_choose(N, n)
    i = np.arange(k, 0, -1, dtype=np.float64)
    # Below the smallest possible number the ratio is 0 or negative: probability 0.
    ratio = i * np.maximum(N - marked - n + i, 0.0) / ((marked - i + 1) * (n - i + 1))
    with np.errstate(divide="ignore"):
        below = float(np.exp(at_k + np.cumsum(np.log(ratio))).sum())
    return below + float(np.exp(at_k)), 1.0 - below
