"""Which events need a clip, and how long clips stay. Needs no decoder."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from django.db.models import QuerySet
from django.utils import timezone

from alfred.models import Clip, Event, Job, Rendition
from alfred.models.work import queue
from alfred.services.storage import artifacts

KEPT = timedelta(days=7)
"""After the answer: long enough for a second look and a correction."""


def wanting(recording_id: int) -> QuerySet[Event]:
    """Events of the recording that wait for an answer and have no clip yet."""
    return Event.objects.filter(recording=recording_id, state__in=Event.WAITING, clip__isnull=True)


def queue_for(camera_id: int, recording_id: int, events: Sequence[Event]) -> None:
    """Have clips cut for events just opened, where the recording's playable file is there; else it asks itself."""
    if events and Rendition.objects.filter(recording=recording_id).exists():
        queue(camera_id, Job.Kind.CLIPS, recording_id, key=f"clips:{recording_id}:{events[0].pk}")


def discard_old() -> int:
    """Delete the clips of events answered long ago: first the files, then the row."""
    old = Clip.objects.filter(event__state=Event.State.DECIDED, event__decided_at__lt=timezone.now() - KEPT)
    found = list(old)
    for clip in found:
        for key in (clip.blurred, clip.raw):
            others = Clip.objects.exclude(pk=clip.pk)  # equal stretches are one file
            if not (others.filter(blurred=key).exists() or others.filter(raw=key).exists()):
                artifacts().delete(key)
        clip.delete()
    return len(found)
