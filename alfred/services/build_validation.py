"""The validation set in the making: how far warm-up is, and freezing it once both classes are complete."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from alfred.core.methodologies import Label
from alfred.models import (
    Answer,
    Camera,
    Candidate,
    Job,
    Lane,
    Recording,
    Segment,
    SegmentTruth,
    ValidationMember,
    ValidationSet,
    Verdict,
)
from alfred.models.detectors import in_force
from alfred.models.work import queue
from alfred.services import labels

CALIBRATE_EVERY = 10
"""In warm-up θ is found anew each time this many more segments are confirmed."""


@dataclass(frozen=True)
class Progress:
    """Confirmed segments of each class, and how many make a complete set."""

    normals: int
    anomalies: int
    needed: int

    @property
    def complete(self) -> bool:
        return min(self.normals, self.anomalies) >= self.needed


def frozen_set(camera_id: int) -> ValidationSet | None:
    """The camera's validation set in force."""
    return ValidationSet.objects.filter(camera_id=camera_id, frozen_at__isnull=False).order_by("-number").first()


def progress(camera: Camera) -> Progress:
    """How far the camera's warm-up is."""
    said = list(labels.of_warm_up(camera.pk).values())
    return Progress(said.count(Label.NORMAL), said.count(Label.ANOMALY), camera.val_min)


def advance_all() -> None:
    """Look at every camera (run by the sweep, in case a nudge was lost or a worker died between two steps)."""
    ready = ValidationSet.objects.filter(frozen_at__isnull=False).values("camera")
    for camera in Camera.objects.filter(events__lane=Lane.WARMUP).exclude(pk__in=ready).distinct():
        advance(camera)
    loose = Recording.objects.filter(purpose=Recording.Purpose.VALIDATION, quarantined="").exclude(
        segments__validation_memberships__isnull=False
    )
    for camera in Camera.objects.filter(pk__in=loose.values("camera")):
        with transaction.atomic():
            Camera.objects.select_for_update().get(pk=camera.pk)
            freeze_imported(camera)
    for camera in Camera.objects.filter(pk__in=ready):
        calibrate_if_due(camera)


def advance(camera: Camera) -> None:
    """After answers in the warm-up lane: freeze the set when complete, and recalibrate now and then."""
    if frozen_set(camera.pk):
        return
    now = progress(camera)
    confirmed = now.normals + now.anomalies
    if now.complete:
        with transaction.atomic():
            Camera.objects.select_for_update().get(pk=camera.pk)
            if frozen_set(camera.pk) is None:
                freeze(camera, "warmup", _warm_up_members(camera))
            calibrate_if_due(camera)
    elif confirmed >= CALIBRATE_EVERY and not _calibration_waits(camera):
        # One a step of ten: the key makes a second look at the same step a no-op.
        step = confirmed // CALIBRATE_EVERY
        queue(camera.pk, Job.Kind.CALIBRATE, camera.pk, key=f"calibrate:{camera.pk}:{step}")


def calibrate_if_due(camera: Camera) -> None:
    """Have θ found on the frozen set wherever the threshold in force was found on another, or on none."""
    present, deployed = frozen_set(camera.pk), in_force(camera.pk)
    if present is None or deployed is None or deployed.threshold.validation_set_id == present.pk:
        return
    key = f"calibrate:{camera.pk}:set:{present.pk}:deployment:{deployed.pk}"
    queue(camera.pk, Job.Kind.CALIBRATE, camera.pk, key=key)


def _calibration_waits(camera: Camera) -> bool:
    """One that has not begun yet will see today's answers too."""
    return Job.objects.filter(camera=camera, kind=Job.Kind.CALIBRATE, state=Job.State.QUEUED).exists()


def _warm_up_members(camera: Camera) -> list[ValidationMember]:
    """Confirmed segments with weight 1/π (of those answered), so that θ refers to the stream and not to the queue."""
    said = labels.of_warm_up(camera.pk)
    confirmed = [s for s, label in said.items() if label in (Label.NORMAL, Label.ANOMALY)]
    drawn = Candidate.objects.filter(segment__camera=camera, lane=Lane.WARMUP, asked=True)
    weights = answered_weights(drawn, set(confirmed))
    decisive = Verdict.objects.filter(
        segment_id__in=confirmed, event__lane=Lane.WARMUP, answer__in=(Answer.NORMAL, Answer.ANOMALY)
    )
    verdicts = dict(labels.standing(decisive).order_by("id").values_list("segment_id", "id"))
    return [
        ValidationMember(
            segment_id=segment,
            anomalous=said[segment] == Label.ANOMALY,
            weight=weights[segment],
            origin=ValidationMember.Origin.WARMUP,
            verdict_id=verdicts[segment],
        )
        for segment in confirmed
    ]


def answered_weights(drawn: QuerySet[Candidate], answered: set[int]) -> dict[int, float]:
    """Weight of each answered segment: 1/(π · share of its stratum's sample that is answered).

    The queue's order is random, so the answered ones of a stratum are a random part of its sample.
    """
    rows = list(drawn.values_list("segment_id", "probability", "stratum", "seed"))
    asked_of = Counter((seed, stratum) for _, _, stratum, seed in rows)
    answered_of = Counter((seed, stratum) for segment, _, stratum, seed in rows if segment in answered)
    return {
        segment: asked_of[seed, stratum] / (probability * answered_of[seed, stratum])
        for segment, probability, stratum, seed in rows
        if segment in answered
    }


def labelled_so_far(camera: Camera) -> tuple[ValidationSet | None, list[ValidationMember]]:
    """The frozen set with its members, else what warm-up has confirmed so far (not stored)."""
    present = frozen_set(camera.pk)
    if present:
        return present, list(present.members.select_related("segment__recording", "segment__track"))
    made = _warm_up_members(camera)
    rows = Segment.objects.select_related("recording", "track").in_bulk([m.segment_id for m in made])
    for member in made:
        member.segment = rows[member.segment_id]
    return None, made


def freeze(camera: Camera, origin: str, members: list[ValidationMember]) -> ValidationSet:
    """A new version of the camera's validation set; the caller holds a transaction."""
    last = ValidationSet.objects.filter(camera=camera).order_by("-number").first()
    made = ValidationSet.objects.create(
        camera=camera, number=last.number + 1 if last else 1, origin=origin, frozen_at=timezone.now()
    )
    for member in members:
        member.validation_set = made
    ValidationMember.objects.bulk_create(members, batch_size=2000)
    return made


def freeze_imported(camera: Camera) -> ValidationSet | None:
    """Make the set of the recordings imported as validation, once all of them are scored. None = not yet, or none."""
    recordings = Recording.objects.filter(camera=camera, purpose=Recording.Purpose.VALIDATION, quarantined="")
    waiting = recordings.exclude(extractions__scorings__isnull=False)
    if not recordings.exists() or waiting.exists():
        return frozen_set(camera.pk)
    known = SegmentTruth.objects.filter(segment__recording__in=recordings).values_list("segment_id", "anomalous")
    present = frozen_set(camera.pk)
    if present and present.origin == "imported" and present.members.count() == len(known):
        return present
    if len({anomalous for _, anomalous in known}) < 2:
        return present  # one class sets no threshold: warm-up goes on
    members = [
        ValidationMember(segment_id=s, anomalous=a, weight=1.0, origin=ValidationMember.Origin.GROUND_TRUTH)
        for s, a in known
    ]
    return freeze(camera, "imported", members)


def uses(segments: list[int]) -> bool:
    """Whether one of these segments is in a frozen validation set."""
    return ValidationMember.objects.filter(segment_id__in=segments).exists()
