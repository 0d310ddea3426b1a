"""Look-alikes of something judged normal: some are checked, the rest is confirmed with them.

What was checked is judged like an alert by choice. What was not looked at has a verdict marked with its `Batch`: it
trains, and counts in no figure; the audit of its slice draws from it as from what nobody was asked about. That is why
only slices that are still open have look-alikes. How many may be wrong is bounded from the checked ones, which are a
random draw.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID, uuid5

import numpy as np
from django.core import signing
from django.db import transaction
from django.db.models import Count, Exists, OuterRef, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from alfred.core.exact import hypergeometric_bounds
from alfred.models import Answer, Batch, Event, EventSegment, Lane, Lease, PoseExtraction, User, Verdict
from alfred.models.people import cameras_of
from alfred.pose.formats.parquet import read_poses
from alfred.pose.likeness import Floats, describe, distance
from alfred.services import lease, record_verdict
from alfred.services.storage import artifacts

LOOKED_AT = 300
"""Of so many waiting events the look-alikes are sought."""
ALIKE = 0.05
"""Heights of the person: how far postures may be apart."""
MOST, LEAST = 24, 6
LEVEL = 0.95
VALID_S = 1800


class NotAlike(Exception):
    """There is nothing to confirm together; the message says why."""


@dataclass(frozen=True)
class Found:
    """`checked` of `events` are to be looked at; `token` says so to the server when the answers come."""

    like: Event
    events: list[UUID]
    checked: list[Event]
    token: str

    @property
    def at_most(self) -> int:
        """So many of those nobody looks at may be anomalies all the same, should all checked ones be normal."""
        return bound(len(self.checked), len(self.events))


@dataclass(frozen=True)
class Confirmed:
    """`together`: how many were confirmed without a look; `gone`: others answered or looked at them meanwhile."""

    batch: Batch | None
    together: int
    gone: int
    at_most: int


def bound(checked: int, events: int) -> int:
    """Largest number of anomalies among `events` that `checked` normal ones, drawn at random, allow (95 %, one-sided).

    Exact (hypergeometric), see `core.exact`.
    """
    return hypergeometric_bounds(0, checked, events, 1 - LEVEL, 1 - LEVEL)[1]


def to_check(events: int) -> int:
    """A third, four at least."""
    return min(events, max(4, -(-events // 3)))


def find(user: User, event_id: UUID) -> Found:
    """Waiting events of the same camera that look like one this person called normal.

    Raises Event.DoesNotExist for one that is not theirs, NotAlike where there are too few.
    """
    like = Event.objects.filter(camera__in=cameras_of(user)).select_related("camera", "recording").get(pk=event_id)
    own = Verdict.objects.filter(event=like, user=user, superseded_by__isnull=True)
    if not own.filter(answer=Answer.NORMAL).exists():
        raise NotAlike(_("Look-alikes are sought of events that you have called normal."))
    waiting = list(_waiting(user, like)[:LOOKED_AT])
    described = _described([like, *waiting])
    if like.pk not in described:
        raise NotAlike(_("There were several people in this one; look-alikes are sought of one person's movement."))
    near = _nearest(described[like.pk], {e.pk: described[e.pk] for e in waiting if e.pk in described})
    if not near:
        raise NotAlike(_("Nothing looks like it of what waits, or what does is to be judged one by one."))
    if len(near) < LEAST:
        words = _("Of what waits too few look like it (%(n)d) to be worth a check of some of them.")
        raise NotAlike(words % {"n": len(near)})
    seed = like.pk.int % 2**62
    drawn = np.random.default_rng(seed).choice(len(near), to_check(len(near)), replace=False)
    by_pk = {event.pk: event for event in waiting}
    checked = [by_pk[near[i]] for i in drawn]
    said = {
        "user": user.pk, "like": str(like.pk), "seed": seed, "events": [str(pk) for pk in near],
        "checked": [str(event.pk) for event in checked],
    }  # fmt: skip
    return Found(like, near, checked, signing.dumps(said, salt="look-alikes"))


def _waiting(user: User, like: Event) -> QuerySet[Event]:
    """What the queue asks of the same camera, in slices that are open, one person each, held by nobody."""
    held = Lease.objects.filter(event=OuterRef("pk"), released_at=None, expires_at__gt=timezone.now())
    rows = lease.open_events(user, like.camera.slug).filter(state=Event.State.OPEN, lane=Lane.REVIEW)
    rows = rows.filter(slice__closed_at=None).exclude(Exists(held)).exclude(pk=like.pk)
    rows = rows.annotate(people=Count("segments__track", distinct=True)).filter(people=1)
    return rows.select_related("camera", "recording").order_by("place")


def _described(events: list[Event]) -> dict[UUID, Floats]:
    """A vector for each event about one person; each recording's poses are read once."""
    asked: dict[UUID, set[int]] = defaultdict(set)
    rows = EventSegment.objects.filter(event__in=events)
    for event, number in rows.values_list("event_id", "segment__track__number"):
        asked[event].add(number)
    of_recording: dict[int, list[Event]] = defaultdict(list)
    for one in events:
        if len(asked[one.pk]) == 1:
            of_recording[one.recording_id].append(one)
    found = {}
    extractions = dict(
        PoseExtraction.objects.filter(recording__in=of_recording).values_list("recording_id", "artifact")
    )
    for recording, mine in of_recording.items():
        first, last = min(one.start_pts for one in mine), max(one.end_pts for one in mine)
        poses = read_poses(artifacts().path(extractions[recording]), start=first, end=last + 1e-6)
        for one in mine:
            inside = (poses.pts >= one.start_pts) & (poses.pts <= one.end_pts)
            vector = describe(poses.take(inside & (poses.track == next(iter(asked[one.pk])))))
            if np.isfinite(vector).all():
                found[one.pk] = vector
    return found


