"""The report's sentences: plain, short, and never a figure without how sure it is."""

from __future__ import annotations

from collections.abc import Sequence

from alfred.reports.figures import Line

WarmUp = tuple[int, int, int]
"""Confirmed normals, confirmed anomalies, and how many of each make a complete set."""


def summary(camera: str, lines: list[Line], warm_up: WarmUp | None, pending: str, audited: str = "") -> str:
    """How good the camera is, in two sentences, or what is missing for saying so.

    `audited`: what the audit says; it stands in where no line has an EBI.
    """
    if warm_up:
        normals, anomalies, needed = warm_up
        return (
            f"{camera} is warming up: {min(normals, needed)} of {needed} normals and {min(anomalies, needed)} of "
            f"{needed} anomalies are confirmed. Until both are complete its threshold is provisional."
        )
    if pending:
        return f"{camera} has no figures yet."
    best = next((line for line in lines if line.ebi.value is not None), None)
    if best is None and audited:
        return f"{camera}, by its audit: {audited}"
    if best is None:
        return f"{camera}: no EBI yet; anomalies among unflagged segments are unknown without ground truth or audits."
    fpr, fnr = best.fpr.value or 0.0, best.fnr.value or 0.0
    return (
        f"{camera} has an EBI of {_percent(best.ebi.value)} ({_sureness(best)}; {best.unit_words}, "
        f"{best.basis_words}): {_percent(fpr)} of normal {best.unit_words} were flagged and {_percent(fnr)} of "
        f"anomalous ones were missed.{_doubt(best)}"
    )


def _percent(value: float | None) -> str:
    return "n/a" if value is None else f"{value * 100:.1f} %"


def _sureness(line: Line) -> str:
    """The interval of EBI, or which class is too thin for one."""
    if line.ebi.low is not None and line.ebi.high is not None:
        return f"95 % interval {line.ebi.low * 100:.1f}–{line.ebi.high * 100:.1f} %"
    thin = [word for word, rate in (("normal", line.fpr), ("anomalous", line.fnr)) if rate.low is None]
    return f"no interval: too few minutes with {' and with '.join(thin)} {line.unit_words}"


def _doubt(line: Line) -> str:
    if line.ebi_best is None or line.ebi_worst is None:
        return ""
    return (
        f" {_percent(line.unresolved_share)} of the answers are unresolved: with all of those decided, EBI would "
        f"lie between {line.ebi_worst * 100:.1f} and {line.ebi_best * 100:.1f} %."
    )


def figures_begin(scored: Sequence[int], by_day: bool) -> str:
    """Why there are no figures: no slice is closed; `scored` segments of each open one."""
    when = (
        "at local midnight, once all of it is scored" if by_day else "when a round is launched on it, or on a later one"
    )
    if not scored:
        return f"No slice is closed yet; there is no recording. A slice closes {when}, and is counted then."
    n = sum(scored)
    waiting = f"{n} scored segment{'' if n == 1 else 's'} wait{'s' if n == 1 else ''} in " + (
        "the open one" if len(scored) == 1 else f"{len(scored)} open ones"
    )
    return f"No slice is closed yet; {waiting}. A slice closes {when}, and is counted then."
