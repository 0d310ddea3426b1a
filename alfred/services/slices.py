"""Slices of a camera's stream: which one a recording joins, when one closes, when its reviews are done."""

from __future__ import annotations

import logging
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from django.db import DatabaseError, transaction
from django.db.models import Count, Exists, F, Max, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from alfred.models import Camera, Event, Lane, Recording, Round, Segment, SegmentScore, Slice
from alfred.services import draw_audit, drift
from alfred.services.count_slice import store_ground_truth_counts

log = logging.getLogger(__name__)


class NotDrainedError(Exception):
    """The slice still has recordings in work; the message says how many."""


def join(camera: Camera, start_at: datetime, ordinal: int | None) -> Slice:
    """The slice a new recording belongs to; made when there is none. The caller holds the camera's row lock.

    By number where one is given. Otherwise the open slice, until its day is over or it is full. A recording that comes
    after its slice has closed is late and joins the open one, so that no closed slice ever changes; so does one whose
    clock has jumped back. A clock that runs ahead counts as today's: nothing was seen tomorrow.
    """
    if ordinal is not None:
        refuse_closed(camera, ordinal)
        return Slice.objects.get_or_create(camera=camera, ordinal=ordinal)[0]
    by_day = camera.slice_by == Camera.SliceBy.DAY
    day = min(_local_day(camera, start_at), _local_day(camera, timezone.now())) if by_day else None
    row = Slice.objects.filter(camera=camera, closed_at=None).order_by("ordinal").last()
    if row and _takes(camera, row, day):
        return row
    last = Slice.objects.filter(camera=camera).order_by("ordinal").last()
    return Slice.objects.create(camera=camera, ordinal=last.ordinal + 1 if last else 0, day=day)


def _takes(camera: Camera, row: Slice, day: date | None) -> bool:
    """Whether an open slice takes one more recording, of this local day where slices are days.

    One still open for an earlier day does not take the next day's recordings.
    """
    if camera.slice_by == Camera.SliceBy.COUNT:
        return scored_segments(row) < camera.slice_segments
    return day is None or day <= _day_of(camera, row)


def _local_day(camera: Camera, at: datetime) -> date:
    return at.astimezone(ZoneInfo(camera.time_zone)).date()


def _day_of(camera: Camera, row: Slice) -> date:
    """The local day a slice covers; of one that was opened otherwise, the day it was opened on."""
    return row.day or _local_day(camera, row.opened_at)


def scored_segments(row: Slice) -> int:
    """How many segments of the slice have a score: what a slice by count is measured by."""
    return SegmentScore.objects.filter(slice=row, value__isnull=False).count()


def refuse_closed(camera: Camera, ordinal: int | None) -> None:
    """Raises ValueError for the number of a slice that is closed; any other number, or none, is fine."""
    if ordinal is None:
        return
    if Slice.objects.filter(camera=camera, ordinal=ordinal, closed_at__isnull=False).exists():
        raise ValueError(
            _("slice %(slice)d of %(camera)s is closed; use the next number")
            % {"slice": ordinal, "camera": camera.name}
        )


def in_work(row: Slice) -> int:
    """How many of the slice's recordings still wait to be extracted or scored."""
    recordings = Recording.objects.filter(slice=row, quarantined="")
    return recordings.exclude(extractions__scorings__isnull=False).count()


def untrained(camera: Camera) -> QuerySet[Slice]:
    """Slices with people in them that no decided round has trained on, nor on a later one; the newest first."""
    decided = Round.objects.filter(camera=camera, state__in=(Round.State.PROMOTED, Round.State.REJECTED))
    newest = decided.aggregate(newest=Max("slice__ordinal"))["newest"]
    people = Segment.objects.filter(slice=OuterRef("pk"))
    rows = Slice.objects.filter(Exists(people), camera=camera, ordinal__gt=-1 if newest is None else newest)
    return rows.order_by("-ordinal")


def to_train(camera: Camera) -> Slice | None:
    """What a round launched now trains on, by whomever: the newest untrained slice.

    Where every slice has its round it is the oldest one that is closed, once it is reviewed: none is passed over
    because a later one was ready first. Where false alarms start rounds it is the newest reviewed one; those confirmed
    in the slices between come along as late labels.
    """
    rows = untrained(camera)
    if camera.round_policy == Camera.RoundPolicy.EVERY_SLICE:
        oldest = rows.filter(closed_at__isnull=False).last()
        if oldest and reviews_done(oldest):
            return oldest
    if camera.round_policy == Camera.RoundPolicy.FALSE_ALARMS:
        return reviewed(rows, camera).first() or rows.first()
    return rows.first()


def reviewed(rows: QuerySet[Slice], camera: Camera) -> QuerySet[Slice]:
    """Those of the camera's slices that are closed and whose queue is empty, or whose review deadline has passed."""
    waiting = Event.objects.filter(slice=OuterRef("pk"), state__in=Event.WAITING)
    waiting = waiting.exclude(lane=Lane.ALERT)  # chosen by somebody who then left: nobody else is asked
    overdue = Q(closed_at__lte=timezone.now() - timedelta(hours=camera.review_deadline_h))
    return rows.filter(overdue | ~Exists(waiting), closed_at__isnull=False)


def reviews_done(row: Slice) -> bool:
    """Whether nobody is waited for any more: the slice's round may start by itself."""
    return reviewed(Slice.objects.filter(pk=row.pk), row.camera).exists()


@transaction.atomic
def close(slice_id: int) -> Slice:
    """Close a drained slice; count it, before anything trains on it, measure its drift and draw its audit.

    Closing twice changes nothing. Holds the camera's row lock, as `join` does: no recording slips into a slice that is
    closing.
    """
    # The camera first, as whoever ingests or launches does: two orders of locking would meet in a deadlock.
    Camera.objects.select_for_update().get(slices=slice_id)
    row = Slice.objects.select_for_update(of=("self",)).select_related("camera").get(pk=slice_id)
    if row.closed_at:
        return row
    waiting = in_work(row)
    if waiting:
        raise NotDrainedError(
            _("%(n)d recordings of slice %(slice)d are still being worked on; try again later.")
            % {"n": waiting, "slice": row.ordinal}
        )
    row.closed_at = timezone.now()
    row.save(update_fields=["closed_at"])
    store_ground_truth_counts(row)
    drift.measure(row)
    draw_audit.for_slice(row)
    return row


def close_full_and_ended() -> int:
    """Close the open slices that hold enough, or whose local day is over, and that are drained (run by the sweep)."""
    closed = 0
    for row in [*_full(), *_ended()]:
        if in_work(row):
            continue
        try:
            close(row.pk)
        except NotDrainedError:  # a recording has joined it meanwhile
            continue
        except DatabaseError:  # one slice must not hold up those of all other cameras
            log.exception("slice %s could not be closed; the next sweep tries again", row.pk)
            continue
        closed += 1
    return closed


def _full() -> QuerySet[Slice]:
    rows = Slice.objects.filter(closed_at=None, camera__slice_by=Camera.SliceBy.COUNT)
    counted = rows.annotate(n=Count("scores", filter=Q(scores__value__isnull=False)))
    return counted.filter(n__gte=F("camera__slice_segments"))


def _ended() -> list[Slice]:
    by_day = Q(day__isnull=False) | Q(camera__slice_by=Camera.SliceBy.DAY)
    rows = Slice.objects.filter(by_day, closed_at=None).select_related("camera")
    return [row for row in rows if _day_of(row.camera, row) < _local_day(row.camera, timezone.now())]
