"""Starting, watching and ending processes that must not outlive us; the ground under every embedded service.

Three promises hold for a process started by `spawn`:

* it is in a process group of its own, so Ctrl-C in the terminal reaches only the supervisor;
* the kernel signals it when its supervisor dies, even by kill -9 (PR_SET_PDEATHSIG; Linux only);
* `end_group` leaves neither it nor its children behind.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import os
import signal
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

LOG_LIMIT = 10 * 1024 * 1024
"""Bytes after which a log file is moved to NAME.1 when its process starts."""

SOCKET_PATH_LIMIT = 107
"""Longest path of a unix socket in bytes: sun_path of unix(7) holds 108 with the closing zero."""

_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 47, 2
_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP = 28, 1 << 2
_CAP_DAC_READ_SEARCH, _CAP_SETPCAP = 2, 8
_CAPABILITY_VERSION_3 = 0x20080522
# Loaded here, not in the forked child: between fork and exec nothing may wait for a lock of another thread.
_LIBC = ctypes.CDLL(None, use_errno=True)


class ServiceError(RuntimeError):
    """A service did not start or cannot run; the text says why and what to do."""


class AlreadyRunning(ServiceError):
    """Another living process holds the folder."""


def _follow_parent(sig: int, parent: int) -> None:
    """Run in the forked child: ask for `sig` at the parent's death; leave at once if it is dead already."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, sig, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def may_pass_on_search() -> bool:
    """Tell whether we, as root, can let a process of another account pass through folders closed to it."""
    wanted = 1 << _CAP_DAC_READ_SEARCH | 1 << _CAP_SETPCAP
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return False
    sets = dict(line.split(":\t") for line in status.splitlines() if line.startswith("Cap"))
    return os.geteuid() == 0 and all(int(sets.get(name, "0"), 16) & wanted == wanted for name in ("CapPrm", "CapBnd"))


def _keep_search() -> None:
    """Run in the forked child after it changed its user: keep CAP_DAC_READ_SEARCH, and nothing else, across exec."""
    search, both = 1 << _CAP_DAC_READ_SEARCH, 1 << _CAP_DAC_READ_SEARCH | 1 << _CAP_SETPCAP
    # Without the secure bit access(2), which PostgreSQL's programs ask before they run one another, ignores it.
    failed = (
        _set_capabilities(both, search)
        or _LIBC.prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
        or _LIBC.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_READ_SEARCH, 0, 0)
        or _set_capabilities(search, search)
    )
    if failed:
        os._exit(126)


def _set_capabilities(held: int, inheritable: int) -> int:
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)(held, held, inheritable, 0, 0, 0)  # effective, permitted, …; then the upper halves
    return int(_LIBC.capset(header, sets))


def spawn(
    argv: Sequence[str | Path],
    *,
    log: Path,
    death_signal: int = signal.SIGTERM,
    env: Mapping[str, str] | None = None,
    cwd: Path | str | None = None,
    owner: tuple[int, int] | None = None,
    search: bool = False,
) -> subprocess.Popen[bytes]:
    """Start `argv` in its own process group with output appended to `log`.

    `owner` (user id, group id) is whom root turns into first; `death_signal` comes when this process dies. With
    `search` (see `may_pass_on_search`) that owner may still read and pass through every folder, as root may.

    Only the main thread may call this: the kernel sends the death signal when the *thread* that forked ends,
    so a process started from a short-lived thread would be stopped for no visible reason.
    Raises RuntimeError in another thread, ServiceError when the program cannot be run.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("Processes are started from the main thread (see the docstring of spawn).")
    parent = os.getpid()

    def prepare() -> None:
        if search:
            _keep_search()
        # After setuid, as it must be: changing the user clears the death signal.
        _follow_parent(death_signal, parent)

    with open_log(log) as output:
        try:
            # Inherited by the fork: without it setuid drops every capability before `prepare` runs.
            _LIBC.prctl(_PR_SET_KEEPCAPS, int(search), 0, 0, 0)
            return subprocess.Popen(
                [os.fspath(part) for part in argv],
                stdin=subprocess.DEVNULL,
                stdout=output.fileno(),
                stderr=subprocess.STDOUT,
                env=env,
                cwd=cwd,
                user=owner[0] if owner else None,
                group=owner[1] if owner else None,
                extra_groups=[] if owner else None,
                process_group=0,
                preexec_fn=prepare,
            )
        except OSError as error:
            raise ServiceError(f"{argv[0]} cannot be run: {error.strerror}.") from error
        finally:
            _LIBC.prctl(_PR_SET_KEEPCAPS, 0, 0, 0, 0)


def open_log(path: Path) -> contextlib.closing[FileDescriptor]:
    """Open `path` for appending (0600), after moving an overlong one to NAME.1; a context manager."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > LOG_LIMIT:
            path.replace(path.with_name(path.name + ".1"))
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    return contextlib.closing(FileDescriptor(os.open(path, flags, 0o600)))


