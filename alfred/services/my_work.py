"""What a person and their team did today. No ranking: the team's figures are those of all together."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any
from uuid import UUID

from django.db.models import Count, Exists, F, Max, OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from alfred.core.methodologies import Label
from alfred.models import Answer, Correction, Event, Lane, SnapshotLabel, User, Verdict
from alfred.models.people import cameras_of
from alfred.services.late_labels import USED
from alfred.services.record_verdict import UNDO_FOR

LISTED = 30
ROWS = 300
"""Verdicts looked at for that; one answer is several where an event asks about several segments."""
AS_LABEL: dict[str, Label] = {Answer.NORMAL: Label.NORMAL, Answer.ANOMALY: Label.ANOMALY}
AT_LEAST = 3
"""People a team's figures need: of two, each could read the other's off them."""


@dataclass(frozen=True)
class Day:
    """Answers given (one a key press, skips apart), and the median seconds that a clip was looked at."""

    answers: int
    skipped: int
    median_s: float | None


@dataclass(frozen=True)
class Mine:
    """One's own answer: where, what, when, and whether undo could still reach it by time.

    `corrected`: a correction of it waits for a supervisor. `ruled`: what one has ruled on the event since.
    `batch`: it was confirmed with others, without a look. `round`: the first round in force that used it.
    """

    event: UUID
    camera: str
    answer: str
    at: datetime
    taken_back: bool
    in_time: bool
    corrected: bool
    ruled: str
    ruled_why: str
    batch: int | None
    round: int | None


def of_day(rows: QuerySet[Verdict]) -> Day:
    """Figures of verdict rows; an event with several segments, or several things said of it, is one answer."""
    given = rows.order_by().values("key").annotate(ms=Max("active_ms"), said=Count("pk", filter=~Q(answer=Answer.SKIP)))
    pressed = list(given.values_list("said", "ms"))
    looked = [ms / 1000 for said, ms in pressed if said and ms]
    skipped = sum(not said for said, _ in pressed)
    return Day(len(pressed) - skipped, skipped, median(looked) if looked else None)


def today(user: User, since: datetime) -> dict[str, Any]:
    """Own and team's figures since `since`, and the newest own answers."""
    given = Verdict.objects.filter(created_at__gte=since, scripted=False, event__camera__in=cameras_of(user))
    given = given.exclude(answer=Answer.UNDO)
    people = given.order_by().values("user").distinct().count()
    return {
        "mine": of_day(given.filter(user=user)),
        "team": of_day(given) if people >= AT_LEAST else None,
        "people": people,
        "answers": _newest(user),
    }


def _newest(user: User) -> list[Mine]:
    """The last answers, from the newest rows alone: whoever has given hundreds of thousands waits no longer."""
    rows = Verdict.objects.filter(user=user, event__camera__in=cameras_of(user)).exclude(answer=Answer.UNDO)
    asked = Correction.objects.filter(event=OuterRef("event"), user=user, event__state=Event.State.DISPUTED)
    ruling = Verdict.objects.filter(event=OuterRef("event"), adjudicates=True, superseded_by__isnull=True)
    used = SnapshotLabel.objects.filter(
        segment=OuterRef("segment"),
        label__in=(Label.NORMAL, Label.ANOMALY),
        snapshot__round__state__in=USED,
        snapshot__frozen_at__gte=OuterRef("created_at"),
    )
    newest = rows.annotate(
        camera=F("event__camera__name"),
        back=F("superseded_by__answer"),
        corrected=Exists(asked),
        ruled=Subquery(ruling.order_by("-id").values("answer")[:1]),
        ruled_why=Subquery(ruling.order_by("-id").values("comment")[:1]),
        lane=F("event__lane"),
        round=Subquery(used.order_by("snapshot").values("snapshot__round__ordinal")[:1]),
        used_as=Subquery(used.order_by("snapshot").values("label")[:1]),
    ).order_by("-id")[:ROWS]
    limit = timezone.now() - UNDO_FOR
    pressed: dict[tuple[UUID, str], Mine] = {}
    for row in newest:
        mine = Mine(
            event=row.event_id,
            camera=row.camera,
            answer=row.answer,
            at=row.created_at,
            taken_back=row.back == Answer.UNDO,
            in_time=row.created_at >= limit,
            corrected=row.corrected,
            ruled="" if row.adjudicates else row.ruled or "",
            ruled_why=row.ruled_why or "",
            batch=row.batch_id,
            round=row.round if row.lane != Lane.KNOWN and AS_LABEL.get(row.answer) == row.used_as else None,
        )
        pressed.setdefault((row.key, row.answer), mine)
    return list(pressed.values())[:LISTED]


def midnight() -> datetime:
    """The day's beginning where this installation is."""
    return timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
