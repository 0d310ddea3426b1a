"""Run a round: freeze labels, train, calibrate with the new weights, evaluate. Heavy: needs torch.

Every step stores what it made and is skipped when that is there, so a killed round goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction

from alfred.core import gates
from alfred.core.intervals import TOO_FEW, PairedDifference
from alfred.core.methodologies import Label, Methodology
from alfred.core.roc import auc_roc
from alfred.detectors import registry, resume
from alfred.detectors.base import Detector, Progress, Remembers, TrainingLog
from alfred.models import (
    Deployment,
    DetectorVersion,
    LabelSnapshot,
    Replay,
    Round,
    Slice,
    SnapshotLabel,
    Threshold,
    ValidationMember,
    ValidationSet,
)
from alfred.models.work import fence
from alfred.services import build_validation, deploy, evaluate, find_threshold, one_voice, replay, training_set
from alfred.services.jobs import BadInputError, JobContext
from alfred.services.load_detector import load, load_fresh
from alfred.services.rescore import segment_values
from alfred.services.storage import artifacts, digest_of

Values = dict[int, dict[int, float]]
"""Scores of the labelled segments, by version and segment."""

LOSS_EVERY = 5
SLOW_S = 2.0
"""A step that has run so long says how much longer it will take."""
STAYS = "What was in force stays in force."
UNCOMPARED = PairedDifference(None, None, None, TOO_FEW)
WITHOUT_A_SET = ("finite", "replay")
"""The gates that need no validation set."""


def run(context: JobContext, round_id: int) -> None:
    """All steps in order; each one commits under the fence of this attempt."""
    related = ("camera", "slice", "base__version", "base__threshold", "version", "threshold__validation_set")
    row = Round.objects.select_related(*related).get(pk=round_id)
    if row.state in Round.RUNNING:
        _snapshot(context, row)
        if row.version is None:
            _train(context, row)
        known: Values = {}
        if row.threshold is None:
            _calibrate(context, row, known)
        _evaluate(context, row, known)
    if row.state == Round.State.CANDIDATE:
        with transaction.atomic():
            fence(context.job_id, context.attempt)
            deploy.promote_by_policy(row.pk)


def _enter(context: JobContext, row: Round, state: Round.State, **changes: Any) -> None:
    with transaction.atomic():
        fence(context.job_id, context.attempt)
        row.state = state
        for name, value in changes.items():
            setattr(row, name, value)
        row.save(update_fields=["state", *changes])
    context.report(0, 0, str(Round.State(state).label))


def _snapshot(context: JobContext, row: Round) -> None:
    if LabelSnapshot.objects.filter(round=row).exists():
        return
    _enter(context, row, Round.State.SNAPSHOT)
    with transaction.atomic():
        fence(context.job_id, context.attempt)
        frozen = training_set.frozen_now(row)
        said = sorted((frozen | dict.fromkeys(one_voice.held_back(row, frozen), Label.ONE_VOICE)).items())
        digest = hashlib.sha256(json.dumps([[s, int(v)] for s, v in said]).encode()).hexdigest()
        snapshot = LabelSnapshot.objects.create(round=row, digest=digest)
        SnapshotLabel.objects.bulk_create(
            [SnapshotLabel(snapshot=snapshot, segment_id=s, label=int(v)) for s, v in said], batch_size=2000
        )


def _train(context: JobContext, row: Round) -> None:
    _enter(context, row, Round.State.TRAINING)
    slices = training_set.slices_of(row)
    found = training_set.membership(row, slices)
    parent = _begins_from(row)
    detector = load_fresh(parent)
    slices = [*slices, *training_set.late_slices(row)]
    log, windows = _learn_or_fail(row, detector, slices, found, _Watch(context, row))
    with artifacts().temporary(".safetensors") as path:
        detector.save(path)
        _refuse_unusable(parent.detector, path)
        digest = digest_of(path)
        key = artifacts().put_file(row.camera.slug, path, ".safetensors")
    manifest = training_set.write_manifest(row, found)
    with transaction.atomic():
        fence(context.job_id, context.attempt)
        version = DetectorVersion.objects.create(
            camera=row.camera,
            detector=parent.detector,
            label=f"v{row.ordinal}",
            parent=parent,
            artifact=key,
            sha256=digest,
            card=detector.info() | {"fine_tuning": log.settings, "windows": windows, "slice": row.slice.ordinal},
        )
        row.version, row.manifest, row.left_out, row.losses = version, manifest, found.by_reason, log.losses
        row.save(update_fields=["version", "manifest", "left_out", "losses"])
    shutil.rmtree(_kept(row.pk), ignore_errors=True)


def _begins_from(row: Round) -> DetectorVersion:
    """The version that is trained on: the deployed one; `offline` begins anew from the one the camera came with."""
    if Methodology(row.methodology) is not Methodology.OFFLINE:
        return row.base.version
    of_this_kind = Deployment.objects.filter(camera=row.camera, version__detector=row.base.version.detector)
    return of_this_kind.select_related("version").order_by("ordinal")[0].version


def _kept(round_id: int) -> Path:
    """Where a training keeps what it needs to go on after a kill."""
    return Path(settings.STATE_DIR) / "rounds" / str(round_id)


def _forget_ended() -> None:
    """What rounds kept that have ended without a version: cancelled, or given up."""
    kept = [int(path.name) for path in _kept(0).parent.glob("*") if path.name.isdigit()]
    running = set(Round.objects.filter(pk__in=kept, state__in=Round.RUNNING).values_list("pk", flat=True))
    for pk in set(kept) - running:
        shutil.rmtree(_kept(pk), ignore_errors=True)


def _learn_or_fail(
    row: Round, detector: Detector, slices: Sequence[Slice], found: training_set.Membership, watch: _Watch
) -> tuple[TrainingLog, int]:
    """`_learn`, going on where a killed attempt was. One that diverges fails the round, its loss curve kept."""
    _forget_ended()
    try:
        with resume.resumable(_kept(row.pk)):
            return _learn(row, detector, slices, found, watch)
    except ValueError as error:
        watch.keep()
        raise BadInputError(f"Training failed: {error}. {STAYS}") from None


def _refuse_unusable(detector: str, path: Path) -> None:
    """Weights that can't be loaded again, such as ones that are not finite, are no version."""
    try:
        registry.create(detector, device=settings.DEVICE).load(path)
    except ValueError as error:
        reason = str(error).partition(": ")[2]
        raise BadInputError(f"Training failed: its weights can't be used, {reason}. {STAYS}") from None


