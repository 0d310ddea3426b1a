"""What every page's frame needs."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest

from alfred import __version__
from alfred.models import Membership, Role, User


def shell(request: HttpRequest) -> dict[str, Any]:
    """The version, whether this is the demo, and which parts of the navigation this person gets."""
    user = getattr(request, "user", None)
    facts: dict[str, Any] = {"version": __version__, "demo": settings.DEMO, "sees_cameras": False}
    if isinstance(user, User) and not request.headers.get("HX-Request"):
        supervises = user.is_admin or Membership.objects.filter(user=user, role=Role.SUPERVISOR).exists()
        facts["sees_cameras"] = supervises
    return facts
