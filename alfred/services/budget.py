"""The review budget of a slice: how many segments of a recording may be asked, on average, so that all get a chance."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import sqrt
from zoneinfo import ZoneInfo

from django.db.models import Sum
from django.utils import timezone

from alfred.models import Camera, Candidate, Lane, Recording, Slice


def allowance(camera: Camera, recording: Recording, lane: Lane) -> float:
    """The expected number of this recording's segments that may be asked; not a whole number.

    What is left is shared with the slice's recordings that still wait to be scored, by their length. What was spent
    is the sum of the stored π, not the number drawn: it never runs ahead of what is released. A day's budget is
    released as the day goes on, so that every recording of it has some chance. A slice of imported files has all of
    its budget at once: files that come after it is spent have none, and their π says so.
    """
    spent = Candidate.objects.filter(slice=recording.slice, lane=lane).aggregate(s=Sum("probability"))["s"] or 0.0
    released = camera.review_budget * _released(camera, recording.slice)
    return max(0.0, round(released - spent, 9)) * _share(recording)


def _released(camera: Camera, row: Slice | None) -> float:
    """The share of a day's budget that may be spent by now: the root of the elapsed share of the local day.

    The root is for cameras that are handed a few files in the morning: they need not wait for the evening.
    """
    if row is None or row.day is None:
        return 1.0
    zone = ZoneInfo(camera.time_zone)
    # In UTC: a day on which clocks change has 23 or 25 hours, and datetimes of one zone are subtracted as clocks read.
    begin = datetime.combine(row.day, datetime.min.time(), zone).astimezone(UTC)
    end = datetime.combine(row.day + timedelta(days=1), datetime.min.time(), zone).astimezone(UTC)
    elapsed = (timezone.now() - begin) / (end - begin)
    return sqrt(min(1.0, max(0.0, elapsed)))


def _share(recording: Recording) -> float:
    """Of the footage of its slice that is not scored yet, the part that is this recording's."""
    waiting = Recording.objects.filter(slice=recording.slice, quarantined="", extractions__scorings=None)
    others = waiting.exclude(pk=recording.pk).aggregate(s=Sum("duration_s"))["s"] or 0.0
    mine = max(recording.duration_s, 1.0)
    return float(mine / (mine + others))
