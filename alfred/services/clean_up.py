"""Finish what a killed process left half done: pixels that were to go, temporary files."""

from __future__ import annotations

from alfred.models import Camera, Recording
from alfred.services.storage import artifacts


def discard_pixels() -> int:
    """Delete the videos of poses-only cameras whose poses are stored; the row forgets the file last."""
    rows = Recording.objects.filter(
        camera__privacy=Camera.Privacy.POSES_ONLY, origin=Recording.Origin.VIDEO, extractions__isnull=False
    ).exclude(source="")
    found = list(rows.values_list("pk", "source"))
    for pk, source in found:
        discard(pk, source)
    artifacts().clean_temporary()
    return len(found)


def discard(recording_id: int, source: str) -> None:
    """Remove one recording's video: first the file, then its name in the row, so that a kill between loses neither."""
    artifacts().delete(source)
    Recording.objects.filter(pk=recording_id).update(source="")
