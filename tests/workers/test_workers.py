"""Real workers: they do the work, survive each other's death, stop when told, and keep to their queues."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import connection

from alfred.models import (
    Camera,
    Event,
    Job,
    PoseExtraction,
    Recording,
    Scoring,
    Segment,
    SegmentScore,
    Track,
)
from alfred.models.work import queue
from alfred.services import jobs
from alfred.services.ingest import ingest
from alfred.services.storage import artifacts
from tests import world
from tests.video import clips
from tests.workers.processes import children, database_url, is_alive, kill, state, wait_until, worker
from workers.celery import QUEUES, app
from workers.kinds import KINDS

pytestmark = pytest.mark.django_db(transaction=True)

FRAMES = 700
SMALL = {"ALFRED_POSE_IMGSZ": "160"}
"""A coarse look at the video: these tests are about processes."""


@pytest.fixture(autouse=True)
def quiet_broker() -> Iterator[None]:
    """No message of an earlier test is left, and this test leaves none."""
    app.control.purge()
    yield
    app.control.purge()


@pytest.fixture(scope="session")
def long_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video that takes some seconds to extract."""
    return clips.make(tmp_path_factory.mktemp("video") / "long.mp4", width=128, height=96, fps=30, frames=FRAMES)


def extraction_of(view: Camera, video: Path) -> tuple[Recording, Job]:
    row = ingest(view, video, slice_ordinal=0).recording
    return row, world.job_of(row.pk, "extract")


def in_the_middle(job: Job) -> bool:
    job.refresh_from_db()
    return job.state == "running" and 0 < job.done < job.total


def test_a_worker_takes_a_recording_from_its_file_to_scored_segments_and_events() -> None:
    view = world.camera()
    with worker() as process:
        row = world.stream(view, minutes=1)  # the message goes out when the row is committed
        wait_until(
            lambda: Scoring.objects.exists() and not Job.objects.filter(state__in=Job.LIVE).exists(), clock=False
        )
        (child,) = children(process)
    assert not is_alive(child)  # the child goes with its worker
    for job in Job.objects.filter(camera=view):
        assert (job.state, job.attempts, job.error) == ("done", 1, "")
        assert job.worker == f"{jobs.here().rpartition(':')[0]}:{process.pid}"
    assert row.extractions.get().n_poses > 100
    assert Segment.objects.filter(recording=row).count() == SegmentScore.objects.count() > 5
    assert Event.objects.filter(camera=view, state="open").count() > 5


def test_a_killed_workers_extraction_is_finished_by_the_next_one_and_nothing_is_doubled(long_video: Path) -> None:
    view = world.camera()
    with worker("pose", **SMALL) as first:
        row, job = extraction_of(view, long_video)
        wait_until(lambda: in_the_middle(job), clock=False)
        (child,) = children(first)
        kill(first.pid)
        first.wait()
        wait_until(lambda: not is_alive(child), seconds=10, clock=False)  # nobody is left to store a stale result
    assert state(job) == "running"  # a row says so; no process does it
    assert not PoseExtraction.objects.exists() and row.source
    with worker("pose,score", **SMALL) as second:
        # The new worker's start brings the row back; the clock tells it again when its back-off is over.
        wait_until(lambda: state(job) != "running", clock=False)
        wait_until(lambda: state(job) == "done")
        wait_until(lambda: Scoring.objects.exists())
        second_pid = second.pid
    job.refresh_from_db()
    assert (job.attempts, job.worker.rpartition(":")[2]) == (2, str(second_pid))
    extraction = PoseExtraction.objects.get()
    assert extraction.n_frames == FRAMES
    assert Recording.objects.count() == Scoring.objects.count() == 1
    assert Track.objects.count() == extraction.n_tracks
    row.refresh_from_db()
    assert (row.quarantined, row.source) == ("", "")
    assert sorted(Job.objects.values_list("kind", "state")) == [("extract", "done"), ("score", "done")]
    # What the killed one had half written is not among the camera's files: its poses and its scores, nothing else.
    kept = {p.name for p in (artifacts().root / view.slug).rglob("*") if p.is_file()}
    used = {extraction.artifact, Scoring.objects.get().artifact}
    assert {key.rpartition("/")[2] for key in used} <= kept


def test_a_job_cancelled_while_it_runs_stops_within_five_seconds(long_video: Path) -> None:
    view = world.camera()
    with worker("pose", **SMALL) as process:
        _, job = extraction_of(view, long_video)
        wait_until(lambda: in_the_middle(job), clock=False)
        (child,) = children(process)
        jobs.cancel(job.pk)
        took = wait_until(lambda: state(job) == "cancelled" and not is_alive(child), seconds=20, clock=False)
        assert took < 5
        # and the worker goes on with the next job, in a child of its own
        other = world.ingest_poses(view, world.npz(long_video.parent / "a.npz", world.walkers()), slice_ordinal=0)
        wait_until(lambda: PoseExtraction.objects.filter(recording=other.recording).exists(), clock=False)
        assert children(process) != [child] and process.poll() is None
    assert not PoseExtraction.objects.exclude(recording=other.recording).exists()


