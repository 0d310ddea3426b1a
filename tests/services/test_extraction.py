"""Recording → poses, tracks, segments: the rows everything later stands on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from alfred.models import (
    Camera,
    Job,
    PoseExtraction,
    PoseTruth,
    Recording,
    Rendition,
    Segment,
    SegmentScore,
    SegmentTruth,
    Track,
)
from alfred.models.detectors import in_force
from alfred.pose.formats.parquet import read_poses
from alfred.pose.simulate import simulate
from alfred.services import extract_poses
from alfred.services.deploy import deploy_source
from alfred.services.ingest import ingest
from alfred.services.jobs import JobContext
from alfred.services.storage import artifacts
from tests import world
from tests.video import clips

pytestmark = pytest.mark.django_db


def keys(view: Camera) -> list[tuple[Any, ...]]:
    rows = Segment.objects.filter(camera=view).order_by("track__number", "ordinal")
    return list(rows.values_list("track__number", "ordinal", "start_pts", "end_pts", "n_poses", "block", "x", "y"))


def test_segments_are_the_same_whichever_detector_version_is_in_force() -> None:
    fast, slow = world.camera("Fast"), world.camera("Slow")
    deploy_source(fast.pk, 30.0)
    deploy_source(slow.pk, 10.0)
    for view in (fast, slow):
        world.scored(view, seed=5, minutes=1)
    labels = [in_force(view.pk).version.label for view in (fast, slow)]  # type: ignore[union-attr]  # both have one
    assert labels == ["stg_nf-30fps-1", "stg_nf-10fps-1"]
    assert len(keys(fast)) > 10 and keys(fast) == keys(slow)
    values = [
        list(SegmentScore.objects.filter(segment__camera=view).order_by("segment_id").values_list("value", flat=True))
        for view in (fast, slow)
    ]
    assert values[0] != values[1]  # they do say different things of the same segments


def test_tracks_are_cut_every_four_seconds(tmp_path: Path) -> None:
    """142 poses at 15 fps last 9.4 s: 4 s, 4 s, and 1.4 s; 128 last 8.47 s, and a rest under 1 s joins."""
    view = world.camera()
    long = world.ingest_poses(view, world.npz(tmp_path / "a.npz", world.walkers(seconds=9.5)), slice_ordinal=0)
    short = world.ingest_poses(view, world.npz(tmp_path / "b.npz", world.walkers(seconds=8.5)), slice_ordinal=0)
    world.run_all(view, "extract")

    def cut(row: Recording) -> list[tuple[int, int]]:
        return list(
            Segment.objects.filter(recording=row).order_by("track__number", "ordinal").values_list("ordinal", "n_poses")
        )

    assert cut(long.recording) == [(0, 60), (1, 60), (2, 22)] * 2
    assert cut(short.recording) == [(0, 60), (1, 68)] * 2
    tracks = Track.objects.filter(extraction__recording=long.recording).order_by("number")
    assert [t.n_poses for t in tracks] == [142, 142]
    assert [t.end_pts for t in tracks] == pytest.approx([141 / 15] * 2)
    first = Segment.objects.filter(recording=long.recording).order_by("id")[0]
    assert first.start_at == long.recording.start_at and first.camera == view
    assert first.slice == long.recording.slice


def test_running_twice_doubles_nothing(tmp_path: Path) -> None:
    view = world.camera()
    poses = world.walkers()
    found = world.ingest_poses(view, world.npz(tmp_path / "a.npz", poses, np.zeros(len(poses))), slice_ordinal=0)
    job = world.run(world.job_of(found.recording.pk, "extract"))
    before = [m.objects.count() for m in (PoseExtraction, Track, Segment, SegmentTruth, PoseTruth, Job)]
    assert before == [1, 2, 4, 4, 1, 2]
    Job.objects.filter(pk=job.pk).update(state="queued")  # a worker died after it stored, before it said so
    job.refresh_from_db()
    world.run(job)
    assert [m.objects.count() for m in (PoseExtraction, Track, Segment, SegmentTruth, PoseTruth, Job)] == before


def test_stored_poses_are_those_of_the_file(tmp_path: Path) -> None:
    view = world.camera()
    poses = world.walkers()
    found = world.ingest_poses(view, world.npz(tmp_path / "a.npz", poses), slice_ordinal=0)
    world.run_all(view, "extract")
    stored = read_poses(artifacts().path(found.recording.extractions.get().artifact))
    np.testing.assert_allclose(stored.keypoints, poses.keypoints, atol=0.06)  # stored to a tenth of a pixel
    np.testing.assert_allclose(stored.pts, poses.pts)
    np.testing.assert_array_equal(np.unique(stored.track, return_counts=True)[1], [135, 135])


def test_blocks_are_scenes_where_short_and_minutes_where_long(tmp_path: Path) -> None:
    view = world.camera()
    poses = world.walkers(people_seen=4, seconds=5)
    scenes = world.npz(tmp_path / "scenes.npz", poses, scene=poses.track.astype(np.int16))  # one person a scene
    far = world.walkers(people_seen=1, seconds=150)
    minutes = world.npz(tmp_path / "minutes.npz", far)
    rows = [world.ingest_poses(view, path, slice_ordinal=0).recording for path in (scenes, minutes)]
    world.run_all(view, "extract")

    def blocks(row: Recording) -> list[tuple[int, int]]:
        return sorted(Segment.objects.filter(recording=row).values_list("block", "ordinal"))

    assert blocks(rows[0]) == [(0, 0), (1, 0), (2, 0), (3, 0)]
    assert [b for b, _ in blocks(rows[1])] == [0] * 15 + [1] * 15 + [2] * 8  # 38 segments, 15 begin in each minute


def test_ground_truth_rows_follow_the_labels(tmp_path: Path) -> None:
    """A segment is anomalous from 5 anomalous poses on, as its score is its 5th largest."""
    view = world.camera()
    poses = world.walkers(people_seen=2, seconds=8)
    labels = np.zeros(len(poses), np.uint8)
    mine = np.flatnonzero(poses.track == 0)
    labels[mine[10:14]] = 1  # 4 in the first segment
    labels[mine[70:75]] = 1  # 5 in the second
    found = world.ingest_poses(view, world.npz(tmp_path / "a.npz", poses, labels), slice_ordinal=0)
    world.run_all(view, "extract")
    truth = SegmentTruth.objects.order_by("segment__track__number", "segment__ordinal")
    assert list(truth.values_list("anomalous", "n_anomalous_poses")) == [(False, 4), (True, 5), (False, 0), (False, 0)]
    row = PoseTruth.objects.get(recording=found.recording)
    assert row.n_anomalous == 9
    stored = pq.read_table(artifacts().path(row.artifact)).to_pydict()
    assert [t for t, v in zip(stored["track"], stored["label"], strict=True) if v] == [0] * 9
    # and the labels are in a file of their own: what a detector reads holds none
    names = pq.read_schema(artifacts().path(found.recording.extractions.get().artifact)).names
    assert not [n for n in names if "label" in n or "anom" in n or "action" in n]


def test_without_labels_there_is_no_ground_truth(tmp_path: Path) -> None:
    view = world.camera()
    world.ingest_poses(view, world.npz(tmp_path / "a.npz", world.walkers()), slice_ordinal=0)
    world.run_all(view)
    assert not SegmentTruth.objects.exists() and not PoseTruth.objects.exists()
    assert SegmentScore.objects.count() == 4


@pytest.mark.parametrize("keeps", [True, False])
def test_pixels_stay_only_where_the_camera_keeps_video(
    tmp_path: Path, keeps: bool, django_capture_on_commit_callbacks: Any
) -> None:
    view = world.camera(f"Hall {keeps}", privacy=Camera.Privacy.VIDEO if keeps else Camera.Privacy.POSES_ONLY)
    row = ingest(view, clips.make(tmp_path / "a.mp4", width=128, height=96), slice_ordinal=0).recording
    source = row.source
    with django_capture_on_commit_callbacks() as committed:
        world.run(world.job_of(row.pk, "extract"))
        assert artifacts().exists(source)  # before the poses are committed the pixels are all there is
    for callback in committed:
        callback()
    row.refresh_from_db()
    assert row.extractions.get().n_frames == 20
    kinds = set(Job.objects.filter(subject=row.pk).values_list("kind", flat=True))
    info = row.extractions.get().info
    assert info["name"] == "movenet" and len(info["weights_sha256"]) == 64 and "imgsz" in info
    if keeps:
        assert row.source == source and artifacts().exists(source)
        assert kinds == {"extract", "score", "rendition"}
        world.run_all(view)
        assert artifacts().exists(Rendition.objects.get(recording=row).artifact)
    else:
        assert row.source == "" and not artifacts().exists(source)
        assert kinds == {"extract", "score"}
        world.run_all(view)
        held = [p for p in artifacts().root.rglob("*.mp4") if view.slug in p.parts]
        assert held == []  # nothing playable of this camera is left anywhere in the store
    # nobody is in the picture, which is no fault
    row.refresh_from_db()
    assert {j.state for j in Job.objects.filter(camera=view)} == {"done"}
    assert (row.quarantined, row.segments.count(), row.extractions.get().n_poses) == ("", 0, 0)


def test_a_stale_attempt_stores_nothing(tmp_path: Path) -> None:
    from alfred.models.work import StaleAttemptError

    view = world.camera()
    stream = simulate(seed=1, minutes=0.5, fps=15)
    row = world.ingest_poses(view, world.npz(tmp_path / "a.npz", stream.poses), slice_ordinal=0).recording
    job = world.job_of(row.pk, "extract")
    assert job.claim("one:1")
    context = JobContext(job.pk, job.attempts, lambda *a: None)
    Job.objects.filter(pk=job.pk).update(attempts=2)  # somebody else claimed it meanwhile
    with pytest.raises(StaleAttemptError):
        extract_poses.run(context, row.pk)
    assert not PoseExtraction.objects.exists() and not Segment.objects.exists()
