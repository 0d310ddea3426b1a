"""Write what a person said. Every answered request is on disk, once; nothing is overwritten or discarded."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from django.contrib.postgres.expressions import ArraySubquery
from django.db import transaction
from django.db.models import OuterRef
from django.utils import timezone
from django.utils.translation import gettext as _

from alfred.models import (
    Answer,
    Event,
    EventSegment,
    GuideVersion,
    Lane,
    Lease,
    Segment,
    User,
    Verdict,
    work,
)
from alfred.models.people import cameras_of
from alfred.services import agreement, batches, build_validation, guide, lease, plates, pose_window
from alfred.services.batches import NothingToUndo

UNDO_FOR = timedelta(minutes=30)
LEAST_S = 1.0
"""Seconds of a segment (or half of it) that must lie in the trimmed range to be judged with it."""
SKIPS_UNTIL_HELD = 2


@dataclass(frozen=True)
class Recorded:
    """What became of an answer: newly written or known already, and whether another had decided before."""

    is_new: bool
    second: bool


@dataclass(frozen=True)
class Details:
    """What may be said beside the answer.

    `people` says otherwise of some of the asked, by their letter on the stage: an answer, or None to leave one out.
    `from_pts` and `until_pts` (seconds of the recording) trim what is judged: segments of which less than `LEAST` lies
    within are left out. What is left out is unlabelled, not normal.
    """

    people: Mapping[str, Answer | None] = field(default_factory=dict)
    from_pts: float | None = None
    until_pts: float | None = None
    kind: str = ""
    reason: str = ""
    comment: str = ""
    guide: int | None = None
    """The version of the guide that was on the screen's camera, 0 where there was none; None: the newest."""

    @property
    def partial(self) -> bool:
        return bool(self.people) or self.from_pts is not None or self.until_pts is not None

    def of(self, answer: Answer) -> dict[str, Any]:
        """What is stored beside an answer: the kind beside an anomaly, the reason beside a normal."""
        return {
            "kind": self.kind if answer == Answer.ANOMALY else "",
            "reason": self.reason if answer == Answer.NORMAL else "",
            "comment": self.comment,
            "from_pts": self.from_pts,
            "until_pts": self.until_pts,
        }


class NothingLeft(Exception):
    """The details leave nothing of the event to judge."""


@transaction.atomic
def record(
    user: User,
    event_id: UUID,
    answer: Answer,
    key: UUID,
    *,
    active_ms: int = 0,
    scripted: bool = False,
    chosen: bool = False,
    details: Details = Details(),
) -> Recorded:
    """One verdict row for each segment the event asks about, or for the part of them that `details` names.

    The same key again changes nothing. An event that another person decided meanwhile still takes the answer, as a
    second one; one's own new answer supersedes the earlier. `chosen`: judged by choice, not in its turn. Raises
    Event.DoesNotExist for one that is not theirs, NothingLeft where nothing would be judged.
    """
    asked = EventSegment.objects.filter(event=OuterRef("pk")).order_by("segment_id").values("segment_id")
    rows = Event.objects.filter(camera__in=cameras_of(user)).select_related("camera")
    rows = rows.annotate(asked=ArraySubquery(asked), guide=guide.newest_of(OuterRef("camera")))
    event = rows.select_for_update(of=("self",)).get(pk=event_id)
    said = list(Verdict.objects.filter(event=event).order_by("id"))
    known = next((v for v in said if v.key == key and v.user_id == user.pk), None)
    if known:
        return Recorded(False, known.second)
    superseded = {v.supersedes_id for v in said}
    before = [v for v in said if v.pk not in superseded and v.answer != Answer.UNDO]
    own = {v.segment_id: v for v in before if v.user_id == user.pk and not v.adjudicates}
    second = any(v.user_id != user.pk and v.answer != Answer.SKIP for v in before)
    partial = details.partial and answer != Answer.SKIP  # half an event can't be passed on to others
    said_of = _parts(event, answer, details) if partial else dict.fromkeys(event.asked, answer)
    how: dict[str, Any] = {
        "active_ms": max(0, min(active_ms, 3_600_000)),
        "scripted": scripted,
        "second": second,
        "key": key,
    }
    Verdict.objects.bulk_create(_rows(event, user, said_of, own, details, how))
    if not second:
        _settle(event, answer, before, user, chosen=chosen)
    elif answer != Answer.SKIP or own:
        agreement.settle(event)
    Lease.objects.filter(event=event, user=user, released_at=None).update(released_at=timezone.now())
    if event.lane == Lane.WARMUP:
        # Counting the whole warm-up is not this request's work: a worker does it at once.
        transaction.on_commit(lambda: work.look_at(event.camera_id))
    return Recorded(True, second)


