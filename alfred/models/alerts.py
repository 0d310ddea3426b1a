"""Alerts on their way: who has seen them, where they are sent, what became of each message."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from alfred.models.cameras import Camera
from alfred.models.footage import Recording
from alfred.models.people import User


class Acknowledged(models.Model):
    """Somebody has seen what a camera flagged within a minute of a recording. Taken back by deleting it."""

    recording = models.ForeignKey(Recording, on_delete=models.PROTECT, related_name="acknowledged")
    minute = models.DateTimeField()
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["recording", "minute"], name="acknowledged_once")]


class AlertChannel(models.Model):
    """Where alerts of a set of cameras are sent."""

    class Kind(models.TextChoices):
        WEBHOOK = "webhook", _("webhook")
        EMAIL = "email", _("e-mail")

    name = models.CharField(max_length=60, unique=True)
    kind = models.CharField(max_length=8, choices=Kind.choices)
    url = models.CharField(max_length=500, blank=True)
    secret = models.CharField(max_length=64, blank=True, help_text="signs each message; shown once")
    addresses = models.JSONField(default=list)
    cooldown_s = models.PositiveIntegerField(default=300, help_text="seconds between two messages about one camera")
    in_use = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def goes_to(self) -> str:
        return self.url or ", ".join(self.addresses)


class ChannelCamera(models.Model):
    """A camera whose alerts a channel sends."""

    channel = models.ForeignKey(AlertChannel, on_delete=models.PROTECT, related_name="watched")
    camera = models.ForeignKey(Camera, on_delete=models.PROTECT, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["channel", "camera"], name="a_camera_once_a_channel")]


class AlertDelivery(models.Model):
    """One message about one camera, and what became of it. `camera` is null for a trial message."""

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting")
        SENT = "sent", _("sent")
        FOLDED = "folded", _("told with a later one")
        FAILED = "failed", _("failed")

    channel = models.ForeignKey(AlertChannel, on_delete=models.PROTECT, related_name="deliveries")
    camera = models.ForeignKey(Camera, on_delete=models.PROTECT, null=True, related_name="+")
    recording = models.ForeignKey(Recording, on_delete=models.PROTECT, null=True, related_name="+")
    first_at = models.DateTimeField(null=True, help_text="when the first flagged stretch began")
    stretches = models.PositiveIntegerField(default=0)
    people = models.PositiveIntegerField(default=0)
    state = models.CharField(max_length=8, choices=State.choices, default=State.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    sent_to = models.TextField(blank=True, help_text="the address of the last try; the channel's may be another by now")
    not_before = models.DateTimeField(null=True)
    error = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    sent_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["channel", "recording"], name="a_recording_once_a_channel")]
        indexes = [
            models.Index(fields=["created_at"], condition=Q(state="waiting"), name="delivery_waiting"),
            models.Index(fields=["channel", "camera", "-sent_at"], name="delivery_sent"),
        ]
