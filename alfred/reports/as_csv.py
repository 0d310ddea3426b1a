"""The camera report as CSV (RFC 4180: commas, points, UTF-8, whatever the reader's country): one table a file."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence

from alfred.reports.camera_report import CameraReport, SliceFigures
from alfred.reports.figures import Line, Rate

COLUMNS = {
    "camera": "the camera's name",
    "data": "real or simulated",
    "scope": "slice, cumulative, last_28_days, deployed_version or earlier_series",
    "unit": "segment or pose",
    "basis": "ground_truth, judged (flagged and answered only) or estimated; empty where nothing is counted",
    "slice": "the slice's number; empty for sums of slices",
    "closed": "1 closed, 0 open; empty for sums of slices",
    "series": "detector and validation set that θ came from, or what a sum is of",
    "version": "detector versions that scored the slice",
    "theta_low": "smallest θ the slice ran with",
    "theta_high": "largest θ the slice ran with",
    "segments": "scored segments of the slice",
    "flagged": "of them with a score at or above θ",
    "asked": "of them asked of people",
    "tp": "anomalous and flagged",
    "fp": "normal and flagged",
    "tn": "normal and not flagged; empty where not known",
    "fn": "anomalous and not flagged; empty where not known",
    "fpr": "fp / (fp + tn), a fraction 0 to 1",
    "fpr_low": "lower end of its 95 % interval, a fraction",
    "fpr_high": "upper end",
    "fnr": "fn / (fn + tp), a fraction 0 to 1",
    "fnr_low": "lower end of its 95 % interval, a fraction",
    "fnr_high": "upper end",
    "ebi": "Error Balance Index, a fraction 0 to 1",
    "ebi_low": "lower end of its 95 % interval, a fraction",
    "ebi_high": "upper end",
    "ebi_worst": "EBI if all unresolved answers were errors, a fraction; only where over 2 % are unresolved",
    "ebi_best": "EBI if none of them were",
    "answered": "segments with a label from people behind the counts",
    "unresolved": "segments asked and left without a label: unsure, skipped, in conflict",
    "unscored": "segments or poses left out for want of a score",
    "blocks": "one-minute blocks behind the interval",
}
"""Column → what it says. Tells the reader of the page, too."""

THETA_COLUMNS = ("camera", "deployment", "since", "version", "theta", "policy", "why")

# Also after a separator of another country's: there a spreadsheet cuts the cell in two and runs the second part.
FORMULA = re.compile(r"(^|[;\t\r\n])(?=\s*[=+\-@\uff1d\uff0b\uff0d\uff20\t\r\n])")


def to_csv(report: CameraReport) -> str:
    """One row a unit, basis and slice, after the rows of their sums. Counts are whole, estimated ones are not."""
    rows = [
        _sum_row(scope.scope, scope.title, line) for scope in (*report.series, *report.earlier) for line in scope.lines
    ]
    for row in report.slices:
        lines = [line for ordinal, line in report.slice_lines if ordinal == row.ordinal]
        rows += [_slice_row(row) | _figures(line) for line in lines] or [_slice_row(row)]
    about = {"camera": report.camera, "data": report.kind}
    return _table(COLUMNS, ([(about | row).get(name) for name in COLUMNS] for row in rows))


def thetas_to_csv(report: CameraReport) -> str:
    """Every deployment with its θ, oldest first."""
    rows = ((report.camera, t.ordinal, t.since, t.version, t.theta, t.policy, t.why) for t in report.theta)
    return _table(THETA_COLUMNS, rows)


def _table(header: Iterable[str], rows: Iterable[Sequence[object]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(header)
    writer.writerows([_safe(value) for value in row] for row in rows)
    return out.getvalue()


def _safe(value: object) -> object:
    """A leading = + - @ makes spreadsheets compute, so text gets an apostrophe; numbers may keep their sign."""
    if isinstance(value, str):
        return FORMULA.sub(r"\1'", value)
    return "" if value is None else value


def _sum_row(scope: str, title: str, line: Line) -> dict[str, object]:
    return {"scope": scope, "series": title} | _figures(line)


def _slice_row(row: SliceFigures) -> dict[str, object]:
    return {
        "scope": "slice",
        "unit": "segment",
        "slice": row.ordinal,
        "closed": int(row.closed),
        "series": row.series,
        "version": row.version,
        "theta_low": row.thetas[0] if row.thetas else None,
        "theta_high": row.thetas[-1] if row.thetas else None,
        "segments": row.segments,
        "flagged": row.flagged,
        "asked": row.asked,
        "unscored": row.unscored,
    }


def _figures(line: Line) -> dict[str, object]:
    counts: dict[str, object] = {
        name: _count(getattr(line.counts, name), line.basis) for name in ("tp", "fp", "tn", "fn")
    }
    if line.partial:
        counts |= {"tn": None, "fn": None}
    rates = _rate("fpr", line.fpr) | _rate("fnr", line.fnr) | _rate("ebi", line.ebi)
    return {
        "unit": line.unit,
        "basis": line.basis,
        **counts,
        **rates,
        "ebi_worst": line.ebi_worst,
        "ebi_best": line.ebi_best,
        # Ground truth asks nobody.
        "answered": None if line.basis == "ground_truth" else line.answered,
        "unresolved": None if line.basis == "ground_truth" else line.unresolved,
        "unscored": line.unscored,
        "blocks": line.blocks,
    }


def _count(value: float, basis: str) -> float | int:
    return value if basis == "estimated" else int(value)


def _rate(name: str, rate: Rate) -> dict[str, object]:
    return {name: rate.value, f"{name}_low": rate.low, f"{name}_high": rate.high}
