"""The camera report as CSV (RFC 4180: commas, points, UTF-8, whatever the reader's country): one table a file."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence

from alfred.core.phrases import phrase
from alfred.reports.audit import AuditReport, StratumLine
from alfred.reports.camera_report import CameraReport, SliceFigures
from alfred.reports.effort import Effort
from alfred.reports.figures import Line, Rate

COLUMNS = {
    "camera": phrase("the camera's name"),
    "data": phrase("real or simulated"),
    "scope": phrase(
        "slice, all_slices (effort only), cumulative, last_28_days, deployed_version or earlier_series; "
        "audit_last_28_days, and audit_stratum for each of its strata"
    ),
    "unit": phrase("segment or pose"),
    "basis": phrase(
        "ground_truth, judged (flagged and answered only), estimated (from warm-up) or audit (estimated from "
        "audits and reviews); of an audit_stratum what is known of its answered segments: audited (drawn at "
        "random) or judged; empty where nothing is counted"
    ),
    "slice": phrase("the slice's number; empty for sums of slices"),
    "closed": phrase("1 closed, 0 open; empty for sums of slices"),
    "series": phrase("detector and validation set that θ came from, or what a sum is of"),
    "version": phrase("detector versions that scored the slice"),
    "theta_low": phrase("smallest θ the slice ran with"),
    "theta_high": phrase("largest θ the slice ran with"),
    "segments": phrase("scored segments of the slice or stratum"),
    "flagged": phrase("of them with a score at or above θ"),
    "asked": phrase("of them asked of people"),
    "would_ask": phrase("flagged segments that full active learning without a budget would have asked"),
    "in_band": phrase("of them within AL-Light's band; all where there is no band"),
    "asked_in_review": phrase("of them asked"),
    "audited": phrase("segments asked at random besides"),
    "saved": phrase("1 - asked_in_review / would_ask, a fraction"),
    "minutes": phrase("minutes of looking behind the answers about the slice"),
    "ebi_gain_per_hour": phrase("EBI above that of the first version and θ, per hour looked before, a fraction"),
    "tp": phrase("anomalous and flagged"),
    "fp": phrase("normal and flagged"),
    "tn": phrase("normal and not flagged; empty where not known"),
    "fn": phrase("anomalous and not flagged; empty where not known"),
    "fpr": phrase("fp / (fp + tn), a fraction 0 to 1"),
    "fpr_low": phrase("lower end of its 95 % interval, a fraction"),
    "fpr_high": phrase("upper end"),
    "fnr": phrase("fn / (fn + tp), a fraction 0 to 1"),
    "fnr_low": phrase("lower end of its 95 % interval, a fraction"),
    "fnr_high": phrase("upper end"),
    "ebi": phrase("Error Balance Index, a fraction 0 to 1"),
    "ebi_low": phrase("lower end of its 95 % interval, a fraction"),
    "ebi_high": phrase("upper end"),
    "prevalence": phrase("share of anomalies among all scored segments, a fraction; of audits only"),
    "prevalence_low": phrase("lower end of its 95 % interval"),
    "prevalence_high": phrase("upper end"),
    "label_noise": phrase("share of anomalies among unflagged segments, on which the detector trains; of audits only"),
    "label_noise_low": phrase("lower end of its 95 % interval"),
    "label_noise_high": phrase("upper end"),
    "ebi_worst": phrase("EBI if all unresolved answers were errors, a fraction; only where over 2 % are unresolved"),
    "ebi_best": phrase("EBI if none of them were"),
    "answered": phrase("segments with a label from people behind the counts"),
    "unresolved": phrase(
        "segments asked and left without a label: unsure, skipped, in conflict; of audits also not answered"
    ),
    "unscored": phrase("segments or poses left out for want of a score"),
    "blocks": phrase("one-minute blocks behind the interval"),
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
    if report.audit and not report.audit.empty:
        rows += [_audit_row(report.audit), *(_stratum_row(line) for line in report.audit.lines)]
    if report.effort.total.asked.any_lane:
        rows.append({"scope": "all_slices", "unit": "segment"} | _effort(report.effort.total))
    for row, spent in zip(report.slices, report.effort.slices, strict=True):
        about = _slice_row(row) | _effort(spent)
        lines = [line for ordinal, line in report.slice_lines if ordinal == row.ordinal]
        rows += [about | _figures(line) for line in lines] or [about]
    camera = {"camera": report.camera, "data": report.kind}
    return _table(COLUMNS, ([(camera | row).get(name) for name in COLUMNS] for row in rows))


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


def _effort(row: Effort) -> dict[str, object]:
    known = row.asked.flagged > 0  # else nobody would have been asked in review: warm-up, or a methodology without it
    return {
        "would_ask": row.asked.flagged if known else None,
        "in_band": row.asked.in_band if known else None,
        "asked_in_review": row.asked.asked if known else None,
        "audited": row.asked.audited,
        "saved": row.saved,
        "minutes": row.minutes,
        "ebi_gain_per_hour": row.gain_per_hour,
    }


def _audit_row(audit: AuditReport) -> dict[str, object]:
    counts = {name: getattr(audit.counts, name) for name in ("tp", "fp", "tn", "fn")}
    rates: dict[str, object] = {}
    for name, rate in audit.rates:
        rates |= _rate(name.replace("-", "_"), rate)
    return {
        "scope": f"audit_last_{audit.days}_days",
        "unit": "segment",
        "basis": "audit",
        "series": f"slices {', '.join(map(str, audit.slices))}",
        "asked": sum(line.part.drawn for line in audit.lines),
        "audited": audit.drawn,
        "answered": audit.audited + audit.judged,
        "unresolved": sum(line.unanswered for line in audit.lines),
        **counts,
        **rates,
    }


def _stratum_row(line: StratumLine) -> dict[str, object]:
    part = line.part
    normal = part.judged - part.found
    found = {"tp": part.found, "fp": normal} if line.flagged else {"fn": part.found, "tn": normal}
    return {
        "scope": "audit_stratum",
        "unit": "segment",
        "basis": "audited" if line.sampled else "judged",
        "series": line.words,
        "segments": part.population,
        "asked": part.drawn,
        "answered": part.judged,
        "unresolved": line.unanswered,
        **found,
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
