"""One round's page: where it is, the loss so far, what trained and what did not, candidate beside deployed."""

from __future__ import annotations

from typing import Any

from alfred.core.methodologies import Reason
from alfred.models import Evaluation, Job, Round
from alfred.services import build_validation

STEPS = (
    Round.State.SNAPSHOT,
    Round.State.TRAINING,
    Round.State.CALIBRATING,
    Round.State.EVALUATING,
    Round.State.CANDIDATE,
)


def facts(row: Round) -> dict[str, Any]:
    """Everything the page shows beside the row itself."""
    evaluations = {e.role: e.figures for e in Evaluation.objects.filter(round=row)}
    trains = {reason.words for reason in Reason if reason.trains}
    candidate = evaluations.get("candidate")
    return {
        "job": Job.objects.filter(kind=Job.Kind.ROUND, subject=row.pk).first(),
        "steps": _steps(row),
        "running": row.state in Round.RUNNING,
        "trained_on": {words: n for words, n in row.left_out.items() if words in trains},
        "left_out": {words: n for words, n in row.left_out.items() if words not in trains},
        "losses": [loss for loss in row.losses if loss == loss],
        "remembered": row.version.card.get("remembered") if row.version else None,
        "candidate": candidate,
        "deployed": evaluations.get("deployed"),
        "sentence": _sentence(candidate),
        "gates": candidate.get("gates", []) if candidate else [],
        "all_hold": all(g["holds"] for g in candidate.get("gates", [])) if candidate else True,
        "validation": build_validation.frozen_set(row.camera_id),
    }


def _steps(row: Round) -> list[tuple[str, str]]:
    """Each step's words and whether it is done, now, or to come."""
    order = [str(s) for s in STEPS]
    at = order.index(row.state) if row.state in order else (len(order) if row.state in ("promoted", "rejected") else -1)
    return [
        (
            Round.State(s).label,
            "done" if i < at or row.state in ("candidate", "promoted", "rejected") else "now" if i == at else "next",
        )
        for i, s in enumerate(order)
    ]


def _sentence(candidate: dict[str, Any] | None) -> str:
    """The comparison in one sentence."""
    difference = candidate.get("difference") if candidate else None
    if not difference or difference["estimate"] is None:
        return "Too little data to compare the candidate with the deployed version on the validation set."
    points = difference["estimate"] * 100
    if difference["low"] is None:
        return f"EBI differs by {points:+.1f} points; too few blocks for an interval, so nothing can be said of chance."
    between = f"{points:+.1f} points (95 %: {difference['low'] * 100:+.1f} to {difference['high'] * 100:+.1f})"
    tail = "Test-data uncertainty only; training varies with the seed."
    if difference["verdict"] == "no difference":
        return f"No difference: EBI {between} lies within chance. {tail}"
    return f"The candidate is {difference['verdict']}: EBI {between}. {tail}"
