"""The effort ledger: what people were asked, what they would have been asked, and what EBI that bought."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from alfred.core.rates import Counts
from alfred.reports.figures import Line
from alfred.reports.slices import SliceFigures


@dataclass(frozen=True)
class Asked:
    """Of a slice's segments, counted: `flagged` are all that full active learning would have asked about.

    `in_band`: of them, those that AL-Light's band lets through (all, where there is no band). `asked`: of these, those
    asked in review, within the budget. `audited`: asked at random on top. `any_lane`: asked for whatever reason.
    """

    flagged: int = 0
    in_band: int = 0
    asked: int = 0
    audited: int = 0
    any_lane: int = 0

    def __add__(self, other: Asked) -> Asked:
        return Asked(
            self.flagged + other.flagged,
            self.in_band + other.in_band,
            self.asked + other.asked,
            self.audited + other.audited,
            self.any_lane + other.any_lane,
        )


@dataclass(frozen=True)
class Effort:
    """A slice of the ledger, or all of them (`ordinal` None). `gain_per_hour`: EBI, a fraction, per annotator-hour."""

    ordinal: int | None
    asked: Asked
    minutes: float
    gain_per_hour: float | None

    @property
    def gain_points(self) -> float | None:
        return None if self.gain_per_hour is None else 100 * self.gain_per_hour

    @property
    def saved(self) -> float | None:
        """The share of the flagged that nobody was asked about in review."""
        return 1 - self.asked.asked / self.asked.flagged if self.asked.flagged else None


@dataclass(frozen=True)
class Ledger:
    slices: list[Effort]
    total: Effort


def ledger(
    slices: Sequence[SliceFigures],
    lines: Sequence[tuple[int, Line]],
    asked: Mapping[int, Asked],
    minutes: Mapping[int, float],
) -> Ledger:
    """One row a slice and their sum; `asked` and `minutes` by the slice's number, `lines` as the report's.

    The gain is taken against the first (version, θ) with a known EBI of a whole closed slice, on the same basis, and
    divided by the minutes that went into the slices before: what people had given by then. In total: of the last
    (version, θ) that has one.
    """
    known = _known(slices, lines)
    before, rows = 0.0, []
    spent: dict[int, float] = {}
    for row in slices:
        spent[row.ordinal] = before
        mine = minutes.get(row.ordinal, 0.0)
        rows.append(Effort(row.ordinal, asked.get(row.ordinal, Asked()), mine, _gain(known, [row.ordinal], before)))
        before += mine
    last = known[-1].ran if known else None
    of_last = [one.ordinal for one in known if one.ran == last]
    gain = _gain(known, of_last, spent[of_last[0]]) if of_last else None
    return Ledger(rows, Effort(None, sum((row.asked for row in rows), Asked()), before, gain))


@dataclass(frozen=True)
class _Known:
    """A closed slice that one version with one θ ran through, and its counts on the basis that is compared."""

    ordinal: int
    ran: tuple[str, float]
    counts: Counts


def _known(slices: Sequence[SliceFigures], lines: Sequence[tuple[int, Line]]) -> list[_Known]:
    ran = {row.ordinal: row.versions[0][:2] for row in slices if row.closed and len(row.versions) == 1}
    usable = [
        (ordinal, line)
        for ordinal, line in lines
        if ordinal in ran and line.unit == "segment" and line.ebi.value is not None
    ]
    # Ground truth and estimates never meet in one difference.
    return [_Known(n, ran[n], line.counts) for n, line in usable if line.basis == usable[0][1].basis]


def _gain(known: Sequence[_Known], ordinals: Sequence[int], minutes: float) -> float | None:
    """EBI of these slices together less that of the first (version, θ), per hour; None where one is not known."""
    mine = [one for one in known if one.ordinal in ordinals]
    if not mine or not minutes or mine[0].ran == known[0].ran:
        return None
    now = sum((one.counts for one in mine), Counts()).ebi
    first = sum((one.counts for one in known if one.ran == known[0].ran), Counts()).ebi
    return None if now is None or first is None else (now - first) / (minutes / 60)
