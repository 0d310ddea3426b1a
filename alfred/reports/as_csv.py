"""The camera report as CSV: one table a block, a blank line between."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Any

from alfred.reports.camera_report import CameraReport, Line

COLUMNS = (
    "scope",
    "unit",
    "basis",
    "tp",
    "fp",
    "tn",
    "fn",
    "fpr",
    "fpr_low",
    "fpr_high",
    "fnr",
    "fnr_low",
    "fnr_high",
    "ebi",
    "ebi_low",
    "ebi_high",
    "blocks",
)


def to_csv(report: CameraReport) -> str:
    """Figures, θ history and slices. Text that a spreadsheet would run as a formula is quoted."""
    out = io.StringIO()
    writer = csv.writer(out)
    _rows(writer, [("camera", report.camera), ("data", report.kind), ("summary", report.summary)])
    _rows(writer, [(), COLUMNS])
    _rows(writer, (_line("cumulative", line) for line in report.cumulative))
    _rows(writer, (_line(f"slice {ordinal}", line) for ordinal, line in report.slice_lines))
    _rows(writer, [(), ("slice", "closed", "segments", "flagged", "version", "theta")])
    _rows(writer, ((s.ordinal, s.closed, s.segments, s.flagged, s.version, s.theta_words) for s in report.slices))
    _rows(writer, [(), ("deployment", "since", "version", "theta", "policy", "why")])
    _rows(writer, ((t.ordinal, t.since, t.version, t.theta, t.policy, t.why) for t in report.theta))
    return out.getvalue()


def _rows(writer: Any, rows: Iterable[Iterable[object]]) -> None:
    for row in rows:
        writer.writerow([_safe(value) for value in row])


def _safe(value: object) -> object:
    """A leading = + - @ makes spreadsheets compute; numbers may keep their sign."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return "'" + value
    return "" if value is None else value


def _line(scope: str, line: Line) -> list[object]:
    counts = line.counts
    known: list[object] = [counts.tp, counts.fp] + ([None, None] if line.partial else [counts.tn, counts.fn])
    rates = [v for rate in (line.fpr, line.fnr, line.ebi) for v in (rate.value, rate.low, rate.high)]
    return [scope, line.unit, line.basis, *known, *rates, line.blocks]
