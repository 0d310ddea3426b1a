from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import pytest

from alfred.embedded.child import AlreadyRunning, ServiceError
from alfred.embedded.instance import StateDir
from tests.embedded.conftest import Script


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_folders_are_closed_to_others_but_the_way_to_the_database(state: Path) -> None:
    before = os.umask(0o000)
    try:
        folder = StateDir(state / "var")
        folder.create()
    finally:
        os.umask(before)
    assert mode(folder.path) == 0o711
    assert [mode(path) for path in (folder.run, folder.log, folder.artifacts)] == [0o700] * 3


def test_an_existing_folder_keeps_its_mode(state: Path) -> None:
    shared = state / "shared"
    shared.mkdir()
    shared.chmod(0o755)
    StateDir(shared).create()
    assert mode(shared) == 0o755


def test_a_private_folder_that_was_opened_is_closed_again(state: Path) -> None:
    folder = StateDir(state / "var")
    folder.create()
    folder.run.chmod(0o777)
    folder.create()
    assert mode(folder.run) == 0o700


def test_a_link_in_place_of_a_private_folder_is_refused(state: Path) -> None:
    (state / "elsewhere").mkdir()
    (state / "var").mkdir()
    (state / "var" / "run").symlink_to(state / "elsewhere")
    with pytest.raises(ServiceError, match="run cannot be used"):
        StateDir(state / "var").create()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_somebody_elses_folder_is_refused(state: Path) -> None:
    (state / "var" / "run").mkdir(parents=True)
    os.chown(state / "var" / "run", 65534, 65534)
    with pytest.raises(ServiceError, match="belongs to user id 65534"):
        StateDir(state / "var").create()


def test_one_process_claims_and_the_second_is_told_where_the_first_is(state: Path) -> None:
    first, second = StateDir(state / "var"), StateDir(state / "var")
    first.claim("http://127.0.0.1:8000")
    with pytest.raises(AlreadyRunning) as refusal:
        second.claim()
    for part in (f"process {os.getpid()}", "http://127.0.0.1:8000", str(first.path), "ALFRED_STATE_DIR"):
        assert part in str(refusal.value)
    first.release()
    second.claim()
    second.release()


def test_the_claim_of_a_killed_process_is_void(state: Path, script: Script) -> None:
    holder = script(
        "import sys, time; from alfred.embedded.instance import StateDir\n"
        "folder = StateDir(sys.argv[1]); folder.claim(); print('claimed', flush=True); time.sleep(60)",
        state / "var",
    )
    assert holder.stdout is not None and holder.stdout.readline() == "claimed\n"
    with pytest.raises(AlreadyRunning, match=f"kill {holder.pid}"):
        StateDir(state / "var").claim()
    holder.kill()
    holder.wait()
    StateDir(state / "var").claim()


def test_a_secret_is_made_once_and_kept_private(state: Path) -> None:
    folder = StateDir(state / "var")
    secret = folder.secret("secret_key")
    assert len(secret) >= 50
    assert StateDir(state / "var").secret("secret_key") == secret
    assert folder.secret("other") != secret
    file = folder.path / "secrets" / "secret_key"
    assert mode(file) == 0o600 and mode(file.parent) == 0o700


def test_processes_that_make_a_secret_at_once_agree(state: Path, script: Script) -> None:
    source = (
        "import sys, time; from alfred.embedded.instance import StateDir\n"
        "folder = StateDir(sys.argv[1]); time.sleep(max(0, float(sys.argv[2]) - time.time()))\n"
        "print(*(folder.secret(f'key{n}') for n in range(50)))"
    )
    at = time.time() + 0.5
    both = [script(source, state / "var", at) for _ in range(2)]
    first, second = (process.communicate()[0].split() for process in both)
    assert first == second
    assert len(set(first)) == 50
    assert not list((state / "var" / "secrets").glob(".*"))


@pytest.mark.parametrize("name", ["", "../key", "a/b", ".hidden", "Key"])
def test_a_name_that_is_no_file_name_is_refused(state: Path, name: str) -> None:
    with pytest.raises(ValueError, match="no name of a secret"):
        StateDir(state / "var").secret(name)
