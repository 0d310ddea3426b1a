from __future__ import annotations

import os
import pwd
import shutil
import signal
import stat
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from alfred.embedded import child
from alfred.embedded.child import AlreadyRunning, ServiceError
from alfred.embedded.postgres import Postgres
from tests.embedded.conftest import Script

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another account")


@pytest.fixture
def cluster(state: Path) -> Iterator[Postgres]:
    """A running cluster with the table `kept`."""
    server = Postgres(state / "postgres", fsync=False)
    server.start()
    execute(server, "CREATE TABLE kept (n int)")
    yield server
    server.stop()
    assert child.processes_in(server.data, "postgres") == []


def execute(server: Postgres, statement: str) -> None:
    with psycopg.connect(server.dsn("postgres")) as connection:
        connection.execute(statement.encode())


def rows(server: Postgres) -> list[int]:
    with psycopg.connect(server.dsn("postgres")) as connection:
        return [n for (n,) in connection.execute("SELECT n FROM kept ORDER BY n")]


def server_pid(server: Postgres) -> int:
    assert server.process is not None
    return server.process.pid


def test_a_fresh_cluster_is_private_durable_and_answers(state: Path) -> None:
    cluster = Postgres(state / "postgres", max_connections=20)
    cluster.start()
    cluster.create_database("alfred")
    cluster.create_database("alfred")  # once more: nothing happens
    wanted = {
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "data_checksums": "on",
        "listen_addresses": "",
        "server_encoding": "UTF8",
        "max_connections": "20",
    }
    with psycopg.connect(cluster.dsn()) as connection:
        found = {name: connection.execute("SELECT current_setting(%s)", [name]).fetchone() for name in wanted}
        locale = connection.execute(
            "SELECT datlocprovider::text, datlocale, datctype FROM pg_database WHERE datname = 'alfred'"
        ).fetchone()
    assert found == {name: (value,) for name, value in wanted.items()}
    assert locale == ("b", "C.UTF-8", "C.UTF-8")
    for private in (cluster.sockets, cluster.data):
        assert stat.S_IMODE(private.stat().st_mode) == 0o700
    assert stat.S_IMODE(cluster.log.stat().st_mode) == 0o600
    cluster.stop()


def test_a_stop_keeps_rows_and_ends_every_process(cluster: Postgres) -> None:
    execute(cluster, "INSERT INTO kept VALUES (1)")
    with closing(psycopg.connect(cluster.dsn("postgres"))) as idle:  # a client with an open transaction
        idle.execute("INSERT INTO kept VALUES (2)")
        cluster.stop()
        assert child.processes_in(cluster.data, "postgres") == []
        assert not cluster.alive()
    cluster.start()
    assert rows(cluster) == [1]


def test_committed_rows_survive_a_kill_of_the_server(cluster: Postgres) -> None:
    execute(cluster, "INSERT INTO kept VALUES (1), (2)")
    open_transaction = psycopg.connect(cluster.dsn("postgres"))
    open_transaction.execute("INSERT INTO kept VALUES (3)")
    os.kill(server_pid(cluster), signal.SIGKILL)
    assert child.wait_until(lambda: not cluster.alive(), 5)
    cluster.start()
    assert rows(cluster) == [1, 2]
    open_transaction.close()


