"""Rounds that start by themselves, as the camera's policy says (Design §3): never while drift stands."""

from __future__ import annotations

from django.db import transaction
from django.db.models import Exists, OuterRef

from alfred.core.methodologies import Label
from alfred.models import AuditEntry, Camera, Round, SegmentScore, Slice, audit
from alfred.services import drift, labels, launch_round, slices
from alfred.services.deploy import Refused

NOT_STARTED = "round by policy not started"
"""In the audit trail, once for each reason and slice."""


def look() -> int:
    """Start what is due (run by the sweep); returns how many rounds that were. Two sweeps at once start one."""
    live = Round.objects.filter(camera=OuterRef("pk"), state__in=Round.LIVE)
    rows = Camera.objects.exclude(round_policy=Camera.RoundPolicy.BY_HAND).exclude(Exists(live))
    return sum(_start(camera.pk) for camera in rows if due(camera) is not None)


def due(camera: Camera) -> Slice | None:
    """The slice whose round the camera's policy wants now; None while there is nothing to do.

    A slice whose round failed or was cancelled is left to people: trying again by itself would go on for ever.
    """
    if camera.round_policy == Camera.RoundPolicy.BY_HAND:
        return None
    row = slices.to_train(camera)
    if row is None or not slices.reviews_done(row) or Round.objects.filter(slice=row).exists():
        return None
    if Round.objects.filter(camera=camera, state__in=Round.LIVE).exists():
        return None
    if camera.round_policy == Camera.RoundPolicy.FALSE_ALARMS and new_false_alarms(camera) < camera.round_min_fp:
        return None
    return row


def new_false_alarms(camera: Camera) -> int:
    """How many flagged segments are judged normal in reviewed slices that no round has used yet."""
    ready = list(slices.reviewed(slices.untrained(camera), camera).values_list("pk", flat=True))
    said = labels.of_slices(ready, together=True)
    normal = [s for of_one in said.values() for s, label in of_one.items() if label == Label.NORMAL]
    return SegmentScore.objects.filter(segment_id__in=normal, flagged=True).count()


@transaction.atomic
def _start(camera_id: int) -> bool:
    """Look again under the camera's row lock, where another sweep may have been first."""
    camera = Camera.objects.select_for_update().get(pk=camera_id)
    row = due(camera)
    if row is None:
        return False
    standing = drift.stands(camera_id)
    if standing:
        _note(camera, row, drift.sentence(standing))
        return False
    try:
        with transaction.atomic():
            launch_round.launch(camera_id, by=None)
    except Refused as refused:
        _note(camera, row, str(refused))
        return False
    return True


def _note(camera: Camera, row: Slice, reason: str) -> None:
    said = {"slice": row.ordinal, "reason": reason}
    if not AuditEntry.objects.filter(camera=camera, action=NOT_STARTED, details=said).exists():
        audit.record(NOT_STARTED, camera=camera, by=None, **said)
