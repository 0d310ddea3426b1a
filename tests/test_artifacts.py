"""The content-addressed store: keys, moves, limits, and what must not get in."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import time
from pathlib import Path

import pytest

from alfred.artifacts import Artifacts, BadKeyError, TooLargeError, camera_of


@pytest.fixture
def store(tmp_path: Path) -> Artifacts:
    return Artifacts(tmp_path / "store")


def files_below(folder: Path) -> list[Path]:
    return [p for p in folder.rglob("*") if p.is_file()]


def test_key_is_camera_and_digest(store: Artifacts) -> None:
    digest = hashlib.sha256(b"poses").hexdigest()
    key = store.put_bytes("cam-1", b"poses", ".parquet")
    assert key == f"cam-1/{digest[:2]}/{digest}.parquet"
    assert camera_of(key) == "cam-1"
    assert store.open(key).read() == b"poses" and store.size(key) == 5 and store.intact(key)


def test_same_bytes_are_one_file_in_a_camera_and_two_in_two(store: Artifacts) -> None:
    first = store.put_bytes("a", b"x", "")
    assert store.put_stream("a", io.BytesIO(b"x")) == first
    second = store.put_bytes("b", b"x", "")
    assert first != second
    assert len(files_below(store.root)) == 2
    store.delete(first)
    assert not store.exists(first) and store.exists(second)


def test_put_file_copies_a_foreign_file_and_moves_its_own(store: Artifacts, tmp_path: Path) -> None:
    foreign = tmp_path / "upload.mp4"
    foreign.write_bytes(b"video")
    assert store.exists(store.put_file("a", foreign, ".mp4"))
    assert foreign.exists()
    with store.temporary(".mp4") as path:
        path.write_bytes(b"another")
        key = store.put_file("a", path, ".mp4")
        assert not path.exists()
    assert store.open(key).read() == b"another"


def test_files_are_private(store: Artifacts) -> None:
    path = store.path(store.put_bytes("a", b"x", ".json"))
    with store.temporary() as made:
        made.write_bytes(b"y")  # created by somebody else's code, with the umask's rights
        made.chmod(0o644)
        moved = store.path(store.put_file("a", made, ""))
    for file in (path, moved):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(file.parent.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "key",
    [
        "../../etc/passwd",
        "/etc/passwd",
        "a/ab/" + "0" * 64,  # the folder is not the digest's start
        "tmp/00/" + "0" * 64,
        "a/00/" + "0" * 64 + "/../x",
        "a/00/" + "0" * 64 + ".mp4\n",
        "a/00/" + "0" * 63,
        "a\\00\\" + "0" * 64,
        "",
    ],
)
def test_what_is_not_a_key_is_refused(store: Artifacts, key: str) -> None:
    for use in (store.path, store.open, store.exists, store.delete):
        with pytest.raises(BadKeyError):
            use(key)


@pytest.mark.parametrize(
    ("camera", "suffix"), [("../x", ""), ("", ""), ("tmp", ""), ("a", "/x"), ("a", ".a/b"), ("é", "")]
)
def test_bad_names_are_refused(store: Artifacts, camera: str, suffix: str) -> None:
    with pytest.raises(BadKeyError):
        store.put_bytes(camera, b"x", suffix)
    assert files_below(store.root) == []


def test_links_are_not_followed(store: Artifacts, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    key = store.put_bytes("a", b"x", "")
    path = store.path(key)
    path.unlink()
    path.symlink_to(secret)
    assert not store.exists(key)
    with pytest.raises(FileNotFoundError):
        store.open(key)
    outside = tmp_path / "outside"
    outside.mkdir()
    (store.root / "b").symlink_to(outside)
    with pytest.raises(BadKeyError):
        store.put_bytes("b", b"x", "")
    assert files_below(outside) == []


def test_a_stream_over_its_limit_leaves_nothing(store: Artifacts) -> None:
    with pytest.raises(TooLargeError):
        store.put_stream("a", io.BytesIO(b"12345"), 4, suffix=".mp4")
    assert files_below(store.root) == []
    assert store.exists(store.put_stream("a", io.BytesIO(b"1234"), 4))


def test_a_failing_stream_leaves_nothing(store: Artifacts) -> None:
    class Broken:
        def __init__(self) -> None:
            self.reads = 0

        def read(self, size: int, /) -> bytes:
            self.reads += 1
            if self.reads > 1:
                raise OSError("connection lost")
            return b"x" * 100

    with pytest.raises(OSError, match="connection lost"):
        store.put_stream("a", Broken())
    assert files_below(store.root) == []


def test_stale_temporary_files_go_and_fresh_ones_stay(store: Artifacts) -> None:
    old, fresh = store.root / "tmp" / "old", store.root / "tmp" / "fresh"
    for path in (old, fresh):
        path.write_bytes(b"")
    long_ago = time.time() - 2 * 86400
    os.utime(old, (long_ago, long_ago))
    assert store.clean_temporary() == 1
    assert not old.exists() and fresh.exists()


def test_damage_is_noticed(store: Artifacts) -> None:
    key = store.put_bytes("a", b"x", "")
    store.path(key).write_bytes(b"y")
    assert not store.intact(key)
