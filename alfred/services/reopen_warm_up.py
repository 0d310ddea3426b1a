"""Open a camera's warm-up again, because what it sees has changed: a new validation set is made beside the old one."""

from __future__ import annotations

from django.db import transaction
from django.utils.translation import gettext as _

from alfred.models import Camera, User, ValidationSet, audit
from alfred.services import build_validation
from alfred.services.deploy import Refused


@transaction.atomic
def reopen(camera_id: int, by: User | None, reason: str = "") -> ValidationSet:
    """Start a new version of the validation set: what is scored from now on is sampled over the whole score range.

    The set in force and its θ stay until the new one is complete; the old one stays in reports.
    """
    camera = Camera.objects.select_for_update().get(pk=camera_id)
    present = build_validation.frozen_set(camera_id)
    if present is None:
        raise Refused(_("Warm-up is still running: there is no complete validation set to replace."))
    if build_validation.made_anew(camera_id):
        raise Refused(_("Warm-up is open again already."))
    made = ValidationSet.objects.create(camera=camera, number=present.number + 1)
    audit.record("reopen warm-up", camera=camera, by=by, set=made.number, replaces=present.number, reason=reason)
    return made


@transaction.atomic
def call_off(camera_id: int, by: User | None) -> None:
    """Give up the set in the making: the one in force stays, and flagged segments are asked about again."""
    camera = Camera.objects.select_for_update().get(pk=camera_id)
    made = build_validation.made_anew(camera_id)
    if made is None:
        raise Refused(_("Warm-up has not been opened again, so there is nothing to call off."))
    number = made.number
    made.delete()  # it has no members: they are stored when a set is frozen
    audit.record("call off warm-up", camera=camera, by=by, set=number)