class FileDescriptor:
    """A bare descriptor with `fileno` and `close`, for subprocess and fcntl."""

    def __init__(self, number: int) -> None:
        self._number = number

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._number

    def close(self) -> None:
        """Close it once; a second call does nothing."""
        if self._number >= 0:
            os.close(self._number)
            self._number = -1


def has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Tell whether `process` has ended, without reaping it: its id, and so its group's, stays reserved."""
    if process.returncode is not None:
        return True
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def end_group(
    process: subprocess.Popen[bytes],
    sig: int = signal.SIGTERM,
    timeout: float = 10.0,
    harder: int | None = None,
) -> int:
    """Ask `process` to end, wait `timeout` seconds (again after `harder`), kill what is left of its group.

    Returns the exit status, negative for a signal. Grandchildren that stayed behind are killed even when the
    leader left by itself; the leader is reaped last, so that the group id cannot have been given to others.
    """
    for step in (sig, harder):
        if step is not None and not has_ended(process):
            # Not Popen.send_signal: it may reap the leader, and then its group could not be ended safely.
            os.kill(process.pid, step)
            wait_until(lambda: has_ended(process), timeout)
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        wait_until(lambda: not _group_lives(process.pid), 5.0)
    return process.wait()


def wait_until(condition: Callable[[], bool], timeout: float, interval: float = 0.02) -> bool:
    """Poll `condition` until it holds or `timeout` seconds passed; returns its last answer."""
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(interval)
    return True


class FolderLock:
    """One process per folder: a flock that the kernel drops when its holder dies, however it dies."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: FileDescriptor | None = None

    @property
    def held(self) -> bool:
        """Tell whether this object holds the lock."""
        return self._file is not None

    def acquire(self, content: str, refusal: Callable[[str], str]) -> None:
        """Take the lock and write `content` into it.

        Raises AlreadyRunning(refusal(what its holder wrote)) when it is taken, ServiceError when the file
        cannot be used.
        """
        if self._file is not None:
            return
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            file = FileDescriptor(os.open(self.path, flags, 0o600))
        except OSError as error:
            raise unusable(self.path, error) from error
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held_by = os.pread(file.fileno(), 4096, 0).decode("utf-8", "replace").strip()
            file.close()
            raise AlreadyRunning(refusal(held_by)) from None
        os.ftruncate(file.fileno(), 0)
        os.pwrite(file.fileno(), content.encode(), 0)
        self._file = file

    def release(self) -> None:
        """Give the lock back. The file stays: if removed, two processes could lock two files of one name."""
        if self._file is not None:
            os.ftruncate(self._file.fileno(), 0)
            self._file.close()
            self._file = None


def socket_folder(root: Path, socket_name: str) -> Path:
    """Return, without making it, the folder for the socket `socket_name` of the service in `root`.

    It is root/run. Where that path would be too long for a unix socket, or holds a comma or a quote
    (PostgreSQL reads a list there), it is a short folder among the temporary files. Its name comes from the
    long path and the user, so that every process of this state folder finds the same one. Anybody can make a
    folder of that name first: `private_folder` refuses one that belongs to somebody else.
    """
    folder = root / "run"
    length = len(os.fsencode(folder / socket_name))
    if length <= SOCKET_PATH_LIMIT and not any(char in str(folder) for char in ",\"'"):
        return folder
    digest = hashlib.sha256(os.fsencode(root)).hexdigest()[:16]
    # Not tempfile.gettempdir(): that may differ between the server's process and those that ask it.
    return Path("/tmp") / f"alfred-{os.geteuid()}-{digest}"


def unusable(path: Path, error: OSError) -> ServiceError:
    """ServiceError for a file or folder of ours that cannot be made or opened."""
    return ServiceError(f"{path} cannot be used: {error.strerror}. Set ALFRED_STATE_DIR to a folder of your own.")


def make_folder(folder: Path, mode: int) -> None:
    """Make `folder` with `mode` whatever the umask; one that exists keeps its mode, as do those above."""
    if folder.is_dir():
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(mode)
    except OSError as error:
        raise unusable(folder, error) from error


def private_folder(folder: Path, uid: int | None = None) -> None:
    """Make `folder` with mode 0700 for `uid` (default: us); ServiceError if it is a link or another's."""
    owner = os.geteuid() if uid is None else uid
    try:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        # Opened without following a link and changed through the descriptor: nobody can exchange it.
        handle = FileDescriptor(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC))
    except OSError as error:
        raise unusable(folder, error) from error
    with contextlib.closing(handle):
        found = os.fstat(handle.fileno())
        if found.st_uid not in (owner, os.geteuid()):
            raise ServiceError(
                f"{folder} belongs to user id {found.st_uid}, expected {owner}: remove it, or set "
                "ALFRED_STATE_DIR to another folder."
            )
        if found.st_uid != owner:
            os.fchown(handle.fileno(), owner, -1)
        if stat.S_IMODE(found.st_mode) != 0o700:
            os.fchmod(handle.fileno(), 0o700)


