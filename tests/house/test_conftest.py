"""The suite's own rules, tried in runs of their own: a skip is counted, and in CI it hides nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import SHARED
from tests.house.source import CHECKOUT

TESTS = """
import pytest

@pytest.mark.browser
def test_browser(): pytest.skip("no browser today")

@pytest.mark.shared
@pytest.mark.skipif(True, reason="no data today")
def test_shared(): pass

@pytest.mark.browser
@pytest.mark.xfail
def test_expected(): assert False

def test_other(): pytest.skip("no program today")
"""


def run(folder: Path, **environment: str) -> str:
    (folder / "test_it.py").write_text(TESTS)
    clean = {k: v for k, v in os.environ.items() if k != "CI" and "PYTEST" not in k}
    command = [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", str(folder), "-rs", "-p", "no:django"]
    command += ["-p", "no:cacheprovider", "-p", "tests.conftest", "-o", "markers=browser\nshared", str(folder)]
    done = subprocess.run(command, cwd=CHECKOUT, env=clean | environment, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_without_ci_skips_are_counted(tmp_path: Path) -> None:
    said = run(tmp_path)
    assert "skipped for missing data or programs: 3 (shared data 1, browser 1, other 1)" in said
    assert "3 skipped, 1 xfailed" in said


def test_in_ci_a_skip_of_what_is_there_fails(tmp_path: Path) -> None:
    said = run(tmp_path, CI="1")
    assert "test_browser: skipped, but CI has what it needs and must run it: " in said and "no browser today" in said
    if SHARED.is_dir():
        # A mark skips before the test begins, which pytest calls an error.
        assert "1 failed, 1 skipped, 1 xfailed, 1 error" in said and "no data today" in said
    else:
        assert "1 failed, 2 skipped, 1 xfailed" in said


@pytest.mark.browser
def test_chromium_starts_without_network(browser_type_launch_args: dict[str, object]) -> None:
    arguments = browser_type_launch_args["args"]
    assert isinstance(arguments, list) and "--no-sandbox" in arguments
    program = Path(str(browser_type_launch_args["executable_path"]))
    done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=60, check=True)
    assert "Chromium" in done.stdout
