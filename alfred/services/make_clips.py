"""Cut the clips of a recording's events. Heavy: runs in a worker's child process."""

from __future__ import annotations

from pathlib import Path

from django.db import transaction

from alfred.models import Camera, Clip, Event, Recording, Rendition
from alfred.models.work import fence
from alfred.services import clips
from alfred.services.jobs import BadInputError, JobContext
from alfred.services.pose_window import span
from alfred.services.storage import artifacts
from alfred.video.clip import cut_clip
from alfred.video.container import BadVideo


def run(context: JobContext, recording_id: int) -> None:
    """One after another, each stored by itself: after a kill the next attempt cuts what is missing."""
    recording = Recording.objects.select_related("camera").get(pk=recording_id)
    rendition = Rendition.objects.filter(recording=recording).first()
    if rendition is None or recording.camera.privacy != Camera.Privacy.VIDEO:
        return
    events = list(clips.wanting(recording_id).order_by("opened_at"))
    refused = []
    for done, event in enumerate(events, start=1):
        try:
            _cut(context, recording, artifacts().path(rendition.artifact), event)
        except BadVideo as error:  # the others' clips are cut all the same
            refused.append(f"the clip at {event.start_pts:.1f} s could not be cut: {error}")
        context.report(done, len(events), f"clip {done} of {len(events)}")
    if refused:
        raise BadInputError(f"{len(refused)} of {len(events)} clips are missing: {refused[0]}")


def _cut(context: JobContext, recording: Recording, source: Path, event: Event) -> None:
    start, end = span(event)
    keys: dict[str, str] = {}
    try:
        for name, blurred in (("blurred", True), ("raw", False)):
            with artifacts().temporary(".mp4") as path:
                offset = cut_clip(source, path, start=start, end=end, blurred=blurred)
                keys[name] = artifacts().put_file(recording.camera.slug, path, ".mp4")
        with transaction.atomic():
            fence(context.job_id, context.attempt)
            Clip.objects.get_or_create(event=event, defaults=keys | {"offset_pts": offset})
    except BaseException:  # cancelled, or another attempt is in force: no row would ever tell of these pixels
        clips.delete_files(list(keys.values()))
        raise
