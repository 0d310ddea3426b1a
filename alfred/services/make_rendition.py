"""The playable H.264 of a recording whose camera keeps video. Heavy: runs in a worker's child process."""

from __future__ import annotations

from django.db import transaction

from alfred.models import Recording, Rendition
from alfred.models.work import fence
from alfred.services import clips
from alfred.services.jobs import BadInputError, JobContext
from alfred.services.storage import artifacts
from alfred.video.probe import BadVideo
from alfred.video.rendition import make_rendition


def run(context: JobContext, recording_id: int) -> None:
    """Made once; the poses stand without it, so a failure here quarantines nothing."""
    recording = Recording.objects.select_related("camera").get(pk=recording_id)
    if not recording.source or Rendition.objects.filter(recording=recording).exists():
        return
    total = max(1, round(recording.duration_s * 10))
    with artifacts().temporary(".mp4") as path:
        try:
            make_rendition(
                artifacts().path(recording.source),
                path,
                progress=lambda frames, pts: context.report(min(total, round(pts * 10)), total, f"{frames} frames"),
            )
        except BadVideo as error:
            raise BadInputError(str(error)) from None
        key = artifacts().put_file(recording.camera.slug, path, ".mp4")
    with transaction.atomic():
        fence(context.job_id, context.attempt)
        Rendition.objects.create(recording=recording, artifact=key)
        clips.queue_for(recording.camera_id, recording.pk, list(clips.wanting(recording.pk)[:1]))
