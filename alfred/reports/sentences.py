"""The report's sentences: plain, short, and never a figure without how sure it is."""

from __future__ import annotations

from collections.abc import Sequence

from alfred.core.phrases import Phrase, counted, phrase, together
from alfred.reports.figures import Line

WarmUp = tuple[int, int, int]
"""Confirmed normals, confirmed anomalies, and how many of each make a complete set."""


def summary(camera: str, lines: list[Line], warm_up: WarmUp | None, pending: str, audited: str = "") -> Phrase:
    """How good the camera is, in two sentences, or what is missing for saying so.

    `audited`: what the audit says; it stands in where no line has an EBI.
    """
    if warm_up:
        normals, anomalies, needed = warm_up
        return phrase(
            "{camera} is warming up: {normals} of {needed} normals and {anomalies} of {needed} anomalies are confirmed."
            " Until both are complete its threshold is provisional.",
            camera=camera,
            normals=min(normals, needed),
            anomalies=min(anomalies, needed),
            needed=needed,
        )
    if pending:
        return phrase("{camera} has no figures yet.", camera=camera)
    best = next((line for line in lines if line.ebi.value is not None), None)
    if best is None and audited:
        return phrase("{camera}, by its audit: {said}", camera=camera, said=audited)
    if best is None:
        return phrase(
            "{camera}: no EBI yet; anomalies among unflagged segments are unknown without ground truth or audits.",
            camera=camera,
        )
    said = phrase(
        "{camera} has an EBI of {ebi} ({sureness}; {unit}, {basis}): {fpr} of normal {unit} were flagged and {fnr} of "
        "anomalous ones were missed.",
        camera=camera,
        ebi=_percent(best.ebi.value),
        sureness=_sureness(best),
        unit=best.unit_words,
        basis=best.basis_words,
        fpr=_percent(best.fpr.value or 0.0),
        fnr=_percent(best.fnr.value or 0.0),
    )
    return together([said, *_doubt(best)])


def _percent(value: float | None) -> str:
    return "n/a" if value is None else f"{value * 100:.1f} %"


def _sureness(line: Line) -> str:
    """The interval of EBI, or which class is too thin for one."""
    if line.ebi.low is not None and line.ebi.high is not None:
        return phrase("95 % interval {low:.1f}–{high:.1f} %", low=line.ebi.low * 100, high=line.ebi.high * 100)
    unit = line.unit_words
    if line.fpr.low is None and line.fnr.low is None:
        return phrase("no interval: too few minutes with normal and with anomalous {unit}", unit=unit)
    if line.fpr.low is None:
        return phrase("no interval: too few minutes with normal {unit}", unit=unit)
    return phrase("no interval: too few minutes with anomalous {unit}", unit=unit)


def _doubt(line: Line) -> list[Phrase]:
    if line.ebi_best is None or line.ebi_worst is None:
        return []
    said = phrase(
        "{share} of the answers are unresolved: with all of those decided, EBI would lie between {worst:.1f} and "
        "{best:.1f} %.",
        share=_percent(line.unresolved_share),
        worst=line.ebi_worst * 100,
        best=line.ebi_best * 100,
    )
    return [said]


def figures_begin(scored: Sequence[int], by_day: bool) -> Phrase:
    """Why there are no figures: no slice is closed; `scored` segments of each open one."""
    when = phrase("A slice closes when a round is launched on it, or on a later one, and is counted then.")
    if by_day:
        when = phrase("A slice closes at local midnight, once all of it is scored, and is counted then.")
    if not scored:
        return together([phrase("No slice is closed yet; there is no recording."), when])
    where = phrase("the open one")
    if len(scored) > 1:
        where = phrase("{slices} open ones", slices=len(scored))
    waiting = counted(
        "No slice is closed yet; {n} scored segment waits in {where}.",
        "No slice is closed yet; {n} scored segments wait in {where}.",
        sum(scored),
        where=where,
    )
    return together([waiting, when])