def _learn(
    row: Round, detector: Detector, slices: Sequence[Slice], found: training_set.Membership, progress: Progress
) -> tuple[TrainingLog, int]:
    """Fine-tune on what trains; how many windows that were. Raises BadInputError where there are none.

    What a detector can remember as called normal by people is not mixed into what it merely saw.
    """
    remembered = found.confirmed if isinstance(detector, Remembers) else set()
    windows = training_set.training_windows(slices, detector.window, found.trains - remembered, seed=row.seed)
    confirmed = training_set.training_windows(slices, detector.window, remembered, seed=row.seed)
    if len(windows) + len(confirmed) == 0:
        why = ", ".join(f"{n} are {words}" for words, n in found.by_reason.items())
        raise BadInputError(
            f"Nothing to train on: of the slice's segments {why}." if why else "Nothing to train on: nobody was seen."
        )
    log = detector.fine_tune(windows, seed=row.seed, progress=progress) if len(windows) else TrainingLog([])
    if isinstance(detector, Remembers) and len(confirmed):
        detector.remember(confirmed)
    return log, len(windows) + len(confirmed)


class _Watch:
    """Follows a training: keeps the loss curve of a running round on its row, and tells how far it is."""

    def __init__(self, context: JobContext, row: Round) -> None:
        self._row, self._losses = row, list[float]()
        self._tell = _told(context, "training, ")

    def __call__(self, done: int, total: int, text: str) -> None:
        loss = _loss_of(text)
        if math.isfinite(loss):  # a detector that learns without gradients has none
            self._losses.append(loss)
        if done % LOSS_EVERY == 0 or done == total:
            self.keep()
        self._tell(done, total, text)

    def keep(self) -> None:
        """Store the curve so far, whatever becomes of the training."""
        Round.objects.filter(pk=self._row.pk, state=Round.State.TRAINING).update(losses=self._losses)


def _told(context: JobContext, before: str) -> Progress:
    """Reports a step with the time it has left at its own pace: the job's would count the steps before it too."""
    began = time.monotonic()

    def tell(done: int, total: int, text: str) -> None:
        spent = time.monotonic() - began
        left = f", about {spent * (total - done) / done:.0f} s left" if spent > SLOW_S and 0 < done < total else ""
        context.report(done, total, f"{before}{text}{left}")

    return tell


