"""Files named by their content, inside one folder and one camera at a time.

A key is "<camera>/<ab>/<sha256><suffix>". The camera is part of it, so that the same bytes sent to two
cameras are two files: whoever may see one learns nothing of the other, and erasing one leaves the other
alone.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, Protocol

BLOCK = 1 << 20
TEMPORARY = "tmp"
STALE_AFTER_S = 24 * 3600.0

_CAMERA = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_SUFFIX = re.compile(r"(\.[a-z0-9]{1,12}){0,2}")
_KEY = re.compile(
    r"(?P<camera>[A-Za-z0-9][A-Za-z0-9_-]{0,63})/(?P<ab>[0-9a-f]{2})/(?P<digest>[0-9a-f]{64})(\.[a-z0-9]{1,12}){0,2}"
)


class BadKeyError(ValueError):
    """The text is not a key this store could have made."""


class TooLargeError(Exception):
    """The stream is longer than its caller allows."""


class Readable(Protocol):
    """What `put_stream` reads from: an open file, an upload."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes; b"" at the end."""
        ...


class Artifacts:
    """Content-addressed files under `root`; safe to use from many processes at once.

    A file is visible under its key only when it is complete and on disk: it is written to `root`/tmp, synced,
    and renamed. Files are 0600, folders 0700, and no symbolic link is followed below `root`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self._temporary = self.root / TEMPORARY
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._temporary.mkdir(mode=0o700, exist_ok=True)

    def put_file(self, camera: str, path: Path, suffix: str) -> str:
        """Store the file at `path` and return its key; one made by `temporary` is moved, another is copied.

        Raises BadKeyError for a camera or suffix outside [A-Za-z0-9_-] and ".abc".
        """
        _check_names(camera, suffix)
        if path.absolute().parent == self._temporary:
            digest = _digest(path)
            return self._publish(camera, path.absolute(), digest, suffix)
        with path.open("rb") as source:
            return self.put_stream(camera, source, suffix=suffix)

    def put_bytes(self, camera: str, data: bytes, suffix: str) -> str:
        """Store `data` and return its key."""
        _check_names(camera, suffix)
        with self.temporary(suffix) as path:
            _write_new(path, data)
            return self._publish(camera, path, hashlib.sha256(data).hexdigest(), suffix)

    def key_of(self, camera: str, data: bytes, suffix: str) -> str:
        """The key that `data` would be stored under."""
        _check_names(camera, suffix)
        return _key(camera, hashlib.sha256(data).hexdigest(), suffix)

    def put_stream(self, camera: str, source: Readable, limit_bytes: int | None = None, *, suffix: str = "") -> str:
        """Store what `source` gives, hashed on the way, and return its key. Nothing is kept when it fails.

        Raises TooLargeError as soon as more than `limit_bytes` came.
        """
        _check_names(camera, suffix)
        digest = hashlib.sha256()
        size = 0
        with self.temporary(suffix) as path:
            with _create(path) as target:
                while block := source.read(BLOCK):
                    size += len(block)
                    if limit_bytes is not None and size > limit_bytes:
                        raise TooLargeError(f"more than {limit_bytes} bytes")
                    digest.update(block)
                    target.write(block)
            return self._publish(camera, path, digest.hexdigest(), suffix)

    def path(self, key: str) -> Path:
        """Where the file of `key` lies, present or not. Raises BadKeyError for anything but a key."""
        if _KEY.fullmatch(key) is None or key.split("/")[0] == TEMPORARY:
            raise BadKeyError("not the key of a stored file")
        camera, ab, name = key.split("/")
        if not name.startswith(ab):
            raise BadKeyError("not the key of a stored file")
        return self.root / camera / ab / name

    def exists(self, key: str) -> bool:
        """Whether a stored regular file has this key."""
        path = self.path(key)
        return _is_folder(path.parent.parent) and _is_folder(path.parent) and _is_regular(path)

    def open(self, key: str) -> BufferedReader:
        """Open for reading. Raises FileNotFoundError, or BadKeyError for anything but a key."""
        path = self.path(key)
        if not self.exists(key):
            raise FileNotFoundError(f"no stored file {key}")
        return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")

    def size(self, key: str) -> int:
        """Size in bytes. Raises FileNotFoundError."""
        with self.open(key) as file:
            return os.fstat(file.fileno()).st_size

    def intact(self, key: str) -> bool:
        """Whether the bytes still have the digest of the key."""
        with self.open(key) as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == self.path(key).name[:64]

    def delete(self, key: str) -> None:
        """Remove the file for good; no error when it is gone already."""
        path = self.path(key)
        if self.exists(key):
            path.unlink(missing_ok=True)
            _sync_folder(path.parent)

    @contextmanager
    def temporary(self, suffix: str = "") -> Iterator[Path]:
        """A path in `root`/tmp where no file is yet; what is left there at the end of the block is removed.

        `put_file` of that path inside the block moves it, so keeping it costs no copy.
        """
        if _SUFFIX.fullmatch(suffix) is None:
            raise BadKeyError(f"suffix {suffix!r} is not of the form .abc")
        path = self._temporary / f"{uuid.uuid4().hex}{suffix}"
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def clean_temporary(self, older_than_s: float = STALE_AFTER_S) -> int:
        """Remove what killed processes left in `root`/tmp; return how many entries went."""
        limit = time.time() - older_than_s
        removed = 0
        for path in self._temporary.iterdir():
            try:
                facts = path.lstat()
                if facts.st_mtime > limit:
                    continue
                if stat.S_ISDIR(facts.st_mode):
                    shutil.rmtree(path)
                else:
                    path.unlink()
            except FileNotFoundError:
                continue  # another process was quicker
            removed += 1
        return removed

    def _publish(self, camera: str, temporary: Path, digest: str, suffix: str) -> str:
        key = _key(camera, digest, suffix)
        final = self.path(key)
        for folder in (final.parent.parent, final.parent):
            _make_folder(folder)
        if _is_regular(final):
            temporary.unlink()
            return key
        _sync_file(temporary)
        temporary.rename(final)
        _sync_folder(final.parent)
        return key


def camera_of(key: str) -> str:
    """The camera a key belongs to. Raises BadKeyError."""
    match = _KEY.fullmatch(key)
    if match is None:
        raise BadKeyError("not the key of a stored file")
    return match["camera"]


def _key(camera: str, digest: str, suffix: str) -> str:
    return f"{camera}/{digest[:2]}/{digest}{suffix}"


def _check_names(camera: str, suffix: str) -> None:
    if _CAMERA.fullmatch(camera) is None or camera == TEMPORARY:
        raise BadKeyError(f"camera key {camera!r} may hold letters, digits, - and _ only")
    if _SUFFIX.fullmatch(suffix) is None:
        raise BadKeyError(f"suffix {suffix!r} is not of the form .abc")


def _create(path: Path) -> BinaryIO:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, 0o600), "wb")


def _write_new(path: Path, data: bytes) -> None:
    with _create(path) as file:
        file.write(data)


def _digest(path: Path) -> str:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchmod(descriptor, 0o600)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        if not _is_folder(path):
            raise BadKeyError("a folder of the store is not a folder") from None
    else:
        _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except FileNotFoundError:
        return False


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return False
