"""Starts everything an installation needs on this machine, in order, and stops it in reverse."""

from __future__ import annotations

import os
import socket
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable

from django.conf import settings
from django.core.management import call_command
from django.db import connection

from alfred.embedded.child import ServiceError
from alfred.embedded.instance import StateDir
from alfred.embedded.postgres import Postgres
from alfred.embedded.supervisor import Child, Supervisor
from alfred.embedded.valkey import Valkey

WORKERS = {"pose": "pose,camera", "score": "score", "train": "train", "io": "io", "sweep": "sweep"}


class Interrupted(Exception):
    """Somebody asked to stop."""


class Stack:
    """Embedded services (where no server is configured), the web process, workers, the clock."""

    def __init__(self, say: Callable[[str], None], host: str, port: int) -> None:
        self.say = say
        self.host, self.port = host, port
        self.url = f"http://{host}:{port}/"
        self.state = StateDir(settings.STATE_DIR)
        self.supervisor = Supervisor(self.state.log, say)
        self._port_claim = socket.socket(socket.AF_UNIX)

    def claim(self) -> None:
        """Be the one instance of this state folder. Raises AlreadyRunning."""
        self.state.claim(self.url)

    def start_services(self) -> None:
        """PostgreSQL and Valkey, then the schema and the static files."""
        if not os.environ.get("DATABASE_URL"):
            self.postgres = Postgres(settings.STATE_DIR / "postgres")
            self.supervisor.add_service("PostgreSQL", self.postgres)
        if not os.environ.get("CELERY_BROKER_URL"):
            self.supervisor.add_service("Valkey", Valkey(settings.STATE_DIR / "valkey"))
        self.supervisor.start()
        if not os.environ.get("DATABASE_URL"):
            self.postgres.create_database("alfred")
        call_command("migrate", verbosity=0)
        call_command("collectstatic", interactive=False, verbosity=0)

    def start_processes(self, *, web: bool = True, stop: Callable[[], bool] = lambda: False) -> None:
        """Workers and the clock, and the web process unless nobody looks."""
        for name, queues in WORKERS.items():
            self.supervisor.add(_worker(name, queues))
        self.supervisor.add(
            Child(
                "clock",
                [*_celery(), "beat", "-l", "WARNING", "-s", str(self.state.run / "clock"), "--pidfile="],
            )
        )
        if web:
            self._claim_port()
            self.supervisor.add(Child("web", self._web(), ready=self._answers, ready_timeout=60))
        self.supervisor.start(stop)

    def run_beside(self, work: Callable[[], None], stop: Callable[[], bool]) -> None:
        """Run `work` in a thread of its own while this one watches the processes; raises what it raised.

        Raises Interrupted when `stop` came first.
        """
        outcome: list[BaseException | None] = []

        def run() -> None:
            try:
                work()
                outcome.append(None)
            except BaseException as error:
                outcome.append(error)
            finally:
                connection.close()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self.supervisor.run_until(lambda: stop() or not thread.is_alive())
        if not outcome:
            raise Interrupted("Stopped before the work was done.")
        if outcome[0] is not None:
            raise outcome[0]

    def stop(self) -> None:
        """Everything in reverse order; nothing stays behind."""
        self.supervisor.stop()
        self._port_claim.close()
        self.state.release()

    def _web(self) -> list[str]:
        return [
            sys.executable, "-m", "granian", "--interface", "asginl", "--host", self.host, "--port", str(self.port),
            "--workers", "1", "--no-ws", "--log-level", "warning", "alfred.asgi:application",
        ]  # fmt: skip

    def _claim_port(self) -> None:
        """The web server shares its port with whoever listens there already: half the requests would go astray.

        A name without a file, gone with this process, keeps two that start together from both finding it free.
        """
        try:
            self._port_claim.bind(f"\0alfred-port-{self.port}")
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((self.host, self.port))
        except OSError as error:
            raise ServiceError(
                f"{self.host}:{self.port} can't be used ({error.strerror}): name another port with --port, "
                "or `make demo PORT=8001`."
            ) from None

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}healthz", timeout=2) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, OSError):
            return False


def _celery() -> list[str]:
    return [sys.executable, "-m", "celery", "-A", "workers.celery"]


def _worker(name: str, queues: str) -> Child:
    argv = [
        *_celery(), "worker", "-n", f"{name}@%h", "-Q", queues, "-P", "threads", "-c", "1", "-l", "WARNING",
        "--without-gossip", "--without-mingle",
    ]  # fmt: skip
    return Child(f"worker-{name}", argv, stop_timeout=10.0)
