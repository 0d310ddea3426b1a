"""A camera's report: counts in, figures out. Pose and segment figures never share a line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from alfred.core.phrases import phrase
from alfred.reports.audit import AuditReport
from alfred.reports.chart import Chart, chart_of
from alfred.reports.effort import Asked, Ledger, ledger
from alfred.reports.figures import BasisCounts, Line, Rate, pooled
from alfred.reports.sentences import WarmUp, figures_begin, summary
from alfred.reports.slices import SliceFigures

__all__ = [
    "AuditReport",
    "BasisCounts",
    "CameraReport",
    "InSample",
    "Ledger",
    "Line",
    "Rate",
    "Series",
    "SliceFigures",
    "ThetaStep",
    "build",
]

RECENT_DAYS = 28


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
class InSample:
    """What is in force on the validation set its θ was found on; unscored members are in no figure."""

    ebi: Rate
    fpr: Rate
    fnr: Rate
    auc_roc: float | None
    average_precision: float | None
    normals: int
    anomalies: int
    unscored_normals: int
    unscored_anomalies: int


@dataclass(frozen=True)
class Series:
    """Closed slices that belong together, added up. `scope` names it in the CSV, `title` on the page."""

    scope: str
    title: str
    slices: list[int]
    lines: list[Line]


@dataclass(frozen=True)
class CameraReport:
    """What the supervisor's page and its CSV are made of.

    `series`: the cumulative figures, then of them the last 28 days and the deployed version alone. `earlier`: those of
    older validation sets and detectors. `pending`: why there are no figures yet, empty where there are. `effort`:
    what people were asked and gave. `audit`: what a random sample says of what nobody looked at, apart from all lines.
    """

    camera: str
    kind: str
    series: list[Series]
    earlier: list[Series]
    slices: list[SliceFigures]
    slice_lines: list[tuple[int, Line]]
    theta: list[ThetaStep]
    validation: InSample | None
    warm_up: WarmUp | None
    coverage: float | None
    work: dict[str, float]
    summary: str
    pending: str
    effort: Ledger
    audit: AuditReport | None = None
    chart: Chart = field(default_factory=dict)

    @property
    def cumulative(self) -> list[Line]:
        """All closed slices of the present series."""
        return self.series[0].lines


def build(
    *,
    camera: str,
    kind: str,
    slices: list[SliceFigures],
    theta: list[ThetaStep],
    validation: InSample | None,
    warm_up: WarmUp | None,
    coverage: float | None,
    work: dict[str, float],
    seed: int,
    deployed: str = "",
    closes_by_day: bool = True,
    audit: AuditReport | None = None,
    asked: Mapping[int, Asked] | None = None,
    minutes: Mapping[int, float] | None = None,
) -> CameraReport:
    """Add counts over closed slices of each series, then divide; one line a unit and basis.

    `deployed` is the label of the version in force; `closes_by_day` says what closes this camera's slices. `asked` and
    `minutes` are people's effort by the slice's number.
    """
    series = _present(slices, deployed, seed)
    # A slice stands alone without an interval: one day in the 28 would be called different by chance.
    lines = [(row.ordinal, line) for row in slices for line in pooled(row.counts, seed, resamples=0)]
    pending = (
        "" if any(row.closed for row in slices) else figures_begin([row.segments for row in slices], closes_by_day)
    )
    said = summary(camera, series[0].lines, warm_up, pending, audit.sentence if audit else "")
    return CameraReport(
        camera, kind, series, _earlier(slices, seed), slices, lines, theta, validation, warm_up, coverage, work,
        said, pending, ledger(slices, lines, asked or {}, minutes or {}), audit,
        chart_of([row for row in slices if row.closed and row.segments], lines),
    )  # fmt: skip


def _present(slices: list[SliceFigures], deployed: str, seed: int) -> list[Series]:
    rows = [row for row in slices if row.closed and row.current]
    recent = [row for row in rows if row.recent]
    alone = [row for row in rows if any(part.deployed for part in row.counts)]
    return [
        Series("cumulative", phrase("since the present validation set"), _ordinals(rows), pooled(_parts(rows), seed)),
        Series(
            "last_28_days",
            phrase("last {days} days", days=RECENT_DAYS),
            _ordinals(recent),
            pooled(_parts(recent), seed),
        ),
        Series(
            "deployed_version",
            phrase("deployed version alone ({version})", version=deployed)
            if deployed
            else phrase("deployed version alone"),
            _ordinals(alone),
            pooled((part for part in _parts(alone) if part.deployed), seed),
        ),
    ]


def _earlier(slices: list[SliceFigures], seed: int) -> list[Series]:
    """Closed slices of older validation sets and detectors, each series on its own, the newest first."""
    groups: dict[str, list[SliceFigures]] = {}
    for row in slices:
        if row.closed and not row.current:
            groups.setdefault(row.series, []).append(row)
    made = [
        Series("earlier_series", title, _ordinals(rows), pooled(_parts(rows), seed)) for title, rows in groups.items()
    ]
    return [series for series in reversed(made) if series.lines]


def _ordinals(rows: list[SliceFigures]) -> list[int]:
    return [row.ordinal for row in rows]


def _parts(rows: list[SliceFigures]) -> Iterable[BasisCounts]:
    return (part for row in rows for part in row.counts)
