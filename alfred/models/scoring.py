"""Scores: once on arrival, by the deployment then in force."""

from __future__ import annotations

from django.db import models

from alfred.models.detectors import Deployment
from alfred.models.footage import Slice
from alfred.models.poses import PoseExtraction, Segment


class Scoring(models.Model):
    """One extraction scored by one deployment: pose scores as Parquet, segment scores as rows. Append-only."""

    extraction = models.ForeignKey(PoseExtraction, on_delete=models.PROTECT, related_name="scorings")
    deployment = models.ForeignKey(Deployment, on_delete=models.PROTECT, related_name="scorings")
    artifact = models.CharField(max_length=160)
    n_poses = models.BigIntegerField()
    n_scored = models.BigIntegerField()
    note = models.CharField(max_length=200, blank=True, help_text="why nothing was scored, e.g. too slow")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["extraction"], name="scored_once_on_arrival"),
        ]


class SegmentScore(models.Model):
    """s(segment) and whether it was flagged, by the (version, θ) of its deployment. Append-only."""

    segment = models.OneToOneField(Segment, on_delete=models.PROTECT, related_name="score")
    scoring = models.ForeignKey(Scoring, on_delete=models.PROTECT, related_name="segment_scores")
    deployment = models.ForeignKey(Deployment, on_delete=models.PROTECT)
    slice = models.ForeignKey(Slice, on_delete=models.PROTECT, related_name="scores", null=True)
    value = models.FloatField(null=True, help_text="null = unscored (coverage), never silently normal")
    flagged = models.BooleanField()
    peak_pts = models.FloatField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["slice", "flagged"], name="score_slice_flagged"),
            models.Index(fields=["-id"], condition=models.Q(flagged=True), name="score_flagged_newest"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(value__isnull=False) | models.Q(flagged=False),
                name="unscored_is_not_flagged",
            )
        ]
