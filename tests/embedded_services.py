"""Pytest plugin: a database and a broker of their own for the whole test run.

Loaded by `-p tests.embedded_services` (pyproject.toml), so run the tests as `python -m pytest` in the folder
of the checkout. The services start before pytest-django reads the settings; the environment variables below
lead the settings, and the processes of pytest-xdist, to them. Variables that are set already win: with
DATABASE_URL or CELERY_BROKER_URL in the environment that server is used and none is started.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from alfred.embedded.child import AlreadyRunning
from alfred.embedded.instance import StateDir
from alfred.embedded.postgres import Postgres, can_enter
from alfred.embedded.valkey import Valkey

PREFIX = "alfred-test-"
_MARK = "ALFRED_TEST_BROKER"  # tells the xdist processes that the broker is ours
_VIRTUAL_HOSTS = 64


class Services:
    """What this process started; nothing, when it is an xdist worker or only lists the tests."""

    def __init__(self) -> None:
        self.state: StateDir | None = None
        self.running: list[Postgres | Valkey] = []

    def start(self, only_names: bool) -> None:
        """Set the environment and start what it does not name; `only_names`: no server will be asked."""
        _remove_abandoned()
        self.state = StateDir(tempfile.mkdtemp(prefix=PREFIX) if only_names else make_state_folder())
        self.state.claim()
        atexit.register(self.stop)  # a usage error ends pytest before it is configured
        os.environ["ALFRED_STATE_DIR"] = str(self.state.path)
        os.environ.setdefault("ALFRED_SECRET_KEY", "a-fixed-key-for-tests-that-guards-nothing-0123456789")
        os.environ["ALFRED_TESTING"] = "1"
        os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        if not _is_set("DATABASE_URL"):
            # Nothing in a test outlives the run, so nothing needs to survive a power cut.
            database = Postgres(self.state.path / "postgres", fsync=False, max_connections=200)
            if not only_names:
                self.running.append(database)
                database.start()
                database.create_database("alfred")
            os.environ["DATABASE_URL"] = database.dsn()
        if not _is_set("CELERY_BROKER_URL"):
            broker = Valkey(self.state.path / "valkey", databases=_VIRTUAL_HOSTS)
            if not only_names:
                self.running.append(broker)
                broker.start()
            os.environ["CELERY_BROKER_URL"] = os.environ[_MARK] = broker.url

    def stop(self) -> None:
        """Stop and remove everything; a second call does nothing."""
        while self.running:
            self.running.pop().stop()
        if self.state is not None:
            self.state.release()
            shutil.rmtree(self.state.path, ignore_errors=True)
            self.state = None


SERVICES = Services()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None]:
    # A wrapper, because pytest-django reads the settings in a `tryfirst` hook of this name and is registered
    # later, which puts it before every plain hook of ours.
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker:
        _separate_worker(worker)
    else:
        options = early_config.known_args_namespace
        SERVICES.start(only_names=bool(options.help or options.version or options.collectonly))
    return (yield)


def pytest_unconfigure() -> None:
    SERVICES.stop()


def _is_set(name: str) -> bool:
    """The settings read NAME, or the file NAME_FILE."""
    return bool(os.environ.get(name) or os.environ.get(f"{name}_FILE"))


def _separate_worker(worker: str) -> None:
    """Give an xdist worker its own message space and state folder (its database is pytest-django's work)."""
    number = int(worker.removeprefix("gw")) + 1
    if os.environ.get(_MARK) and os.environ.get("CELERY_BROKER_URL") == os.environ[_MARK]:
        os.environ["CELERY_BROKER_URL"] += f"?virtual_host={number % _VIRTUAL_HOSTS}"
    state = StateDir(Path(os.environ["ALFRED_STATE_DIR"]) / worker)
    state.create()
    os.environ["ALFRED_STATE_DIR"] = str(state.path)


def make_state_folder(prefix: str = PREFIX) -> Path:
    """Make a temporary folder (0711) that the database's account can reach even when root runs the tests."""
    for base in dict.fromkeys([tempfile.gettempdir(), "/tmp", "/var/tmp"]):
        if can_enter(Path(base)):
            folder = Path(tempfile.mkdtemp(prefix=prefix, dir=base)).resolve()
            folder.chmod(0o711)
            return folder
    raise pytest.UsageError("No folder for temporary files that the database's account can enter: set TMPDIR.")


def _remove_abandoned() -> None:
    """Remove state folders of earlier runs that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError, AlreadyRunning):
            info = folder.lstat()
            # An hour: a run that has made its folder but not claimed it yet is left alone.
            if info.st_uid == os.geteuid() and info.st_mtime < time.time() - 3600:
                state = StateDir(folder)
                state.claim()
                state.release()
                shutil.rmtree(folder, ignore_errors=True)
