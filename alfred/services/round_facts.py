"""One round's page: where it is, the loss so far, what trained and what did not, candidate beside deployed."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from django.utils.translation import gettext as _

from alfred.core.methodologies import Methodology, Reason
from alfred.models import Evaluation, Job, Round
from alfred.services import build_validation, deploy, replay_facts
from alfred.services.storage import artifacts

CSV_ROWS = 5000

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
    checks = deploy.checks_of(row)
    return {
        "job": Job.objects.filter(kind=Job.Kind.ROUND, subject=row.pk).first(),
        "steps": _steps(row),
        "running": row.state in Round.RUNNING,
        "trained_on": {words: n for words, n in row.left_out.items() if words in trains},
        "left_out": {words: n for words, n in row.left_out.items() if words not in trains},
        "notes": _notes(row),
        "losses": [loss for loss in row.losses if loss == loss],
        "remembered": row.version.card.get("remembered") if row.version else None,
        "compared": row.state in (Round.State.CANDIDATE, Round.State.PROMOTED, Round.State.REJECTED),
        "candidate": candidate,
        "deployed": evaluations.get("deployed"),
        "sentence": _sentence(candidate),
        "gates": checks,
        "all_hold": all(check["holds"] for check in checks),
        "validation": build_validation.frozen_set(row.camera_id),
        "replay": replay_facts.of_round(row),
    }


def manifest_as_csv(row: Round) -> Iterator[bytes]:
    """The stored manifest as CSV (RFC 4180, UTC), some rows at a time. Raises FileNotFoundError at once without one."""
    file = artifacts().open(row.manifest)

    def blocks() -> Iterator[bytes]:
        with file, pq.ParquetFile(file) as stored:
            header = True
            for batch in stored.iter_batches(batch_size=CSV_ROWS):
                text = io.BytesIO()
                pa_csv.write_csv(batch, text, pa_csv.WriteOptions(include_header=header))
                header = False
                yield text.getvalue()

    return blocks()


def _notes(row: Round) -> list[str]:
    """What an admin should know of the answers behind this round, in sentences."""
    counted = {reason: row.left_out.get(reason.words, 0) for reason in Reason}
    notes = []
    unresolved, unasked = counted[Reason.UNRESOLVED], counted[Reason.UNASKED]
    if unresolved:
        notes.append(
            _(
                "%(n)d of the segments are unresolved: people were unsure, skipped them, or contradicted each "
                "other. They train nothing until that is settled."
            )
            % {"n": unresolved}
        )
    waits = counted[Reason.ONE_VOICE]
    if waits:
        notes.append(
            _(
                "%(n)d false alarms wait for a second person: too many would have rested on one person's word. "
                "Once confirmed they count for the next round."
            )
            % {"n": waits}
        )
    judged = counted[Reason.CONFIRMED_FP] + counted[Reason.CONFIRMED_ANOMALY] + unresolved
    if row.version_id and Methodology(row.methodology).asks and not judged:
        notes.append(
            _(
                "Nobody has judged anything of this slice: %(n)d flagged segments were left out, and the round "
                "learned from unflagged ones alone."
            )
            % {"n": unasked}
        )
    return notes


def _steps(row: Round) -> list[tuple[str, str]]:
    """Each step's words and whether it is done, now, or to come."""
    order = [str(s) for s in STEPS]
    at = order.index(row.state) if row.state in order else (len(order) if row.state in ("promoted", "rejected") else -1)
    return [
        (
            str(Round.State(s).label),
            "done" if i < at or row.state in ("candidate", "promoted", "rejected") else "now" if i == at else "next",
        )
        for i, s in enumerate(order)
    ]


def _sentence(candidate: dict[str, Any] | None) -> str:
    """The comparison in one sentence."""
    difference = candidate.get("difference") if candidate else None
    if not difference or difference["estimate"] is None:
        return _("Too little data to compare the candidate with the deployed version on the validation set.")
    points = difference["estimate"] * 100
    if difference["low"] is None:
        return _(
            "EBI differs by %(points)+.1f points; too few blocks for an interval, so nothing can be said of chance."
        ) % {"points": points}
    ends = {"points": points, "low": difference["low"] * 100, "high": difference["high"] * 100}
    between = _("%(points)+.1f points (95 %%: %(low)+.1f to %(high)+.1f)") % ends
    said = {
        "no difference": _("No difference: EBI %(between)s lies within chance."),
        "better": _("The candidate is better: EBI %(between)s."),
        "worse": _("The candidate is worse: EBI %(between)s."),
    }[difference["verdict"]] % {"between": between}
    tail = _("Test-data uncertainty only; training varies with the seed.")
    return f"{said} {tail}"
