"""A camera's report: counts in, rates with intervals out. Pose and segment figures never share a line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from alfred.core.intervals import Interval, rate_intervals
from alfred.core.rates import Counts

Rows = list[list[float]]
"""One row a block: tp, fp, tn, fn."""

BASIS_WORDS = {
    "ground_truth": "ground truth of the imported files",
    "judged": "judged: flagged segments that people answered",
    "estimated": "estimated: warm-up answers weighted by 1/π",
}
UNIT_WORDS = {"segment": "segments", "pose": "poses"}


@dataclass(frozen=True)
class BasisCounts:
    """Blocks of one slice, in one unit, known in one way. `partial`: only what was flagged is known."""

    unit: str
    basis: str
    blocks: Rows
    partial: bool = False


@dataclass(frozen=True)
class SliceFigures:
    """A slice as it ran: by which versions and θ (label, θ, segments), how much was flagged, and the counts.

    `current`: all of it was scored with a θ found on the camera's present validation set.
    """

    ordinal: int
    closed: bool
    segments: int
    flagged: int
    versions: list[tuple[str, float, int]]
    current: bool
    counts: list[BasisCounts]

    @property
    def version(self) -> str:
        """Every version that scored a part of it, in order."""
        return ", ".join(dict.fromkeys(label for label, _, _ in self.versions))

    @property
    def theta(self) -> float | None:
        """θ, where the whole slice ran with one."""
        values = {theta for _, theta, _ in self.versions}
        return values.pop() if len(values) == 1 else None

    @property
    def theta_words(self) -> str:
        """θ for people: one value, or the range of those that were in force."""
        values = sorted({theta for _, theta, _ in self.versions})
        if len(values) < 2:
            return f"{values[0]:.3f}" if values else "n/a"
        return f"{values[0]:.3f} to {values[-1]:.3f}"

    @property
    def share(self) -> float | None:
        return self.flagged / self.segments if self.segments else None


@dataclass(frozen=True)
class ThetaStep:
    """One deployment in the camera's history."""

    ordinal: int
    since: str
    version: str
    theta: float
    policy: str
    why: str


@dataclass(frozen=True)
class Rate:
    """A rate with its 95 % interval, or why there is none."""

    value: float | None
    low: float | None
    high: float | None
    reason: str


@dataclass(frozen=True)
class Line:
    """One line of figures: unit, basis, counts, rates."""

    unit: str
    basis: str
    counts: Counts
    partial: bool
    fpr: Rate
    fnr: Rate
    ebi: Rate
    blocks: int

    @property
    def basis_words(self) -> str:
        return BASIS_WORDS[self.basis]

    @property
    def unit_words(self) -> str:
        return UNIT_WORDS[self.unit]


@dataclass(frozen=True)
class CameraReport:
    """What the supervisor's page and its CSV are made of."""

    camera: str
    kind: str
    cumulative: list[Line]
    slices: list[SliceFigures]
    slice_lines: list[tuple[int, Line]]
    theta: list[ThetaStep]
    validation: dict[str, Any] | None
    warm_up: tuple[int, int, int] | None
    coverage: float | None
    work: dict[str, float]
    summary: str
    chart: dict[str, Any] = field(default_factory=dict)


def build(
    *,
    camera: str,
    kind: str,
    slices: list[SliceFigures],
    theta: list[ThetaStep],
    validation: dict[str, Any] | None,
    warm_up: tuple[int, int, int] | None,
    coverage: float | None,
    work: dict[str, float],
    seed: int,
) -> CameraReport:
    """Add counts over closed slices of the present validation set, then divide; one line a unit and basis."""
    pooled: dict[tuple[str, str], Rows] = {}
    lines: list[tuple[int, Line]] = []
    for row in slices:
        for counts in row.counts:
            lines.append(
                (
                    row.ordinal,
                    _line(counts.unit, counts.basis, counts.blocks, counts.partial, seed, resamples=0),
                )
            )
            if row.closed and row.current:
                pooled.setdefault((counts.unit, counts.basis), []).extend(counts.blocks)
    cumulative = [
        _line(unit, basis, blocks, basis == "judged", seed) for (unit, basis), blocks in sorted(pooled.items())
    ]
    cumulative.sort(key=lambda line: (line.unit != "segment", list(BASIS_WORDS).index(line.basis)))
    return CameraReport(
        camera, kind, cumulative, slices, lines, theta, validation, warm_up, coverage, work,
        _summary(camera, cumulative, warm_up), _chart(slices, lines),
    )  # fmt: skip


