"""One process in the foreground that runs everything: starts in order, watches, stops in reverse order.

Written here and not taken from a process manager because the order matters: the database must answer before
the web process starts, and must still be there while the workers put down what they are doing.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Protocol

from alfred.embedded.child import ServiceError, end_group, has_ended, log_tail, spawn

FIRST_DELAY, LONGEST_DELAY = 0.5, 10.0
"""Seconds before something that died is started again: the first time, and at most."""
STEADY_AFTER = 30.0
"""Seconds alive after which a death counts as the first one again."""
_POLL = 0.1


class Service(Protocol):
    """What starts and stops itself, such as Postgres and Valkey."""

    def start(self) -> None:
        """Start, and return when it can be used; ServiceError when it cannot."""

    def stop(self) -> None:
        """Stop; does nothing when it does not run."""

    def alive(self) -> bool:
        """Tell whether it runs."""


@dataclass
class Child:
    """A program to run. At the start `ready` is asked until it says yes, at most `ready_timeout` seconds.

    `env` replaces the whole environment (None: ours). With `restart` it is started again whenever it ends.
    """

    name: str
    argv: list[str]
    env: dict[str, str] | None = None
    ready: Callable[[], bool] | None = None
    ready_timeout: float = 60.0
    stop_signal: int = signal.SIGTERM
    stop_timeout: float = 15.0
    restart: bool = True


@dataclass
class _Entry:
    """What the supervisor knows about one service or child."""

    name: str
    started: float | None = None
    """Monotonic time of the last start; None: not started."""
    delay: float = FIRST_DELAY
    due: float | None = None
    """Monotonic time of the next start of something that died."""
    finished: bool = False
    """Ended, and is not to be started again."""


@dataclass
class _ServiceEntry(_Entry):
    service: Service = field(kw_only=True)

    def launch(self) -> None:
        self.service.start()

    def alive(self) -> bool:
        return self.service.alive()

    def end(self) -> str:
        self.service.stop()
        return ""


@dataclass
class _ChildEntry(_Entry):
    child: Child = field(kw_only=True)
    log: Path = field(kw_only=True)
    process: subprocess.Popen[bytes] | None = None

    def launch(self) -> None:
        # The death signal is the orderly one: a worker whose supervisor was killed puts its job down.
        self.process = spawn(self.child.argv, log=self.log, death_signal=self.child.stop_signal, env=self.child.env)

    def alive(self) -> bool:
        return self.process is not None and not has_ended(self.process)

    def end(self) -> str:
        """Stop it and all it started, reap it; returns how it ended."""
        if self.process is None:
            return ""
        status = end_group(self.process, self.child.stop_signal, self.child.stop_timeout)
        self.process = None
        return f"signal {-status}" if status < 0 else f"status {status}"


class Supervisor:
    """Runs services and children in the order they were added; `say` gets a sentence on each event.

    All is called from the main thread (`child.spawn` says why). A child's output goes to log_dir/NAME.log.
    """

    def __init__(self, log_dir: Path, say: Callable[[str], None]) -> None:
        self.log_dir = log_dir
        self.say = say
        self._entries: list[_ServiceEntry | _ChildEntry] = []

    def add_service(self, name: str, service: Service) -> None:
        """Add something that starts and stops itself."""
        self._entries.append(_ServiceEntry(name, service=service))

    def add(self, child: Child) -> None:
        """Add a program."""
        log = self.log_dir / f"{child.name}.log"
        self._entries.append(_ChildEntry(child.name, child=child, log=log))

    def start(self, stop: Callable[[], bool] = lambda: False) -> None:
        """Start what was added since the last call, each when the one before is ready; ends early on `stop`.

        May be called again after more was added (services, then migrations by the caller, then children).
        Raises ServiceError, after stopping everything, when something does not start or does not get ready.
        """
        try:
            for entry in self._entries:
                if stop():
                    return
                if entry.started is None:
                    self._begin(entry, stop)
        except BaseException:
            self.stop()
            raise

    def run_until(self, stop: Callable[[], bool]) -> None:
        """Watch until `stop` says yes; what dies is started again, later each time. Stops nothing."""
        while not stop():
            for entry in self._entries:
                self._watch(entry)
            time.sleep(_POLL)

    def stop(self) -> None:
        """Stop everything in reverse order; returns when nothing is left. A second call does nothing."""
        for entry in reversed(self._entries):
            if entry.started is not None and not entry.finished:
                self.say(f"Stopping {entry.name}.")
            entry.end()
            entry.started, entry.due, entry.finished = None, None, False

    def _begin(self, entry: _ServiceEntry | _ChildEntry, stop: Callable[[], bool]) -> None:
        self.say(f"Starting {entry.name}.")
        entry.started = time.monotonic()
        entry.launch()
        if isinstance(entry, _ChildEntry) and entry.child.ready is not None:
            self._wait_ready(entry, entry.child.ready, stop)

    def _wait_ready(self, entry: _ChildEntry, ready: Callable[[], bool], stop: Callable[[], bool]) -> None:
        deadline = time.monotonic() + entry.child.ready_timeout
        while not stop():
            # Life first: a stranger on the same port may answer for a child that has died.
            if not entry.alive():
                how = entry.end()
                raise ServiceError(f"{entry.name} ended ({how}) instead of starting:\n{log_tail(entry.log)}")
            if ready():
                return
            if time.monotonic() > deadline:
                late = f"{entry.name} is not ready after {entry.child.ready_timeout:g} s"
                raise ServiceError(f"{late}:\n{log_tail(entry.log)}")
            time.sleep(0.05)

    def _watch(self, entry: _ServiceEntry | _ChildEntry) -> None:
        """Notice the death of `entry`, or start it again when its time has come."""
        now = time.monotonic()
        if entry.due is not None:
            if now >= entry.due:
                self._begin_again(entry)
        elif entry.started is not None and not entry.finished and not entry.alive():
            if now - entry.started >= STEADY_AFTER:
                entry.delay = FIRST_DELAY
            how = entry.end()
            text = f"{entry.name} ended ({how})" if how else f"{entry.name} ended"
            if isinstance(entry, _ChildEntry) and not entry.child.restart:
                entry.finished = True
                self.say(f"{text}.")
                return
            self._plan_again(entry, text)

    def _plan_again(self, entry: _ServiceEntry | _ChildEntry, text: str) -> None:
        entry.due = time.monotonic() + entry.delay
        self.say(f"{text}; starting it again in {entry.delay:g} s.")
        entry.delay = min(2 * entry.delay, LONGEST_DELAY)

    def _begin_again(self, entry: _ServiceEntry | _ChildEntry) -> None:
        try:
            entry.launch()
        except ServiceError as error:
            self._plan_again(entry, f"{entry.name} did not start: {error}")
        else:
            entry.started, entry.due = time.monotonic(), None
            self.say(f"Started {entry.name} again.")


def stop_on_signals() -> Callable[[], bool]:
    """Make SIGINT, SIGTERM and SIGHUP ask for an orderly stop; the function returned tells if one did.

    A further signal changes nothing: an impatient second Ctrl-C does not break the stop half-way.
    """
    asked = False

    def note(signum: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True

    for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # nohup ignores SIGHUP for us, and means it.
        if sig != signal.SIGHUP or signal.getsignal(sig) != signal.SIG_IGN:
            signal.signal(sig, note)
    return lambda: asked
