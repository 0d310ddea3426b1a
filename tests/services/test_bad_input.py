"""Every kind of bad file: one sentence with the reason, a quarantined row, and nothing else stops."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from alfred.models import Job, PoseExtraction, Recording
from alfred.services.ingest import ingest
from alfred.services.storage import artifacts
from tests import world
from tests.video import clips

pytestmark = pytest.mark.django_db


def truncated(folder: Path) -> Path:
    path = clips.make(folder / "cut.mp4", frames=60)
    path.write_bytes(path.read_bytes()[:2000])  # the index at its end is gone
    return path


def text_named_mp4(folder: Path) -> Path:
    path = folder / "notes.mp4"
    path.write_text("frame,label\n1,0\n" * 50)
    return path


def sound(folder: Path) -> Path:
    return clips.sound_only(folder / "sound.mp4")


def nothing(folder: Path) -> Path:
    path = folder / "empty.mp4"
    path.write_bytes(b"")
    return path


def huge_picture(folder: Path) -> Path:
    return clips.claims_avi_size(clips.make(folder / "huge.avi", codec="mjpeg", pix_fmt="yuvj420p"), 32000, 32000)


def absurd_rate(folder: Path) -> Path:
    return clips.claims_avi_rate(clips.make(folder / "fast.avi", codec="mpeg4"), 1_000_000, 1)


def not_a_number(folder: Path) -> Path:
    poses = world.walkers(people_seen=1, seconds=2)
    poses.keypoints[3, 5, 0] = np.nan
    return world.npz(folder / "nan.npz", poses)


def nan_in_json(folder: Path) -> Path:
    path = folder / "nan.json"
    path.write_text(json.dumps({"1": {"0": {"keypoints": [float("nan")] * 51, "scores": 1}}}))
    return path


def fifteen_joints(folder: Path) -> Path:
    poses = world.walkers(people_seen=1, seconds=2)
    return world.npz(folder / "joints.npz", poses, keypoints=poses.keypoints[:, :15])


def thirteen_joints_json(folder: Path) -> Path:
    path = folder / "joints.json"
    path.write_text(json.dumps({"1": {"0": {"keypoints": [1.0] * 39, "scores": 1}}}))
    return path


def negative_frames(folder: Path) -> Path:
    poses = world.walkers(people_seen=1, seconds=2)
    return world.npz(folder / "negative.npz", poses, frame_index=poses.frame - 5)


def a_million_tracks(folder: Path) -> Path:
    n = 1_000_000
    path = folder / "crowd.npz"
    np.savez_compressed(
        path,
        scene=np.zeros(n, np.int8),
        frame_index=np.zeros(n, np.int32),
        track_id=np.arange(n, dtype=np.int32),
        keypoints=np.zeros((n, 17, 3), np.int8),
    )
    return path


def a_million_tracks_json(folder: Path) -> Path:
    path = folder / "crowd.json"
    path.write_text("{" + ", ".join(f'"{i}": {{"0": {{}}}}' for i in range(1_000_000)) + "}")
    return path


BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "truncated video": (truncated, "cut short"),
    "text named .mp4": (text_named_mp4, "not a video"),
    "audio only": (sound, "sound"),
    "0 bytes": (nothing, "empty (0 bytes)"),
    "32000 x 32000": (huge_picture, "32000"),
    "a million frames a second": (absurd_rate, "pictures a second"),
    "NaN in an npz": (not_a_number, "NaN"),
    "NaN in JSON": (nan_in_json, "NaN"),
    "15 joints": (fifteen_joints, "(30, 15, 3)"),
    "13 joints in JSON": (thirteen_joints_json, "39 keypoint values, expected 51"),
    "negative frames": (negative_frames, "negative"),
    "a million tracks": (a_million_tracks, "1000000 tracks, more than 100000"),
    "a million tracks in JSON": (a_million_tracks_json, "more than 100000 tracks"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_quarantined_with_its_reason(tmp_path: Path, name: str) -> None:
    make, word = BAD[name]
    view = world.camera()
    path = make(tmp_path)
    found = ingest(view, path, slice_ordinal=0)
    row = Recording.objects.get(camera=view)
    assert found.refused and found.recording == row
    assert word in row.quarantined, row.quarantined
    # one sentence for people: what is wrong and what to do, no traceback, no path of this machine
    assert row.quarantined[0].isupper() and row.quarantined.endswith(".") and "\n" not in row.quarantined
    assert len(row.quarantined) < 300 and str(tmp_path) not in row.quarantined
    assert "Error" not in row.quarantined and "Traceback" not in row.quarantined
    assert found.message == f"{path.name}: {row.quarantined}"
    assert (row.source, row.slice_id, Job.objects.count()) == ("", None, 0)
    # again: the same row, the same words
    again = ingest(view, path, slice_ordinal=0)
    assert (again.recording, again.is_new, again.message) == (row, False, found.message)
    # and nothing else stops
    good = world.ingest_poses(view, world.npz(tmp_path / "good.npz", world.walkers(people_seen=1)), slice_ordinal=0)
    assert not good.refused
    world.run_all(view, "extract")
    assert PoseExtraction.objects.get().recording == good.recording


def test_a_video_whose_middle_is_broken_fails_with_a_reason_or_is_read(tmp_path: Path) -> None:
    """Damage that the look at ingest can't see: the job ends, says why, and others go on."""
    view = world.camera()
    path = clips.make(tmp_path / "a.avi", codec="mjpeg", pix_fmt="yuvj420p", frames=40)
    data = bytearray(path.read_bytes())
    middle = slice(len(data) // 3, len(data) - len(data) // 4)
    data[middle] = bytes(len(data[middle]))
    path.write_bytes(data)
    row = ingest(view, path, slice_ordinal=0).recording
    good = world.ingest_poses(view, world.npz(tmp_path / "g.npz", world.walkers(people_seen=1)), slice_ordinal=0)
    world.run_all(view)
    job = world.job_of(row.pk, "extract")
    row.refresh_from_db()
    if job.state == Job.State.FAILED:
        assert row.quarantined == job.error and row.quarantined.endswith(".")
    else:
        assert (job.state, row.quarantined) == ("done", "")
    assert good.recording.extractions.filter(scorings__isnull=False).exists()


def test_a_stored_file_that_is_no_longer_readable_is_quarantined_by_its_job(tmp_path: Path) -> None:
    view = world.camera("Damaged")  # a name of its own: stored files outlive a test
    row = world.ingest_poses(view, world.npz(tmp_path / "a.npz", world.walkers()), slice_ordinal=0).recording
    stored = artifacts().path(row.source)
    stored.write_bytes(stored.read_bytes()[:500])
    world.run_all(view)
    job = world.job_of(row.pk, "extract")
    row.refresh_from_db()
    assert (job.state, job.attempts) == ("failed", 1)  # trying again would not help
    assert "not a readable .npz file" in row.quarantined and row.quarantined == job.error
    assert not PoseExtraction.objects.exists()
