"""What a person and their team did today. No ranking: the team's figures are those of all together."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any
from uuid import UUID

from django.db.models import Exists, Max, Min, OuterRef, QuerySet
from django.utils import timezone

from alfred.models import Answer, Correction, Event, User, Verdict
from alfred.models.people import cameras_of
from alfred.services.record_verdict import UNDO_FOR

LISTED = 30
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

    `corrected`: a correction of it waits for a supervisor.
    """

    event: UUID
    camera: str
    answer: str
    at: datetime
    taken_back: bool
    in_time: bool
    corrected: bool


def of_day(rows: QuerySet[Verdict]) -> Day:
    """Figures of verdict rows; an event with several segments is one answer."""
    pressed = list(rows.order_by().values("key", "answer").annotate(ms=Max("active_ms")).values_list("answer", "ms"))
    looked = [ms / 1000 for answer, ms in pressed if answer != Answer.SKIP and ms]
    skipped = sum(answer == Answer.SKIP for answer, _ in pressed)
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
    rows = Verdict.objects.filter(user=user, event__camera__in=cameras_of(user)).exclude(answer=Answer.UNDO)
    asked = Correction.objects.filter(event=OuterRef("event"), user=user, event__state=Event.State.DISPUTED)
    pressed = rows.values("key", "answer", "event", "event__camera__name").annotate(
        at=Min("created_at"), back=Max("superseded_by__answer"), newest=Max("id"), corrected=Exists(asked)
    )
    limit = timezone.now() - UNDO_FOR
    return [
        Mine(
            event=row["event"],
            camera=row["event__camera__name"],
            answer=row["answer"],
            at=row["at"],
            taken_back=row["back"] == Answer.UNDO,
            in_time=row["at"] >= limit,
            corrected=row["corrected"],
        )
        for row in pressed.order_by("-newest")[:LISTED]
    ]


def midnight() -> datetime:
    """The day's beginning where this installation is."""
    return timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
