"""The state folder: all that one installation keeps on this machine; one process at a time runs it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
from pathlib import Path

from alfred.embedded.child import FolderLock, make_folder, private_folder

_SECRET_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")


class StateDir:
    """The folder `path` with run/, log/, secrets/ and artifacts/, each for its owner alone (0700).

    The folder itself is made with mode 0711: when root starts us, the database runs as another account, which
    has to pass through. A folder that existed keeps its mode; it may be one the user shares on purpose.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).resolve()
        self._lock = FolderLock(self.path / "instance.lock")

    def create(self) -> None:
        """Make the folders that are missing."""
        make_folder(self.path, 0o711)
        for folder in (self.run, self.log, self.artifacts, self.path / "secrets"):
            private_folder(folder)

    @property
    def run(self) -> Path:
        """Folder of short-lived files."""
        return self.path / "run"

    @property
    def log(self) -> Path:
        """Folder of the logs."""
        return self.path / "log"

    @property
    def artifacts(self) -> Path:
        """Folder of the stored artifacts (poses, scores, weights)."""
        return self.path / "artifacts"

    def claim(self, url: str = "") -> None:
        """Become the one process that runs this folder, reachable at `url`.

        Raises AlreadyRunning when a living process holds it; the claim of a dead one is void by itself.
        """
        self.create()
        self._lock.acquire(json.dumps({"pid": os.getpid(), "url": url}), self._refusal)

    def release(self) -> None:
        """Give the folder back."""
        self._lock.release()

    def secret(self, name: str) -> str:
        """Return the random secret called `name`: made on first use, the same ever after (a 0600 file).

        Raises ValueError for a name that is not lower-case letters, digits, `_`, `-` and `.`.
        """
        if not _SECRET_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a secret: use lower-case letters, digits, '_', '-' and '.'.")
        self.create()
        file = self.path / "secrets" / name
        if not file.exists():
            _publish(file, secrets.token_urlsafe(48))
        return file.read_text("utf-8")

    def _refusal(self, content: str) -> str:
        try:
            holder = json.loads(content)
            pid, url = holder["pid"], holder["url"]
        except (ValueError, KeyError, TypeError):
            pid, url = "unknown", ""
        at = f" at {url}" if url else ""
        return (
            f"ALFred already runs from {self.path}{at} (process {pid}): use that one, stop it (kill {pid}), "
            "or set ALFRED_STATE_DIR to another folder."
        )


def _publish(file: Path, text: str) -> None:
    """Make `file` with `text` at one stroke; of two processes at once the first wins, both read its text."""
    draft = file.with_name(f".{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        # A link, unlike a rename, fails when the name is taken.
        with contextlib.suppress(FileExistsError):
            os.link(draft, file)
    finally:
        draft.unlink()
