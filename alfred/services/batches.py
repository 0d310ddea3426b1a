"""Take back what was confirmed together: all of it or nothing."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import uuid4

from django.db import transaction
from django.utils.translation import gettext as _

from alfred.models import Answer, Batch, Event, SnapshotLabel, User, Verdict


class NothingToUndo(Exception):
    """There is no verdict of theirs that may still be undone; the message says why."""


def used(segments: Collection[int], *, since: datetime) -> bool:
    """Whether a round has frozen a label of these segments since then."""
    return SnapshotLabel.objects.filter(segment_id__in=segments, snapshot__frozen_at__gte=since).exists()


@transaction.atomic
def take_back(user: User, batch_id: int) -> Batch:
    """All events of the batch wait again.

    Raises Batch.DoesNotExist for another person's, NothingToUndo where it is too late.
    """
    batch = Batch.objects.get(pk=batch_id, user=user)
    events = list(Event.objects.filter(verdicts__batch=batch).distinct().values_list("pk", flat=True))
    list(Event.objects.filter(pk__in=events).order_by("pk").select_for_update())
    said = list(Verdict.objects.filter(batch=batch, superseded_by__isnull=True).exclude(answer=Answer.UNDO))
    if not said:
        raise NothingToUndo(_("These have been taken back already."))
    if used([row.segment_id for row in said], since=batch.created_at):
        raise NothingToUndo(_("A round has already used these answers; a supervisor can correct them."))
    later = Verdict.objects.filter(event__in=events, batch=None, superseded_by__isnull=True, pk__gt=said[0].pk)
    if later.exclude(answer=Answer.UNDO).exists():
        raise NothingToUndo(_("Another person has judged some of them since; a supervisor can correct it."))
    key = uuid4()
    Verdict.objects.bulk_create(
        Verdict(
            event_id=row.event_id, segment_id=row.segment_id, user=user, answer=Answer.UNDO, supersedes=row, key=key,
            batch=batch,
        )
        for row in said
    )  # fmt: skip
    Event.objects.filter(pk__in=events, state__in=(Event.State.DECIDED, Event.State.SECOND)).update(
        state=Event.State.OPEN, decided_at=None
    )
    return batch