def _rows(
    event: Event,
    user: User,
    said_of: Mapping[int, Answer],
    own: Mapping[int, Verdict],
    details: Details,
    how: dict[str, Any],
) -> list[Verdict]:
    """A row for each segment; what one had said before of a segment that is left out now no longer stands."""
    guide_id = _guide(event, details.guide)
    given = [
        Verdict(
            event=event, user=user, segment_id=segment, answer=answer, supersedes=own.get(segment), guide_id=guide_id,
            **how, **details.of(answer),
        )
        for segment, answer in said_of.items()
    ]  # fmt: skip
    return given + [
        Verdict(event=event, user=user, segment_id=segment, answer=Answer.UNDO, supersedes=row, key=how["key"])
        for segment, row in own.items()
        if segment not in said_of
    ]


def _guide(event: Event, shown: int | None) -> int | None:
    """An answer may arrive long after it was given: what counts is the guide its screen had."""
    newest: int | None = event.guide  # type: ignore[attr-defined]  # annotated
    if shown is None or shown == newest:
        return newest
    return GuideVersion.objects.filter(pk=shown, camera=event.camera_id).values_list("pk", flat=True).first()


def _parts(event: Event, answer: Answer, details: Details) -> dict[int, Answer]:
    """What is said of which segment; those left out are missing. Raises NothingLeft."""
    letters = {number: letter for letter, number in pose_window.letters(event).items()}
    begin = -math.inf if details.from_pts is None else details.from_pts
    end = math.inf if details.until_pts is None else details.until_pts
    found: dict[int, Answer] = {}
    for pk, number, start, stop in Segment.objects.filter(events=event).values_list(
        "pk", "track__number", "start_pts", "end_pts"
    ):
        said = details.people.get(letters.get(number, ""), answer)
        if said is not None and min(stop, end) - max(start, begin) >= min(LEAST_S, (stop - start) / 2):
            found[pk] = said
    if not found:
        raise NothingLeft(_("Nothing is left to judge: every person is left out, or the trimmed range is too short."))
    return found


def _settle(event: Event, answer: Answer, before: list[Verdict], user: User, *, chosen: bool) -> None:
    """The queue's side: decided, back to the queue for others, or held for a supervisor."""
    if answer == Answer.SKIP:
        _reopen(event, {v.user_id for v in before if v.answer == Answer.SKIP} | {user.pk})
        return
    if agreement.wants_second(event, answer):
        # Further back in the queue, anywhere: what nobody has seen comes first, and none can tell a second look.
        event.state, event.place = Event.State.SECOND, random.uniform(event.place, 1.0)
    else:
        event.state = Event.State.DECIDED
    if event.lane == Lane.REVIEW and (chosen or _was_chosen(event, user)):
        event.lane = Lane.ALERT  # judged by choice, so no part of what the queue says of all that was asked
    event.decided_at = timezone.now()
    event.save(update_fields=["state", "place", "lane", "decided_at"])


def _was_chosen(event: Event, user: User) -> bool:
    return Lease.objects.filter(event=event, user=user, released_at=None, chosen=True).exists()