def processes_in(folder: Path, program: str) -> list[int]:
    """Ids of the living processes whose working folder is `folder` and whose executable is called `program`.

    Both together prove that a process is ours: only our service works inside our locked data folder. A
    process whose /proc entry we may not read belongs to another user and cannot be ours.
    """
    found = []
    for pid in _process_ids():
        try:
            cwd, exe = Path(f"/proc/{pid}/cwd").readlink(), Path(f"/proc/{pid}/exe").readlink()
        except OSError:  # gone meanwhile, a zombie, a kernel thread or another user's
            continue
        if cwd == folder and exe.name.removesuffix(" (deleted)") == program:
            found.append(pid)
    return found


def end_leftovers(folder: Path, program: str, signals: Sequence[int], patience: float = 15.0) -> None:
    """End what a killed supervisor left in `folder`: each of `signals` in turn; hold the folder's lock.

    A signal goes to the topmost processes, which end their own children in good order; SIGKILL goes to all.
    Raises ServiceError if one stays.
    """
    for sig in signals:
        found = processes_in(folder, program)
        if not found:
            return
        for pid in found:
            if sig == signal.SIGKILL or _state_parent_group(pid)[1] not in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, sig)
        wait_until(lambda: not processes_in(folder, program), patience, 0.05)
    if found := processes_in(folder, program):
        ids = ", ".join(map(str, found))
        raise ServiceError(f"An old {program} process ({ids}) in {folder} does not end: end it and start again.")


def _process_ids() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]  # noqa: PTH208 - names, not paths


def _state_parent_group(pid: int) -> tuple[str, int, int]:
    """State letter, parent and process group of `pid`; ("", 0, 0) when it is gone."""
    try:
        # proc(5): the name in parentheses may hold anything; what is wanted follows it.
        words = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        return words[0], int(words[1]), int(words[2])
    except (OSError, ValueError, IndexError):
        return "", 0, 0


def _group_lives(group: int) -> bool:
    """Tell whether a process group has a member that runs (a zombie does not)."""
    found = map(_state_parent_group, _process_ids())
    return any(member == group and state not in ("Z", "X") for state, _, member in found)


def log_tail(path: Path, start: int = 0, lines: int = 8) -> str:
    """Last `lines` lines of what was written to the log `path` after byte `start`."""
    try:
        with path.open("rb") as file:
            file.seek(max(start, path.stat().st_size - 16384))
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.strip().splitlines()[-lines:])


def log_size(path: Path) -> int:
    """Size of a log in bytes, 0 when it does not exist or is about to be moved away."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return 0
    return 0 if size > LOG_LIMIT else size
