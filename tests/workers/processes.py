"""Real worker processes on the test's own database, broker and state folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlencode

from django.conf import settings
from django.db import connection

from alfred.models import Job
from alfred.services import jobs

ALL = "pose,score,train,io"


def database_url() -> str:
    """The test database (not the one of the settings), for another process."""
    known = connection.settings_dict
    account = quote(known["USER"]) + (f":{quote(known['PASSWORD'])}" if known["PASSWORD"] else "")
    port = f":{known['PORT']}" if known["PORT"] else ""
    return f"postgresql://{account}@{port}/{quote(known['NAME'])}?{urlencode({'host': known['HOST']})}"


@contextmanager
def worker(queues: str = ALL, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    """A worker of these queues, as an installation starts it; it and its child are gone at the end."""
    environment = {
        **os.environ,
        "DATABASE_URL": database_url(),
        "CELERY_BROKER_URL": settings.CELERY_BROKER_URL,
        "ALFRED_STATE_DIR": str(settings.STATE_DIR),
        "ALFRED_THREADS": "1",
        **more,
    }
    argv = [
        sys.executable, "-m", "celery", "-A", "workers.celery", "worker", "-n", f"test-{time.monotonic_ns()}@%h",
        "-Q", queues, "-P", "threads", "-c", "1", "-l", "WARNING", "--without-gossip", "--without-mingle",
    ]  # fmt: skip
    process = subprocess.Popen(argv, cwd=Path(settings.BASE), env=environment)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def children(process: subprocess.Popen[bytes]) -> list[int]:
    """Process ids of what the worker has started: its child, once it has work."""
    found: list[int] = []
    for thread in Path(f"/proc/{process.pid}/task").iterdir():
        found += [int(pid) for pid in (thread / "children").read_text().split()]
    return found


def is_alive(pid: int) -> bool:
    """Whether the process still does anything (a zombie does not)."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def wait_until(what: Callable[[], bool], *, seconds: float = 240.0, clock: bool = True) -> float:
    """Wait for a condition and say how long that took; with `clock`, sweep now and then as the clock process does."""
    begun = swept = time.monotonic()
    while not what():
        now = time.monotonic()
        if now - begun > seconds:
            states = list(Job.objects.values_list("kind", "state", "attempts", "stage", "error"))
            raise AssertionError(f"not within {seconds} s; jobs: {states}")
        if clock and now - swept > 1.0:
            swept = now
            jobs.sweep()
        time.sleep(0.05)
    return time.monotonic() - begun


def state(job: Job) -> str:
    """The job's state now."""
    return str(Job.objects.values_list("state", flat=True).get(pk=job.pk))
