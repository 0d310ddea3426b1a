from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from alfred.embedded import child, supervisor
from alfred.embedded.child import ServiceError
from alfred.embedded.postgres import Postgres
from alfred.embedded.supervisor import Child, Supervisor
from alfred.embedded.valkey import Valkey
from tests.embedded.conftest import Script


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def manager(state: Path, said: list[str]) -> Iterator[Supervisor]:
    running = Supervisor(state / "log", said.append)
    yield running
    running.stop()


def shell(name: str, script: str, **more: Any) -> Child:
    return Child(name, ["/bin/sh", "-c", script], **more)


def watch(manager: Supervisor, condition: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    manager.run_until(lambda: condition() or time.monotonic() > end)
    assert condition()


def pids(file: Path) -> list[int]:
    return [int(word) for word in file.read_text().split()] if file.exists() else []


def alive(pid: int) -> bool:
    try:
        # A zombie still has its entry, but no program any more.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class FakeService:
    def __init__(self, name: str, journal: list[str]) -> None:
        self.name, self.journal, self.running, self.failures = name, journal, False, 0

    def start(self) -> None:
        if self.failures:
            self.failures -= 1
            raise ServiceError("not today")
        self.running = True
        self.journal.append(f"start {self.name}")

    def stop(self) -> None:
        self.running = False
        self.journal.append(f"stop {self.name}")

    def alive(self) -> bool:
        return self.running


def test_a_killed_child_and_what_it_left_are_gone_before_it_starts_again(
    manager: Supervisor, state: Path, said: list[str]
) -> None:
    manager.add(shell("web", f"sleep 60 & echo $$ $! >> {state}/pids; wait"))
    manager.start()
    watch(manager, lambda: len(pids(state / "pids")) == 2)
    leader, grandchild = pids(state / "pids")
    os.kill(leader, signal.SIGKILL)
    watch(manager, lambda: len(pids(state / "pids")) == 4)
    assert not alive(grandchild)
    assert any("web ended (signal 9); starting it again in 0.5 s" in text for text in said)
    manager.stop()
    assert not any(alive(pid) for pid in pids(state / "pids"))


def test_each_death_waits_longer_until_it_lived_long(
    manager: Supervisor, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    manager.add(shell("broken", "exit 3"))
    manager._entries[0].delay = 0.1
    manager.start()
    watch(manager, lambda: len([text for text in said if "status 3" in text]) == 3)
    delays = [text.rsplit("in ", 1)[1] for text in said if "status 3" in text]
    assert delays == ["0.1 s.", "0.2 s.", "0.4 s."]
    monkeypatch.setattr(supervisor, "STEADY_AFTER", 0.0)
    watch(manager, lambda: len([text for text in said if "status 3" in text]) == 4)
    assert said[-1].endswith("in 0.5 s.")


def test_the_delay_has_a_limit() -> None:
    manager = Supervisor(Path("unused"), lambda text: None)
    service = FakeService("s", [])
    manager.add_service("s", service)
    (entry,) = manager._entries
    for _ in range(10):
        manager._plan_again(entry, "s ended")
    assert entry.delay == 10.0


def test_a_child_that_may_end_is_not_started_again(manager: Supervisor, state: Path, said: list[str]) -> None:
    manager.add(shell("once", f"echo $$ >> {state}/pids", restart=False))
    manager.start()
    watch(manager, lambda: "once ended (status 0)." in said)
    manager.start()
    manager.run_until(iter([False] * 5 + [True]).__next__)
    assert len(pids(state / "pids")) == 1


def test_everything_starts_in_order_and_stops_in_reverse(manager: Supervisor, state: Path) -> None:
    journal: list[str] = []
    manager.add_service("database", FakeService("database", journal))
    manager.start()
    assert journal == ["start database"]
    file = state / "journal"
    for name in ("web", "worker"):
        manager.add(
            shell(
                name,
                f"trap 'echo stop {name} >> {file}; exit' TERM; sleep 0.2; echo start {name} >> {file}; "
                "while :; do sleep 0.05; done",
                ready=lambda name=name: file.exists() and f"start {name}" in file.read_text(),
            )
        )
    manager.start()  # the rest, once more is said
    manager.stop()
    assert file.read_text().splitlines() == ["start web", "start worker", "stop worker", "stop web"]
    assert journal == ["start database", "stop database"]


def test_a_child_that_ignores_the_signal_is_killed(manager: Supervisor, state: Path) -> None:
    script = f"trap '' TERM; sleep 60 & echo $$ $! >> {state}/pids; while :; do sleep 1; done"
    manager.add(shell("deaf", script, ready=lambda: len(pids(state / "pids")) == 2, stop_timeout=0.3))
    manager.start()
    began = time.monotonic()
    manager.stop()
    assert 0.3 <= time.monotonic() - began < 5
    assert not any(alive(pid) for pid in pids(state / "pids"))


def test_a_child_that_dies_at_the_start_stops_everything_and_shows_its_last_words(
    manager: Supervisor,
) -> None:
    journal: list[str] = []
    manager.add_service("database", FakeService("database", journal))
    manager.add(shell("web", "echo the port is taken; exit 1", ready=lambda: False))
    with pytest.raises(ServiceError, match=r"web ended \(status 1\)[^$]*the port is taken"):
        manager.start()
    assert journal == ["start database", "stop database"]


def test_a_child_that_never_gets_ready_is_given_up(manager: Supervisor, state: Path) -> None:
    manager.add(shell("web", f"echo $$ >> {state}/pids; sleep 60", ready=lambda: False, ready_timeout=0.3))
    with pytest.raises(ServiceError, match=r"web is not ready after 0\.3 s"):
        manager.start()
    assert not any(alive(pid) for pid in pids(state / "pids"))


def test_a_program_that_does_not_exist_is_named(manager: Supervisor) -> None:
    manager.add(Child("web", ["/no/such/program"]))
    with pytest.raises(ServiceError, match="/no/such/program"):
        manager.start()


def test_a_stop_asked_for_during_the_start_is_heard(manager: Supervisor) -> None:
    manager.add(shell("web", "sleep 60", ready=lambda: False))
    manager.add(shell("never", "sleep 60"))
    began = time.monotonic()
    manager.start(stop=lambda: time.monotonic() - began > 0.2)
    assert time.monotonic() - began < 5
    assert not (manager.log_dir / "never.log").exists()


def test_a_dead_service_is_started_again_even_when_the_first_try_fails(manager: Supervisor, said: list[str]) -> None:
    journal: list[str] = []
    service = FakeService("database", journal)
    manager.add_service("database", service)
    manager._entries[0].delay = 0.1
    manager.start()
    service.running, service.failures = False, 1
    watch(manager, service.alive)
    assert journal == ["start database", "stop database", "start database"]
    assert any("database did not start: not today; starting it again in 0.2 s." in text for text in said)


def kill_and_watch_it_return(manager: Supervisor, service: Postgres | Valkey) -> None:
    old = service.process
    assert old is not None
    os.kill(old.pid, signal.SIGKILL)
    watch(manager, lambda: service.process not in (None, old) and service.alive(), 30)


def test_a_killed_database_and_broker_come_back_and_all_of_them_leave(manager: Supervisor, state: Path) -> None:
    database, broker = Postgres(state / "postgres", fsync=False), Valkey(state / "valkey")
    manager.add_service("database", database)
    manager.add_service("broker", broker)
    manager.start()
    for service in (database, broker):
        kill_and_watch_it_return(manager, service)
    database.create_database("answers")
    manager.stop()
    assert child.processes_in(database.data, "postgres") == []
    assert child.processes_in(broker.data, "valkey-server") == []


def test_output_is_appended_and_an_overlong_log_moved(manager: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "LOG_LIMIT", 10)
    manager.add(shell("talker", "echo twelve bytes; sleep 60"))
    log = manager.log_dir / "talker.log"
    for _ in range(2):
        manager.start()
        watch(manager, lambda: log.read_text() == "twelve bytes\n")
        manager.stop()
    assert (manager.log_dir / "talker.log.1").read_text() == "twelve bytes\n"
    monkeypatch.setattr(child, "LOG_LIMIT", 1000)
    manager.start()
    watch(manager, lambda: log.read_text() == "twelve bytes\n" * 2)


def test_processes_start_in_the_main_thread_only(state: Path) -> None:
    refused: list[str] = []

    def start() -> None:
        try:
            child.spawn(["/bin/true"], log=state / "log")
        except RuntimeError as error:
            refused.append(str(error))

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert len(refused) == 1 and "main thread" in refused[0]


FOREGROUND = """
import sys
from pathlib import Path
from typing import Any
from alfred.embedded.postgres import Postgres
from alfred.embedded.supervisor import Child, Supervisor, stop_on_signals
state = Path(sys.argv[1])
stop = stop_on_signals()
manager = Supervisor(state / "log", lambda text: print(text, flush=True))
put_down = f"trap 'sleep 0.7; echo done >> {state}/done; exit' TERM; echo $$ >> {state}/pids; "
put_down += "while :; do sleep 0.05; done"
manager.add(Child("worker", ["/bin/sh", "-c", put_down], ready=lambda: (state / "pids").exists()))
manager.start(stop)
print("running", flush=True)
manager.run_until(stop)
manager.stop()
print("stopped", flush=True)
"""


def test_a_second_ctrl_c_does_not_break_the_stop(state: Path, script: Script) -> None:
    process = script(FOREGROUND, state)
    assert process.stdout is not None
    assert "running\n" in iter(process.stdout.readline, "")
    process.send_signal(signal.SIGINT)
    assert "Stopping worker.\n" in iter(process.stdout.readline, "")
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=10)[0] == "stopped\n"
    assert process.returncode == 0
    assert (state / "done").read_text() == "done\n"


def test_children_put_their_work_down_when_the_supervisor_is_killed(state: Path, script: Script) -> None:
    process = script(FOREGROUND, state)
    assert process.stdout is not None
    assert "running\n" in iter(process.stdout.readline, "")
    assert child.wait_until(lambda: (state / "pids").exists() and len(pids(state / "pids")) == 1, 10)
    process.kill()
    (pid,) = pids(state / "pids")
    assert child.wait_until(lambda: not alive(pid), 10)
    assert (state / "done").read_text() == "done\n"


def test_this_python_is_not_left_with_zombies(manager: Supervisor) -> None:
    manager.add(Child("python", [sys.executable, "-c", "import time; time.sleep(60)"]))
    manager.add(shell("broken", "exit 3", restart=False))
    manager.start()
    manager.run_until(iter([False, False, True]).__next__)
    manager.stop()
    stats = [file.read_text() for file in Path("/proc").glob("[0-9]*/stat")]
    ours = [words for words in (text.rpartition(")")[2].split() for text in stats) if words[1] == str(os.getpid())]
    assert "Z" not in [state for state, *_ in ours]