def _reopen(event: Event, skippers: set[int]) -> None:
    event.state = Event.State.HELD if len(skippers) >= SKIPS_UNTIL_HELD else Event.State.OPEN
    event.decided_at = None
    event.save(update_fields=["state", "decided_at"])


def last_own(user: User) -> Verdict | None:
    """The newest verdict this person could still undo by time; what `undo` would take back.

    `said`: all that the key press said, which is several answers where people were labelled one by one.
    """
    pressed = Verdict.objects.filter(key=OuterRef("key"), user=user).order_by("answer")
    return (
        Verdict.objects.filter(user=user, superseded_by__isnull=True, created_at__gte=timezone.now() - UNDO_FOR)
        .filter(event__camera__in=cameras_of(user), adjudicates=False)
        .exclude(answer=Answer.UNDO)
        .annotate(said=ArraySubquery(pressed.values("answer").distinct()))
        .select_related("event__camera")
        .order_by("-id")
        .first()
    )


@transaction.atomic
def undo(user: User) -> Event:
    """Take back one's newest answer of the last 30 minutes; its event comes back first, leased to this person."""
    verdict = last_own(user)
    if verdict is None:
        raise NothingToUndo(_("There is nothing of yours from the last 30 minutes to undo."))
    rows = Event.objects.select_related("camera", "recording", "clip")
    rows = rows.annotate(guide=guide.newest_of(OuterRef("camera")), plate=plates.shown_with())
    if verdict.batch_id:
        batches.take_back(user, verdict.batch_id)  # locks all of them, in their order
    event = rows.select_for_update(of=("self",)).get(pk=verdict.event_id)
    if verdict.batch_id:
        lease.take_ahead(event, user)
        return event
    said = list(
        Verdict.objects.filter(event=event, user=user, key=verdict.key, superseded_by__isnull=True).exclude(
            answer=Answer.UNDO
        )
    )
    _refuse_unless_free(event, user, [row.segment_id for row in said], verdict)
    key = uuid4()
    Verdict.objects.bulk_create(
        [
            Verdict(event=event, segment_id=row.segment_id, user=user, answer=Answer.UNDO, supersedes=row, key=key)
            for row in said
        ]
    )
    others = Verdict.objects.filter(event=event, superseded_by__isnull=True).exclude(user=user)
    if verdict.second:
        ruled = others.filter(adjudicates=True).exists()
        event.state = Event.State.DECIDED if ruled else Event.State.SECOND
        event.save(update_fields=["state"])
    else:
        _reopen(event, set(others.filter(answer=Answer.SKIP).values_list("user_id", flat=True)))
    lease.take_ahead(event, user, chosen=_back_into_its_lane(event))
    return event


def _back_into_its_lane(event: Event) -> bool:
    """An event judged by choice from the alerts waits for the queue again; says whether it was one."""
    asked_in = EventSegment.objects.filter(event=event).values_list("lane", flat=True)[:1].get()
    if asked_in == event.lane:
        return False
    event.lane = asked_in
    event.save(update_fields=["lane"])
    return True


def _refuse_unless_free(event: Event, user: User, segments: list[int], verdict: Verdict) -> None:
    said = Verdict.objects.filter(event=event, superseded_by__isnull=True).exclude(user=user)
    others = said.exclude(answer__in=(Answer.UNDO, Answer.SKIP))
    if others.filter(pk__gt=verdict.pk).exists():
        raise NothingToUndo(_("Another person has answered this event since; a supervisor can correct it."))
    held = Lease.objects.filter(event=event, released_at=None, expires_at__gt=timezone.now()).exclude(user=user)
    if held.exists():
        raise NothingToUndo(_("Another person is looking at this event now."))
    if batches.used(segments, since=verdict.created_at) or build_validation.uses(segments):
        raise NothingToUndo(_("A round has already used this answer; a supervisor can correct it."))
