"""The picture of a camera's empty scene, out of its newest recording. Heavy: runs in a worker's child process."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from django.db import transaction
from django.utils import timezone

from alfred.models import Plate, PoseExtraction, Recording, audit
from alfred.models.work import fence
from alfred.pose.boxes import boxes_with_room
from alfred.pose.formats.parquet import read_poses
from alfred.services import plates
from alfred.services.jobs import BadInputError, JobContext
from alfred.services.storage import artifacts
from alfred.video.container import BadVideo
from alfred.video.decode import frames_at
from alfred.video.plate import SAMPLES, EmptyScene, Image, NoScene, as_jpeg, empty_scene

ROOM = 0.15
"""Around a person's box, as a share of its longer side: hair, feet, a bag, some of the shadow."""
AROUND_S = 0.5
"""People found so long before or after a frame hide their place in it too: a tracker misses one now and then."""


def run(context: JobContext, plate_id: int) -> None:
    """Made once; one that was taken back meanwhile is not made."""
    plate = Plate.objects.select_related("camera").filter(pk=plate_id, artifact="").first()
    if plate is None:
        return
    reason, recording = plates.why_not(plate.camera), plates.source(plate.camera)
    if reason or recording is None:
        raise BadInputError(reason)
    try:
        scene = empty_scene(*_sampled(context, recording))
    except BadVideo as error:
        raise BadInputError(f"{recording.name}: {error}") from None
    except NoScene as error:
        raise BadInputError(str(error)) from None
    _store(context, plate_id, recording, scene)


def _sampled(context: JobContext, recording: Recording) -> tuple[list[Image], list[npt.NDArray[np.float64]]]:
    """Frames spread over the whole recording, and where people are in each, in px of the frame."""
    extraction = PoseExtraction.objects.get(recording=recording)
    images: list[Image] = []
    boxes: list[npt.NDArray[np.float64]] = []
    times = (np.arange(SAMPLES) + 0.5) * recording.duration_s / SAMPLES
    for frame in frames_at(artifacts().path(recording.rendition.artifact), times):
        start, end = frame.pts - AROUND_S, frame.pts + AROUND_S
        found = boxes_with_room(read_poses(artifacts().path(extraction.artifact), start=start, end=end), ROOM)
        height, width = frame.image.shape[:2]
        # Poses stand in px of the recording, of which the playable file is a smaller copy.
        scale = np.array([width / recording.width, height / recording.height] * 2)
        images.append(frame.image)
        boxes.append(found * scale)
        context.report(frame.index + 1, SAMPLES, f"frame {frame.index + 1} of {SAMPLES}")
    return images, boxes


def _store(context: JobContext, plate_id: int, recording: Recording, scene: EmptyScene) -> None:
    height, width = scene.image.shape[:2]
    facts = {"width": width, "height": height, "covered": scene.covered, "frames": scene.frames}
    data, plate = as_jpeg(scene.image), None
    key = artifacts().key_of(recording.camera.slug, data, ".jpg")
    plates.note_file(plate_id, key)
    try:
        with transaction.atomic():
            plate = plates.locked(plate_id)  # the camera before the job, as who takes a plate back locks them
            fence(context.job_id, context.attempt)
            if plate is None:
                return
            artifacts().put_bytes(recording.camera.slug, data, ".jpg")
            row = Plate.objects.filter(pk=plate_id)
            row.update(recording=recording, artifact=key, made_at=timezone.now(), **facts)
            said = {"plate": plate_id, "recording": recording.pk, "artifact": key, "covered": round(scene.covered, 4)}
            audit.record("make plate", camera=plate.camera, by=plate.made_by, **said)
    except BaseException:  # the row names the file, but it is not to lie there until somebody takes the plate back
        if plate:
            plates.delete_file(key, plate)
        raise
