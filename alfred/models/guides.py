"""What is normal on a camera, written for those who judge its events."""

from __future__ import annotations

from django.db import models

from alfred.models.cameras import Camera
from alfred.models.people import User


class GuideVersion(models.Model):
    """One version of a camera's guide. Append-only: a change is a new version."""

    camera = models.ForeignKey(Camera, on_delete=models.PROTECT, related_name="guides")
    number = models.PositiveIntegerField()
    text = models.TextField(max_length=5000)
    by = models.ForeignKey(User, on_delete=models.PROTECT)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["camera", "number"], name="a_guide_number_once")]


class GuideSeen(models.Model):
    """A person has had this version on their screen."""

    guide = models.ForeignKey(GuideVersion, on_delete=models.PROTECT, related_name="seen")
    user = models.ForeignKey(User, on_delete=models.CASCADE)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["guide", "user"], name="a_guide_seen_once")]
