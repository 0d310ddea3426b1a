"""Which events need a clip, and how long clips stay. Needs no decoder."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from django.db.models import Q, QuerySet
from django.utils import timezone

from alfred.models import Clip, Event, Job, Rendition
from alfred.models.work import queue
from alfred.services.storage import artifacts

KEPT = timedelta(days=7)
"""After the answer: long enough for a second look and a correction."""
LONGEST = timedelta(days=28)
"""After it was opened, answered or not: pixels are not kept because nobody got round to something."""


def wanting(recording_id: int) -> QuerySet[Event]:
    """Events of the recording that wait for an answer and have no clip yet."""
    young = timezone.now() - LONGEST
    waiting = Event.objects.filter(recording=recording_id, state__in=Event.WAITING, clip__isnull=True)
    return waiting.filter(opened_at__gt=young)


def queue_for(camera_id: int, recording_id: int, events: Sequence[Event]) -> None:
    """Have clips cut for events just opened, where the recording's playable file is there; else it asks itself."""
    if events and Rendition.objects.filter(recording=recording_id).exists():
        queue(camera_id, Job.Kind.CLIPS, recording_id, key=f"clips:{recording_id}:{events[0].pk}")


def discard_old() -> int:
    """Delete the clips of events answered or opened long ago: first the files, then the row."""
    now = timezone.now()
    answered = Q(event__state__in=Event.ANSWERED, event__decided_at__lt=now - KEPT)
    old = Clip.objects.filter(answered | Q(event__opened_at__lt=now - LONGEST))
    found = list(old)
    for clip in found:
        delete_files([clip.blurred, clip.raw], of=clip)
        clip.delete()
    return len(found)


def delete_files(keys: Sequence[str], of: Clip | None = None) -> None:
    """Delete these artifacts, unless another clip has one: equal stretches are one file."""
    others = Clip.objects.exclude(pk=of.pk) if of else Clip.objects.all()
    for key in keys:
        if not others.filter(Q(blurred=key) | Q(raw=key)).exists():
            artifacts().delete(key)
