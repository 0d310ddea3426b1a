"""Who did what: decisions that change what a camera does."""

from __future__ import annotations

from typing import Any

from django.db import models

from alfred.models.cameras import Camera
from alfred.models.people import User


class AuditEntry(models.Model):
    """Append-only."""

    camera = models.ForeignKey(Camera, on_delete=models.PROTECT, related_name="audit", null=True)
    by = models.ForeignKey(User, on_delete=models.PROTECT, null=True)
    action = models.CharField(max_length=40)
    details = models.JSONField(default=dict)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]


def record(action: str, *, camera: Camera | None = None, by: User | None = None, **details: Any) -> None:
    """Note a decision beside the change itself, in the same transaction."""
    AuditEntry.objects.create(action=action, camera=camera, by=by, details=details)