def test_a_busy_backend_of_a_killed_server_does_not_block_the_next_start(cluster: Postgres) -> None:
    execute(cluster, "INSERT INTO kept VALUES (1)")

    def be_busy() -> None:  # computes without end, and does not notice that its server is dead
        with pytest.raises(psycopg.OperationalError):
            execute(cluster, "SELECT count(*) FROM generate_series(1, 1000000000000) a")

    busy = threading.Thread(target=be_busy)
    busy.start()
    with psycopg.connect(cluster.dsn("postgres"), autocommit=True) as connection:
        active = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%series(1,%'"
        assert child.wait_until(lambda: connection.execute(active).fetchone() == (2,), 5)
    os.kill(server_pid(cluster), signal.SIGKILL)
    assert child.wait_until(lambda: not cluster.alive(), 5)
    cluster.start()
    busy.join(5)
    assert not busy.is_alive()
    assert rows(cluster) == [1]


SUPERVISOR = """
import sys, time, psycopg
from pathlib import Path
from alfred.embedded.postgres import Postgres
server = Postgres(Path(sys.argv[1]), fsync=False)
server.start()
with psycopg.connect(server.dsn("postgres")) as connection:
    connection.execute("CREATE TABLE kept (n int)")
    connection.execute("INSERT INTO kept VALUES (7)")
still_open = psycopg.connect(server.dsn("postgres"))
still_open.execute("INSERT INTO kept VALUES (8)")
print(server.process.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("both", [False, True], ids=["supervisor", "supervisor and server"])
def test_committed_rows_survive_a_kill_of_the_supervisor(state: Path, script: Script, both: bool) -> None:
    supervisor = script(SUPERVISOR, state / "postgres")
    assert supervisor.stdout is not None
    pid = int(supervisor.stdout.readline())
    server = Postgres(state / "postgres", fsync=False)
    with pytest.raises(AlreadyRunning):
        server.start()
    supervisor.kill()
    if both:
        os.kill(pid, signal.SIGKILL)
    supervisor.wait()
    server.start()  # at once: the old one is still leaving
    assert rows(server) == [7]
    server.stop()


def test_the_server_leaves_by_itself_when_its_supervisor_is_killed(state: Path, script: Script) -> None:
    supervisor = script(SUPERVISOR, state / "postgres")
    assert supervisor.stdout is not None and int(supervisor.stdout.readline())
    supervisor.kill()
    assert child.wait_until(lambda: not child.processes_in(state / "postgres" / "data", "postgres"), 15)


def test_pid_files_that_name_a_living_stranger_do_not_stop_the_start(cluster: Postgres) -> None:
    execute(cluster, "INSERT INTO kept VALUES (1)")
    cluster.stop()
    owner = cluster.data.stat()
    # Of the server's own account: PostgreSQL takes only such a process for a rival.
    stranger = subprocess.Popen(["sleep", "60"], user=owner.st_uid, group=owner.st_gid)
    try:
        for file in (cluster.data / "postmaster.pid", cluster.sockets / ".s.PGSQL.5432.lock"):
            file.write_text(f"{stranger.pid}\n{cluster.data}\n1700000000\n5432\n{cluster.sockets}\n")
            os.chown(file, owner.st_uid, owner.st_gid)
        cluster.start()
        assert rows(cluster) == [1]
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_an_empty_pid_file_does_not_stop_the_start(cluster: Postgres) -> None:
    cluster.stop()
    (cluster.data / "postmaster.pid").touch()
    cluster.start()
    assert rows(cluster) == []


def test_half_made_clusters_are_replaced_and_nothing_unknown_is_deleted(state: Path) -> None:
    root = state / "postgres"
    (root / "data.new" / "base").mkdir(parents=True)
    (root / "data.new" / "PG_VERSION").write_text("18\n")
    (root / "data").mkdir()
    (root / "data" / "somebody's file").write_text("precious")
    server = Postgres(root, fsync=False)
    if os.geteuid() == 0:
        root.chmod(0o711)
    server.start()
    execute(server, "CREATE TABLE kept (n int)")
    server.stop()
    assert not (root / "data.new").exists()
    (aside,) = root.glob("data.unfinished-*")
    assert (aside / "somebody's file").read_text() == "precious"


def test_a_second_supervisor_is_refused_and_told_what_to_do(cluster: Postgres) -> None:
    with pytest.raises(AlreadyRunning) as refusal:
        Postgres(cluster.root).start()
    for part in (str(os.getpid()), str(cluster.root), "ALFRED_STATE_DIR"):
        assert part in str(refusal.value)
    assert rows(cluster) == []


def test_a_cluster_of_another_version_is_refused_with_the_servers_reason(cluster: Postgres) -> None:
    cluster.stop()
    (cluster.data / "PG_VERSION").write_text("9.1\n")
    with pytest.raises(ServiceError, match=r"9\.1"):
        cluster.start()
    with pytest.raises(ServiceError, match=r"9\.1"):  # and the refusal left no lock behind
        Postgres(cluster.root).start()


def test_a_long_or_odd_path_gets_a_short_private_socket_folder(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPORT", "1")  # must lead nobody astray
    folder = state / ("it's, one " + "long " * 20).strip()
    folder.mkdir()
    server = Postgres(folder / "postgres", fsync=False)
    try:
        server.start()
        server.create_database("odd name, too")
        with psycopg.connect(Postgres(folder / "postgres").dsn("odd name, too")) as connection:
            assert connection.info.dbname == "odd name, too"
        assert server.sockets.parent == Path("/tmp")
        assert stat.S_IMODE(server.sockets.stat().st_mode) == 0o700
    finally:
        server.stop()
        shutil.rmtree(server.sockets, ignore_errors=True)


@only_root
def test_below_a_closed_folder_the_server_is_let_through_with_one_capability(state: Path) -> None:
    """A checkout in /root is the usual case."""
    if not child.may_pass_on_search():
        pytest.skip("this root may not pass on CAP_DAC_READ_SEARCH")
    closed = state / "closed"
    closed.mkdir(mode=0o700)
    server = Postgres(closed / "deep" / "postgres", fsync=False)
    try:
        server.start()
        server.create_database("alfred")
        assert server.process is not None
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        assert int(status.split("CapEff:")[1].split()[0], 16) == 1 << 2  # CAP_DAC_READ_SEARCH of capabilities(7)
        assert status.split("Uid:")[1].split()[0] != "0"
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    finally:
        server.stop()


@only_root
@pytest.mark.parametrize("search", [True, False])
def test_what_access_says_of_a_program_in_a_closed_folder(state: Path, search: bool) -> None:
    """PostgreSQL's programs ask access(2), which looks at capabilities only under a secure bit."""
    if search and not child.may_pass_on_search():
        pytest.skip("this root may not pass on CAP_DAC_READ_SEARCH")
    closed = state / "closed"
    closed.mkdir(mode=0o700)
    tool = closed / "tool"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    script = f"test -x {tool} && test -r {tool}"
    nobody = pwd.getpwnam("nobody")
    process = child.spawn(
        ["/bin/sh", "-c", script], log=state / "log", owner=(nobody.pw_uid, nobody.pw_gid), search=search, cwd="/"
    )
    assert (process.wait(10) == 0) is search


@only_root
def test_a_closed_parent_folder_is_named_and_left_alone(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "may_pass_on_search", lambda: False)  # as in a container without that capability
    closed = state / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(ServiceError) as refusal:
        Postgres(closed / "deep" / "postgres").start()
    assert f"may not enter {closed}:" in str(refusal.value)
    assert "ALFRED_STATE_DIR" in str(refusal.value)
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


@only_root
def test_the_account_can_be_chosen_and_must_exist(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBEDDED_POSTGRES_USER", "no-such-account")
    server = Postgres(state / "postgres", fsync=False)
    with pytest.raises(ServiceError, match="no-such-account"):
        server.start()
    monkeypatch.setenv("EMBEDDED_POSTGRES_USER", "nobody")
    server.start()
    owner = server.data.stat().st_uid
    server.stop()
    assert server.data.owner() == "nobody"
    # A cluster stays its owner's: PostgreSQL refuses a data folder of another account.
    monkeypatch.delenv("EMBEDDED_POSTGRES_USER")
    server.start()
    server.stop()
    assert server.data.stat().st_uid == owner
    assert server.root.stat().st_uid == 0


@only_root
def test_an_ordinary_user_runs_a_cluster_of_their_own(state: Path, script: Script) -> None:
    here = Path(__file__)
    if subprocess.run(["/bin/sh", "-c", f"test -r '{here}'"], user=65534, group=65534, extra_groups=[]).returncode:
        pytest.skip("an ordinary user may not read this checkout")
    (state / "home").mkdir()
    os.chown(state / "home", 65534, 65534)
    source = """
import sys, os, psycopg, encodings.idna
from pathlib import Path
from alfred.embedded.postgres import Postgres
from alfred.embedded.valkey import Valkey
os.setgroups([]); os.setgid(65534); os.setuid(65534)
for service in (Postgres(Path(sys.argv[1]) / "postgres", fsync=False), Valkey(Path(sys.argv[1]) / "valkey")):
    service.start()
    print(service.root.stat().st_uid, oct(service.root.stat().st_mode & 0o777), flush=True)
    service.stop()
"""
    process = script(source, state / "home")
    output, _ = process.communicate(timeout=60)
    assert output == "65534 0o700\n65534 0o700\n"
