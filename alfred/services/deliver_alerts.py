"""Send the messages about alerts that wait: one a camera and channel in its cooldown, none lost, none for ever."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models import Max, Q, QuerySet
from django.utils import timezone

from alfred.models import AlertChannel, AlertDelivery
from alfred.services import webhook
from alfred.services.webhook import Undeliverable

log = logging.getLogger(__name__)

AGAIN_AFTER = tuple(timedelta(seconds=s) for s in (30, 60, 300, 1800, 7200))
"""After each failed try; after the last one the message is given up."""
AT_ONCE = 20
SCHEMA_VERSION = 1

State = AlertDelivery.State


@dataclass(frozen=True)
class _Claimed:
    """A message that is ours to send now, and those that it tells of as well."""

    row: AlertDelivery
    others: list[AlertDelivery]

    @property
    def all(self) -> list[AlertDelivery]:
        return [*self.others, self.row]


def due() -> QuerySet[AlertDelivery]:
    """What waits and may be sent now, the oldest first."""
    ready = Q(not_before=None) | Q(not_before__lte=timezone.now())
    return AlertDelivery.objects.filter(ready, state=State.WAITING).order_by("created_at")


def deliver() -> int:
    """Send what is due, a few messages; returns how many were sent. Two callers at once never send the same one.

    A process killed between sending and noting it sends once more after the first delay: the message carries its
    number, by which a receiver can tell.
    """
    sent = 0
    for _ in range(AT_ONCE):
        claimed = _claim()
        if claimed is None:
            break
        try:
            _send(claimed)
        except Undeliverable as error:
            _note_failure(claimed, error)
        else:
            AlertDelivery.objects.filter(pk=claimed.row.pk).update(
                state=State.SENT, sent_at=timezone.now(), error="", not_before=None
            )
            AlertDelivery.objects.filter(pk__in=[one.pk for one in claimed.others]).update(state=State.FOLDED)
            sent += 1
    return sent


@transaction.atomic
def _claim() -> _Claimed | None:
    """The next message with its attempt counted, or None; what is in its cooldown is put off till that is over."""
    now = timezone.now()
    rows = due().select_related("channel", "camera").select_for_update(of=("self",), skip_locked=True)
    while row := rows.first():
        # One at a time per channel: two messages of a camera must see each other's cooldown.
        AlertChannel.objects.select_for_update().get(pk=row.channel_id)
        waiting = _of_the_same(row)
        # One that is on its way, or waits to be tried again, takes those that came after it along next time.
        free_from = max([_cooled_down(row) or now, *(one.not_before for one in waiting if one.not_before)])
        if free_from > now:
            AlertDelivery.objects.filter(pk__in=[one.pk for one in waiting]).update(not_before=free_from)
            continue
        last = max(waiting, key=lambda one: one.pk)
        last.attempts += 1
        held_until = now + AGAIN_AFTER[min(last.attempts, len(AGAIN_AFTER)) - 1]
        AlertDelivery.objects.filter(pk__in=[one.pk for one in waiting]).update(
            attempts=last.attempts, not_before=held_until, sent_to=last.channel.goes_to
        )
        return _Claimed(last, [one for one in waiting if one.pk != last.pk])
    return None


def _of_the_same(row: AlertDelivery) -> list[AlertDelivery]:
    """All that waits for this channel about this camera; of a trial message itself alone."""
    if row.camera_id is None:
        return [row]
    same = AlertDelivery.objects.filter(channel=row.channel_id, camera=row.camera_id, state=State.WAITING)
    return list(same.select_related("channel", "camera").order_by("pk"))


def _cooled_down(row: AlertDelivery) -> datetime | None:
    """When the next message about this camera may go: counted from the last one that was really sent."""
    if row.camera_id is None:
        return None
    same = AlertDelivery.objects.filter(channel=row.channel_id, camera=row.camera_id, state=State.SENT)
    last = same.aggregate(at=Max("sent_at"))["at"]
    return last + timedelta(seconds=row.channel.cooldown_s) if last else None


def _note_failure(claimed: _Claimed, error: Undeliverable) -> None:
    log.warning("alert channel %s: %s", claimed.row.channel_id, error)
    rows = AlertDelivery.objects.filter(pk__in=[one.pk for one in claimed.all])
    given_up = error.lasting or claimed.row.attempts > len(AGAIN_AFTER)
    rows.update(error=str(error)[:300], **({"state": State.FAILED} if given_up else {}))


def _send(claimed: _Claimed) -> None:
    channel = claimed.row.channel
    if channel.kind == AlertChannel.Kind.WEBHOOK:
        webhook.post(channel.url, json.dumps(message(claimed)).encode(), channel.secret)
        return
    if not settings.EMAIL_HOST:
        raise Undeliverable("No mail server is set (ALFRED_EMAIL_HOST).", lasting=True)
    try:
        EmailMessage(subject(claimed), body(claimed), to=channel.addresses).send()
    except Exception as error:  # whatever a mail server may say: the message is kept and the worker goes on
        raise Undeliverable(f"The mail server did not take it ({type(error).__name__}).") from None


def message(claimed: _Claimed) -> dict[str, Any]:
    """What a webhook is posted. No score, no poses, no picture: those stay behind the sign-in."""
    row = claimed.row
    if row.camera is None:
        return {"event": "trial", "schema_version": SCHEMA_VERSION, "delivery_id": row.pk, "link": _link(row)}
    return {
        "event": "alerts",
        "schema_version": SCHEMA_VERSION,
        "delivery_id": row.pk,
        "camera": {"slug": row.camera.slug, "name": row.camera.name},
        "first_at": _first(claimed).isoformat(),
        "stretches": sum(one.stretches for one in claimed.all),
        "people": sum(one.people for one in claimed.all),
        "recordings": len(claimed.all),
        "link": _link(row),
    }


def _first(claimed: _Claimed) -> datetime:
    return min(one.first_at or one.created_at for one in claimed.all)


def _link(row: AlertDelivery) -> str:
    return f"{settings.PUBLIC_URL}/alerts/" + (f"?camera={row.camera.slug}" if row.camera else "")


def subject(claimed: _Claimed) -> str:
    camera = claimed.row.camera
    return f"ALFred: alert on {camera.name}" if camera else "ALFred: a trial message"


def body(claimed: _Claimed) -> str:
    """The e-mail's text."""
    if claimed.row.camera is None:
        return f"This is a trial of the alert channel {claimed.row.channel.name}. It works.\n"
    found = message(claimed)
    return (
        f"{found['stretches']} flagged stretches with {found['people']} people on {claimed.row.camera.name}, "
        f"the first at {_first(claimed):%Y-%m-%d %H:%M} UTC.\n\n{found['link']}\n"
    )
