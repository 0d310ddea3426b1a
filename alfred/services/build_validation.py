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
    """Confirmed and imported segments of each class, and how many make a complete set."""

    normals: int
    anomalies: int
    needed: int

    @property
    def complete(self) -> bool:
        return min(self.normals, self.anomalies) >= self.needed


def frozen_set(camera_id: int) -> ValidationSet | None:
    """The camera's validation set in force."""
    return ValidationSet.objects.filter(camera_id=camera_id, frozen_at__isnull=False).order_by("-number").first()


def made_anew(camera_id: int) -> ValidationSet | None:
    """The set that is in the making since warm-up was opened again; the one in force stays until it is frozen."""
    return ValidationSet.objects.filter(camera_id=camera_id, frozen_at=None).first()


def warming_up(camera_id: int) -> bool:
    """Whether a validation set is in the making: the camera's first, or a new one because the camera moved."""
    return made_anew(camera_id) is not None or frozen_set(camera_id) is None


def drawn(camera_id: int) -> QuerySet[Candidate]:
    """The warm-up draws for the set in the making, asked or not; meaningless while there is none.

    What was drawn before warm-up was opened again belongs to the set in force, as do its answers.
    """
    rows = Candidate.objects.filter(segment__camera_id=camera_id, lane=Lane.WARMUP)
    anew = made_anew(camera_id)
    return rows.filter(created_at__gte=anew.created_at) if anew else rows


def _said(camera_id: int) -> dict[int, Label]:
    """What people said in this warm-up."""
    said = labels.of_warm_up(camera_id)
    if made_anew(camera_id) is None:
        return said
    ours = set(drawn(camera_id).filter(asked=True).values_list("segment_id", flat=True))
    return {segment: label for segment, label in said.items() if segment in ours}


def _loose_imports(camera_id: int) -> dict[int, bool]:
    """Labelled segments of imported files that are in no set yet, and whether they are anomalous."""
    rows = SegmentTruth.objects.filter(
        segment__camera_id=camera_id,
        segment__recording__purpose=Recording.Purpose.VALIDATION,
        segment__recording__quarantined="",
        segment__validation_memberships__isnull=True,
        segment__score__isnull=False,
    )
    return dict(rows.values_list("segment_id", "anomalous"))


def progress(camera: Camera) -> Progress:
    """How far the camera's warm-up is; what was imported counts too."""
    said, imported = list(_said(camera.pk).values()), list(_loose_imports(camera.pk).values())
    return Progress(
        said.count(Label.NORMAL) + imported.count(False),
        said.count(Label.ANOMALY) + imported.count(True),
        camera.val_min,
    )


def advance_all() -> None:
    """Look at every camera (run by the sweep, in case a nudge was lost or a worker died between two steps)."""
    ready = ValidationSet.objects.filter(frozen_at__isnull=False).values("camera")
    anew = ValidationSet.objects.filter(frozen_at=None).values("camera")
    asked = Camera.objects.filter(events__lane=Lane.WARMUP).exclude(pk__in=ready).distinct()
    for camera in [*asked, *Camera.objects.filter(pk__in=anew)]:
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
    """After answers in the warm-up lane: freeze the set when complete, and recalibrate now and then.

    A set made anew says nothing of θ before it is complete: the threshold in force has a whole set to stand on.
    """
    if not warming_up(camera.pk):
        return
    now = progress(camera)
    confirmed = now.normals + now.anomalies
    if now.complete:
        with transaction.atomic():
            Camera.objects.select_for_update().get(pk=camera.pk)
            if warming_up(camera.pk):
                freeze(camera, members_so_far(camera))
            calibrate_if_due(camera)
    elif confirmed >= CALIBRATE_EVERY and frozen_set(camera.pk) is None and not _calibration_waits(camera):
        # One a step of ten: the key makes a second look at the same step a no-op.
        step = confirmed // CALIBRATE_EVERY
        queue(camera.pk, Job.Kind.CALIBRATE, camera.pk, key=f"calibrate:{camera.pk}:{step}")


def calibrate_if_due(camera: Camera) -> None:
    """Have θ found on the frozen set wherever the threshold in force was found on another, or on none.

    Not what somebody went back to since: a rollback takes its own θ along, until there is a newer set.
    """
    present, deployed = frozen_set(camera.pk), in_force(camera.pk)
    if present is None or deployed is None or deployed.threshold.validation_set_id == present.pk:
        return
    if deployed.restores_id and present.frozen_at and present.frozen_at <= deployed.since:
        return
    key = f"calibrate:{camera.pk}:set:{present.pk}:deployment:{deployed.pk}"
    queue(camera.pk, Job.Kind.CALIBRATE, camera.pk, key=key)


