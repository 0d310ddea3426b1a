"""Pose files: what comes out is what went in, quickly and to the same bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from alfred.pose.formats.parquet import GROUP_ROWS, PoseMeta, PoseWriter, read_meta, read_poses
from alfred.pose.tracks import Poses, empty, from_arrays

META = PoseMeta(640, 480, 25.0, {"name": "test", "version": 1})


def make(n: int, people: int = 5) -> Poses:
    rng = np.random.default_rng(7)
    frame = np.arange(n) // people
    keypoints = rng.random((n, 17, 3)) * 600
    return from_arrays(np.arange(n) % people, frame, frame / 25, keypoints, rng.random((n, 4)), rng.random(n))


def write(path: Path, poses: Poses, step: int) -> Path:
    with PoseWriter(path, META) as writer:
        for start in range(0, len(poses), step):
            writer.add(poses.take(slice(start, start + step)))
        writer.note(frames=len(poses) // 5, duration_s=1.5)
    return path


def test_round_trip(tmp_path: Path) -> None:
    poses = make(10_000)
    got = read_poses(write(tmp_path / "p.parquet", poses, 999))
    for name in ("track", "frame", "pts", "keypoints", "bbox", "score"):
        before, after = getattr(poses, name), getattr(got, name)
        assert after.dtype == before.dtype
        np.testing.assert_array_equal(after, before)


def test_metadata(tmp_path: Path) -> None:
    meta = read_meta(write(tmp_path / "p.parquet", make(10), 10))
    assert meta == PoseMeta(640, 480, 25.0, {"name": "test", "version": 1}, frames=2, duration_s=1.5)


def test_same_poses_same_bytes(tmp_path: Path) -> None:
    poses = make(9_000)
    files = {write(tmp_path / f"{step}.parquet", poses, step).read_bytes() for step in (9_000, 1_234, 5)}
    assert len(files) == 1


def test_range_is_half_open_and_reads_few_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    poses = make(10 * GROUP_ROWS)
    path = write(tmp_path / "p.parquet", poses, 10_000)
    read: list[int] = []
    original = pq.ParquetFile.read_row_group

    def spy(self: pq.ParquetFile, group: int, **options: object) -> pa.Table:
        read.append(group)
        return original(self, group, **options)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", spy)
    got = read_poses(path, start=100.0, end=104.0)
    inside = (poses.pts >= 100) & (poses.pts < 104)
    assert len(got) == inside.sum() == 500
    np.testing.assert_array_equal(got.keypoints, poses.keypoints[inside])
    assert 1 <= len(read) <= 2
    assert len(read_poses(path, start=1e6)) == 0


def test_nobody_in_the_recording(tmp_path: Path) -> None:
    with PoseWriter(tmp_path / "p.parquet", META) as writer:
        writer.add(empty())
    assert len(read_poses(tmp_path / "p.parquet")) == 0
    assert read_meta(tmp_path / "p.parquet").frames is None


def test_the_file_appears_only_when_complete(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    writer = PoseWriter(path, META)
    writer.add(make(2 * GROUP_ROWS))
    assert not path.exists()
    writer.close()
    assert path.exists()


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    def dies() -> None:
        with PoseWriter(tmp_path / "p.parquet", META) as writer:
            writer.add(make(5_000))
            raise RuntimeError("decoder died")

    with pytest.raises(RuntimeError):
        dies()
    assert list(tmp_path.iterdir()) == []


def test_time_must_not_run_backwards(tmp_path: Path) -> None:
    poses = make(20)
    with PoseWriter(tmp_path / "p.parquet", META) as writer:
        writer.add(poses.take(slice(10, 20)))
        with pytest.raises(ValueError, match="time order"):
            writer.add(poses.take(slice(0, 10)))


def test_other_files_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "text.parquet"
    text.write_text("not parquet")
    with pytest.raises(ValueError, match="not a Parquet file"):
        read_poses(text)
    other = tmp_path / "other.parquet"
    pq.write_table(pa.table({"a": [1]}), other)
    with pytest.raises(ValueError, match="not poses"):
        read_meta(other)
    half = tmp_path / "half.parquet"
    half.write_bytes(write(tmp_path / "p.parquet", make(100), 100).read_bytes()[:-50])
    with pytest.raises(ValueError, match="cut short"):
        read_poses(half)


def test_schema_is_the_documented_one(tmp_path: Path) -> None:
    schema = pq.read_schema(write(tmp_path / "p.parquet", make(5), 5))
    assert [str(field.type) for field in schema] == [
        "int32",
        "int64",
        "double",
        "fixed_size_list<element: float not null>[51]",
        "fixed_size_list<element: float not null>[4]",
        "float",
    ]