def test_a_child_that_is_killed_is_started_again(long_video: Path) -> None:
    view = world.camera()
    with worker("pose", **SMALL) as process:
        row, job = extraction_of(view, long_video)
        wait_until(lambda: in_the_middle(job), clock=False)
        (child,) = children(process)
        kill(child)
        wait_until(lambda: state(job) == "queued", seconds=10, clock=False)
        job.refresh_from_db()
        assert job.error == f"the process doing this ended unexpectedly (exit -{signal.SIGKILL.value})"
        assert job.attempts == 1 and process.poll() is None
        wait_until(lambda: state(job) == "done")
    job.refresh_from_db()
    assert (job.attempts, job.error) == (2, "")
    assert row.extractions.get().n_frames == FRAMES and PoseExtraction.objects.count() == 1


def test_when_the_database_goes_away_no_job_gets_anothers_outcome(
    long_video: Path, tmp_path: Path, settings: Any
) -> None:
    """The worker loses its connection in the middle of a job; its child must not answer for the next one."""
    view = world.camera()
    with worker("pose", **SMALL) as process:
        row, job = extraction_of(view, long_video)
        wait_until(lambda: in_the_middle(job), clock=False)
        (child,) = children(process)
        other = world.ingest_poses(view, world.npz(tmp_path / "a.npz", world.walkers()), slice_ordinal=0).recording
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        wait_until(lambda: state(world.job_of(other.pk, "extract")) not in ("queued", "running"), clock=False)
        second = world.job_of(other.pk, "extract")
        assert (second.state, second.attempts, second.error) == ("done", 1, "")
        assert PoseExtraction.objects.filter(recording=other).exists()
        assert not is_alive(child)
        settings.STALE_AFTER_S = 3  # nobody beats for the first any more
        wait_until(lambda: state(job) == "done")
        assert process.poll() is None
    job.refresh_from_db()
    assert job.attempts == 2 and row.extractions.get().n_frames == FRAMES


def test_queues_are_separate() -> None:
    """The extraction's message comes first and lies in another queue: a worker of `score` never sees it."""
    view = world.camera()
    with worker("score"):
        extract = queue(view.pk, Job.Kind.EXTRACT, world.stream(view, minutes=0.2).pk)
        other = queue(view.pk, Job.Kind.CALIBRATE, view.pk)
        wait_until(lambda: state(other) == "done", clock=False)
    extract.refresh_from_db()
    assert (extract.state, extract.attempts) == ("queued", 0)
    with worker("pose"):  # the message still waits for the worker it is meant for
        wait_until(lambda: state(extract) == "done", clock=False)
    assert world.waiting(view)[0].kind == "score"


def test_every_kind_of_job_has_a_queue_that_somebody_serves() -> None:
    from alfred.management.running import WORKERS

    served = {name for queues in WORKERS.values() for name in queues.split(",")}
    assert set(KINDS) == set(Job.Kind.values)
    assert {kind.queue for kind in KINDS.values()} <= set(QUEUES) & served
    exchanges = {q.name: q.exchange.name for q in app.conf.task_queues}
    assert len(set(exchanges.values())) == len(QUEUES)  # on a shared one every worker would get every message


def test_two_messages_of_one_job_are_one_piece_of_work() -> None:
    view = world.camera()
    row = world.stream(view, minutes=0.2)
    job = world.job_of(row.pk, "extract")
    for _ in range(5):
        jobs.sweep()  # nudges each time
    with worker():
        wait_until(lambda: Scoring.objects.exists(), clock=False)
    job.refresh_from_db()
    assert job.attempts == 1 and PoseExtraction.objects.count() == 1


def test_bad_input_ends_its_job_and_nothing_else() -> None:
    view = world.camera("Damaged in work")  # a name of its own: stored files outlive a test
    bad = world.stream(view, seed=1, minutes=0.2)
    artifacts().path(bad.source).write_bytes(b"gone bad")
    good = world.stream(view, seed=2, minutes=0.2)
    with worker() as process:
        wait_until(lambda: good.extractions.filter(scorings__isnull=False).exists())
        assert process.poll() is None
    bad.refresh_from_db()
    assert "not a readable .npz file" in bad.quarantined and "Traceback" not in bad.quarantined
    assert world.job_of(bad.pk, "extract").attempts == 1


def test_with_the_broker_away_files_are_taken_in_all_the_same(tmp_path: Path) -> None:
    """Another process, as the web process is one, with nobody at the broker's address: the sweep tells later."""
    view = world.camera()
    path = world.npz(tmp_path / "a.npz", world.walkers())
    alone = {"CELERY_BROKER_URL": f"redis+socket://{tmp_path}/nobody.sock", "DATABASE_URL": database_url()}
    command = [sys.executable, "manage.py", "ingest", view.slug, str(path), "--slice", "0", "--fps", "15"]
    done = subprocess.run(
        command, cwd=django_settings.BASE, env={**os.environ, **alone}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0 and "a.npz: added (" in done.stdout, done.stderr
    assert "waits for the sweep: the broker did not answer" in done.stderr
    (job,) = world.waiting(view)
    with worker("pose"):
        wait_until(lambda: state(job) == "done")
