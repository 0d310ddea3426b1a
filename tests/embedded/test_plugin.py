"""The plugin under the whole test run, tried in runs of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
VARIABLES = ("DATABASE_URL", "CELERY_BROKER_URL", "ALFRED_STATE_DIR", "ALFRED_TEST_BROKER")
TESTS = """
import os, pathlib, psycopg, kombu, pytest

@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_services(n):
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        assert connection.execute("SELECT current_database()").fetchone() == ("alfred",)
    with kombu.Connection(os.environ["CELERY_BROKER_URL"]) as connection:
        connection.SimpleQueue("jobs").put(n)
    names = ("ALFRED_STATE_DIR", "CELERY_BROKER_URL", "DATABASE_URL", "ALFRED_TESTING")
    with open(pathlib.Path(__file__).with_name("seen"), "a") as file:
        print(*(os.environ[name] for name in names), file=file)
"""


def run(folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(TESTS)
    clean = {key: value for key, value in os.environ.items() if key not in VARIABLES and "PYTEST" not in key}
    command = [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", str(folder), "-p", "no:django"]
    command += [
        "-p",
        "no:cacheprovider",
        "-p",
        "tests.embedded_services",
        *options,
        str(folder / "test_it.py"),
    ]
    return subprocess.run(command, cwd=CHECKOUT, env=clean | environment, capture_output=True, text=True, check=False)


def seen(folder: Path) -> list[list[str]]:
    return [line.split() for line in (folder / "seen").read_text().splitlines()]


def test_workers_share_the_servers_but_not_messages_and_files(state: Path) -> None:
    result = run(state, "-n", "2")
    assert "4 passed" in result.stdout, result.stdout + result.stderr
    folders, brokers, databases, testing = map(set, zip(*seen(state), strict=True))
    assert len(folders) == len(brokers) == 2
    assert len(databases) == 1
    assert testing == {"1"}
    assert not any(Path(folder).parent.exists() for folder in folders)  # nothing stays behind


def test_servers_named_in_the_environment_are_used(state: Path) -> None:
    elsewhere = {"DATABASE_URL": "postgresql://elsewhere/x", "CELERY_BROKER_URL": "redis://elsewhere/0"}
    (state / "test_it.py").touch()
    result = run(state, "-k", "1", **elsewhere)
    assert "elsewhere" in result.stdout and " failed" in result.stdout
    assert "alfred-test-" not in result.stdout


@pytest.mark.parametrize("option", ["--collect-only", "--help"])
def test_what_runs_no_test_starts_no_server(state: Path, option: str) -> None:
    # With this setting root cannot start the database.
    result = run(state, option, EMBEDDED_POSTGRES_USER="no-such-account")
    assert result.returncode == 0, result.stdout + result.stderr
