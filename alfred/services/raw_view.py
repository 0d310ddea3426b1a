"""Looking at people as they were filmed: asked for with a reason, for a while, and noted each time."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from alfred.models import AuditEntry, Camera, Event, User, audit

ASKED, LOOKED = "asked to see raw video", "looked at raw video"
HOLDS = timedelta(hours=8)
"""A reason given once holds for a working day, on its camera."""


def allow(user: User, camera: Camera, reason: str) -> None:
    audit.record(ASKED, camera=camera, by=user, reason=reason)


def reason_of(user: User, camera: Camera) -> str:
    """The reason that this person gave on this camera lately; "" = none."""
    rows = AuditEntry.objects.filter(action=ASKED, camera=camera, by=user, at__gte=timezone.now() - HOLDS)
    found = rows.values_list("details", flat=True).first()
    return str(found["reason"]) if found else ""


def note(user: User, event: Event, reason: str) -> None:
    """One line an event and person, however often the browser asks for its parts."""
    seen = AuditEntry.objects.filter(action=LOOKED, by=user, camera=event.camera, details__event=str(event.pk))
    if not seen.filter(at__gte=timezone.now() - HOLDS).exists():
        audit.record(LOOKED, camera=event.camera, by=user, event=str(event.pk), reason=reason)
