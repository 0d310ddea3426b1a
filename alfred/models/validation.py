"""The camera's validation set: what θ is calibrated on. Frozen once complete, then a new version is made."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from alfred.models.cameras import Camera
from alfred.models.poses import Segment
from alfred.models.review import Verdict


class ValidationSet(models.Model):
    camera = models.ForeignKey(Camera, on_delete=models.PROTECT, related_name="validation_sets")
    number = models.PositiveIntegerField()
    origin = models.CharField(
        max_length=12, default="warmup", choices=[("warmup", _("warm-up")), ("imported", _("imported labels"))]
    )
    created_at = models.DateTimeField(auto_now_add=True)
    frozen_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["camera", "number"], name="a_validation_set_number_once"),
            models.UniqueConstraint(
                fields=["camera"],
                condition=Q(frozen_at__isnull=True),
                name="one_validation_set_in_the_making",
            ),
        ]


class ValidationMember(models.Model):
    """A labelled segment of a frozen set. Weight 1/π for sampled ones, 1 for imported ones. Append-only."""

    class Origin(models.TextChoices):
        WARMUP = "warmup", _("confirmed in warm-up")
        GROUND_TRUTH = "ground_truth", _("ground truth of an imported file")

    validation_set = models.ForeignKey(ValidationSet, on_delete=models.PROTECT, related_name="members")
    segment = models.ForeignKey(Segment, on_delete=models.PROTECT, related_name="validation_memberships")
    anomalous = models.BooleanField()
    weight = models.FloatField()
    origin = models.CharField(max_length=12, choices=Origin.choices)
    verdict = models.ForeignKey(Verdict, on_delete=models.PROTECT, null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["validation_set", "segment"], name="a_segment_once_a_validation_set"),
            models.CheckConstraint(condition=Q(weight__gt=0), name="weights_are_positive"),
        ]
