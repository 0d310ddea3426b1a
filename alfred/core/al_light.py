"""AL-Light: ask only about the lower half of what is flagged, where the false positives are expected.

Source: ALFred (arXiv 2508.09058), eqs. (1)–(2):

    θ_med(t) = Percentile({s_{t−N}, …, s_t max}, 50)        (1)
    ask iff θ_EER ≤ s_t ≤ θ_med(t)                          (2)

N, the items and "max" are left open there, and its text describes θ_med twice more: as the "rolling 50th
percentile of recent max anomaly scores" and as the midpoint between θ and the maximum. Hence three named
modes. What holds for all:

- Both ends of the band are asked (eq. 2 is closed).
- An item never decides about itself: the buffer holds items flagged *before* it.
- Only what was flagged is in the buffer (with normal items the median would lie below θ and the band be
  empty), and only finite scores.
- Where there is no band, all flagged are asked, and the reason is kept.
- What lies above the band is neither asked nor taken for an anomaly. It never trains; audits
  sample it.

A median of the items themselves saves about half by construction, so saved work means nothing without the
EBI beside it.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

BUFFER = 200
"""N of eq. (1): how many flagged items the rolling modes look back on."""

BAND_MIN = 20
"""With fewer items than this there is no band."""


class Mode(StrEnum):
    """The readings of eq. (1)."""

    ROLLING_MEDIAN_MAX = "rolling_median_max"
    """Median of the last N flagged items; an item is one reviewable thing, by its maximum where it has parts."""
    MIDPOINT = "midpoint"
    """θ + ½ (s_max − θ), s_max the largest score of the step."""
    ROLLING_MIDPOINT = "rolling_midpoint"
    """The same with s_max over the last N flagged items."""


class Why(StrEnum):
    """Why an item was asked or not: by the band, or what stood in for it."""

    UNFLAGGED = "unflagged"
    BAND = "band"
    TOO_FEW = "too few"
    BELOW_THETA = "median below theta"

    @property
    def code(self) -> int:
        """Its number in `Decisions.why`."""
        return _CODES[self]

    @property
    def sentence(self) -> str:
        """For people."""
        return _SENTENCES[self]


_CODES = {why: code for code, why in enumerate(Why)}
_SENTENCES = {
    Why.UNFLAGGED: "Below the threshold: nothing to ask.",
    Why.BAND: "Asked from the threshold up to the middle of recent flagged scores.",
    Why.TOO_FEW: "Too few flagged items so far for a band: all flagged are asked.",
    Why.BELOW_THETA: "The middle of recent flagged scores lies below the threshold: all flagged are asked.",
}


@dataclass(frozen=True, slots=True)
class Band:
    """Who is asked just now. `theta_med` is None where there is no band; `reason` says why.

    `size` is how many items the band rests on.
    """

    theta: float
    theta_med: float | None
    reason: Why
    size: int

    def asks(self, scores: npt.ArrayLike) -> Bools:
        """Which of the scores (n,) are asked (eq. 2): flagged and not above the band. NaN never is."""
        values = np.asarray(scores, np.float64)
        asked: Bools = (values >= self.theta) & ~self.above(values)
        return asked

    def above(self, scores: npt.ArrayLike) -> Bools:
        """Which of the scores (n,) lie above the band: not asked; audits sample them."""
        values = np.asarray(scores, np.float64)
        top = np.inf if self.theta_med is None else self.theta_med
        above: Bools = values > top
        return above


@dataclass(frozen=True, slots=True)
class Decisions:
    """What was decided about n items in time order; arrays (n,).

    `theta_med` is NaN where there was no band or the item is not flagged. `why` holds `Why.code`. `size` is
    the number of items in the buffer at that time. `recent` is the buffer afterwards, oldest first.
    """

    theta: float
    flagged: Bools
    theta_med: Floats
    asked: Bools
    why: npt.NDArray[np.uint8]
    size: Ints
    recent: Floats

    @property
    def saved(self) -> float | None:
        """The share of the flagged items that was not asked; None where none was flagged."""
        flagged = int(np.count_nonzero(self.flagged))
        return 1 - int(np.count_nonzero(self.asked)) / flagged if flagged else None

    def reasons(self) -> list[Why]:
        """`why` in words, one for each item."""
        names = list(Why)
        return [names[code] for code in self.why.tolist()]


def band(
    mode: Mode,
    theta: float,
    recent: npt.ArrayLike,
    *,
    step_max: float | None = None,
    step_items: int | None = None,
    n: int = BUFFER,
    band_min: int = BAND_MIN,
) -> Band:
    """The band in force, eq. (1), from the items flagged since the deployment began.

    recent (m,): their scores by the version in force, oldest first; the last `n` finite ones are used. `midpoint`
    reads `step_max` instead, the largest score of the step, and `step_items`, how many flagged items it comes
    from (None: enough). Fewer than `band_min` items, or a middle below θ: no band. Raises ValueError on a θ that
    is not finite or `n` < `band_min`.
    """
    _check(theta, n, band_min)
    mode = Mode(mode)
    if mode is Mode.MIDPOINT:
        items = band_min if step_items is None else step_items
        known = step_max is not None and np.isfinite(step_max)
        return _banded(theta, _halfway(theta, float(step_max or 0.0)), items if known else 0, band_min)
    window = sorted(_finite(recent)[-n:].tolist())
    return _banded(theta, _middle(mode, theta, window), len(window), band_min)


def decide(
    mode: Mode,
    theta: float,
    scores: npt.ArrayLike,
    recent: npt.ArrayLike = (),
    *,
    group: npt.ArrayLike | None = None,
    step_max: float | None = None,
    n: int = BUFFER,
    band_min: int = BAND_MIN,
) -> Decisions:
    """Walk a step's items in time order and decide about each, eqs. (1)–(2).

    scores (m,) in time order, NaN where there is none; recent: the buffer before them, as in `band`. In the
    rolling modes a flagged item joins the buffer after its own decision. `midpoint` takes the step's own
    maximum unless `step_max` is given.

    `group` (m,) ints: rows of one group (the poses of a track) are one item of the buffer. What enters is the
    maximum of its flagged scores, after its last row here; a group must not go on in a later step. 100 000 items
    take a tenth of a second: the window of `n` is kept sorted. Raises ValueError as `band` does, and on shapes that
    differ.
    """
    _check(theta, n, band_min)
    values = np.asarray(scores, np.float64)
    rows, entries = _entries(values, theta, group)
    before = _finite(recent)[-n:]
    mode = Mode(mode)
    if mode is Mode.MIDPOINT:
        top = float(np.max(entries, initial=-np.inf)) if step_max is None else step_max
        now = band(mode, theta, (), step_max=top, step_items=len(entries), n=n, band_min=band_min)
        middle, size = np.full(len(values), _or_nan(now.theta_med)), np.full(len(values), now.size)
    else:
        middles, sizes = _walk(mode, theta, before.tolist(), entries.tolist(), n)
        entered = np.searchsorted(rows, np.arange(len(values)), side="left")
        middle, size = middles[entered], sizes[entered]
    return _decisions(theta, values, middle, size, band_min, np.concatenate([before, entries])[-n:])


def in_order(decisions: Decisions, index: npt.ArrayLike) -> Decisions:
    """The same decisions with its rows taken in another order, `index` (n,): back to that of whoever asked."""
    at = np.asarray(index, np.intp)
    d = decisions
    return replace(
        d, flagged=d.flagged[at], theta_med=d.theta_med[at], asked=d.asked[at], why=d.why[at], size=d.size[at]
    )


def _decisions(theta: float, values: Floats, middle: Floats, size: Ints, band_min: int, after: Floats) -> Decisions:
    flagged = values >= theta
    # NaN compares as false, so no middle is never below θ.
    why = np.where(size < band_min, Why.TOO_FEW.code, np.where(middle < theta, Why.BELOW_THETA.code, Why.BAND.code))
    why = np.where(flagged, why, Why.UNFLAGGED.code).astype(np.uint8)
    theta_med = np.where(why == Why.BAND.code, middle, np.nan)
    return Decisions(theta, flagged, theta_med, flagged & ~(values > theta_med), why, size, after)


def _check(theta: float, n: int, band_min: int) -> None:
    if not np.isfinite(theta):
        raise ValueError(f"AL-Light: the threshold must be a finite number, got {theta}")
    if not 1 <= band_min <= n:
        raise ValueError(f"AL-Light: a buffer of {n} never holds the {band_min} items a band needs")


def _finite(scores: npt.ArrayLike) -> Floats:
    values = np.asarray(scores, np.float64)
    return values[np.isfinite(values)]


def _or_nan(value: float | None) -> float:
    return np.nan if value is None else value


def _halfway(theta: float, top: float) -> float:
    return theta + 0.5 * (top - theta)


def _middle(mode: Mode, theta: float, window: list[float]) -> float:
    """θ_med from a sorted window; NaN from an empty one."""
    if not window:
        return np.nan
    if mode is Mode.ROLLING_MIDPOINT:
        return _halfway(theta, window[-1])
    half = len(window) // 2
    return window[half] if len(window) % 2 else 0.5 * (window[half - 1] + window[half])


def _banded(theta: float, middle: float, size: int, band_min: int) -> Band:
    if size < band_min:
        return Band(theta, None, Why.TOO_FEW, size)
    if middle < theta:
        return Band(theta, None, Why.BELOW_THETA, size)
    return Band(theta, middle, Why.BAND, size)


def _entries(values: Floats, theta: float, group: npt.ArrayLike | None) -> tuple[Ints, Floats]:
    """What joins the buffer: after which row (rising), and with which score."""
    enters = (values >= theta) & np.isfinite(values)
    if group is None:
        rows = np.flatnonzero(enters)
        return rows, values[rows]
    groups = np.asarray(group)
    if groups.shape != values.shape:
        raise ValueError(f"AL-Light: {len(values)} scores and {len(groups)} groups")
    _, from_the_end, owner = np.unique(groups[::-1], return_index=True, return_inverse=True)
    last = len(values) - 1 - from_the_end
    peak = np.full(len(last), -np.inf)
    np.maximum.at(peak, owner[::-1][enters], values[enters])
    order = np.argsort(last)
    order = order[np.isfinite(peak[order])]
    return last[order].astype(np.int64), peak[order]


def _walk(mode: Mode, theta: float, before: list[float], entries: list[float], n: int) -> tuple[Floats, Ints]:
    """θ_med and the buffer's size after 0, 1, … of the entries: both (len(entries) + 1,)."""
    queue, window = deque(before), sorted(before)
    middles, sizes = np.empty(len(entries) + 1), np.empty(len(entries) + 1, np.int64)
    for k in range(len(entries) + 1):
        middles[k], sizes[k] = _middle(mode, theta, window), len(window)
        if k < len(entries):
            queue.append(entries[k])
            insort(window, entries[k])
            if len(queue) > n:
                del window[bisect_left(window, queue.popleft())]
    return middles, sizes
