"""The life of a job: one claims it, a stale one stores nothing, dead workers' jobs come back, and it ends some time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction
from django.utils import timezone

from alfred.models import Job, Recording, Round, work
from alfred.models.detectors import in_force
from alfred.models.work import StaleAttemptError, fence, queue
from alfred.services import jobs
from tests import world

pytestmark = pytest.mark.django_db


@pytest.fixture
def nudged(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Ids of the jobs workers were told about, in order."""
    told: list[int] = []
    monkeypatch.setattr(work, "nudge", lambda job: told.append(job.pk))
    return told


def extract_job(view: Any = None) -> Job:
    view = view or world.camera()
    return world.job_of(world.stream(view, minutes=0.2).pk, "extract")


def in_past(job: Job, **seconds: float) -> None:
    """Set moments of the row so many seconds back."""
    Job.objects.filter(pk=job.pk).update(
        **{name: timezone.now() - timedelta(seconds=age) for name, age in seconds.items()}
    )
    job.refresh_from_db()


@pytest.mark.django_db(transaction=True)
def test_of_many_who_claim_at_once_one_wins() -> None:
    view = world.camera()
    found = [queue(view.pk, Job.Kind.SCORE, n) for n in range(10)]
    start = threading.Barrier(4)
    won: list[tuple[int, str]] = []

    def claim(me: str) -> None:
        try:
            for job in found:
                mine = Job.objects.get(pk=job.pk)
                start.wait()
                if mine.claim(me):
                    won.append((job.pk, me))
        finally:
            connection.close()

    threads = [threading.Thread(target=claim, args=(f"w:{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(pk for pk, _ in won) == sorted(job.pk for job in found)
    for job in found:
        job.refresh_from_db()
        assert (job.state, job.attempts, job.worker) == ("running", 1, dict(won)[job.pk])


def test_a_claim_begins_afresh() -> None:
    job = extract_job()
    Job.objects.filter(pk=job.pk).update(done=5, total=9, stage="half way")
    job.refresh_from_db()
    assert job.claim("here:1")
    assert (job.done, job.total, job.stage, job.attempts) == (0, 0, "", 1)
    assert job.started_at is not None and job.heartbeat_at is not None
    assert not job.claim("there:2")
    job.refresh_from_db()
    assert job.worker == "here:1"


def test_the_fence_lets_only_the_attempt_in_force_through() -> None:
    job = extract_job()
    job.claim("here:1")
    assert fence(job.pk, 1).pk == job.pk
    for attempt in (0, 2):
        with pytest.raises(StaleAttemptError):
            fence(job.pk, attempt)
    jobs.fail(job, "lost", permanent=False)
    with pytest.raises(StaleAttemptError):
        fence(job.pk, 1)
    in_past(job, not_before=1)
    assert job.claim("there:2")
    with pytest.raises(StaleAttemptError):
        fence(job.pk, 1)  # the first worker wakes up and wants to store
    assert fence(job.pk, 2)
    jobs.cancel(job.pk)
    with pytest.raises(StaleAttemptError):
        fence(job.pk, 2)


def test_a_stale_workers_words_change_nothing() -> None:
    job = extract_job()
    job.claim("here:1")
    stale = Job.objects.get(pk=job.pk)
    jobs.fail(job, "lost", permanent=False)
    in_past(job, not_before=1)
    job.claim("there:2")
    jobs.finish(stale)
    jobs.fail(stale, "I think it failed", permanent=True)
    jobs.postpone(stale, 100)
    assert not jobs.beat(stale, 1, 2, "still at it")
    job.refresh_from_db()
    assert (job.state, job.attempts, job.worker, job.stage) == ("running", 2, "there:2", "")


def test_back_off_doubles_and_is_kept() -> None:
    job = extract_job()
    waits = []
    for _ in range(2):
        assert job.claim("here:1")
        before = timezone.now()
        jobs.fail(job, "the disk was away", permanent=False)
        job.refresh_from_db()
        assert (job.state, job.error) == ("queued", "the disk was away")
        assert job.not_before is not None
        waits.append(round((job.not_before - before).total_seconds()))
        # A message that was on its way already finds nothing to claim before the time has come.
        assert not job.claim("there:2")
        in_past(job, not_before=1)
    assert waits == [2, 4]


def test_after_three_attempts_it_is_given_up_and_the_recording_says_why() -> None:
    job = extract_job()
    for attempt in range(1, 4):
        assert job.claim("here:1")
        assert job.attempts == attempt
        jobs.fail(job, "the process doing this ended unexpectedly (exit -9)", permanent=False)
        job.refresh_from_db()
        if attempt < 3:
            in_past(job, not_before=1)
    recording = Recording.objects.get(pk=job.subject)
    assert (job.state, job.error) == ("failed", "the process doing this ended unexpectedly (exit -9)")
    assert recording.quarantined == job.error
    assert job.finished_at is not None and not job.claim("here:1")


def test_bad_input_is_not_tried_again() -> None:
    job = extract_job()
    job.claim("here:1")
    jobs.fail(job, "It is damaged.", permanent=True)
    job.refresh_from_db()
    assert (job.state, job.attempts) == ("failed", 1)
    assert Recording.objects.get(pk=job.subject).quarantined == "It is damaged."


def test_failing_to_make_a_playable_video_quarantines_nothing() -> None:
    view = world.camera()
    row = world.stream(view, minutes=0.2)
    job = queue(view.pk, Job.Kind.RENDITION, row.pk)
    job.claim("here:1")
    jobs.fail(job, "no encoder", permanent=True)
    row.refresh_from_db()
    assert row.quarantined == ""


def test_retry_starts_over_and_lifts_the_quarantine(nudged: list[int], django_capture_on_commit_callbacks: Any) -> None:
    job = extract_job()
    job.claim("here:1")
    jobs.fail(job, "no weights", permanent=True)
    with django_capture_on_commit_callbacks(execute=True):
        jobs.retry(job.pk)
    job.refresh_from_db()
    assert (job.state, job.attempts, job.error) == ("queued", 0, "")
    assert Recording.objects.get(pk=job.subject).quarantined == ""
    assert nudged == [job.pk]
    world.run(job)
    assert job.state == "done"
    jobs.retry(job.pk)  # what is done stays done
    job.refresh_from_db()
    assert job.state == "done"


def test_retrying_a_calibration_touches_no_recording() -> None:
    """A calibration's subject is a camera: a recording that happens to have the same id is not meant."""
    view = world.camera()
    row = world.stream(view, minutes=0.2)
    Recording.objects.filter(pk=row.pk).update(quarantined="It is damaged.")
    job = queue(view.pk, Job.Kind.CALIBRATE, row.pk)
    job.claim("here:1")
    jobs.fail(job, "out of memory", permanent=True)
    jobs.retry(job.pk)
    row.refresh_from_db()
    job.refresh_from_db()
    assert (job.state, row.quarantined) == ("queued", "It is damaged.")


def test_cancel_while_it_waits_is_at_once() -> None:
    job = extract_job()
    jobs.cancel(job.pk)
    job.refresh_from_db()
    assert (job.state, job.error) == ("cancelled", "cancelled")
    assert not job.claim("here:1")
    jobs.cancel(job.pk)  # twice is as good as once
    job.refresh_from_db()
    assert job.state == "cancelled"


def test_cancel_while_it_runs_is_seen_at_the_next_beat() -> None:
    job = extract_job()
    job.claim("here:1")
    assert jobs.beat(job, 1, 10, "on it")
    jobs.cancel(job.pk)
    job.refresh_from_db()
    assert (job.state, job.cancel_requested) == ("running", True)
    assert not jobs.beat(job, 2, 10, "on it")
    jobs.fail(job, "cancelled", permanent=False)
    job.refresh_from_db()
    assert job.state == "cancelled"


def test_a_cancelled_job_never_keeps_its_slice_open() -> None:
    """A recording nobody works on any more is given up, as it says; retry takes it up again."""
    from alfred.services import slices

    view = world.camera()
    row = world.stream(view, minutes=0.2)
    assert row.slice is not None
    job = world.job_of(row.pk, "extract")
    jobs.cancel(job.pk)
    row.refresh_from_db()
    assert "cancelled" in row.quarantined.lower()
    assert slices.in_work(row.slice) == 0
    jobs.retry(job.pk)
    row.refresh_from_db()
    assert row.quarantined == "" and slices.in_work(row.slice) == 1
    world.run_all(view)
    assert row.extractions.filter(scorings__isnull=False).exists()


def test_a_failed_or_cancelled_round_says_so() -> None:
    view = world.camera()
    world.scored(view, minutes=0.2)
    base, part = in_force(view.pk), view.slices.get()
    assert base is not None
    ended = {}
    for ordinal, ending in ((1, "failed"), (2, "cancelled")):
        made = Round.objects.create(camera=view, ordinal=ordinal, slice=part, methodology="active_learning", base=base)
        job = queue(view.pk, Job.Kind.ROUND, made.pk)
        job.claim("here:1")
        if ending == "cancelled":
            jobs.cancel(job.pk)
        jobs.fail(job, "Nothing to train on.", permanent=True)
        made.refresh_from_db()
        ended[ending] = (made.state, made.message, made.ended_at is not None)
    assert ended == {
        "failed": ("failed", "Nothing to train on.", True),
        "cancelled": ("cancelled", "cancelled", True),
    }


def test_sweep_brings_back_what_a_dead_process_left(nudged: list[int]) -> None:
    """By the process, where it was one of this host: no need to wait until its heartbeat is old."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    view = world.camera()
    dead, alive, far = (queue(view.pk, Job.Kind.SCORE, n) for n in range(3))
    host = jobs.here().rpartition(":")[0]
    dead.claim(f"{host}:{ended.pid}")
    alive.claim(f"{host}:{os.getpid()}")
    far.claim("another-host:1")
    assert jobs.sweep() == 1
    for job in (dead, alive, far):
        job.refresh_from_db()
    assert (dead.state, alive.state, far.state) == ("queued", "running", "running")
    assert (dead.attempts, dead.error) == (1, "the worker stopped while working on this")
    assert nudged == []  # it waits its two seconds first
    in_past(dead, not_before=1)
    assert jobs.sweep() == 0
    assert nudged == [dead.pk]


def test_sweep_goes_by_the_heartbeat_elsewhere(nudged: list[int]) -> None:
    view = world.camera()
    fresh, old = (queue(view.pk, Job.Kind.SCORE, n) for n in range(2))
    for job in (fresh, old):
        job.claim("another-host:1")
    in_past(fresh, heartbeat_at=50)
    in_past(old, heartbeat_at=70)
    assert jobs.sweep() == 1
    fresh.refresh_from_db()
    old.refresh_from_db()
    assert (fresh.state, old.state) == ("running", "queued")
    assert nudged == []


def test_sweep_nudges_what_waits_but_not_before_its_time(nudged: list[int]) -> None:
    view = world.camera()
    now, later, gone = (queue(view.pk, Job.Kind.SCORE, n) for n in range(3))
    in_past(later, not_before=-60)
    jobs.cancel(gone.pk)
    jobs.sweep()
    assert nudged == [now.pk]


def test_a_job_that_has_to_wait_keeps_its_attempts() -> None:
    job = extract_job()
    job.claim("here:1")
    jobs.postpone(job, 30)
    job.refresh_from_db()
    assert (job.state, job.attempts) == ("queued", 0)
    assert job.not_before is not None and job.not_before > timezone.now() + timedelta(seconds=25)
    assert job.stage == "waiting for the camera's threshold"
    assert Recording.objects.get(pk=job.subject).quarantined == ""


@pytest.mark.django_db(transaction=True)
def test_listeners_hear_of_progress() -> None:
    job = extract_job()
    with psycopg.connect(**connection.get_connection_params(), autocommit=True) as listener:
        listener.execute("LISTEN alfred_job")
        job.claim("here:1")
        with transaction.atomic():
            jobs.beat(job, 3, 10, "300 frames")
            assert list(listener.notifies(timeout=0.1)) == []  # nobody hears of what is not committed
        heard = [json.loads(n.payload) for n in listener.notifies(timeout=5, stop_after=1)]
        jobs.finish(job)
        heard += [json.loads(n.payload) for n in listener.notifies(timeout=5, stop_after=1)]
    told = {"job": job.pk, "kind": "extract", "subject": job.subject, "camera": job.camera_id}
    assert heard == [told, told]
    job.refresh_from_db()
    assert (job.done, job.total, job.stage, job.percent, job.state) == (3, 10, "300 frames", 30, "done")


@pytest.mark.django_db(transaction=True)
def test_a_worker_is_told_after_the_commit_and_not_of_a_rollback(nudged: list[int]) -> None:
    view = world.camera()
    with transaction.atomic():
        job = queue(view.pk, Job.Kind.SCORE, 1)
        assert nudged == []
    assert nudged == [job.pk]
    with transaction.atomic():
        queue(view.pk, Job.Kind.SCORE, 2)
        transaction.set_rollback(True)
    assert nudged == [job.pk] and Job.objects.count() == 1


def test_time_left_follows_the_pace_so_far() -> None:
    job = extract_job()
    assert job.seconds_left is None
    job.claim("here:1")
    Job.objects.filter(pk=job.pk).update(done=20, total=100, started_at=timezone.now() - timedelta(seconds=10))
    job.refresh_from_db()
    assert job.seconds_left == 40 and job.percent == 20
