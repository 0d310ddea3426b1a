"""Jobs: the row is the truth, a message is only a nudge."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from django.db import connection, models, transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

MAX_ATTEMPTS = 3

nudge: Callable[[Job], None] | None = None
"""Set by the workers app: tells a worker that a job is waiting. Losing the call loses time, never work."""

nudge_camera: Callable[[int], None] | None = None
"""Set by the workers app: tells a worker that people answered in a camera's warm-up."""


nudge_alerts: Callable[[], None] | None = None
"""Set by the workers app: tells a worker that messages about alerts wait."""


class StaleAttemptError(Exception):
    """The present attempt of the job is no longer the one in force; its result must not be stored."""


class Job(models.Model):
    """One piece of long work on one row. Claimed by compare-and-set; fenced by its attempt number."""

    class Kind(models.TextChoices):
        EXTRACT = "extract", _("extract poses")
        SCORE = "score", pgettext_lazy("work", "score")
        CALIBRATE = "calibrate", _("calibrate the threshold")
        ROUND = "round", _("run round")
        REPLAY = "replay", _("replay")
        RENDITION = "rendition", _("make playable video")
        CLIPS = "clips", _("cut review clips")
        PLATE = "plate", _("make the background plate")

    class State(models.TextChoices):
        QUEUED = "queued", _("waiting")
        RUNNING = "running", _("running")
        DONE = "done", _("done")
        FAILED = "failed", _("failed")
        CANCELLED = "cancelled", _("cancelled")

    LIVE = (State.QUEUED, State.RUNNING)

    camera = models.ForeignKey("alfred.Camera", on_delete=models.PROTECT, related_name="jobs")
    kind = models.CharField(max_length=12, choices=Kind.choices)
    subject = models.BigIntegerField(help_text="id of the recording, round, camera or plate it works on")
    key = models.CharField(max_length=80, unique=True, help_text="idempotency: the same work is queued once")
    state = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED)
    attempts = models.PositiveSmallIntegerField(default=0)
    worker = models.CharField(max_length=120, blank=True, help_text="host:pid of the process that claimed it")
    heartbeat_at = models.DateTimeField(null=True)
    nudged_at = models.DateTimeField(null=True, help_text="when the sweep last sent a message for it")
    not_before = models.DateTimeField(null=True, help_text="back-off after a passing fault")
    done = models.BigIntegerField(default=0)
    total = models.BigIntegerField(default=0)
    stage = models.CharField(max_length=200, blank=True)
    error = models.TextField(blank=True)
    cancel_requested = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["state", "heartbeat_at"],
                condition=models.Q(state__in=["queued", "running"]),
                name="job_live",
            ),
            models.Index(fields=["kind", "subject"], name="job_subject"),
            models.Index(fields=["camera", "state"], name="job_camera_state"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}"

    @property
    def is_live(self) -> bool:
        return self.state in self.LIVE

    @property
    def percent(self) -> int:
        return min(100, round(100 * self.done / self.total)) if self.total else 0

    @property
    def seconds_left(self) -> int | None:
        """Time left at the pace so far; None until there is something to go by."""
        if self.state != self.State.RUNNING or not self.started_at or self.done <= 0 or self.total <= 0:
            return None
        spent = (timezone.now() - self.started_at).total_seconds()
        return max(0, round(spent * (self.total - self.done) / self.done))

    def claim(self, worker: str) -> bool:
        """Own the job: True for exactly one of any number of callers, and for none before its back-off is over."""
        now = timezone.now()
        ready = models.Q(not_before=None) | models.Q(not_before__lte=now)
        won = Job.objects.filter(ready, pk=self.pk, state=self.State.QUEUED, cancel_requested=False).update(
            state=self.State.RUNNING,
            attempts=F("attempts") + 1,
            worker=worker,
            heartbeat_at=now,
            started_at=now,
            done=0,
            total=0,
            stage="",
        )
        if won:
            self.refresh_from_db()
        return won == 1


def queue(camera_id: int, kind: Job.Kind, subject: int, key: str = "") -> Job:
    """Put work down once per key (by default one job a kind and subject) and nudge a worker after commit."""
    job, made = Job.objects.get_or_create(
        key=key or f"{kind}:{subject}", defaults={"camera_id": camera_id, "kind": kind, "subject": subject}
    )
    if made:
        after_commit(job)
    return job


def after_commit(job: Job) -> None:
    """Tell a worker, once the row can be seen."""

    def tell() -> None:
        announce(job)
        if nudge:
            nudge(job)

    transaction.on_commit(tell)


def look_at(camera_id: int) -> None:
    """Have a worker see whether the camera's warm-up has come further; the sweep looks anyway."""
    if nudge_camera:
        nudge_camera(camera_id)


def send_alerts() -> None:
    """Have a worker send the messages that wait; the sweep looks anyway."""
    if nudge_alerts:
        nudge_alerts()


def fence(job_id: int, attempt: int) -> Job:
    """Lock the job's row inside the transaction that stores its result; refuse a stale attempt."""
    job = Job.objects.select_for_update().filter(pk=job_id, attempts=attempt, state=Job.State.RUNNING).first()
    if job is None or job.cancel_requested:
        raise StaleAttemptError(f"job {job_id}: attempt {attempt} is no longer in force")
    return job


def announce(job: Job, **extra: Any) -> None:
    """NOTIFY listeners (progress streams) of the job's present state."""
    payload = {"job": job.pk, "kind": job.kind, "subject": job.subject, "camera": job.camera_id, **extra}
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify('alfred_job', %s)", [json.dumps(payload)])
