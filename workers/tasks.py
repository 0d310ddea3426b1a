"""Task bodies: claim the row, order the work, keep the row alive, record the outcome."""

from __future__ import annotations

import threading
import time

from celery import shared_task
from celery.signals import worker_ready, worker_shutting_down
from django.db import close_old_connections

from alfred.models import Camera, Job, work
from alfred.services import auto_rounds, build_validation, clean_up, clips, deliver_alerts, jobs, slices
from workers.kinds import KINDS, Kind
from workers.warm import ChildDied, WarmChild

POLL_S = 0.5
BEAT_S = 2.0
LATER_S = 2.0

_children = threading.local()
_stopping = threading.Event()


@shared_task(name="workers.run_job")
def run_job(job_id: int) -> None:
    """Run the job if it still waits; a second message finds nothing to claim. Limits: `kinds`, kept by `_run`."""
    close_old_connections()
    job = Job.objects.filter(pk=job_id).first()
    if job is None or not job.claim(jobs.here()):
        return
    child = _child()
    try:
        _run(job, KINDS[job.kind], child)
    except ChildDied as error:
        jobs.fail(job, str(error), permanent=False)
    except BaseException:
        # The database went away, say. What the child still has to tell of this job is no answer to the next.
        child.kill()
        raise
    finally:
        close_old_connections()


@shared_task(name="workers.advance_warm_up", time_limit=300, soft_time_limit=240)
def advance_warm_up(camera_id: int) -> None:
    """Freeze the validation set when it is complete, and have θ found anew now and then."""
    close_old_connections()
    build_validation.advance(Camera.objects.get(pk=camera_id))


@shared_task(name="workers.send_alerts", time_limit=300, soft_time_limit=240)
def send_alerts() -> None:
    """Send the messages about alerts that are due: a few at a time, for a server that hangs takes its time."""
    close_old_connections()
    deliver_alerts.deliver()


@shared_task(name="workers.sweep", time_limit=300, soft_time_limit=240)
def sweep() -> None:
    """Re-queue what dead workers left, nudge what waits, close full and ended slices, start rounds due by policy."""
    close_old_connections()
    jobs.sweep()
    slices.close_full_and_ended()
    build_validation.advance_all()
    auto_rounds.look()
    clean_up.discard_pixels()
    clips.discard_old()
    if deliver_alerts.due().exists():
        work.send_alerts()


def _child() -> WarmChild:
    if not hasattr(_children, "warm"):
        _children.warm = WarmChild()
    return _children.warm  # type: ignore[no-any-return]  # thread-local attributes have no declared type


def _run(job: Job, kind: Kind, child: WarmChild) -> None:
    child.order(job=job.pk, attempt=job.attempts, call=kind.call, subject=job.subject)
    started = last_beat = time.monotonic()
    done, total, stage = 0, 0, ""
    while True:
        message = child.next_message(POLL_S)
        now = time.monotonic()
        if message is not None and (message["job"], message["attempt"]) != (job.pk, job.attempts):
            continue  # of an earlier order
        if _stopping.is_set():
            # An orderly stop is nobody's fault: the job goes back without its attempt counted.
            child.kill()
            jobs.postpone(job, 0)
            return
        if message and "progress" in message:
            done, total, stage = message["progress"]
        elif message is not None:
            _outcome(job, message)
            return
        if now - last_beat >= BEAT_S or (message is None and last_beat == started):
            last_beat = now
            if not jobs.beat(job, done, total, stage):
                child.kill()
                jobs.fail(job, "cancelled", permanent=True)
                return
            problem = _overrun(kind, child, now - started)
            if problem:
                child.kill()
                jobs.fail(job, problem, permanent=False)
                return


def _overrun(kind: Kind, child: WarmChild, seconds: float) -> str:
    if seconds > kind.seconds:
        return f"it took longer than {kind.seconds // 60} minutes"
    if child.resident_mib() > kind.mebibytes:
        return f"it needed more than {kind.mebibytes} MiB of memory"
    return ""


def _outcome(job: Job, message: dict[str, object]) -> None:
    if message.get("done"):
        jobs.finish(job)
    elif message.get("later"):
        jobs.postpone(job, LATER_S)
        run_job.apply_async(args=(job.pk,), queue=KINDS[job.kind].queue, countdown=LATER_S)
    elif message.get("stale"):
        jobs.fail(job, "cancelled", permanent=True)
    elif "error" in message:
        jobs.fail(job, str(message["error"]), permanent=bool(message.get("permanent")))


@worker_shutting_down.connect
def _stop(**_: object) -> None:
    _stopping.set()


@worker_ready.connect
def _recover(**_: object) -> None:
    """A worker that starts brings back what its predecessor was killed over, before the next beat does."""
    jobs.sweep()
