from __future__ import annotations

import os
import shutil
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import kombu
import pytest
import redis

from alfred.embedded import child
from alfred.embedded.child import AlreadyRunning, ServiceError
from alfred.embedded.valkey import Valkey


@pytest.fixture
def broker(state: Path) -> Iterator[Valkey]:
    server = Valkey(state / "valkey")
    server.start()
    yield server
    server.stop()
    assert child.processes_in(server.data, "valkey-server") == []


def client(server: Valkey) -> redis.Redis:
    return redis.Redis(unix_socket_path=str(server.socket), decode_responses=True)


def write_durably(server: Valkey, **values: str) -> None:
    with client(server) as connection:
        for key, value in values.items():
            connection.set(key, value)
        connection.waitaof(1, 0, 5000)  # until it is on disk


def incremental_log(server: Valkey) -> Path:
    (file,) = (server.data / "appendonlydir").glob("*.incr.aof")
    return file


def test_only_a_private_socket_leads_to_it(broker: Valkey) -> None:
    with client(broker) as connection:
        assert connection.ping()
        assert connection.config_get("port") == {"port": "0"}
        assert connection.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    assert stat.S_IMODE(broker.socket.stat().st_mode) == 0o700
    assert stat.S_IMODE(broker.socket.parent.stat().st_mode) == 0o700


def test_keys_survive_a_stop(broker: Valkey) -> None:
    with client(broker) as connection:
        connection.set("a", "1")
    broker.stop()
    assert not broker.alive()
    broker.start()
    with client(broker) as connection:
        assert connection.get("a") == "1"


def test_keys_on_disk_survive_a_kill(broker: Valkey) -> None:
    write_durably(broker, a="1")
    assert broker.process is not None
    os.kill(broker.process.pid, signal.SIGKILL)
    assert child.wait_until(lambda: not broker.alive(), 5)
    broker.start()
    with client(broker) as connection:
        assert connection.get("a") == "1"


def test_a_log_cut_off_in_a_record_keeps_the_records_before(broker: Valkey) -> None:
    write_durably(broker, a="1", b="2")
    broker.stop()
    log = incremental_log(broker)
    os.truncate(log, log.stat().st_size - 3)
    broker.start()
    with client(broker) as connection:
        assert (connection.get("a"), connection.get("b")) == ("1", None)
    assert list(broker.root.glob("data.unreadable-*")) == []


def test_an_unreadable_log_is_set_aside(broker: Valkey) -> None:
    write_durably(broker, a="1", b="2")
    broker.stop()
    incremental_log(broker).write_bytes(b"*3\r\n$3\r\nSET\r\nrubbish that no append-only file holds\r\n" * 9)
    broker.start()
    with client(broker) as connection:
        assert connection.get("a") is None
        connection.set("c", "3")
    (aside,) = broker.root.glob("data.unreadable-*")
    assert b"rubbish" in next((aside / "appendonlydir").glob("*.incr.aof")).read_bytes()


def test_the_messages_stay_when_they_are_not_what_stops_the_start(
    broker: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_durably(broker, a="1")
    broker.stop()
    with monkeypatch.context() as patched:
        patched.setattr(broker, "databases", -1)
        with pytest.raises(ServiceError, match="databases"):
            broker.start()
    assert list(broker.root.glob("data.unreadable-*")) == []
    broker.start()
    with client(broker) as connection:
        assert connection.get("a") == "1"


def test_a_second_supervisor_is_refused(broker: Valkey) -> None:
    with pytest.raises(AlreadyRunning, match=f"process {os.getpid()}"):
        Valkey(broker.root).start()
    assert broker.alive()


def test_celery_finds_it_by_its_url_even_on_a_long_odd_path(state: Path) -> None:
    server = Valkey(state / ("it's 100 % " + "long " * 20).strip() / "valkey")
    server.start()
    try:
        assert stat.S_IMODE(server.socket.parent.stat().st_mode) == 0o700
        with kombu.Connection(server.url) as connection:
            queue = connection.SimpleQueue("jobs")
            queue.put({"id": 7})
            assert queue.get(timeout=5).payload == {"id": 7}
            queue.close()
    finally:
        server.stop()
        shutil.rmtree(server.socket.parent, ignore_errors=True)


def test_celery_finds_it_on_a_path_with_a_space(state: Path) -> None:
    server = Valkey(state / "a 50% b" / "valkey")
    server.start()
    try:
        with kombu.Connection(server.url + "?virtual_host=3") as connection:
            connection.SimpleQueue("jobs").put({"id": 7})
        with redis.Redis(unix_socket_path=str(server.socket), db=3) as third:
            assert third.llen("jobs") == 1
    finally:
        server.stop()
