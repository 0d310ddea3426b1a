"""The life of a job around its work: claim, heartbeat, progress, outcome, sweep."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from alfred.core.phrases import phrase
from alfred.models import Camera, Job, Recording, Round, work
from alfred.services import slices

log = logging.getLogger(__name__)

NUDGE_AGAIN = timedelta(minutes=2)

ON_RECORDINGS = frozenset({Job.Kind.EXTRACT, Job.Kind.SCORE})
"""Kinds whose subject is a recording that is worth nothing until they are done."""


class BadInputError(Exception):
    """The recording itself is bad: trying again won't help. The message is one sentence for people."""


class NotYet(Exception):
    """The work has to wait for other work of the same camera; it goes back to the queue as if never claimed."""


@dataclass(frozen=True)
class JobContext:
    """What a piece of heavy work is given: which attempt of which job it is, and how to tell its progress."""

    job_id: int
    attempt: int
    report: Callable[[int, int, str], None]


def here() -> str:
    """host:pid, as noted on the jobs this process claims."""
    return f"{socket.gethostname()}:{os.getpid()}"


def beat(job: Job, done: int, total: int, stage: str) -> bool:
    """Say the job is alive and how far it is. False: cancel it, or somebody else owns it now."""
    alive = Job.objects.filter(pk=job.pk, attempts=job.attempts, state=Job.State.RUNNING, cancel_requested=False)
    if not alive.update(heartbeat_at=timezone.now(), done=done, total=total, stage=stage[:200]):
        return False
    work.announce(job)
    return True


@transaction.atomic
def finish(job: Job) -> None:
    """The work is stored; close the row (a no-op when this attempt is no longer in force)."""
    Job.objects.filter(pk=job.pk, attempts=job.attempts, state=Job.State.RUNNING).update(
        state=Job.State.DONE, finished_at=timezone.now(), error=""
    )
    work.announce(job)


@transaction.atomic
def fail(job: Job, reason: str, *, permanent: bool) -> None:
    """Note why an attempt failed: back to the queue with a delay, or given up for good."""
    row = Job.objects.select_for_update().filter(pk=job.pk, attempts=job.attempts, state=Job.State.RUNNING).first()
    if row is None:
        return
    if row.cancel_requested:
        _end(row, Job.State.CANCELLED, phrase("cancelled"))
    elif permanent or row.attempts >= work.MAX_ATTEMPTS:
        _end(row, Job.State.FAILED, reason)
    else:
        row.state = Job.State.QUEUED
        row.error = reason
        row.not_before = timezone.now() + timedelta(seconds=2**row.attempts)
        row.nudged_at = None
        row.save(update_fields=["state", "error", "not_before", "nudged_at"])
    work.announce(row)


@transaction.atomic
def postpone(job: Job, seconds: float) -> None:
    """Back to the queue for a while; the attempt does not count."""
    Job.objects.filter(pk=job.pk, attempts=job.attempts, state=Job.State.RUNNING).update(
        state=Job.State.QUEUED,
        attempts=F("attempts") - 1,
        not_before=timezone.now() + timedelta(seconds=seconds),
        nudged_at=None,
        stage=phrase("waiting for the camera's threshold"),
    )
    work.announce(job)


def _end(job: Job, state: Job.State, reason: str) -> None:
    job.state, job.error, job.finished_at = state, reason, timezone.now()
    job.save(update_fields=["state", "error", "finished_at"])
    if job.kind == Job.Kind.ROUND:
        ended = Round.State.CANCELLED if state == Job.State.CANCELLED else Round.State.FAILED
        Round.objects.filter(pk=job.subject, state__in=Round.RUNNING).update(
            state=ended, message=reason, ended_at=timezone.now()
        )
    elif job.kind in ON_RECORDINGS:
        # Given up, whether by us or by a person: its slice must not wait for it.
        words = phrase("Work on it was cancelled.") if state == Job.State.CANCELLED else reason
        Recording.objects.filter(pk=job.subject).update(quarantined=words)


@transaction.atomic
def cancel(job_id: int) -> None:
    """Ask a job to stop: at once while it waits; a running one is stopped by its worker within seconds."""
    job = Job.objects.select_for_update().get(pk=job_id)
    if not job.is_live:
        return
    job.cancel_requested = True
    job.save(update_fields=["cancel_requested"])
    if job.state == Job.State.QUEUED:
        _end(job, Job.State.CANCELLED, phrase("cancelled"))
    work.announce(job)


@transaction.atomic
def retry(job_id: int) -> None:
    """Queue a given-up or cancelled job once more, its attempts counted from zero."""
    job = Job.objects.select_for_update().get(pk=job_id)
    if job.state not in {Job.State.FAILED, Job.State.CANCELLED} or job.kind == Job.Kind.ROUND:
        return
    if job.kind in ON_RECORDINGS and not _slice_still_takes(job.subject):
        return
    job.state, job.attempts, job.error, job.not_before = Job.State.QUEUED, 0, "", None
    job.cancel_requested = False
    job.nudged_at = None
    job.save(update_fields=["state", "attempts", "error", "not_before", "cancel_requested", "nudged_at"])
    if job.kind in ON_RECORDINGS:
        Recording.objects.filter(pk=job.subject).update(quarantined="")
    work.after_commit(job)


def _slice_still_takes(recording_id: int) -> bool:
    """A recording given up in a slice that has closed since goes to the open one; with poses stored it can't."""
    recording = Recording.objects.select_related("slice").get(pk=recording_id)
    if recording.slice is None or recording.slice.closed_at is None:
        return True
    if recording.segments.exists():
        return False
    camera = Camera.objects.select_for_update().get(pk=recording.camera_id)
    recording.slice = slices.join(camera, recording.start_at, None)
    recording.save(update_fields=["slice"])
    return True


def sweep() -> int:
    """Bring back what dead workers left, and nudge for what waits. Safe to run any time, anywhere."""
    now = timezone.now()
    stale = now - timedelta(seconds=settings.STALE_AFTER_S)
    recovered = 0
    for job in Job.objects.filter(state=Job.State.RUNNING):
        if job.heartbeat_at is None or job.heartbeat_at < stale or _owner_is_dead(job.worker):
            log.warning("job %s (%s): its worker is gone, attempt %s", job.pk, job, job.attempts)
            fail(job, phrase("the worker stopped while working on this"), permanent=False)
            recovered += 1
    _nudge_waiting(now)
    return recovered


def _nudge_waiting(now: datetime) -> None:
    """Send a message for what waits, again after a while only: a busy queue must not fill with messages."""
    due = Q(not_before=None) | Q(not_before__lte=now)
    unheard = Q(nudged_at=None) | Q(nudged_at__lt=now - NUDGE_AGAIN)
    waiting = Job.objects.filter(due, unheard, state=Job.State.QUEUED)
    for job in waiting.order_by("id")[:200]:
        Job.objects.filter(pk=job.pk).update(nudged_at=now)
        if work.nudge:
            work.nudge(job)


def _owner_is_dead(worker: str) -> bool:
    """A process of this very host that no longer exists (another host's is judged by its heartbeat)."""
    host, _, pid = worker.rpartition(":")
    if host != socket.gethostname() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
