"""Hand out the next event to one person at a time."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Ln, Random
from django.utils import timezone

from alfred.models import Answer, Event, Lane, Lease, Role, User, Verdict
from alfred.models.people import cameras_of

COUNT_UP_TO = 1000


def open_events(user: User, camera: str = "") -> QuerySet[Event]:
    """Events on this person's cameras (on the one with this slug, if named) that wait for them.

    Not those they skipped; those that two people skipped wait for the camera's supervisors only.
    """
    skipped = Verdict.objects.filter(event=OuterRef("pk"), user=user, answer=Answer.SKIP, superseded_by__isnull=True)
    rows = Event.objects.filter(state__in=Event.WAITING, camera__in=cameras_of(user)).exclude(Exists(skipped))
    rows = rows.exclude(lane=Lane.ALERT)  # a view of its own, not a queue
    rows = rows.filter(Q(state=Event.State.OPEN) | Q(camera__in=cameras_of(user, Role.SUPERVISOR)))
    return rows.filter(camera__slug=camera) if camera else rows


def waiting(user: User, camera: str = "") -> int:
    """How many events wait, counted up to `COUNT_UP_TO`: a long queue must not slow the next event down."""
    return open_events(user, camera)[:COUNT_UP_TO].count()


@transaction.atomic
def next_event(user: User, camera: str = "") -> Event | None:
    """The event this person holds, or the next free one, leased to them now.

    `SKIP LOCKED`: two people asking at once never wait for, or get, the same event.
    """
    now = timezone.now()
    unreleased = Lease.objects.filter(released_at=None)
    held = unreleased.filter(event=OuterRef("pk"), expires_at__gt=now)
    rows = open_events(user, camera).select_related("camera", "recording__rendition")
    # One's own lease holds, also of an event taken back that waits for a supervisor otherwise.
    own = Event.objects.filter(Exists(held.filter(user=user)), state__in=Event.WAITING, camera__in=cameras_of(user))
    own = own.filter(camera__slug=camera) if camera else own
    mine = own.select_related("camera", "recording__rendition").first()
    if mine:
        _extend(user, now)
        return mine
    to_close = Exists(unreleased.filter(Q(event=OuterRef("pk")) | Q(user=user)))
    free = rows.exclude(Exists(held)).annotate(to_close=to_close).order_by("place")
    free = free.select_for_update(of=("self",), skip_locked=True)
    in_turn = free if camera else free.filter(camera=_drawn(open_events(user).exclude(Exists(held)), user))
    for waiting_ones in (in_turn, free):  # others may hold locks on all that the drawn camera has left
        while event := waiting_ones.first():
            try:
                with transaction.atomic():
                    take(event, user, close=event.to_close)
            except IntegrityError:  # somebody took it between our look and our lock: look again
                continue
            return event
    return None


def _drawn(free: QuerySet[Event], user: User) -> Subquery:
    """One of the cameras with free events, by lot, each as likely as its weight says; part of the one query.

    Lottery scheduling (Waldspurger & Weihl, OSDI 1994): a camera with a long backlog gets no more turns than one with a
    single event, so none starves, and nothing has to be remembered. Within a camera events come in the order of their
    places, which are random over all that waits: what has been answered is a random sample of what was asked.
    The least of exponential variates divided by the weights is such a lot.
    """
    rows = cameras_of(user).filter(Exists(free.filter(camera=OuterRef("pk"))))
    largest = Ln(Value(1.0) - Random()) / F("queue_weight")  # minus the variate; 1 - U lies in (0, 1]
    return Subquery(rows.order_by(largest.desc()).values("pk")[:1])


def take(event: Event, user: User, *, close: bool = True) -> None:
    """Lease the event to this person, whose row lock on it the caller holds.

    `close`: its expired lease is closed, and so is what the person held before: one screen, one lease. Raises
    IntegrityError when another person holds it.
    """
    now = timezone.now()
    if close:
        over = Q(event=event, expires_at__lte=now) | Q(user=user)
        Lease.objects.filter(over, released_at=None).update(released_at=now)
    Lease.objects.create(event=event, user=user, expires_at=now + timedelta(seconds=settings.LEASE_S))


def _extend(user: User, now: datetime) -> int:
    mine = Lease.objects.filter(user=user, released_at=None, expires_at__gt=now, event__camera__in=cameras_of(user))
    return mine.update(expires_at=now + timedelta(seconds=settings.LEASE_S))


def renew(user: User) -> int:
    """One heartbeat renews all a person holds; says how many."""
    return _extend(user, timezone.now())


def release(user: User) -> None:
    """On logout or when the page closes: others may have these events at once."""
    Lease.objects.filter(user=user, released_at=None).update(released_at=timezone.now())


def held_by_others(user: User, camera: str = "") -> tuple[int, float | None]:
    """How many open events others are looking at, and in how many seconds the first may be free."""
    now = timezone.now()
    rows = Lease.objects.filter(event__in=open_events(user, camera), released_at=None, expires_at__gt=now).exclude(
        user=user
    )
    first = rows.order_by("expires_at").values_list("expires_at", flat=True).first()
    return rows.count(), (first - now).total_seconds() if first else None
