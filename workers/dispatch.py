"""Enqueue by task name and row id. Imports no task body, so the web process stays light."""

from __future__ import annotations

import logging

from kombu.exceptions import OperationalError

from alfred.models import Job
from workers.celery import app
from workers.kinds import KINDS

log = logging.getLogger(__name__)


def nudge(job: Job) -> None:
    """Tell a worker of the job's queue. When the broker can't be reached the sweep tells it later."""
    _send("workers.run_job", KINDS[job.kind].queue, job.pk)


def nudge_camera(camera_id: int) -> None:
    """Have a worker look at a camera's warm-up."""
    _send("workers.advance_warm_up", "sweep", camera_id)


def nudge_alerts() -> None:
    """Have a worker send what waits."""
    _send("workers.send_alerts", "io")


def _send(task: str, queue: str, *row: int) -> None:
    try:
        app.send_task(task, args=row, queue=queue, retry=False, ignore_result=True)
    except (OperationalError, OSError) as error:
        log.warning("%s %s waits for the sweep: the broker did not answer (%s)", task, row, type(error).__name__)
