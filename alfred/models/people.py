"""Who may do what: users, and their role per camera."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from alfred.models.cameras import Camera


class User(AbstractUser):
    """Admins (is_superuser) run everything; all others see the cameras of their memberships only."""

    @property
    def is_admin(self) -> bool:
        return self.is_active and self.is_superuser


class Preferences(models.Model):
    """How a person likes to work. `keys` maps actions to key names, both from closed lists (`services.preferences`)."""

    user = models.OneToOneField(User, on_delete=models.CASCADE, related_name="preferences")
    keys = models.JSONField(default=dict)
    single_keys = models.BooleanField(default=True, help_text="off: single letters and digits do nothing (WCAG 2.1.4)")
    language = models.CharField(max_length=10, blank=True, help_text="of the pages; empty: as the browser says")


class Role(models.TextChoices):
    ANNOTATOR = "annotator", _("annotator")
    SUPERVISOR = "supervisor", _("supervisor")


class Membership(models.Model):
    """A person's role on a camera. Supervisors read reports and may also judge; annotators judge."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    camera = models.ForeignKey("alfred.Camera", on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=12, choices=Role.choices)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "camera"], name="one_role_a_user_and_camera")]


def cameras_of(user: User, *roles: Role) -> models.QuerySet[Camera]:
    """The cameras this person may see (in one of `roles`, any when none is given); admins see all."""
    from alfred.models.cameras import Camera

    if user.is_admin:
        return Camera.objects.all()
    held = Membership.objects.filter(user_id=user.pk)
    if roles:
        held = held.filter(role__in=roles)
    return Camera.objects.filter(pk__in=held.values("camera_id")) if user.is_active else Camera.objects.none()
