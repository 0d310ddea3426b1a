"""A camera's guide: written by its supervisors, read by those who judge, shown once when it has changed."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet, Subquery
from django.utils.translation import gettext_lazy as _

from alfred.models import Camera, GuideSeen, GuideVersion, User
from alfred.models.people import cameras_of

HELP = _(
    "What is normal here and what is not, with examples: times of day, people who belong, movements that look odd."
)


def present(camera: Camera) -> GuideVersion | None:
    """The newest version, if anybody has written one."""
    return GuideVersion.objects.filter(camera=camera).select_related("by").order_by("-number").first()


def newest_of(camera: Any) -> Subquery:
    """The id of a camera's newest version, for a query about rows that name the camera."""
    return Subquery(GuideVersion.objects.filter(camera=camera).order_by("-number").values("pk")[:1])


@transaction.atomic
def write(camera: Camera, text: str, *, by: User) -> GuideVersion:
    """The next version; the same text again makes none. Who wrote it has seen it."""
    Camera.objects.select_for_update().get(pk=camera.pk)
    last = present(camera)
    if last and last.text == text:
        return last
    made = GuideVersion.objects.create(camera=camera, number=last.number + 1 if last else 1, text=text, by=by)
    GuideSeen.objects.create(guide=made, user=by)
    return made


def saw(user: User, guide: GuideVersion) -> None:
    GuideSeen.objects.get_or_create(guide=guide, user=user)


def unseen(user: User) -> QuerySet[Camera]:
    """Cameras of this person whose newest guide they have not had on their screen."""
    seen = GuideSeen.objects.filter(guide=OuterRef("guide_now"), user=user)
    rows = cameras_of(user).annotate(guide_now=newest_of(OuterRef("pk"))).filter(guide_now__isnull=False)
    return rows.exclude(Exists(seen))
