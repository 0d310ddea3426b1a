"""Recordings and the slices of a camera's stream they belong to."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from alfred.models.cameras import Camera


class Slice(models.Model):
    """A consecutive part of a camera's stream. Closed once, when all of it is scored; never opened again."""

    camera = models.ForeignKey(Camera, on_delete=models.PROTECT, related_name="slices")
    ordinal = models.PositiveIntegerField()
    day = models.DateField(null=True, help_text="the local day it covers, for cameras that close at midnight")
    opened_at = models.DateTimeField(auto_now_add=True)
    closed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["camera", "ordinal"], name="one_slice_an_ordinal")]
        ordering = ["camera", "ordinal"]

    def __str__(self) -> str:
        return f"{self.camera} slice {self.ordinal}"


class Recording(models.Model):
    """A stretch of a camera's footage, or of poses only. Its bytes are an artifact named by their digest."""

    class Origin(models.TextChoices):
        VIDEO = "video", _("video")
        POSES = "poses", _("tracked poses")

    class Purpose(models.TextChoices):
        STREAM = "stream", _("stream")
        VALIDATION = "validation", _("validation set")

    camera = models.ForeignKey(Camera, on_delete=models.PROTECT, related_name="recordings")
    slice = models.ForeignKey(Slice, on_delete=models.PROTECT, related_name="recordings", null=True)
    purpose = models.CharField(max_length=12, choices=Purpose.choices, default=Purpose.STREAM)
    origin = models.CharField(max_length=8, choices=Origin.choices)
    name = models.CharField(max_length=255)
    sha256 = models.CharField(max_length=64)
    size = models.BigIntegerField()
    source = models.CharField(max_length=160, blank=True, help_text="artifact key; empty when the bytes were not kept")
    width = models.PositiveIntegerField(default=0)
    height = models.PositiveIntegerField(default=0)
    fps = models.FloatField(default=0)
    duration_s = models.FloatField(default=0)
    start_at = models.DateTimeField(help_text="when its first frame was seen; taken from the ingest when unknown")
    clock_known = models.BooleanField(default=False, help_text="start_at is true: times of recordings may be compared")
    quarantined = models.TextField(blank=True, help_text="why this file was refused or given up; empty when it is fine")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["camera", "sha256"], name="a_file_once_a_camera"),
            models.CheckConstraint(
                condition=models.Q(purpose="validation") | models.Q(slice__isnull=False) | ~models.Q(quarantined=""),
                name="a_stream_recording_has_its_slice",
            ),
        ]
        indexes = [models.Index(fields=["camera", "-created_at"])]

    def __str__(self) -> str:
        return self.name


class Rendition(models.Model):
    """The H.264 file a browser plays under the overlay: same PTS as the recording's frames."""

    recording = models.OneToOneField(Recording, on_delete=models.PROTECT)
    artifact = models.CharField(max_length=160)
    created_at = models.DateTimeField(auto_now_add=True)
