"""One line of a report: counts on one unit and one basis in, rates with intervals out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from alfred.core.intervals import Interval, rate_intervals
from alfred.core.phrases import phrase
from alfred.core.rates import Counts

Rows = list[list[float]]
"""One row a block: tp, fp, tn, fn."""

BASIS_WORDS = {
    "ground_truth": phrase("ground truth of the imported files"),
    "judged": phrase("judged: flagged segments that people answered"),
    "estimated": phrase("estimated: warm-up answers weighted by 1/π"),
}
UNIT_WORDS = {"segment": phrase("segments"), "pose": phrase("poses")}
RESAMPLES = 2000
UNRESOLVED_SHOWN = 0.02
"""Above this share of unresolved answers EBI is given with its best and its worst case."""


@dataclass(frozen=True)
class BasisCounts:
    """Blocks of one slice, in one unit, known in one way.

    `partial`: only what was flagged is known. `deployed`: scored by the version now in force, with a θ of the present
    validation set. `unscored`: left out, for want of a score. `answered` segments have a label; `unresolved` ones were
    asked and have none: `best` and `worst` are the counts with all of them right, and all of them wrong.
    """

    unit: str
    basis: str
    blocks: Rows
    partial: bool = False
    deployed: bool = True
    unscored: int = 0
    answered: int = 0
    unresolved: int = 0
    best: Counts | None = None
    worst: Counts | None = None


@dataclass(frozen=True)
class Rate:
    """A rate, 0..1, with its 95 % interval, or why there is none."""

    value: float | None
    low: float | None
    high: float | None
    reason: str


@dataclass(frozen=True)
class Line:
    """One line of figures: unit, basis, counts, rates, and what was left out of them."""

    unit: str
    basis: str
    counts: Counts
    partial: bool
    fpr: Rate
    fnr: Rate
    ebi: Rate
    blocks: int
    unscored: int = 0
    answered: int = 0
    unresolved: int = 0
    ebi_best: float | None = None
    ebi_worst: float | None = None

    @property
    def basis_words(self) -> str:
        return BASIS_WORDS[self.basis]

    @property
    def unit_words(self) -> str:
        return UNIT_WORDS[self.unit]

    @property
    def unresolved_share(self) -> float:
        asked = self.answered + self.unresolved
        return self.unresolved / asked if asked else 0.0


def pooled(parts: Iterable[BasisCounts], seed: int, resamples: int = RESAMPLES) -> list[Line]:
    """Counts added, then divided: one line a unit and basis, segments first. `resamples` 0: without intervals."""
    groups: dict[tuple[str, str], list[BasisCounts]] = {}
    for part in parts:
        groups.setdefault((part.unit, part.basis), []).append(part)
    order = list(BASIS_WORDS)
    keys = sorted(groups, key=lambda key: (key[0] != "segment", order.index(key[1])))
    return [_line(groups[key], seed, resamples) for key in keys]


def _line(parts: list[BasisCounts], seed: int, resamples: int) -> Line:
    first = parts[0]
    blocks = np.asarray([block for part in parts for block in part.blocks], np.float64).reshape(-1, 4)
    counts = Counts(*(float(v) for v in blocks.sum(axis=0)))
    if first.partial:
        fpr = fnr = ebi = Rate(None, None, None, phrase("unflagged segments were not judged"))
    elif resamples == 0:
        fpr, fnr, ebi = (Rate(rate, None, None, "") for rate in (counts.fpr, counts.fnr, counts.ebi))
    else:
        found = rate_intervals(blocks, seed=seed, resamples=resamples)
        fpr = _rate(counts.fpr, found.fpr, found.fpr_reason)
        fnr = _rate(counts.fnr, found.fnr, found.fnr_reason)
        ebi = _rate(counts.ebi, found.ebi, found.ebi_reason)
    best, worst = _extremes(parts)
    return Line(
        first.unit, first.basis, counts, first.partial, fpr, fnr, ebi, len(blocks),
        unscored=sum(part.unscored for part in parts),
        answered=sum(part.answered for part in parts),
        unresolved=sum(part.unresolved for part in parts),
        ebi_best=best,
        ebi_worst=worst,
    )  # fmt: skip


def _rate(value: float | None, interval: Interval | None, reason: str | None) -> Rate:
    if value is None:
        return Rate(None, None, None, phrase("one class is missing"))
    if interval is None:
        return Rate(value, None, None, reason or "")
    return Rate(value, interval.low, interval.high, "")


def _extremes(parts: list[BasisCounts]) -> tuple[float | None, float | None]:
    """Best and worst EBI where the unresolved are too many to pass over, else nothing."""
    unresolved, answered = sum(p.unresolved for p in parts), sum(p.answered for p in parts)
    best = [part.best for part in parts if part.best is not None]
    worst = [part.worst for part in parts if part.worst is not None]
    if unresolved <= UNRESOLVED_SHOWN * (answered + unresolved) or len(best) != len(parts):
        return None, None
    return sum(best, Counts()).ebi, sum(worst, Counts()).ebi
