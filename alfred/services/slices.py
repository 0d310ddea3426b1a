"""Slices of a camera's stream: which one a recording joins, when one closes, and what is counted then."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import Exists, Max, OuterRef
from django.utils import timezone

from alfred.models import Camera, Recording, Round, Segment, Slice
from alfred.services.count_slice import store_ground_truth_counts


class NotDrainedError(Exception):
    """The slice still has recordings in work; the message says how many."""


def join(camera: Camera, start_at: datetime, ordinal: int | None) -> Slice:
    """The slice a new recording belongs to; made when there is none. The caller holds the camera's row lock.

    By number where one is given. Otherwise the open slice; a recording that comes after its slice has closed is late
    and joins the open one, so that no closed slice ever changes.
    """
    if ordinal is not None:
        refuse_closed(camera, ordinal)
        return Slice.objects.get_or_create(camera=camera, ordinal=ordinal)[0]
    day = start_at.astimezone(ZoneInfo(camera.time_zone)).date() if camera.slice_by == Camera.SliceBy.DAY else None
    row = Slice.objects.filter(camera=camera, closed_at=None).order_by("ordinal").last()
    if row and (day is None or row.day is None or day <= row.day):
        return row  # a slice still open for an earlier day does not take the next day's recordings
    last = Slice.objects.filter(camera=camera).order_by("ordinal").last()
    return Slice.objects.create(camera=camera, ordinal=last.ordinal + 1 if last else 0, day=day)


def refuse_closed(camera: Camera, ordinal: int | None) -> None:
    """Raises ValueError for the number of a slice that is closed; any other number, or none, is fine."""
    if ordinal is None:
        return
    if Slice.objects.filter(camera=camera, ordinal=ordinal, closed_at__isnull=False).exists():
        raise ValueError(f"slice {ordinal} of {camera.name} is closed; use the next number")


def in_work(row: Slice) -> int:
    """How many of the slice's recordings still wait to be extracted or scored."""
    recordings = Recording.objects.filter(slice=row, quarantined="")
    return recordings.exclude(extractions__scorings__isnull=False).count()


def to_train(camera: Camera) -> Slice | None:
    """The newest slice with people in it, if no decided round has trained on it or a later one."""
    decided = Round.objects.filter(camera=camera, state__in=(Round.State.PROMOTED, Round.State.REJECTED))
    newest = decided.aggregate(newest=Max("slice__ordinal"))["newest"]
    people = Segment.objects.filter(slice=OuterRef("pk"))
    rows = Slice.objects.filter(Exists(people), camera=camera, ordinal__gt=-1 if newest is None else newest)
    return rows.order_by("-ordinal").first()


@transaction.atomic
def close(slice_id: int) -> Slice:
    """Close a drained slice and count it, before anything trains on it. Closing twice changes nothing.

    Holds the camera's row lock, as `join` does: no recording slips into a slice that is closing.
    """
    row = Slice.objects.select_for_update(of=("self", "camera")).select_related("camera").get(pk=slice_id)
    if row.closed_at:
        return row
    waiting = in_work(row)
    if waiting:
        raise NotDrainedError(
            f"{waiting} recordings of slice {row.ordinal} are still being worked on; try again later."
        )
    row.closed_at = timezone.now()
    row.save(update_fields=["closed_at"])
    store_ground_truth_counts(row)
    return row


def close_ended_days() -> int:
    """Close the open slices whose local day is over and whose recordings are all scored (run by the sweep)."""
    closed = 0
    for row in Slice.objects.filter(closed_at=None, day__isnull=False).select_related("camera"):
        today = timezone.now().astimezone(ZoneInfo(row.camera.time_zone)).date()
        if row.day is not None and row.day < today and in_work(row) == 0:
            close(row.pk)
            closed += 1
    return closed
