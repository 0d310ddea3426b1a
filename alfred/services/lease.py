"""Hand out the next event to one person at a time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Exists, F, IntegerField, Max, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Ln, Random
from django.utils import timezone

from alfred.models import Answer, Event, Lane, Lease, Role, User, Verdict
from alfred.models.people import cameras_of
from alfred.services import guide, plates

COUNT_UP_TO = 1000

RELOAD_S = 6.0
"""A page that is left may be a page that is loaded again: so long it keeps its place."""

MOST_HELD = 4
"""Leases a person holds: the event on the stage and the next three, fetched while it is looked at."""


def open_events(user: User, camera: str = "") -> QuerySet[Event]:
    """Events on this person's cameras (on the one with this slug, if named) that wait for them.

    Not those they skipped, nor those they have answered that wait for a second person; those that two people skipped
    wait for the camera's supervisors only.
    """
    answered = Verdict.objects.filter(event=OuterRef("pk"), user=user, superseded_by__isnull=True)
    answered = answered.exclude(answer=Answer.UNDO)
    rows = Event.objects.filter(state__in=Event.QUEUED, camera__in=cameras_of(user)).exclude(Exists(answered))
    rows = rows.exclude(lane=Lane.ALERT, state__in=Event.WAITING)  # a view of its own, till a second look is due
    rows = rows.filter(~Q(state=Event.State.HELD) | Q(camera__in=cameras_of(user, Role.SUPERVISOR)))
    return rows.filter(camera__slug=camera) if camera else rows


def waiting(user: User, camera: str = "") -> int:
    """How many events wait, counted up to `COUNT_UP_TO`: a long queue must not slow the next event down."""
    return open_events(user, camera)[:COUNT_UP_TO].count()


def next_event(user: User, camera: str = "") -> Event | None:
    """The event this person holds, or the next free one, leased to them now."""
    return next_and_waiting(user, camera)[0]


@transaction.atomic
def next_and_waiting(user: User, camera: str = "") -> tuple[Event | None, int]:
    """The same, and how many events wait."""
    waits = _alone(user, waits=_Count(open_events(user, camera).values("pk")[:COUNT_UP_TO]))["waits"]
    return next(iter(_fill_up(user, camera, most=1, extend=True)), None), waits


@transaction.atomic
def hold(user: User, camera: str = "", *, extend: bool = True) -> list[Event]:
    """The events this person holds, in the order they are to be shown, filled up with free ones to `MOST_HELD`.

    `SKIP LOCKED`: two people asking at once never wait for, or get, the same event. What is held of other cameras than
    the chosen one is given back. `extend`: what is held already is held for a whole term again.
    """
    _alone(user)
    return _fill_up(user, camera, most=MOST_HELD, extend=extend)


class _Count(Subquery):
    """How many rows a query has, within another one."""

    template = "(SELECT count(*) FROM (%(subquery)s) counted)"
    output_field = IntegerField()


def _alone(user: User, **told: Subquery) -> dict[str, Any]:
    """Until the transaction ends, no other tab of this person takes events: together they would hold too many."""
    return dict(User.objects.select_for_update(no_key=True).values("pk", **told).get(pk=user.pk))


def _fill_up(user: User, camera: str, *, most: int, extend: bool) -> list[Event]:
    now = timezone.now()
    held = _held(user, now)
    mine = [event for event in held if not camera or event.camera.slug == camera]
    if len(mine) < len(held):
        Lease.objects.filter(user=user, released_at=None).exclude(event__in=mine).update(released_at=now)
    if mine and extend:
        _extend(user, now)
    while len(mine) < most and (taken := _take_free(user, camera, most - len(mine), now)):
        mine += taken
    return mine[:most]


def _held(user: User, now: datetime) -> list[Event]:
    """What a person holds, also an event taken back that waits for a supervisor otherwise."""
    rows = Event.objects.filter(
        leases__user=user, leases__released_at=None, leases__expires_at__gt=now, state__in=Event.QUEUED
    )
    rows = rows.filter(camera__in=cameras_of(user)).order_by("-leases__ahead", "leases__pk")
    return list(_to_show(rows))


def _to_show(rows: QuerySet[Any]) -> QuerySet[Any]:
    """With all that the screen says of an event: the version of its camera's `guide`, the `plate` under its poses."""
    shown: QuerySet[Any] = rows.select_related("camera", "recording", "clip").annotate(
        guide=guide.newest_of(OuterRef("camera")), plate=plates.shown_with()
    )
    return shown