def _nearest(one: Floats, others: Mapping[UUID, Floats]) -> list[UUID]:
    """Up to `MOST` within `ALIKE`, the nearest first."""
    if not others:
        return []
    keys = list(others)
    apart = distance(one, np.stack([others[key] for key in keys]))
    return [keys[i] for i in np.argsort(apart, kind="stable")[:MOST] if apart[i] <= ALIKE]


@transaction.atomic
def confirm(user: User, token: str, answers: Mapping[UUID, Answer], key: UUID) -> Confirmed:
    """Store the answers to the checked ones; where all are normal, confirm the others with them.

    The same key again changes nothing. Raises NotAlike, in words, where the page is too old or answers are missing.
    """
    try:
        said = signing.loads(token, salt="look-alikes", max_age=VALID_S)
    except signing.BadSignature:
        raise NotAlike(_("This page is too old: open the look-alikes again.")) from None
    checked = [UUID(pk) for pk in said["checked"]]
    if said["user"] != user.pk or set(answers) != set(checked):
        raise NotAlike(_("Every one of those shown has to be judged."))
    like = Event.objects.select_related("camera").get(pk=said["like"], camera__in=cameras_of(user))
    # All at once, in one order: of two people whose look-alikes overlap, one waits for the other.
    list(Event.objects.filter(pk__in=said["events"]).select_for_update(of=("self",)).order_by("pk").values_list("pk"))
    for event in checked:
        record_verdict.record(user, event, answers[event], uuid5(key, str(event)), chosen=True)
    if set(answers.values()) != {Answer.NORMAL}:
        return Confirmed(None, 0, 0, 0)
    known = Batch.objects.filter(user=user, verdicts__key=key).first()
    if known:
        return Confirmed(known, known.events - known.checked, 0, bound(known.checked, known.events))
    return _together(user, like, [UUID(pk) for pk in said["events"]], checked, said["seed"], key)


def _together(user: User, like: Event, events: list[UUID], checked: list[UUID], seed: int, key: UUID) -> Confirmed:
    """A verdict for each that is still as it was."""
    unseen = [pk for pk in events if pk not in set(checked)]
    rows = Event.objects.filter(pk__in=unseen, state=Event.State.OPEN, slice__closed_at=None)
    held = Lease.objects.filter(event=OuterRef("pk"), released_at=None, expires_at__gt=timezone.now())
    free = list(rows.exclude(Exists(held.exclude(user=user))).select_for_update(of=("self",)).order_by("pk"))
    gone = len(unseen) - len(free)
    if not free:
        return Confirmed(None, 0, gone, 0)
    batch = Batch.objects.create(
        camera=like.camera, user=user, like=like, events=len(checked) + len(free), checked=len(checked), seed=seed
    )
    Verdict.objects.bulk_create(
        Verdict(event_id=event, segment_id=segment, user=user, answer=Answer.NORMAL, key=key, batch=batch)
        for event, segment in EventSegment.objects.filter(event__in=free).values_list("event_id", "segment_id")
    )
    Event.objects.filter(pk__in=[event.pk for event in free]).update(
        state=Event.State.DECIDED, decided_at=timezone.now()
    )
    return Confirmed(batch, len(free), gone, bound(len(checked), len(events)))