def _loss_of(text: str) -> float:
    number = text.rpartition(" ")[2]
    try:
        return float(number)
    except ValueError:
        return math.nan


def _calibrate(context: JobContext, row: Round, known: Values) -> None:
    """θ with the new weights, on what is labelled now. Stored at once, so that what follows meets the same θ again."""
    _enter(context, row, Round.State.CALIBRATING)
    assert row.version is not None
    present, members = build_validation.labelled_so_far(row.camera)
    data = _scored(context, row.version, members, "new", known)
    found = find_threshold.find(row.camera, data, complete=present is not None)
    value, policy = found.value, found.policy
    if value is None:
        # Nothing is labelled yet: the threshold in force stays, said so.
        value, policy = row.base.theta, Threshold.Policy(row.base.threshold.policy)
    with transaction.atomic():
        fence(context.job_id, context.attempt)
        row.threshold = Threshold.objects.create(
            camera=row.camera,
            version=row.version,
            validation_set=present,
            policy=policy,
            value=value,
            details=found.details,
        )
        row.message = found.sentence
        row.save(update_fields=["threshold", "message"])


def _scored(
    context: JobContext, version: DetectorVersion, members: list[ValidationMember], which: str, known: Values
) -> find_threshold.Labelled:
    """The members' scores by a version; what this attempt has scored already it does not score again."""
    if version.pk not in known:
        tell = _told(context, f"scoring the labelled segments, {which} weights")
        segments = [m.segment for m in members]
        known[version.pk] = segment_values(load(version), segments, lambda done, total: tell(done, total, ""))
    return find_threshold.labelled(members, known[version.pk])


def _evaluate(context: JobContext, row: Round, known: Values) -> None:
    """Replay, compare with the deployed version on the set that θ was found on, and hand over the candidate."""
    _enter(context, row, Round.State.EVALUATING)
    version, threshold = replay.made_by(row)
    replayed = _replay(context, row)
    present = threshold.validation_set
    members = list(present.members.select_related("segment__recording", "segment__track")) if present else []
    if members:
        after = _scored(context, version, members, "new", known)
        before = _scored(context, row.base.version, members, "deployed", known)
    with transaction.atomic():
        fence(context.job_id, context.attempt)
        if present and members and len(after.scores):
            _store_evaluations(row, present, before, after, replayed)
        row.state = Round.State.CANDIDATE
        row.save(update_fields=["state"])
    context.report(1, 1, "candidate")


def _replay(context: JobContext, row: Round) -> gates.Replayed:
    """The candidate over the round's slice and those before it; stored, and not done again after a kill."""
    version, threshold = replay.made_by(row)
    stored = Replay.objects.filter(round=row).first()
    if stored:
        return replay.replayed(stored.figures)
    slices = replay.last_closed(row.camera, replay.LAST_SLICES, upto=row.slice.ordinal)
    tell = _told(context, f"replaying {len(slices)} slice{'s'[: len(slices) > 1]}, ")
    found = replay.replay(row.camera, version, threshold.value, slices, tell)
    checks = gates.check(None, UNCOMPARED, threshold.value, found.replayed)
    with transaction.atomic():
        fence(context.job_id, context.attempt)
        replay.store(row, slices, found, gates=[check for check in checks if check["name"] in WITHOUT_A_SET])
    return found.replayed


def _store_evaluations(
    row: Round,
    present: ValidationSet,
    before: find_threshold.Labelled,
    after: find_threshold.Labelled,
    replayed: gates.Replayed,
) -> None:
    """Candidate and deployed on the same set, with what the gates say of the candidate."""
    camera, (version, threshold) = row.camera, replay.made_by(row)
    seed = evaluate.seed_of(row.camera_id, present.pk)
    difference = evaluate.compare(after, threshold.value, before, row.base.theta, seed)
    evaluate.store(camera, row.base.version, row.base.threshold, present, before, role="deployed", made_in=row)
    auc = auc_roc(after.scores, after.anomalous, after.weights)
    checks = gates.check(auc, difference, threshold.value, replayed)
    extra = {"difference": evaluate.as_figures(difference), "gates": checks}
    evaluate.store(camera, version, threshold, present, after, role="candidate", made_in=row, extra=extra)
