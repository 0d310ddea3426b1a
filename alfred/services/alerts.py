"""Alerts: what was flagged high, newest first. A view, not a queue; judging one is up to whoever watches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from alfred.models import Acknowledged, Camera, Candidate, Event, Lane, Segment, SegmentScore, User, Verdict
from alfred.models.people import cameras_of
from alfred.services import labels, lease, open_review

MOST = 300
"""Segments on a page, the newest."""
STRIP_ROWS = 3000
"""Of so many of the newest the last hour is drawn."""


class AlreadyJudged(Exception):
    """Somebody has answered this alert, or is looking at it."""


@dataclass
class Group:
    """What one camera flagged within one minute of a recording; `peak` is the segment with the highest score."""

    camera: Camera
    minute: datetime
    peak: Segment
    segments: list[Segment] = field(default_factory=list)
    judged: int = 0
    """How many of them somebody has answered; not what: a second person may still be asked."""
    seen_by: str = ""
    """Who acknowledged it first."""

    @property
    def key(self) -> str:
        return f"{self.peak.recording_id}-{int(self.minute.timestamp())}"

    @property
    def people(self) -> int:
        return len({segment.track_id for segment in self.segments})


def newest(user: User, camera: str = "") -> QuerySet[SegmentScore]:
    """Flagged segments of the stream on this person's cameras, by arrival, the newest first.

    With AL-Light those above its band, which nobody is asked about; otherwise all that is flagged.
    """
    return above_the_band(cameras_of(user).filter(slug=camera) if camera else cameras_of(user))


def above_the_band(cameras: QuerySet[Camera]) -> QuerySet[SegmentScore]:
    """Flagged segments of these cameras' streams that are alerts, with whether somebody has judged them."""
    in_band = Candidate.objects.filter(segment=OuterRef("segment"), lane=Lane.REVIEW, theta_med__gte=OuterRef("value"))
    rows = SegmentScore.objects.filter(flagged=True, slice__isnull=False, segment__camera__in=cameras)
    judged = Exists(labels.standing(Verdict.objects.filter(segment=OuterRef("segment"))))
    rows = rows.exclude(Exists(in_band)).annotate(judged=judged)
    return rows.select_related("segment__camera", "segment__recording").order_by("-id")


def minute_of(segment: Segment) -> datetime:
    return segment.start_at.replace(second=0, microsecond=0)


def groups(rows: Iterable[SegmentScore]) -> list[Group]:
    """By camera, recording and minute: one line, however much happens within it.

    Recordings stand in the order they come in, the minutes of each with the latest first.
    """
    found: dict[tuple[int, datetime], Group] = {}
    highest: dict[tuple[int, datetime], tuple[bool, float]] = {}
    for row in rows:
        segment = row.segment
        minute = minute_of(segment)
        # One that was judged can't be judged again: the card offers the highest of the others.
        key, value = (segment.recording_id, minute), (not row.judged, row.value or -np.inf)  # type: ignore[attr-defined]
        group = found.setdefault(key, Group(segment.camera, minute, segment))
        group.segments.append(segment)
        group.judged += bool(row.judged)  # type: ignore[attr-defined]  # annotated
        if value > highest.get(key, (False, -np.inf)):
            highest[key], group.peak = value, segment
    seen = Acknowledged.objects.filter(recording__in={recording for recording, _ in found}).select_related("user")
    for one in seen:
        if (one.recording_id, one.minute) in found:
            found[one.recording_id, one.minute].seen_by = one.user.username
    place = {recording: n for n, recording in enumerate(dict.fromkeys(recording for recording, _ in found))}
    return sorted(found.values(), key=lambda one: (place[one.peak.recording_id], -one.minute.timestamp()))


def alert_for(user: User, segment_id: int) -> Segment:
    """A flagged segment of the stream of this person's cameras. Raises Segment.DoesNotExist for any other."""
    rows = Segment.objects.filter(camera__in=cameras_of(user), score__flagged=True, slice__isnull=False)
    return rows.select_related("camera", "recording", "score").get(pk=segment_id)


def acknowledge(user: User, segment_id: int, *, seen: bool = True) -> None:
    """Note that somebody has seen this minute's alert, for all who watch the camera; or take that back."""
    segment = alert_for(user, segment_id)
    which = {"recording": segment.recording, "minute": minute_of(segment)}
    if seen:
        Acknowledged.objects.get_or_create(**which, defaults={"user": user})
    else:
        Acknowledged.objects.filter(**which).delete()


def last_hour(user: User, camera: str = "") -> list[tuple[str, list[int]]]:
    """(camera, alerts in each of the last sixty minutes, the newest last) of the cameras that had any."""
    now = timezone.now()
    rows = newest(user, camera).values_list("segment__camera__name", "segment__start_at")[:STRIP_ROWS]
    found: dict[str, list[int]] = defaultdict(lambda: [0] * 60)
    for name, at in rows:
        ago = int((now - at).total_seconds() // 60)
        if 0 <= ago < 60:
            found[name][59 - ago] += 1
    return sorted(found.items())


@transaction.atomic
def judge(user: User, segment_id: int) -> Event:
    """The event that asks about this alert, leased to this person. Raises Segment.DoesNotExist for one not theirs.

    Where the queue asks about it already that event is taken out of turn, and counts as judged by choice. Not so what
    a sample waits for, which would be no sample any more. Raises `AlreadyJudged`, in words, where it can't be.
    """
    segment = alert_for(user, segment_id)
    camera = Camera.objects.select_for_update().get(pk=segment.camera_id)
    if labels.standing(Verdict.objects.filter(segment=segment), together=True).exists():
        raise AlreadyJudged(_("This alert has been answered."))
    event = Event.objects.filter(segments=segment, state__in=Event.WAITING).exclude(lane=Lane.KNOWN).first()
    if event is None:
        open_review.open_events([[segment.score]], camera, Lane.ALERT, np.random.default_rng(segment.pk))
        event = Event.objects.get(segments=segment, lane=Lane.ALERT)
    try:
        with transaction.atomic():
            if event.lane not in (Lane.ALERT, Lane.REVIEW):
                raise IntegrityError
            Event.objects.select_for_update().get(pk=event.pk)
            lease.take_ahead(event, user, chosen=True)
    except IntegrityError:
        # The same words for both: what is in a sample must not be told from what somebody looks at.
        said = _("Somebody is looking at this alert, or will be asked about it in its turn.")
        raise AlreadyJudged(said) from None
    return event