def _calibration_waits(camera: Camera) -> bool:
    """One that has not begun yet will see today's answers too."""
    return Job.objects.filter(camera=camera, kind=Job.Kind.CALIBRATE, state=Job.State.QUEUED).exists()


def members_so_far(camera: Camera) -> list[ValidationMember]:
    """What the set in the making holds: confirmed segments, and imported ones beside them, each with its origin."""
    return [*_warm_up_members(camera), *_imported_members(_loose_imports(camera.pk))]


def _imported_members(known: dict[int, bool]) -> list[ValidationMember]:
    """Imported segments were drawn from no stream: each counts once."""
    return [
        ValidationMember(segment_id=s, anomalous=a, weight=1.0, origin=ValidationMember.Origin.GROUND_TRUTH)
        for s, a in known.items()
    ]


def _warm_up_members(camera: Camera) -> list[ValidationMember]:
    """Confirmed segments with weight 1/π (of those answered), so that θ refers to the stream and not to the queue."""
    said = _said(camera.pk)
    confirmed = [s for s, label in said.items() if label in (Label.NORMAL, Label.ANOMALY)]
    weights = answered_weights(drawn(camera.pk).filter(asked=True), set(confirmed))
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


def answered_weights(asked: QuerySet[Candidate], answered: set[int]) -> dict[int, float]:
    """Weight of each answered segment: 1/(π · share of its stratum's sample that is answered).

    The queue's order is random, so the answered ones of a stratum are a random part of its sample.
    """
    rows = list(asked.values_list("segment_id", "probability", "stratum", "seed"))
    asked_of = Counter((seed, stratum) for _, _, stratum, seed in rows)
    answered_of = Counter((seed, stratum) for segment, _, stratum, seed in rows if segment in answered)
    return {
        segment: asked_of[seed, stratum] / (probability * answered_of[seed, stratum])
        for segment, probability, stratum, seed in rows
        if segment in answered
    }


def labelled_so_far(camera: Camera) -> tuple[ValidationSet | None, list[ValidationMember]]:
    """The frozen set with its members, else what the first warm-up has gathered so far (not stored)."""
    present = frozen_set(camera.pk)
    if present:
        return present, list(present.members.select_related("segment__recording", "segment__track"))
    made = members_so_far(camera)
    rows = Segment.objects.select_related("recording", "track").in_bulk([m.segment_id for m in made])
    for member in made:
        member.segment = rows[member.segment_id]
    return None, made


def freeze(camera: Camera, members: list[ValidationMember]) -> ValidationSet:
    """A new version of the camera's validation set; the caller holds the camera's row lock.

    A set that holds anything people confirmed in warm-up is a warm-up set, whatever was imported beside it.
    """
    origin = "warmup" if any(m.origin == ValidationMember.Origin.WARMUP for m in members) else "imported"
    made = made_anew(camera.pk)
    if made:
        made.origin, made.frozen_at = origin, timezone.now()
        made.save(update_fields=["origin", "frozen_at"])
    else:
        last = ValidationSet.objects.filter(camera=camera).order_by("-number").first()
        made = ValidationSet.objects.create(
            camera=camera, number=last.number + 1 if last else 1, origin=origin, frozen_at=timezone.now()
        )
    for member in members:
        member.validation_set = made
    ValidationMember.objects.bulk_create(members, batch_size=2000)
    return made


def freeze_imported(camera: Camera) -> ValidationSet | None:
    """Take in the recordings imported as validation, once all of them are scored; returns the set then in force.

    They join the set in force as its next version, or the one in the making. Both classes among the imports make a set
    at once, with what is confirmed so far; one class sets no threshold: warm-up goes on, and they count in it.
    The caller holds the camera's row lock.
    """
    present = frozen_set(camera.pk)
    recordings = Recording.objects.filter(camera=camera, purpose=Recording.Purpose.VALIDATION, quarantined="")
    if recordings.exclude(extractions__scorings__isnull=False).exists():
        return present
    loose = _loose_imports(camera.pk)
    if not loose:
        return present
    if not warming_up(camera.pk):
        assert present is not None
        return freeze(camera, [*_copies(present), *_imported_members(loose)])
    if len(set(loose.values())) == 2 or progress(camera).complete:
        return freeze(camera, members_so_far(camera))
    return present


def _copies(present: ValidationSet) -> list[ValidationMember]:
    return [
        ValidationMember(
            segment_id=m.segment_id, anomalous=m.anomalous, weight=m.weight, origin=m.origin, verdict_id=m.verdict_id
        )
        for m in present.members.order_by("id")
    ]


def uses(segments: list[int]) -> bool:
    """Whether one of these segments is in a frozen validation set."""
    return ValidationMember.objects.filter(segment_id__in=segments).exists()
