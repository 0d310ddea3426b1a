"""Start a round on the camera's last slice: close it if need be, and queue the work."""

from __future__ import annotations

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from alfred.models import Camera, Job, Round, Slice, User, audit
from alfred.models.detectors import in_force
from alfred.models.work import queue
from alfred.services import slices
from alfred.services.deploy import Refused
from alfred.services.jobs import cancel


@transaction.atomic
def launch(camera_id: int, by: User | None) -> Round:
    """A round on the newest slice, if none was decided on it or a later one; refused with a reason when it can't be."""
    camera = Camera.objects.select_for_update().get(pk=camera_id)
    base = in_force(camera_id)
    if base is None:
        raise Refused(_("Nothing has been scored on this camera yet: add a recording first."))
    if Round.objects.filter(camera=camera, state__in=Round.LIVE).exists():
        raise Refused(_("A round is running, or its candidate waits for a decision: decide on it first."))
    row = _closed_slice(camera)
    last = Round.objects.filter(camera=camera).order_by("ordinal").last()
    ordinal = last.ordinal + 1 if last else 1
    try:
        made = Round.objects.create(
            camera=camera,
            ordinal=ordinal,
            slice=row,
            methodology=camera.methodology,
            base=base,
            seed=camera.pk * 100_003 + ordinal,
            by=by,
        )
    except IntegrityError:  # the constraint is what decides; two launches at once meet here
        raise Refused(_("A round is running on this camera already.")) from None
    queue(camera.pk, Job.Kind.ROUND, made.pk)
    audit.record("launch round", camera=camera, by=by, round=made.pk, slice=row.ordinal)
    return made


def _closed_slice(camera: Camera) -> Slice:
    """The slice a round trains on; it and those before are closed now."""
    row = slices.to_train(camera)
    if row is None:
        raise Refused(_("There is no slice with people in it that a round has not used yet: add recordings first."))
    try:
        for earlier in Slice.objects.filter(camera=camera, ordinal__lt=row.ordinal, closed_at=None).order_by("ordinal"):
            slices.close(earlier.pk)
        return slices.close(row.pk)
    except slices.NotDrainedError as error:
        raise Refused(str(error)) from None


def cancel_round(round_id: int, by: User | None) -> None:
    """Stop a running round; what is in force stays."""
    row = Round.objects.select_related("camera").get(pk=round_id)
    job = Job.objects.filter(kind=Job.Kind.ROUND, subject=row.pk).first()
    if job is None or row.state not in Round.RUNNING:
        raise Refused(_("This round is not running any more."))
    cancel(job.pk)
    audit.record("cancel round", camera=row.camera, by=by, round=row.pk)
