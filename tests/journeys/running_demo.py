"""A real `manage.py demo` in a process of its own, and its database."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from alfred.embedded.postgres import Postgres
from tests.embedded_services import make_state_folder

ROOT = Path(__file__).resolve().parents[2]
OWN = ("DATABASE_URL", "CELERY_BROKER_URL", "ALFRED_SECRET_KEY", "ALFRED_TESTING", "DJANGO_SETTINGS_MODULE")


def environment(state: Path) -> dict[str, str]:
    """As a user's shell has it: nothing of the test run's own services."""
    kept = {k: v for k, v in os.environ.items() if k not in OWN and not k.startswith("PYTEST_")}
    return {**kept, "ALFRED_STATE_DIR": str(state), "PYTHONUNBUFFERED": "1"}


@dataclass
class Demo:
    """The demo's process: what it printed, how to ask its database, how to stop it."""

    state: Path
    port: int
    videos: list[Path] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, timeout: float = 180) -> float:
        """Start and wait for its address; returns the seconds it took."""
        began = time.monotonic()
        command = [sys.executable, "manage.py", "demo", "--port", str(self.port)]
        if self.videos:
            command += ["--video", *map(str, self.videos)]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment(self.state), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        threading.Thread(target=self._read, args=(self.process,), daemon=True).start()
        self.wait_for(lambda: any("Open http" in line for line in self.lines), timeout, "the demo's address")
        return time.monotonic() - began

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout
        self.lines.extend(line.rstrip() for line in process.stdout)

    def _said(self) -> str:
        return "\n".join(self.lines[-40:])

    def passwords(self) -> dict[str, str]:
        found = re.findall(r"account (\w+)\s+password (\S+)", "\n".join(self.lines))
        return dict(found)

    def wait_for(self, condition: Any, timeout: float, what: str) -> None:
        end = time.monotonic() + timeout
        while not condition():
            assert self.process is not None
            assert self.process.poll() is None, f"the demo ended:\n{self._said()}"
            assert time.monotonic() < end, f"no {what} after {timeout:.0f} s:\n{self._said()}"
            time.sleep(0.2)

    def ask(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of the demo's own database."""
        with psycopg.connect(Postgres(self.state / "postgres").dsn()) as connection:
            return connection.execute(sql, values).fetchall()

    def number(self, sql: str, *values: Any) -> int:
        return int(self.ask(sql, *values)[0][0])

    def wait_idle(self, timeout: float = 240) -> None:
        """Until no job waits or runs."""
        live = "SELECT count(*) FROM alfred_job WHERE state IN ('queued', 'running')"
        self.wait_for(lambda: self.number(live) == 0, timeout, "end of all jobs")

    def children(self) -> dict[int, str]:
        """Every process that lives in this state folder's name or descends from the demo: pid → command."""
        assert self.process is not None
        table: dict[int, tuple[int, str]] = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                parent = int(entry.joinpath("stat").read_text().rpartition(")")[2].split()[1])
                command = entry.joinpath("cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            except (OSError, ValueError, IndexError):
                continue
            table[int(entry.name)] = (parent, command)
        found: dict[int, str] = {}
        grown = True
        while grown:
            grown = False
            for pid, (parent, command) in table.items():
                if pid not in found and (parent == self.process.pid or parent in found):
                    found[pid] = command
                    grown = True
        return found

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Another shell's `manage.py` on the same state folder."""
        command = [sys.executable, "manage.py", *arguments]
        return subprocess.run(
            command, cwd=ROOT, env=environment(self.state), capture_output=True, text=True, timeout=120
        )

    def interrupt(self, timeout: float = 60) -> int:
        """Ctrl-C; returns the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@contextmanager
def running(videos: Sequence[Path] = ()) -> Iterator[Demo]:
    """A demo in a folder of its own, all its first work done; nothing of it is left after."""
    state = make_state_folder("alfred-journey-")
    demo = Demo(state, free_port(), list(videos))
    try:
        demo.start()
        demo.wait_idle()
        yield demo
    finally:
        if demo.process and demo.process.poll() is None:
            demo.interrupt()
        shutil.rmtree(state, ignore_errors=True)
