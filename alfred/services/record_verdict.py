"""Write what a person said. Every answered request is on disk, once; nothing is overwritten or discarded."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

from django.contrib.postgres.expressions import ArraySubquery
from django.db import transaction
from django.db.models import OuterRef
from django.utils import timezone

from alfred.models import Answer, Event, EventSegment, Lane, Lease, SnapshotLabel, User, Verdict, work
from alfred.models.people import cameras_of
from alfred.services import build_validation, lease

UNDO_FOR = timedelta(minutes=30)
SKIPS_UNTIL_HELD = 2


class NothingToUndo(Exception):
    """There is no verdict of theirs that may still be undone; the message says why."""


@dataclass(frozen=True)
class Recorded:
    """What became of an answer: newly written or known already, and whether another had decided before."""

    is_new: bool
    second: bool


@transaction.atomic
def record(
    user: User, event_id: UUID, answer: Answer, key: UUID, *, active_ms: int = 0, scripted: bool = False
) -> Recorded:
    """One verdict row for each segment the event asks about.

    The same key again changes nothing. An event that another person decided meanwhile still takes the answer, as a
    second one; one's own new answer supersedes the earlier. Raises Event.DoesNotExist for one that is not theirs.
    """
    asked = EventSegment.objects.filter(event=OuterRef("pk")).order_by("segment_id").values("segment_id")
    rows = Event.objects.filter(camera__in=cameras_of(user)).annotate(asked=ArraySubquery(asked))
    event = rows.select_for_update(of=("self",)).get(pk=event_id)
    said = list(Verdict.objects.filter(event=event).order_by("id"))
    known = next((v for v in said if v.key == key and v.user_id == user.pk), None)
    if known:
        return Recorded(False, known.second)
    superseded = {v.supersedes_id for v in said}
    before = [v for v in said if v.pk not in superseded and v.answer != Answer.UNDO]
    own = {v.segment_id: v for v in before if v.user_id == user.pk}
    second = any(v.user_id != user.pk and v.answer != Answer.SKIP for v in before)
    Verdict.objects.bulk_create(
        [
            Verdict(
                event=event,
                segment_id=segment,
                user=user,
                answer=answer,
                second=second,
                supersedes=own.get(segment),
                key=key,
                active_ms=max(0, min(active_ms, 3_600_000)),
                scripted=scripted,
            )
            for segment in event.asked
        ]
    )
    if not second:
        _settle(event, answer, before, user)
    Lease.objects.filter(event=event, user=user, released_at=None).update(released_at=timezone.now())
    if event.lane == Lane.WARMUP:
        # Counting the whole warm-up is not this request's work: a worker does it at once.
        transaction.on_commit(lambda: work.look_at(event.camera_id))
    return Recorded(True, second)


def _settle(event: Event, answer: Answer, before: list[Verdict], user: User) -> None:
    """The queue's side: decided, back to the queue for others, or held for a supervisor."""
    if answer == Answer.SKIP:
        _reopen(event, {v.user_id for v in before if v.answer == Answer.SKIP} | {user.pk})
        return
    event.state, event.decided_at = Event.State.DECIDED, timezone.now()
    event.save(update_fields=["state", "decided_at"])


def _reopen(event: Event, skippers: set[int]) -> None:
    event.state = Event.State.HELD if len(skippers) >= SKIPS_UNTIL_HELD else Event.State.OPEN
    event.decided_at = None
    event.save(update_fields=["state", "decided_at"])


def last_own(user: User) -> Verdict | None:
    """The newest verdict this person could still undo by time; what `undo` would take back."""
    return (
        Verdict.objects.filter(user=user, superseded_by__isnull=True, created_at__gte=timezone.now() - UNDO_FOR)
        .filter(event__camera__in=cameras_of(user))
        .exclude(answer=Answer.UNDO)
        .select_related("event__camera")
        .order_by("-id")
        .first()
    )


@transaction.atomic
def undo(user: User) -> Event:
    """Take back one's newest answer of the last 30 minutes; its event comes back first, leased to this person."""
    verdict = last_own(user)
    if verdict is None:
        raise NothingToUndo("There is nothing of yours from the last 30 minutes to undo.")
    rows = Event.objects.select_related("camera", "recording__rendition")
    event = rows.select_for_update(of=("self",)).get(pk=verdict.event_id)
    said = list(Verdict.objects.filter(event=event, user=user, key=verdict.key, superseded_by__isnull=True))
    _refuse_unless_free(event, user, [row.segment_id for row in said], verdict)
    key = uuid4()
    Verdict.objects.bulk_create(
        [
            Verdict(event=event, segment_id=row.segment_id, user=user, answer=Answer.UNDO, supersedes=row, key=key)
            for row in said
        ]
    )
    others = Verdict.objects.filter(event=event, answer=Answer.SKIP, superseded_by__isnull=True).exclude(user=user)
    _reopen(event, set(others.values_list("user_id", flat=True)))
    lease.take(event, user)
    return event


def _refuse_unless_free(event: Event, user: User, segments: list[int], verdict: Verdict) -> None:
    said = Verdict.objects.filter(event=event, superseded_by__isnull=True).exclude(user=user)
    others = said.exclude(answer__in=(Answer.UNDO, Answer.SKIP))
    if others.exists():
        raise NothingToUndo("Another person has answered this event since; a supervisor can correct it.")
    held = Lease.objects.filter(event=event, released_at=None, expires_at__gt=timezone.now()).exclude(user=user)
    if held.exists():
        raise NothingToUndo("Another person is looking at this event now.")
    frozen = SnapshotLabel.objects.filter(segment_id__in=segments, snapshot__frozen_at__gte=verdict.created_at)
    used = build_validation.uses(segments)
    if frozen.exists() or used:
        raise NothingToUndo("A round has already used this answer; a supervisor can correct it.")
