"""The picture of a camera's empty scene that may lie under its skeletons."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from alfred.models.cameras import Camera
from alfred.models.footage import Recording
from alfred.models.people import User


class Plate(models.Model):
    """Asked for by an admin, made by a worker, shown to annotators once an admin has approved it.

    Taken back, the file and the row go; that there was one stays in the audit trail.
    """

    camera = models.ForeignKey(Camera, on_delete=models.PROTECT, related_name="plates")
    recording = models.ForeignKey(Recording, on_delete=models.PROTECT, null=True, help_text="what it was made of")
    artifact = models.CharField(max_length=160, blank=True, help_text="a JPEG; empty until it is made")
    writes = models.CharField(
        max_length=160, blank=True, help_text="the file that is being written, before it is there"
    )
    width = models.PositiveIntegerField(default=0)
    height = models.PositiveIntegerField(default=0)
    covered = models.FloatField(default=0, help_text="share of the picture that people hid and that is filled in")
    frames = models.PositiveIntegerField(default=0, help_text="frames it was made of")
    made_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+", help_text="who asked for it")
    made_at = models.DateTimeField(null=True)
    approved_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+", null=True)
    approved_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["camera"], condition=Q(approved_at__isnull=False), name="one_approved_plate_a_camera"
            ),
            models.UniqueConstraint(
                fields=["camera"], condition=Q(approved_at__isnull=True), name="one_plate_a_camera_to_approve"
            ),
            models.CheckConstraint(
                condition=Q(approved_at__isnull=True) | ~Q(artifact="") & Q(approved_by__isnull=False),
                name="only_a_plate_that_is_made_is_approved",
            ),
        ]
