"""Versions of a detector's weights, thresholds, and what is in force on a camera."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from alfred.models.cameras import Camera
from alfred.models.people import User


class DetectorVersion(models.Model):
    """Weights with a parent. Source versions (shipped, K−1) belong to no camera."""

    camera = models.ForeignKey(Camera, on_delete=models.PROTECT, related_name="versions", null=True)
    detector = models.CharField(max_length=40)
    label = models.CharField(max_length=60, help_text="shown to people: stg_nf-30fps-1, v3")
    parent = models.ForeignKey("self", on_delete=models.PROTECT, related_name="children", null=True)
    artifact = models.CharField(max_length=160, blank=True, help_text="artifact key of the safetensors file")
    source = models.CharField(max_length=80, blank=True, help_text="name of the shipped file, for source versions")
    sha256 = models.CharField(max_length=64)
    card = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["camera", "label"], name="a_version_label_once_a_camera"),
            models.UniqueConstraint(fields=["sha256"], condition=models.Q(camera__isnull=True), name="a_source_once"),
        ]

    def __str__(self) -> str:
        return self.label


class Threshold(models.Model):
    """θ of one version on one camera, with how it was found. Append-only."""

    class Policy(models.TextChoices):
        SOURCE = "source", _("from the source domain")
        BUDGET = "budget", _("provisional: meets the alert budget")
        PRELIMINARY = "preliminary", _("equal error rate, preliminary: few anomalies")
        EER = "eer", _("equal error rate")

    camera = models.ForeignKey(Camera, on_delete=models.PROTECT, related_name="thresholds")
    version = models.ForeignKey(DetectorVersion, on_delete=models.PROTECT, related_name="thresholds")
    validation_set = models.ForeignKey("alfred.ValidationSet", on_delete=models.PROTECT, null=True)
    policy = models.CharField(max_length=12, choices=Policy.choices)
    value = models.FloatField()
    details = models.JSONField(default=dict, help_text="fpr, fnr, eer, counts, effective sample sizes, without imports")
    created_at = models.DateTimeField(auto_now_add=True)


class Deployment(models.Model):
    """camera ← version + θ, from a time. Append-only: a rollback appends the older pair again."""

    camera = models.ForeignKey(Camera, on_delete=models.PROTECT, related_name="deployments")
    ordinal = models.PositiveIntegerField()
    version = models.ForeignKey(DetectorVersion, on_delete=models.PROTECT, related_name="deployments")
    threshold = models.ForeignKey(Threshold, on_delete=models.PROTECT, related_name="deployments")
    why = models.CharField(max_length=200)
    by = models.ForeignKey(User, on_delete=models.PROTECT, null=True)
    restores = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, help_text="the deployment a rollback went back to"
    )
    since = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["camera", "ordinal"], name="a_deployment_ordinal_once")]
        ordering = ["camera", "ordinal"]

    @property
    def theta(self) -> float:
        return self.threshold.value


def in_force(camera_id: int) -> Deployment | None:
    """The camera's present deployment."""
    return (
        Deployment.objects.filter(camera_id=camera_id)
        .select_related("version", "threshold")
        .order_by("-ordinal")
        .first()
    )
