"""The parent's side of the child process: start, order, watch, kill."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from django.conf import settings

PAGE_MIB = 4096 / 2**20


class ChildDied(Exception):
    """The child ended in the middle of a job."""


class WarmChild:
    """One child of this worker, started when first needed and again after it died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._messages: queue.Queue[dict[str, Any] | None] = queue.Queue()

    def order(self, **order: Any) -> None:
        """Hand over a job; starts the child if there is none."""
        if self._process is None or self._process.poll() is not None:
            self._start()
        assert self._process
        assert self._process.stdin
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def next_message(self, timeout: float) -> dict[str, Any] | None:
        """The child's next message, None when none came in time. Raises ChildDied."""
        try:
            message = self._messages.get(timeout=timeout)
        except queue.Empty:
            return None
        if message is None:
            code = self._process.wait() if self._process else None
            self._process = None
            raise ChildDied(f"the process doing this ended unexpectedly (exit {code})")
        return message

    def resident_mib(self) -> float:
        """Memory the child holds now, in MiB."""
        if self._process is None:
            return 0.0
        try:
            return int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]) * PAGE_MIB
        except (OSError, IndexError, ValueError):
            return 0.0

    def kill(self) -> None:
        """End it now; the next order starts a fresh one."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _start(self) -> None:
        self._messages = queue.Queue()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "workers.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).resolve().parent.parent,
            env=_environment(),
        )
        threading.Thread(target=_read, args=(self._process, self._messages), daemon=True).start()


def _environment() -> dict[str, str]:
    """Threads by the setting; waiting ones sleep: on a busy machine spinning ones slow everybody down tenfold."""
    threads = str(settings.THREADS)
    return {**os.environ, "OMP_NUM_THREADS": threads, "OMP_WAIT_POLICY": "PASSIVE", "OPENBLAS_NUM_THREADS": threads}


def _read(process: subprocess.Popen[str], messages: queue.Queue[dict[str, Any] | None]) -> None:
    assert process.stdout
    for line in process.stdout:
        messages.put(json.loads(line))
    messages.put(None)
