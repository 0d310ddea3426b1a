"""Ask for a replay of a round's version over the last slices, by hand."""

from __future__ import annotations

from django.db import transaction
from django.utils.translation import gettext as _

from alfred.models import Job, Round, User, audit
from alfred.models.work import queue
from alfred.services.deploy import Refused

MOST_SLICES = 30


@transaction.atomic
def launch(round_id: int, slices: int, by: User | None) -> Job:
    """Queue it. Asking twice before the first is done asks once; afterwards it is replayed anew, with what people have
    said since.
    """
    row = Round.objects.select_related("camera").get(pk=round_id)
    if not 1 <= slices <= MOST_SLICES:
        raise Refused(_("A replay goes over 1 to %(most)d slices.") % {"most": MOST_SLICES})
    if row.version_id is None or row.threshold_id is None:
        raise Refused(_("This round has no version with a threshold to replay."))
    if row.state in Round.RUNNING:
        raise Refused(_("This round is still running; it replays its slices by itself."))
    before = Job.objects.filter(kind=Job.Kind.REPLAY, subject=row.pk).exclude(state__in=Job.LIVE).count()
    job = queue(row.camera_id, Job.Kind.REPLAY, row.pk, key=f"replay:{row.pk}:{slices}:{before}")
    audit.record("launch replay", camera=row.camera, by=by, round=row.pk, slices=slices)
    return job


def slices_asked(job: Job) -> int:
    """Over how many slices a job replays, as `launch` wrote it into its key."""
    return int(job.key.split(":")[2])