def _line(unit: str, basis: str, blocks: Rows, partial: bool, seed: int, resamples: int = 2000) -> Line:
    array = np.asarray(blocks, np.float64).reshape(-1, 4)
    total = array.sum(axis=0)
    counts = Counts(*(float(v) for v in total))
    if partial:
        unknown = Rate(None, None, None, "unflagged segments were not judged")
        return Line(unit, basis, counts, True, unknown, unknown, unknown, len(array))
    if resamples == 0:
        fpr, fnr, ebi = (Rate(rate, None, None, "") for rate in (counts.fpr, counts.fnr, counts.ebi))
        return Line(unit, basis, counts, False, fpr, fnr, ebi, len(array))
    found = rate_intervals(array, seed=seed, resamples=resamples)
    rates = {
        name: _rate(getattr(counts, name), getattr(found, name), getattr(found, f"{name}_reason"))
        for name in ("fpr", "fnr", "ebi")
    }
    return Line(unit, basis, counts, False, rates["fpr"], rates["fnr"], rates["ebi"], len(array))


def _rate(value: float | None, interval: Interval | None, reason: str | None) -> Rate:
    if value is None:
        return Rate(None, None, None, reason or "one class is missing")
    if interval is None:
        return Rate(value, None, None, reason or "")
    return Rate(value, interval.low, interval.high, "")


def _summary(camera: str, lines: list[Line], warm_up: tuple[int, int, int] | None) -> str:
    if warm_up:
        normals, anomalies, needed = warm_up
        return (
            f"{camera} is warming up: {min(normals, needed)} of {needed} normals and {min(anomalies, needed)} of "
            f"{needed} anomalies are confirmed. Until both are complete its threshold is provisional."
        )
    best = next((line for line in lines if line.ebi.value is not None), None)
    if best is None or best.ebi.value is None:
        return f"{camera}: no EBI yet; anomalies among unflagged segments are unknown without ground truth or audits."
    fpr, fnr = best.fpr.value or 0.0, best.fnr.value or 0.0
    return (
        f"{camera} has an EBI of {best.ebi.value * 100:.1f} ({best.unit_words}, {best.basis_words}): "
        f"{fpr:.1%} of normal {best.unit_words} were flagged and {fnr:.1%} of anomalous ones were missed."
    )


def _chart(slices: list[SliceFigures], lines: list[tuple[int, Line]]) -> dict[str, Any]:
    """Series for the page's curves: cumulative figures after each slice, and θ under each."""
    main = next((line.basis for _, line in lines if line.unit == "segment" and not line.partial), None)
    order = [row.ordinal for row in slices if row.segments]
    running, ebi, fpr, fnr = Counts(), [], [], []
    for ordinal in order:
        for at, line in lines:
            if at == ordinal and line.unit == "segment" and line.basis == main:
                running = running + line.counts
        ebi.append(running.ebi)
        fpr.append(running.fpr)
        fnr.append(running.fnr)
    by_ordinal = {row.ordinal: row for row in slices}
    return {
        "slice": order,
        "ebi": ebi,
        "fpr": fpr,
        "fnr": fnr,
        "theta": [by_ordinal[o].theta for o in order],
        "share": [by_ordinal[o].share for o in order],
        "basis": BASIS_WORDS[main] if main else "",
    }
