"""Rounds: snapshot → training → calibrating → evaluating → candidate → promoted or rejected."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from alfred.models.cameras import Camera
from alfred.models.detectors import Deployment, DetectorVersion, Threshold
from alfred.models.footage import Slice
from alfred.models.people import User
from alfred.models.poses import Segment
from alfred.models.validation import ValidationSet


class Round(models.Model):
    """One retraining on one closed slice. One live round a camera."""

    class State(models.TextChoices):
        QUEUED = "queued", _("waiting")
        SNAPSHOT = "snapshot", _("freezing the labels")
        TRAINING = "training", _("training")
        CALIBRATING = "calibrating", _("calibrating")
        EVALUATING = "evaluating", _("evaluating")
        CANDIDATE = "candidate", _("candidate")
        PROMOTED = "promoted", _("promoted")
        REJECTED = "rejected", _("rejected")
        FAILED = "failed", _("failed")
        CANCELLED = "cancelled", _("cancelled")

    RUNNING = (State.QUEUED, State.SNAPSHOT, State.TRAINING, State.CALIBRATING, State.EVALUATING)
    LIVE = (*RUNNING, State.CANDIDATE)

    camera = models.ForeignKey(Camera, on_delete=models.PROTECT, related_name="rounds")
    ordinal = models.PositiveIntegerField()
    slice = models.ForeignKey(Slice, on_delete=models.PROTECT, related_name="rounds")
    methodology = models.CharField(max_length=20)
    base = models.ForeignKey(Deployment, on_delete=models.PROTECT, related_name="rounds_from")
    state = models.CharField(max_length=12, choices=State.choices, default=State.QUEUED)
    seed = models.BigIntegerField(default=0)
    version = models.ForeignKey(DetectorVersion, on_delete=models.PROTECT, null=True, related_name="rounds")
    threshold = models.ForeignKey(Threshold, on_delete=models.PROTECT, null=True, related_name="rounds")
    manifest = models.CharField(
        max_length=160, blank=True, help_text="artifact key: every segment and why it trained or not"
    )
    losses = models.JSONField(default=list)
    left_out = models.JSONField(default=dict, help_text="segments by reason")
    message = models.TextField(blank=True)
    by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="rounds")
    created_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["camera"],
                condition=Q(state__in=["queued", "snapshot", "training", "calibrating", "evaluating", "candidate"]),
                name="one_live_round_a_camera",
            ),
            models.UniqueConstraint(fields=["camera", "ordinal"], name="a_round_ordinal_once"),
        ]


class LabelSnapshot(models.Model):
    """The verdicts as they stood when a round began. Frozen: later ones count for the next round."""

    round = models.OneToOneField(Round, on_delete=models.PROTECT, related_name="snapshot")
    digest = models.CharField(max_length=64)
    frozen_at = models.DateTimeField(auto_now_add=True)


class SnapshotLabel(models.Model):
    """A segment's label in a snapshot, as `core.methodologies.Label` has them. Append-only."""

    snapshot = models.ForeignKey(LabelSnapshot, on_delete=models.PROTECT, related_name="labels")
    segment = models.ForeignKey(Segment, on_delete=models.PROTECT)
    label = models.PositiveSmallIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["snapshot", "segment"], name="a_segment_once_a_snapshot"),
            models.CheckConstraint(condition=Q(label__in=[0, 1, 2, 3]), name="label_is_known"),
        ]


class Evaluation(models.Model):
    """A version with its θ on a validation set: counts, rates with intervals, AUC. Append-only."""

    camera = models.ForeignKey(Camera, on_delete=models.PROTECT, related_name="evaluations")
    version = models.ForeignKey(DetectorVersion, on_delete=models.PROTECT, related_name="evaluations")
    threshold = models.ForeignKey(Threshold, on_delete=models.PROTECT, related_name="evaluations")
    validation_set = models.ForeignKey(ValidationSet, on_delete=models.PROTECT, related_name="evaluations")
    round = models.ForeignKey(Round, on_delete=models.PROTECT, related_name="evaluations", null=True)
    role = models.CharField(max_length=10, choices=[("deployed", "deployed"), ("candidate", "candidate")])
    figures = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)


class SliceCounts(models.Model):
    """TP/FP/TN/FN of a closed slice, per deployment, unit and basis; per 1-minute block. Rates are derived."""

    class Unit(models.TextChoices):
        SEGMENT = "segment", _("segments")
        POSE = "pose", _("poses")

    class Basis(models.TextChoices):
        GROUND_TRUTH = "ground_truth", _("ground truth")
        JUDGED = "judged", _("judged")
        ESTIMATED = "estimated", _("estimated")

    slice = models.ForeignKey(Slice, on_delete=models.PROTECT, related_name="counts")
    deployment = models.ForeignKey(Deployment, on_delete=models.PROTECT, related_name="counts")
    unit = models.CharField(max_length=8, choices=Unit.choices)
    basis = models.CharField(max_length=12, choices=Basis.choices)
    tp = models.FloatField()
    fp = models.FloatField()
    tn = models.FloatField(null=True, help_text="null = not known on this basis")
    fn = models.FloatField(null=True, help_text="null = not known on this basis")
    blocks = models.JSONField(help_text="[block, tp, fp, tn, fn] a row")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["slice", "deployment", "unit", "basis"], name="counted_once")]


class Replay(models.Model):
    """A version with its θ run over the stored poses of closed slices: which segments it would flag. Append-only."""

    camera = models.ForeignKey(Camera, on_delete=models.PROTECT, related_name="replays")
    version = models.ForeignKey(DetectorVersion, on_delete=models.PROTECT, related_name="replays")
    threshold = models.ForeignKey(Threshold, on_delete=models.PROTECT, related_name="replays")
    round = models.ForeignKey(Round, on_delete=models.PROTECT, related_name="replays", null=True)
    slices = models.ManyToManyField(Slice, related_name="replays")
    figures = models.JSONField(help_text="segments, flagged then and now, confirmed anomalies lost and found")
    created_at = models.DateTimeField(auto_now_add=True)


class ReplayChange(models.Model):
    """A segment whose flag is another on replay. Append-only."""

    replay = models.ForeignKey(Replay, on_delete=models.PROTECT, related_name="changes")
    segment = models.ForeignKey(Segment, on_delete=models.PROTECT)
    now_flagged = models.BooleanField()
    value = models.FloatField(help_text="the replayed score")
    label = models.SmallIntegerField(help_text="what people had said: -1 nothing, 0 normal, 1 anomalous, 2 unresolved")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["replay", "segment"], name="a_change_once_a_replay")]
        indexes = [models.Index(fields=["replay", "label", "now_flagged"], name="replay_change")]


class DriftReference(models.Model):
    """The validation period by the scores of a later version: what its stream is compared with. Append-only."""

    deployment = models.ForeignKey("alfred.Deployment", on_delete=models.PROTECT)
    validation_set = models.ForeignKey(ValidationSet, on_delete=models.PROTECT)
    values = models.JSONField(help_text="score by segment, of a sample of the period")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["deployment", "validation_set"], name="a_drift_reference_once")]


class Drift(models.Model):
    """How far a closed slice is from the validation period: population stability index by quantity. Append-only."""

    slice = models.OneToOneField(Slice, on_delete=models.PROTECT, related_name="drift")
    validation_set = models.ForeignKey(ValidationSet, on_delete=models.PROTECT)
    values = models.JSONField(help_text="index by quantity, its noise taken off; null = too little to say")
    created_at = models.DateTimeField(auto_now_add=True)
