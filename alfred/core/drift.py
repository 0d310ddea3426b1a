"""Has what a camera sees changed: the population stability index against the validation period (Design §3, "Drift").

PSI = Σ (c_b − r_b) ln(c_b / r_b) over bins b, r and c the shares of the reference and of the current data. Two
samples of one distribution don't give 0. With n and m independent items in B bins PSI is about (1/n + 1/m) times a
χ² of B − 1 degrees (Yurdakul 2018): mean (B − 1)(1/n + 1/m), standard deviation √(2(B − 1)) (1/n + 1/m). A quiet
camera's day has a hundred people: that alone is .1. Hence `drift` counts a track as one item (the segments of one
person are alike), takes the noise off, uses fewer bins where there is little data, and says None rather than a
number that noise could carry over the limit.

A night or a weekend is not drift: `same_hours` weights the reference to the hours and days that are compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
import numpy.typing as npt

from alfred.core.sampling import effective_sample_size

Floats = npt.NDArray[np.float64]

LIMIT = 0.25
"""Above it a quantity has drifted."""

BINS = 10
BINS_MIN = 4
"""Fewer bins than this say nothing about a distribution's shape."""

NOISE_DEVIATIONS = 3.0
"""A quantity is measured only where so many standard deviations of noise stay below the limit."""

MATCHED_MIN = 0.5
"""The share of the current weight that must remain for a day to be judged."""

WEEKDAY_MIN = 100
"""Reference segments that an hour of one weekday needs to stand for itself; fewer would be mostly noise."""

CLASS_MIN = 20
"""Reference segments that an hour of working days, or of weekends, needs."""

SATURDAY = 5


@dataclass(frozen=True, slots=True)
class Drift:
    """What stands: quantity → PSI on the last day measured; over the limit on the last `days` measured days."""

    quantities: dict[str, float]
    days: int


def psi(
    reference: npt.ArrayLike,
    current: npt.ArrayLike,
    bins: int = BINS,
    *,
    reference_weights: npt.ArrayLike | None = None,
    current_weights: npt.ArrayLike | None = None,
    reference_n: float | None = None,
    current_n: float | None = None,
) -> float | None:
    """Population stability index of current (m,) against reference (n,), ≥ 0; None where either is empty.

    Bins are `bins` quantiles of the reference; a value that fills more than one of them gets a bin of its own, the
    outer ones are open. Each bin has half an item added (Jeffreys), so an empty one costs what half an item would,
    not infinity. `*_n` are effective numbers of items, by default Kish's of the weights. Values that are not
    finite, or of weight 0, are left out. The noise is not taken off (see `psi_noise`). Raises ValueError on fewer than
    2 bins, negative weights or shapes that differ.
    """
    if bins < 2:
        raise ValueError(f"PSI needs at least 2 bins, got {bins}")
    old, old_weight = _weighted(reference, reference_weights)
    new, new_weight = _weighted(current, current_weights)
    if not len(old) or not len(new):
        return None
    edges = _edges(old, old_weight, bins)
    r = _shares(old, old_weight, edges, effective_sample_size(old_weight) if reference_n is None else reference_n)
    c = _shares(new, new_weight, edges, effective_sample_size(new_weight) if current_n is None else current_n)
    return float(np.sum((c - r) * np.log(c / r)))


def psi_noise(bins: int, reference_n: float, current_n: float) -> tuple[float, float]:
    """Mean and standard deviation of PSI where nothing changed, of so many independent items."""
    unit = 1 / reference_n + 1 / current_n
    return (bins - 1) * unit, sqrt(2 * (bins - 1)) * unit


def drift(
    reference: Mapping[str, npt.ArrayLike],
    current: Mapping[str, npt.ArrayLike],
    *,
    reference_tracks: npt.ArrayLike | None = None,
    current_tracks: npt.ArrayLike | None = None,
    reference_weights: npt.ArrayLike | None = None,
    current_weights: npt.ArrayLike | None = None,
    bins: int = BINS,
    limit: float = LIMIT,
) -> dict[str, float | None]:
    """PSI less its noise, of each quantity that both hold: scores, height, place, confidence of segments.

    All arrays of one side have one row a segment. `*_tracks` say which segments are of one track: it counts as one
    item (as many as its weights are worth). `*_weights` come from `same_hours`. At least 0. None: too few items for a
    figure (under about 50 tracks; give the last few days as `current` then), or most of the current data have no
    counterpart in the reference.
    """
    sides = ((reference_tracks, reference_weights), (current_tracks, current_weights))
    compared = current_weights is None or _matched(current_weights) >= MATCHED_MIN
    found: dict[str, float | None] = {}
    for name in reference.keys() & current.keys():
        n, m = (
            _independent(side[name], tracks, weights)
            for side, (tracks, weights) in zip((reference, current), sides, strict=True)
        )
        usable = min(bins, _bins_for(n, m, limit)) if compared else 0
        if usable < min(bins, BINS_MIN):
            found[name] = None
            continue
        value = psi(
            reference[name],
            current[name],
            usable,
            reference_weights=reference_weights,
            current_weights=current_weights,
            reference_n=n,
            current_n=m,
        )
        found[name] = None if value is None else max(0.0, value - psi_noise(usable, n, m)[0])
    return dict(sorted(found.items()))


def over(values: Mapping[str, float | None] | None, limit: float = LIMIT) -> dict[str, float]:
    """The quantities of one day that are over the limit."""
    return {name: value for name, value in (values or {}).items() if value is not None and value > limit}


