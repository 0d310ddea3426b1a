"""Run a round: freeze labels, train, calibrate with the new weights, evaluate. Heavy: needs torch.

Every step stores what it made and is skipped when that is there, so a killed round goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

from django.db import transaction

from alfred.core import gates
from alfred.detectors.base import Detector, Progress, Remembers, TrainingLog
from alfred.models import (
    DetectorVersion,
    LabelSnapshot,
    Round,
    SnapshotLabel,
    Threshold,
    ValidationSet,
)
from alfred.models.work import fence
from alfred.services import build_validation, evaluate, find_threshold, labels, training_set
from alfred.services.jobs import BadInputError, JobContext
from alfred.services.load_detector import load, load_fresh
from alfred.services.rescore import segment_values
from alfred.services.storage import artifacts, digest_of

LOSS_EVERY = 5


def run(context: JobContext, round_id: int) -> None:
    """All steps in order; each one commits under the fence of this attempt."""
    row = Round.objects.select_related("camera", "slice", "base__version", "base__threshold").get(pk=round_id)
    if row.state not in Round.RUNNING:
        return
    _snapshot(context, row)
    if row.version is None:
        _train(context, row)
    _calibrate_and_evaluate(context, row)


def _enter(context: JobContext, row: Round, state: Round.State, **changes: Any) -> None:
    with transaction.atomic():
        fence(context.job_id, context.attempt)
        row.state = state
        for name, value in changes.items():
            setattr(row, name, value)
        row.save(update_fields=["state", *changes])
    context.report(0, 0, Round.State(state).label)


def _snapshot(context: JobContext, row: Round) -> None:
    if LabelSnapshot.objects.filter(round=row).exists():
        return
    _enter(context, row, Round.State.SNAPSHOT)
    with transaction.atomic():
        fence(context.job_id, context.attempt)
        said = sorted(labels.of_slice(row.slice_id).items())
        digest = hashlib.sha256(json.dumps([[s, int(v)] for s, v in said]).encode()).hexdigest()
        snapshot = LabelSnapshot.objects.create(round=row, digest=digest)
        SnapshotLabel.objects.bulk_create(
            [SnapshotLabel(snapshot=snapshot, segment_id=s, label=int(v)) for s, v in said], batch_size=2000
        )


def _train(context: JobContext, row: Round) -> None:
    _enter(context, row, Round.State.TRAINING)
    found = training_set.membership(row)
    detector = load_fresh(row.base.version)
    losses: list[float] = []

    def progress(done: int, total: int, text: str) -> None:
        loss = _loss_of(text)
        if math.isfinite(loss):  # a detector that learns without gradients has none
            losses.append(loss)
        if done % LOSS_EVERY == 0 or done == total:
            Round.objects.filter(pk=row.pk, state=Round.State.TRAINING).update(losses=losses)
        context.report(done, total, f"training, {text}")

    log, windows = _learn(row, detector, found, progress)
    with artifacts().temporary(".safetensors") as path:
        detector.save(path)
        digest = digest_of(path)
        key = artifacts().put_file(row.camera.slug, path, ".safetensors")
    manifest = training_set.write_manifest(row, found)
    with transaction.atomic():
        fence(context.job_id, context.attempt)
        version = DetectorVersion.objects.create(
            camera=row.camera,
            detector=row.base.version.detector,
            label=f"v{row.ordinal}",
            parent=row.base.version,
            artifact=key,
            sha256=digest,
            card=detector.info() | {"fine_tuning": log.settings, "windows": windows, "slice": row.slice.ordinal},
        )
        row.version, row.manifest, row.left_out, row.losses = version, manifest, found.by_reason, log.losses
        row.save(update_fields=["version", "manifest", "left_out", "losses"])


def _learn(
    row: Round, detector: Detector, found: training_set.Membership, progress: Progress
) -> tuple[TrainingLog, int]:
    """Fine-tune on what trains; how many windows that were. Raises BadInputError where there are none.

    What a detector can remember as called normal by people is not mixed into what it merely saw.
    """
    remembered = found.confirmed if isinstance(detector, Remembers) else set()
    windows = training_set.training_windows(row, detector.window, found.trains - remembered)
    confirmed = training_set.training_windows(row, detector.window, remembered)
    if len(windows) + len(confirmed) == 0:
        raise BadInputError(
            "Nothing to train on: of the slice's segments "
            + ", ".join(f"{n} are {words}" for words, n in found.by_reason.items())
            + "."
        )
    log = detector.fine_tune(windows, seed=row.seed, progress=progress) if len(windows) else TrainingLog([])
    if isinstance(detector, Remembers) and len(confirmed):
        detector.remember(confirmed)
    return log, len(windows) + len(confirmed)


def _loss_of(text: str) -> float:
    number = text.rpartition(" ")[2]
    try:
        return float(number)
    except ValueError:
        return math.nan


def _calibrate_and_evaluate(context: JobContext, row: Round) -> None:
    _enter(context, row, Round.State.CALIBRATING)
    assert row.version is not None
    camera = row.camera
    present, members = build_validation.labelled_so_far(camera)
    new = segment_values(load(row.version), [m.segment for m in members], _scoring(context, "new"))
    data = find_threshold.labelled(members, new)
    found = find_threshold.find(camera, data, complete=present is not None)
    value, policy = found.value, found.policy
    if value is None:
        # Nothing is labelled yet: the threshold in force stays, said so.
        value, policy = row.base.theta, Threshold.Policy(row.base.threshold.policy)
    _enter(context, row, Round.State.EVALUATING)
    old = segment_values(load(row.base.version), [m.segment for m in members], _scoring(context, "deployed"))
    before = find_threshold.labelled(members, old)
    with transaction.atomic():
        fence(context.job_id, context.attempt)
        threshold = Threshold.objects.create(
            camera=camera,
            version=row.version,
            validation_set=present,
            policy=policy,
            value=value,
            details=found.details,
        )
        _evaluate(row, threshold, present, data, before)
        row.threshold, row.state = threshold, Round.State.CANDIDATE
        row.message = found.sentence
        row.save(update_fields=["threshold", "state", "message"])
    context.report(1, 1, "candidate")


def _scoring(context: JobContext, which: str) -> Any:
    return lambda done, total: context.report(done, total, f"scoring the labelled segments, {which} weights")


def _evaluate(
    row: Round,
    threshold: Threshold,
    present: ValidationSet | None,
    data: find_threshold.Labelled,
    before: find_threshold.Labelled,
) -> None:
    """Candidate and deployed on the same set; without a set there is nothing to compare on."""
    if present is None or row.version is None or len(data.scores) == 0:
        return
    seed = evaluate.seed_of(row.camera_id, present.pk)
    difference = evaluate.compare(data, threshold.value, before, row.base.theta, seed)
    evaluate.store(row.camera, row.base.version, row.base.threshold, present, before, role="deployed", made_in=row)
    candidate = evaluate.figures(data, threshold.value, seed)
    checks = gates.check(candidate["auc_roc"], difference, threshold.value)
    evaluate.store(
        row.camera,
        row.version,
        threshold,
        present,
        data,
        role="candidate",
        made_in=row,
        extra={"difference": evaluate.as_figures(difference), "gates": checks},
    )