def _take_free(user: User, camera: str, most: int, now: datetime) -> list[Event]:
    """Up to `most` free events of one camera, leased now; empty when there is none."""
    unreleased = Lease.objects.filter(released_at=None)
    held = Exists(unreleased.filter(event=OuterRef("pk"), expires_at__gt=now))
    to_close = Exists(unreleased.filter(event=OuterRef("pk")))
    free = open_events(user, camera).exclude(held).annotate(to_close=to_close).order_by("place")
    free = _to_show(free).select_for_update(of=("self",), skip_locked=True)
    in_turn = free if camera else free.filter(camera=_drawn(open_events(user).exclude(held), user))
    for waiting_ones in (in_turn, free):  # others may hold locks on all that the drawn camera has left
        while events := list(waiting_ones[:most]):
            try:
                with transaction.atomic():
                    take(events, user, now, close=any(event.to_close for event in events))
            except IntegrityError:  # somebody took one between our look and our lock: look again
                continue
            return list[Event](events)
    return []


def _drawn(free: QuerySet[Event], user: User) -> Subquery:
    """One of the cameras with free events, by lot, each as likely as its weight says; part of the one query.

    Lottery scheduling (Waldspurger & Weihl, OSDI 1994): a camera with a long backlog gets no more turns than one with a
    single event, so none starves, and nothing has to be remembered. Within a camera events come in the order of their
    places, which are random over all that waits: what has been answered is a random sample of what was asked.
    The least of exponential variates divided by the weights is such a lot.
    """
    # One event of each, by the index of the queue's order: EXISTS would be planned as a join over all that waits.
    one = free.filter(camera=OuterRef("pk")).order_by("place").values("pk")[:1]
    rows = cameras_of(user).alias(one=Subquery(one)).filter(one__isnull=False)
    largest = Ln(Value(1.0) - Random()) / F("queue_weight")  # minus the variate; 1 - U lies in (0, 1]
    return Subquery(rows.order_by(largest.desc()).values("pk")[:1])


def take(
    events: Sequence[Event], user: User, now: datetime, *, close: bool = True, ahead: int = 0, chosen: bool = False
) -> None:
    """Lease these events to this person; the caller holds the row locks on them.

    `close`: their expired leases are closed. `chosen`: from the alerts, out of turn. Raises IntegrityError when another
    person holds one.
    """
    if close:
        over = Lease.objects.filter(event__in=events, released_at=None)
        over.filter(Q(expires_at__lte=now) | Q(user=user)).update(released_at=now)
    until = now + timedelta(seconds=settings.LEASE_S)
    Lease.objects.bulk_create(
        Lease(event=event, user=user, expires_at=until, ahead=ahead, chosen=chosen) for event in events
    )


def take_ahead(event: Event, user: User, *, chosen: bool = False) -> None:
    """Lease one event to be shown before all that the person holds; of more than `MOST_HELD` the last goes back.

    The caller holds the event's row lock. Raises IntegrityError when another person holds it.
    """
    now = timezone.now()
    mine = Lease.objects.filter(user=user, released_at=None).exclude(event=event)
    first = mine.aggregate(first=Max("ahead"))["first"] or 0
    take([event], user, now, ahead=first + 1, chosen=chosen)
    kept = mine.order_by("-ahead", "pk").values_list("pk", flat=True)[: MOST_HELD - 1]
    mine.exclude(pk__in=list(kept)).update(released_at=now)


def _extend(user: User, now: datetime) -> None:
    mine = Lease.objects.filter(user=user, released_at=None, expires_at__gt=now, event__camera__in=cameras_of(user))
    mine.update(expires_at=now + timedelta(seconds=settings.LEASE_S))


def renew(user: User) -> list[UUID]:
    """One heartbeat renews all a person holds; says which events these are."""
    now = timezone.now()
    _extend(user, now)
    return [event.pk for event in _held(user, now)]


def release(user: User, *, after_s: float = 0.0, events: Sequence[UUID] | None = None) -> None:
    """On logout or when a page closes: others may have these events at once, or after so many seconds.

    `events`: those the page had; another page of the same person keeps its own.
    """
    mine, now = Lease.objects.filter(user=user, released_at=None), timezone.now()
    mine = mine if events is None else mine.filter(event__in=events)
    if after_s:
        until = now + timedelta(seconds=after_s)
        mine.filter(expires_at__gt=until).update(expires_at=until)
    else:
        mine.update(released_at=now)


def held_by_others(user: User, camera: str = "") -> tuple[int, float | None]:
    """How many open events others are looking at, and in how many seconds the first may be free."""
    now = timezone.now()
    rows = Lease.objects.filter(event__in=open_events(user, camera), released_at=None, expires_at__gt=now).exclude(
        user=user
    )
    first = rows.order_by("expires_at").values_list("expires_at", flat=True).first()
    return rows.count(), (first - now).total_seconds() if first else None
