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
    try:
        app.send_task("workers.run_job", args=(job.pk,), queue=KINDS[job.kind].queue, retry=False, ignore_result=True)
    except (OperationalError, OSError) as error:
        log.warning("job %s waits for the sweep: the broker did not answer (%s)", job.pk, type(error).__name__)