def standing(daily: Sequence[Mapping[str, float | None] | None], limit: float = LIMIT, days: int = 2) -> Drift | None:
    """The drift that stands after these days, oldest first, each as `drift` gives it; None while there is none.

    A quantity stands when it is over the limit on the last `days` days on which it was measured. A day without it
    (None, or not in the dict) neither confirms nor clears it. It ends with the first measured day that is not over.
    Raises ValueError on `days` < 1.
    """
    if days < 1:
        raise ValueError(f"drift needs at least one day, got {days}")
    names = {name for day in daily for name in day or {}}
    standing_now: dict[str, float] = {}
    for name in sorted(names):
        measured = [value for day in daily if (value := (day or {}).get(name)) is not None][-days:]
        if len(measured) == days and min(measured) > limit:
            standing_now[name] = measured[-1]
    return Drift(standing_now, days) if standing_now else None


def same_hours(
    reference_hours: npt.ArrayLike,
    reference_weekdays: npt.ArrayLike,
    current_hours: npt.ArrayLike,
    current_weekdays: npt.ArrayLike,
    *,
    weekday_min: int = WEEKDAY_MIN,
    class_min: int = CLASS_MIN,
) -> tuple[Floats, Floats]:
    """Weights (n,), (m,) under which the reference has the current mix of hours and weekdays.

    Hours 0–23 and weekdays 0–6 (Monday = 0) in the camera's time zone, one a segment. A current segment is compared
    with the reference's of its own weekday and hour; where there are fewer than `weekday_min`, with its hour on working
    days or on weekends; where these are fewer than `class_min`, with nothing: its weight is 0, since an hour that the
    reference never saw can't have changed. Current weights are 0 or 1; both sides add up to the same. Raises ValueError
    on other hours or weekdays.
    """
    old = _time_classes(reference_hours, reference_weekdays)
    new = _time_classes(current_hours, current_weekdays)
    reference_weights, open_rows = np.zeros(len(old[0])), np.ones(len(new[0]), bool)
    for theirs, ours, least in zip(old, new, (weekday_min, class_min), strict=True):
        held = np.bincount(theirs, minlength=7 * 24)
        takes = open_rows & (held[ours] >= max(least, 1))
        wanted = np.bincount(ours[takes], minlength=7 * 24)
        reference_weights += wanted[theirs] / held[theirs]
        open_rows &= ~takes
    return reference_weights, (~open_rows).astype(np.float64)


def _time_classes(hours: npt.ArrayLike, weekdays: npt.ArrayLike) -> tuple[npt.NDArray[np.int64], ...]:
    """Weekday × hour, then weekend or not × hour."""
    hour, day = np.asarray(hours, np.int64), np.asarray(weekdays, np.int64)
    if hour.shape != day.shape or (hour // 24).any() or (day // 7).any():
        raise ValueError("hours must be 0 to 23 and weekdays 0 to 6, one each for every segment")
    return 24 * day + hour, 24 * (day >= SATURDAY) + hour


def _weighted(values: npt.ArrayLike, weights: npt.ArrayLike | None) -> tuple[Floats, Floats]:
    x = np.asarray(values, np.float64)
    w = np.ones(x.shape) if weights is None else np.asarray(weights, np.float64)
    if x.shape != w.shape or x.ndim != 1 or not (w >= 0).all():
        raise ValueError("PSI: expected one weight ≥ 0 for every value")
    kept = np.isfinite(x) & (w > 0)
    return x[kept], w[kept]


def _independent(values: npt.ArrayLike, tracks: npt.ArrayLike | None, weights: npt.ArrayLike | None) -> float:
    """Kish's effective number of tracks among the finite values (of segments where no tracks are given)."""
    x = np.asarray(values, np.float64)
    w = np.ones(x.shape) if weights is None else np.asarray(weights, np.float64)
    w = np.where(np.isfinite(x), w, 0.0)
    if tracks is not None and len(x):
        _, owner = np.unique(np.asarray(tracks), return_inverse=True)
        w = np.asarray(np.bincount(owner, w), np.float64)
    return effective_sample_size(w)


def _matched(weights: npt.ArrayLike) -> float:
    w = np.asarray(weights, np.float64)
    return float(np.count_nonzero(w > 0) / len(w)) if len(w) else 0.0


def _bins_for(n: float, m: float, limit: float) -> int:
    """The most bins whose noise stays under the limit: NOISE_DEVIATIONS · √(2(B − 1)) (1/n + 1/m) ≤ limit."""
    if not (n > 0 and m > 0):
        return 0
    per_root = NOISE_DEVIATIONS * psi_noise(2, n, m)[1]
    return 1 + int((limit / per_root) ** 2)


def _edges(values: Floats, weights: Floats, bins: int) -> Floats:
    """Upper ends of all bins but the last, rising; values equal to an end lie in its bin."""
    ends = np.quantile(values, np.arange(1, bins) / bins, weights=weights, method="inverted_cdf")
    edges, times = np.unique(ends, return_counts=True)
    return np.unique(np.concatenate([edges, np.nextafter(edges[times > 1], -np.inf)]))


def _shares(values: Floats, weights: Floats, edges: Floats, n: float) -> Floats:
    """The share of each bin, half an item of `n` added to each."""
    inside = np.bincount(np.searchsorted(edges, values, side="left"), weights, minlength=len(edges) + 1)
    items = n * inside / weights.sum()
    shares: Floats = (items + 0.5) / (n + 0.5 * len(items))
    return shares
