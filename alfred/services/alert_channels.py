"""Where alerts are sent: channels of a set of cameras, and the messages that wait to be sent."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from datetime import timedelta

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from alfred.models import AlertChannel, AlertDelivery, Camera, ChannelCamera, Recording, User, audit, work
from alfred.services import alerts

NEWS_FOR = timedelta(hours=24)
"""What was filmed longer ago is no news: importing last week's footage wakes nobody."""
LOGGED = 100


def tell(camera: Camera, recording: Recording) -> None:
    """Put down a message about a recording just scored, for each channel that watches its camera. In a transaction.

    When it is sent, and with which others, is decided then (`deliver_alerts`).
    """
    channels = AlertChannel.objects.filter(in_use=True, watched__camera=camera)
    if not channels.exists():
        return
    if recording.clock_known and recording.start_at < timezone.now() - NEWS_FOR:
        return
    rows = alerts.above_the_band(Camera.objects.filter(pk=camera.pk)).filter(segment__recording=recording)
    segments = [row.segment for row in rows]
    if not segments:
        return
    AlertDelivery.objects.bulk_create(
        [
            AlertDelivery(
                channel=channel,
                camera=camera,
                recording=recording,
                first_at=min(segment.start_at for segment in segments),
                stretches=len(segments),
                people=len({segment.track_id for segment in segments}),
            )
            for channel in channels
        ],
        ignore_conflicts=True,
    )
    transaction.on_commit(work.send_alerts)


@transaction.atomic
def add(*, by: User, cameras: Collection[Camera], **what: object) -> AlertChannel:
    """A new channel; a webhook's secret is made here."""
    secret = secrets.token_hex(32) if what["kind"] == AlertChannel.Kind.WEBHOOK else ""
    channel = AlertChannel.objects.create(secret=secret, **what)
    _watch(channel, cameras)
    audit.record("add alert channel", by=by, channel=channel.name, cameras=sorted(c.slug for c in cameras))
    return channel


@transaction.atomic
def change(channel: AlertChannel, *, by: User, cameras: Collection[Camera], **what: object) -> None:
    """Set what may be set; the kind and the secret stay."""
    for name, value in what.items():
        setattr(channel, name, value)
    channel.save(update_fields=list(what))
    _watch(channel, cameras)
    audit.record("change alert channel", by=by, channel=channel.name, cameras=sorted(c.slug for c in cameras))


def _watch(channel: AlertChannel, cameras: Collection[Camera]) -> None:
    ChannelCamera.objects.filter(channel=channel).exclude(camera__in=cameras).delete()
    rows = [ChannelCamera(channel=channel, camera=camera) for camera in cameras]
    ChannelCamera.objects.bulk_create(rows, ignore_conflicts=True)


@transaction.atomic
def try_out(channel: AlertChannel, *, by: User) -> AlertDelivery:
    """A message that says it is a trial; it heeds no cooldown and starts none."""
    made = AlertDelivery.objects.create(channel=channel)
    audit.record("try alert channel", by=by, channel=channel.name)
    transaction.on_commit(work.send_alerts)
    return made


def log() -> QuerySet[AlertDelivery]:
    """The newest messages of all channels."""
    return AlertDelivery.objects.select_related("channel", "camera").order_by("-id")[:LOGGED]
