"""A camera's report: counts in, figures out. Pose and segment figures never share a line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from alfred.reports.chart import Chart, chart_of
from alfred.reports.figures import BasisCounts, Line, Rate, pooled
from alfred.reports.sentences import WarmUp, figures_begin, summary

__all__ = ["BasisCounts", "CameraReport", "InSample", "Line", "Rate", "Series", "SliceFigures", "ThetaStep", "build"]

RECENT_DAYS = 28


@dataclass(frozen=True)
class SliceFigures:
    """A slice as it ran: by which versions and θ (label, θ, segments), how much was flagged, and the counts.

    `current`: all of it was scored by the present detector with a θ found on the camera's present validation set;
    `series` names the detector and validation set it belongs to. `recent`: closed within the last 28 days.
    """

    ordinal: int
    closed: bool
    segments: int
    flagged: int
    versions: list[tuple[str, float, int]]
    current: bool
    counts: list[BasisCounts]
    unscored: int = 0
    asked: int = 0
    recent: bool = True
    series: str = ""

    @property
    def version(self) -> str:
        """Every version that scored a part of it, in order."""
        return ", ".join(dict.fromkeys(label for label, _, _ in self.versions))

    @property
    def thetas(self) -> list[float]:
        """Every θ a part of it ran with, rising."""
        return sorted({theta for _, theta, _ in self.versions})

    @property
    def theta(self) -> float | None:
        """θ, where the whole slice ran with one."""
        return self.thetas[0] if len(self.thetas) == 1 else None

    @property
    def theta_words(self) -> str:
        """θ for people: one value, or the range of those that were in force."""
        if len(self.thetas) < 2:
            return f"{self.thetas[0]:.3f}" if self.thetas else "n/a"
        return f"{self.thetas[0]:.3f} to {self.thetas[-1]:.3f}"

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
    older validation sets and detectors. `pending`: why there are no figures yet, empty where there are.
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
) -> CameraReport:
    """Add counts over closed slices of each series, then divide; one line a unit and basis.

    `deployed` is the label of the version in force; `closes_by_day` says what closes this camera's slices.
    """
    series = _present(slices, deployed, seed)
    # A slice stands alone without an interval: one day in the 28 would be called different by chance.
    lines = [(row.ordinal, line) for row in slices for line in pooled(row.counts, seed, resamples=0)]
    pending = (
        "" if any(row.closed for row in slices) else figures_begin([row.segments for row in slices], closes_by_day)
    )
    said = summary(camera, series[0].lines, warm_up, pending)
    return CameraReport(
        camera, kind, series, _earlier(slices, seed), slices, lines, theta, validation, warm_up, coverage, work,
        said, pending, chart_of([row for row in slices if row.closed and row.segments], lines),
    )  # fmt: skip


def _present(slices: list[SliceFigures], deployed: str, seed: int) -> list[Series]:
    rows = [row for row in slices if row.closed and row.current]
    recent = [row for row in rows if row.recent]
    alone = [row for row in rows if any(part.deployed for part in row.counts)]
    return [
        Series("cumulative", "since the present validation set", _ordinals(rows), pooled(_parts(rows), seed)),
        Series("last_28_days", f"last {RECENT_DAYS} days", _ordinals(recent), pooled(_parts(recent), seed)),
        Series(
            "deployed_version",
            f"deployed version alone{f' ({deployed})' if deployed else ''}",
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
