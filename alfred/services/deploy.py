"""Put a version and a threshold in force on a camera. Every door appends a deployment; none edits one."""

from __future__ import annotations

from pathlib import Path

from django.db import transaction
from django.utils import timezone

from alfred.core import gates
from alfred.detectors import registry
from alfred.models import Camera, Deployment, DetectorVersion, Evaluation, Round, Threshold, User, audit
from alfred.models.detectors import in_force
from alfred.services.storage import digest_of


class Refused(Exception):
    """The request can't be carried out; the message says why and what to do."""


@transaction.atomic
def deploy_source(camera_id: int, fps: float) -> Deployment:
    """The first deployment: the shipped version that suits this frame rate, with the source domain's θ."""
    camera = Camera.objects.select_for_update().get(pk=camera_id)
    present = in_force(camera_id)
    if present:
        return present
    path, card = registry.source_for(camera.detector, fps)
    version = _source_version(camera.detector, path, card)
    threshold = Threshold.objects.create(
        camera=camera, version=version, policy=Threshold.Policy.SOURCE, value=float(card["theta"]), details={}
    )
    return append(camera, version, threshold, "source version, source threshold", None)


def _source_version(detector: str, path: Path, card: dict[str, object]) -> DetectorVersion:
    version, _ = DetectorVersion.objects.get_or_create(
        sha256=digest_of(path),
        camera=None,
        defaults={"detector": detector, "label": str(card["version"]), "source": path.name, "card": card},
    )
    return version


def append(
    camera: Camera,
    version: DetectorVersion,
    threshold: Threshold,
    why: str,
    by: User | None,
    restores: Deployment | None = None,
) -> Deployment:
    """Append to the camera's history; the caller holds the camera's row lock."""
    last = in_force(camera.pk)
    deployment = Deployment.objects.create(
        camera=camera,
        ordinal=last.ordinal + 1 if last else 0,
        version=version,
        threshold=threshold,
        why=why[:200],
        by=by,
        restores=restores,
    )
    audit.record("deploy", camera=camera, by=by, deployment=deployment.pk, version=version.label, why=why)
    return deployment


@transaction.atomic
def promote(round_id: int, by: User | None, reason: str = "") -> Deployment:
    """Put a round's candidate in force, with its own θ."""
    camera_id = Round.objects.values_list("camera_id", flat=True).get(pk=round_id)
    camera = Camera.objects.select_for_update().get(pk=camera_id)
    row = Round.objects.select_for_update().get(pk=round_id)
    if row.state != Round.State.CANDIDATE or row.version is None or row.threshold is None:
        raise Refused("This round has no candidate to promote.")
    now = in_force(camera.pk)
    if now is not None and now.pk != row.base_id and not reason:
        raise Refused("Another deployment was made since this round began: give a reason to promote its candidate.")
    evaluation = Evaluation.objects.filter(round=row, role="candidate").first()
    if evaluation and not gates.held(evaluation.figures) and not reason:
        raise Refused("Not all checks of this candidate hold: give a reason to promote it all the same.")
    row.state, row.ended_at = Round.State.PROMOTED, timezone.now()
    row.save(update_fields=["state", "ended_at"])
    return append(camera, row.version, row.threshold, f"round {row.ordinal} promoted. {reason}".strip(), by)


@transaction.atomic
def reject(round_id: int, by: User | None, reason: str) -> None:
    """Turn a candidate down; what is in force stays."""
    row = Round.objects.select_for_update().select_related("camera").get(pk=round_id)
    if row.state != Round.State.CANDIDATE:
        raise Refused("This round has no candidate to reject.")
    row.state, row.ended_at, row.message = Round.State.REJECTED, timezone.now(), reason
    row.save(update_fields=["state", "ended_at", "message"])
    audit.record("reject", camera=row.camera, by=by, round=row.pk, reason=reason)


@transaction.atomic
def roll_back(camera_id: int, deployment_id: int, by: User | None, reason: str) -> Deployment:
    """Append the older version *and its* θ again."""
    camera = Camera.objects.select_for_update().get(pk=camera_id)
    older = Deployment.objects.select_related("version", "threshold").get(pk=deployment_id, camera=camera)
    now = in_force(camera.pk)
    if now is not None and (
        now.pk == older.pk or (now.version_id, now.threshold_id) == (older.version_id, older.threshold_id)
    ):
        raise Refused("This version and threshold are in force already.")
    why = f"rolled back to {older.version.label} (deployment {older.ordinal}). {reason}".strip()
    return append(camera, older.version, older.threshold, why, by, restores=older)
