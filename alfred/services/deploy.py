"""Put a version and a threshold in force on a camera. Every door appends a deployment; none edits one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from alfred.core.phrases import phrase
from alfred.detectors import registry
from alfred.models import Camera, Deployment, DetectorVersion, Evaluation, Replay, Round, Threshold, User, audit
from alfred.models.detectors import in_force
from alfred.services import drift
from alfred.services.storage import digest_of

NOT_BY_POLICY = "Not promoted by policy:"


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
    return append(camera, version, threshold, phrase("source version, source threshold"), None)


def _source_version(detector: str, path: Path, card: dict[str, object]) -> DetectorVersion:
    version, _made = DetectorVersion.objects.get_or_create(
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
    if row.state != Round.State.CANDIDATE:
        raise Refused(_("This round has no candidate to promote."))
    now = in_force(camera.pk)
    if now is not None and now.pk != row.base_id and not reason:
        raise Refused(_("Another deployment was made since this round began: give a reason to promote its candidate."))
    if not reason and not all(check["holds"] for check in checks_of(row)):
        raise Refused(_("Not all checks of this candidate hold: give a reason to promote it all the same."))
    return _put_in_force(camera, row, f"round {row.ordinal} promoted. {reason}".strip(), by)


def _put_in_force(camera: Camera, row: Round, why: str, by: User | None) -> Deployment:
    """The candidate with its own θ; the caller holds the locks and has checked that there is one."""
    if row.version is None or row.threshold is None:
        raise Refused(_("This round has no candidate to promote."))
    row.state, row.ended_at = Round.State.PROMOTED, timezone.now()
    row.save(update_fields=["state", "ended_at", "message"])
    return append(camera, row.version, row.threshold, why, by)


def checks_of(row: Round) -> list[dict[str, Any]]:
    """The gates of a round's candidate, as `gates.check` gives them; empty where nothing could be checked.

    They stand with its evaluation. Without a validation set there is none, and what replay lost is all there is to
    check.
    """
    evaluation = Evaluation.objects.filter(round=row, role="candidate").first()
    if evaluation:
        return list(evaluation.figures.get("gates", []))
    replayed = Replay.objects.filter(round=row).order_by("pk").first()
    return list(replayed.figures.get("gates", [])) if replayed else []


@transaction.atomic
def promote_by_policy(round_id: int) -> Deployment | None:
    """Put a candidate in force if its camera's policy says so and every check holds; else the round says which not."""
    camera_id = Round.objects.values_list("camera_id", flat=True).get(pk=round_id)
    camera = Camera.objects.select_for_update().get(pk=camera_id)
    row = Round.objects.select_for_update(of=("self",)).select_related("threshold", "version").get(pk=round_id)
    if row.state != Round.State.CANDIDATE or not camera.auto_promote:
        return None
    against = _what_speaks_against(row)
    if against:
        said = f"{NOT_BY_POLICY} {' '.join(against)}"
        if NOT_BY_POLICY not in row.message:
            row.message = f"{row.message} {said}".strip()
            row.save(update_fields=["message"])
        return None
    return _put_in_force(camera, row, f"round {row.ordinal} promoted by policy: every check holds", None)


def _what_speaks_against(row: Round) -> list[str]:
    """Sentences, each a reason that the policy does not promote this candidate; an admin still may."""
    now = in_force(row.camera_id)
    evaluation = Evaluation.objects.filter(round=row, role="candidate").first()
    found = [check["words"] for check in checks_of(row) if not check["holds"]]
    if evaluation is None:
        found.append("There is no complete validation set to check it on.")
    elif (evaluation.figures.get("difference") or {}).get("low") is None:
        found.append("Too little data for a paired comparison with the deployed version: a person has to decide.")
    elif evaluation.figures.get("auc_roc") is None:
        found.append("The validation set does not show whether its scores rank at all.")
    if row.threshold and (row.threshold.details.get("eer") or 0.0) > 0.5:
        found.append(f"Its equal error rate is {row.threshold.details['eer']:.2f}: worse than chance.")
    if now is not None and now.pk != row.base_id:
        found.append("Another deployment was made since the round began.")
    standing = drift.stands(row.camera_id)
    if standing:
        found.append(drift.sentence(standing))
    return found


@transaction.atomic
def reject(round_id: int, by: User | None, reason: str) -> None:
    """Turn a candidate down; what is in force stays."""
    row = Round.objects.select_for_update().select_related("camera").get(pk=round_id)
    if row.state != Round.State.CANDIDATE:
        raise Refused(_("This round has no candidate to reject."))
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
        raise Refused(_("This version and threshold are in force already."))
    why = f"rolled back to {older.version.label} (deployment {older.ordinal}). {reason}".strip()
    return append(camera, older.version, older.threshold, why, by, restores=older)
