from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.embedded_services import make_state_folder

CHECKOUT = Path(__file__).resolve().parents[2]

Script = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def state() -> Iterator[Path]:
    """A folder the database's account can reach (tmp_path is closed to it when root runs the tests)."""
    folder = make_state_folder("alfred-embedded-")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def script() -> Iterator[Script]:
    """Runs Python source in a process of its own, its output a pipe of text. Killed at the end."""
    started: list[subprocess.Popen[str]] = []

    def run(source: str, *args: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", source, *map(str, args)],
            cwd=CHECKOUT,
            env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
