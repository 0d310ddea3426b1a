"""Make a camera, and change its policies."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils.text import slugify

from alfred.models import Camera, Membership, Role, User, audit

POLICIES = (
    "methodology",
    "al_light_mode",
    "review_budget",
    "queue_weight",
    "slice_by",
    "slice_segments",
    "review_deadline_h",
    "round_policy",
    "round_min_fp",
    "auto_promote",
    "second_share",
    "second_in_warm_up",
    "known_share",
    "one_voice_share",
    "trial_first",
    "alert_share",
    "val_min",
)


@transaction.atomic
def add(*, name: str, by: User | None = None, **policies: Any) -> Camera:
    """A new camera; its slug is made of the name and never changes (files are stored under it)."""
    base = slugify(name)[:50] or "camera"
    slug, n = base, 1
    while Camera.objects.filter(slug=slug).exists():
        n += 1
        slug = f"{base}-{n}"
    camera = Camera.objects.create(name=name, slug=slug, **policies)
    audit.record("add camera", camera=camera, by=by, name=name)
    return camera


@transaction.atomic
def change(camera: Camera, *, by: User | None, **policies: Any) -> None:
    """Set policies; what was counted under the old ones stays."""
    before = {name: getattr(camera, name) for name in policies}
    for name, value in policies.items():
        if name not in POLICIES:
            raise ValueError(f"{name} is not a policy of a camera")
        setattr(camera, name, value)
    camera.save(update_fields=list(policies))
    audit.record("change policies", camera=camera, by=by, before=before, after=policies)


def allow(user: User, camera: Camera, role: Role) -> None:
    """Give a person a role on a camera (one role a camera; the newer one counts)."""
    Membership.objects.update_or_create(user=user, camera=camera, defaults={"role": role})
