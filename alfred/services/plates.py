"""Background plates: asked for, approved and taken back by admins, and which one lies under whose poses.

Needs no decoder; `make_plate` makes them.
"""

from __future__ import annotations

from functools import partial
from io import BufferedReader
from typing import Any

from django.db import transaction
from django.db.models import F, FloatField, OuterRef, Subquery
from django.db.models.functions import Cast
from django.utils import timezone
from django.utils.translation import gettext as _

from alfred.models import Camera, Job, Plate, Recording, User, audit
from alfred.models.work import queue
from alfred.services import jobs
from alfred.services.deploy import Refused
from alfred.services.storage import artifacts

SAME_SHAPE = 0.02
"""A plate lies only under recordings whose width ÷ height differs from its own by at most this share."""


def may_have(camera: Camera) -> bool:
    """Pixels are kept, and so shown, only where the camera's privacy says so."""
    return camera.privacy == Camera.Privacy.VIDEO


def source(camera: Camera) -> Recording | None:
    """The camera's newest recording with a playable file and poses: what a plate is made of."""
    rows = Recording.objects.filter(camera=camera, quarantined="", rendition__isnull=False, extractions__isnull=False)
    return rows.select_related("camera", "rendition").order_by("-start_at", "-pk").first()


def why_not(camera: Camera) -> str:
    """Why no plate can be made of this camera now; "" = one can."""
    if not may_have(camera):
        return _("This camera keeps poses only, no video: there is nothing a picture could be made of.")
    if source(camera) is None:
        return _("No recording of this camera has both its poses and a playable video yet.")
    return ""


@transaction.atomic
def request(camera: Camera, by: User) -> Plate:
    """Have a plate made of the newest recording. One that is being made is it; one that waits is replaced.

    Raises Refused with a sentence.
    """
    locked = Camera.objects.select_for_update().get(pk=camera.pk)
    reason = why_not(locked)
    if reason:
        raise Refused(reason)
    waiting = Plate.objects.filter(camera=locked, approved_at=None).first()
    if waiting:
        job = job_of(waiting)
        if job and job.is_live:
            return waiting
        _take_back(waiting, by)
    made = Plate.objects.create(camera=locked, made_by=by)
    audit.record("ask for plate", camera=locked, by=by, plate=made.pk)
    queue(locked.pk, Job.Kind.PLATE, made.pk)
    return made


@transaction.atomic
def approve(plate_id: int, by: User) -> None:
    """From now on it lies under the camera's skeletons; the one before it is deleted. Twice is once.

    Raises Refused where it is not there to be approved.
    """
    plate = locked(plate_id)
    if plate and plate.approved_at:
        return
    if plate is None or not plate.artifact:
        raise Refused(_("This picture is not there any more, or not made yet."))
    if not may_have(plate.camera):
        raise Refused(why_not(plate.camera))
    older = Plate.objects.filter(camera=plate.camera, approved_at__isnull=False).first()
    replaces = older.artifact if older else ""
    if older:
        for key in {older.artifact, older.writes}:
            transaction.on_commit(partial(delete_file, key, older))
        older.delete()
        plate.writes = replaces  # killed before that file is deleted, this row still names it, to go with its own
    plate.approved_by, plate.approved_at = by, timezone.now()
    plate.save(update_fields=["approved_by", "approved_at", "writes"])
    audit.record(
        "approve plate", camera=plate.camera, by=by, plate=plate_id, artifact=plate.artifact, replaces=replaces
    )


@transaction.atomic
def refuse(plate_id: int, by: User) -> None:
    """Take it back, approved or not, made or still in the making: the file is deleted, then the row. Gone is gone."""
    plate = locked(plate_id)
    if plate:
        _take_back(plate, by)


def approved_of(camera: Camera) -> Plate | None:
    """The plate that annotators of the camera see."""
    if not may_have(camera):
        return None
    return Plate.objects.filter(camera=camera, approved_at__isnull=False).select_related("approved_by").first()


def shown_with(recording: str = "recording__") -> Subquery:
    """The id of the plate under a recording's poses, for a query about rows that name it (`recording`: by what path).

    The same for whatever was asked of the recording and for whatever reason.
    """
    wide = Cast(OuterRef(f"{recording}width"), FloatField()) * F("height")
    high = Cast(OuterRef(f"{recording}height"), FloatField()) * F("width")
    rows = Plate.objects.filter(
        camera=OuterRef(f"{recording}camera"), camera__privacy=Camera.Privacy.VIDEO, approved_at__isnull=False
    )
    alike = rows.alias(wide=wide, high=high).filter(
        wide__gt=0, wide__lte=F("high") * (1 + SAME_SHAPE), high__lte=F("wide") * (1 + SAME_SHAPE)
    )
    return Subquery(alike.values("pk")[:1])


def under(recording: Recording) -> int | None:
    """The id of the plate under this recording's poses."""
    found: int | None = Recording.objects.filter(pk=recording.pk).values_list(shown_with(""), flat=True).get()
    return found


def open_picture(plate: Plate) -> BufferedReader | None:
    """Its JPEG; None where it is not made yet, or was deleted this moment."""
    try:
        return artifacts().open(plate.artifact) if plate.artifact else None
    except FileNotFoundError:
        return None


def job_of(plate: Plate) -> Job | None:
    return Job.objects.filter(kind=Job.Kind.PLATE, subject=plate.pk).first()


def facts(camera: Camera) -> dict[str, Any]:
    """What the camera's page tells admins: the plate in use, the one to approve or in the making, and what can be."""
    rows = list(Plate.objects.filter(camera=camera).select_related("made_by", "approved_by", "recording"))
    waiting = next((plate for plate in rows if not plate.approved_at), None)
    return {
        "in_use": next((plate for plate in rows if plate.approved_at), None),
        "waiting": waiting,
        "job": job_of(waiting) if waiting and not waiting.artifact else None,
        "why_not": why_not(camera),
    }


def note_file(plate_id: int, key: str) -> None:
    """Before a picture is written: a worker killed in the middle leaves a row that names the file, to go with it."""
    plate = Plate.objects.filter(pk=plate_id).first()
    if plate and plate.writes != key:
        delete_file(plate.writes, plate)
        Plate.objects.filter(pk=plate_id).update(writes=key)


def delete_file(key: str, of: Plate) -> None:
    """Delete the picture, unless another plate is the same to the byte."""
    if key and not Plate.objects.filter(artifact=key).exclude(pk=of.pk).exists():
        artifacts().delete(key)


def locked(plate_id: int) -> Plate | None:
    """The plate, with its camera locked: files of a camera's plates come and go one at a time."""
    camera = Plate.objects.filter(pk=plate_id).values("camera")
    Camera.objects.select_for_update().filter(pk__in=camera).first()
    return Plate.objects.select_related("camera").filter(pk=plate_id).first()


def _take_back(plate: Plate, by: User) -> None:
    job = job_of(plate)
    if job and job.is_live:
        jobs.cancel(job.pk)
    done = "remove plate" if plate.approved_at else "refuse plate" if plate.artifact else "call off plate"
    audit.record(done, camera=plate.camera, by=by, plate=plate.pk, artifact=plate.artifact)
    _delete(plate)


def _delete(plate: Plate) -> None:
    """First the file, then the row: a kill between leaves no pixels that nobody knows of."""
    for key in {plate.artifact, plate.writes}:
        delete_file(key, plate)
    Plate.objects.filter(pk=plate.pk).delete()
