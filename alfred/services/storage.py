"""Where this installation keeps its artifacts."""

import hashlib
from functools import cache
from pathlib import Path

from django.conf import settings

from alfred.artifacts import Artifacts


@cache
def artifacts() -> Artifacts:
    """The store named by the settings."""
    return Artifacts(settings.ARTIFACTS_DIR)


def digest_of(path: Path) -> str:
    """sha256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
