"""Scoring on arrival: once, by the version and θ then in force; what can't be scored is never normal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from alfred.models import Deployment, Job, Scoring, Segment, SegmentScore, Threshold
from alfred.models.detectors import in_force
from alfred.pose.segments import segment_scores
from alfred.services import deploy, score
from alfred.services.jobs import JobContext, NotYet
from alfred.services.storage import artifacts
from tests import world

pytestmark = pytest.mark.django_db


def number(value: float | None) -> float:
    """A score that has to be there."""
    assert value is not None
    return value


def test_each_segment_carries_the_version_and_theta_that_flagged_it() -> None:
    view = world.camera()
    first = world.scored(view, seed=1, minutes=0.7)
    source = in_force(view.pk)
    assert source is not None and source.threshold.policy == "source"
    values = sorted(s for s in SegmentScore.objects.values_list("value", flat=True) if s is not None)
    middle = (values[len(values) // 2 - 1] + values[len(values) // 2]) / 2
    theta = Threshold.objects.create(camera=view, version=source.version, policy="eer", value=middle)
    newer = deploy.append(view, source.version, theta, "a test", None)
    second = world.scored(view, seed=2, minutes=0.7)
    for recording, deployment in ((first, source), (second, newer)):
        rows = list(SegmentScore.objects.filter(segment__recording=recording))
        assert len(rows) > 5 and {row.deployment for row in rows} == {deployment}
        assert [row.flagged for row in rows] == [number(row.value) >= deployment.theta for row in rows]
    # the earlier ones stay what they were
    again = SegmentScore.objects.filter(segment__recording=first)
    assert {row.deployment_id for row in again} == {source.pk}
    assert {s.slice_id for s in again} == {first.slice_id}


def test_a_segments_score_is_its_fifth_largest_pose_score() -> None:
    view = world.camera()
    recording = world.scored(view, minutes=0.7)
    scoring = Scoring.objects.get(extraction__recording=recording)
    stored = pq.read_table(artifacts().path(scoring.artifact)).to_pydict()
    track, pts = np.array(stored["track"]), np.array(stored["pts"])
    value = np.array(stored["score"], np.float64)  # null becomes NaN
    assert len(value) == scoring.n_poses and np.isfinite(value).sum() == scoring.n_scored > 0
    checked = 0
    for row in SegmentScore.objects.select_related("segment__track"):
        first, last = row.segment.start_pts - 1e-9, row.segment.end_pts + 1e-9
        mine = np.flatnonzero((track == row.segment.track.number) & (pts >= first) & (pts <= last))
        assert len(mine) == row.segment.n_poses
        known = mine[np.isfinite(value[mine])]
        falling = np.sort(value[known])[::-1]
        assert row.value == pytest.approx(falling[min(4, len(known) - 1)])
        assert row.peak_pts == pytest.approx(pts[known[np.argmax(value[known])]])
        checked += 1
    assert checked == Segment.objects.count() > 5


def test_tracks_too_short_to_score_are_unscored_and_not_flagged(tmp_path: Path) -> None:
    view = world.camera()
    short = world.walkers(people_seen=2, seconds=0.5)
    long = world.walkers(people_seen=1, seconds=5)
    for name, poses in (("short", short), ("long", long)):
        world.ingest_poses(view, world.npz(tmp_path / f"{name}.npz", poses), slice_ordinal=0)
    world.run_all(view)
    rows = SegmentScore.objects.filter(segment__recording__name="short.npz")
    assert [(r.value, r.flagged, r.peak_pts) for r in rows] == [(None, False, None)] * 2
    scoring = Scoring.objects.get(extraction__recording__name="short.npz")
    assert (scoring.n_poses, scoring.n_scored, scoring.note) == (16, 0, "")
    assert Scoring.objects.get(extraction__recording__name="long.npz").n_scored == 75
    assert not view.events.filter(recording__name="short.npz").exists()  # nothing to ask about


def test_footage_too_slow_for_the_deployed_detector_says_so(tmp_path: Path) -> None:
    view = world.camera()
    deploy.deploy_source(view.pk, 30.0)
    world.ingest_poses(view, world.npz(tmp_path / "a.npz", world.walkers(fps=6)), fps=6.0, slice_ordinal=0)
    world.run_all(view)
    scoring = Scoring.objects.get()
    assert scoring.n_scored == 0
    assert scoring.note == "too slow: 6 frames a second, this detector needs 15 or more"
    assert set(SegmentScore.objects.values_list("value", "flagged")) == {(None, False)}


def test_the_first_deployment_suits_the_footage(tmp_path: Path) -> None:
    labels = {}
    for fps in (6.0, 15.0):
        view = world.camera(f"At {fps:g}")
        path = world.npz(tmp_path / f"{fps:g}.npz", world.walkers(fps=fps))
        world.ingest_poses(view, path, fps=fps, slice_ordinal=0)
        world.run_all(view)
        present = in_force(view.pk)
        assert present is not None and present.ordinal == 0
        labels[fps] = present.version.label
        assert Scoring.objects.get(extraction__recording__camera=view).n_scored > 0
    assert labels == {6.0: "stg_nf-10fps-1", 15.0: "stg_nf-30fps-1"}


def test_footage_no_source_version_suits_is_refused_with_what_to_do(tmp_path: Path) -> None:
    view = world.camera()
    path = world.npz(tmp_path / "a.npz", world.walkers(fps=2, seconds=20))
    row = world.ingest_poses(view, path, fps=2.0, slice_ordinal=0).recording
    world.run_all(view)
    row.refresh_from_db()
    assert "no source weights for 2 fps" in row.quarantined and "train-source" in row.quarantined
    assert world.job_of(row.pk, "score").attempts == 1
    assert not Deployment.objects.exists() and not SegmentScore.objects.exists()


def test_scoring_twice_doubles_nothing() -> None:
    view = world.camera()
    row = world.scored(view, minutes=0.5)
    before = [Scoring.objects.count(), SegmentScore.objects.count(), view.events.count()]
    job = world.job_of(row.pk, "score")
    Job.objects.filter(pk=job.pk).update(state="queued")
    job.refresh_from_db()
    world.run(job)
    assert [Scoring.objects.count(), SegmentScore.objects.count(), view.events.count()] == before


def test_a_stream_waits_for_the_theta_of_the_validation_set_handed_over_with_it() -> None:
    view = world.camera()
    # Enough of both classes for an equal error rate; handed over before anything has run.
    chosen = world.stream(view, seed=8, minutes=1.5, anomaly_share=0.4, as_validation=True)
    row = world.stream(view, seed=9, minutes=0.5, slice_ordinal=0)
    world.run_all(view, "extract")
    job = world.run(world.job_of(row.pk, "score"))
    assert (job.state, job.attempts) == ("queued", 0)  # not counted as an attempt
    assert not SegmentScore.objects.filter(segment__recording=row).exists()
    context = JobContext(job.pk, job.attempts, lambda *a: None)
    with pytest.raises(NotYet):
        score.run(context, row.pk)
    world.run(world.job_of(chosen.pk, "score"))
    with pytest.raises(NotYet):  # the calibration is still to come
        score.run(context, row.pk)
    world.run_all(view)
    calibrated = in_force(view.pk)
    assert calibrated is not None and calibrated.threshold.policy == "eer"
    used = SegmentScore.objects.filter(segment__recording=row)
    assert {s.deployment_id for s in used} == {calibrated.pk}
    assert world.job_of(row.pk, "score").attempts == 1
    # and what is in the set was itself never queued for review
    assert not view.events.filter(recording=chosen).exists()


def test_a_stream_that_came_first_does_not_wait_for_a_later_validation_set() -> None:
    view = world.camera()
    row = world.stream(view, seed=9, minutes=0.5, slice_ordinal=0)
    world.stream(view, seed=8, minutes=0.5, as_validation=True)
    world.run(world.job_of(row.pk, "extract"))
    assert world.run(world.job_of(row.pk, "score")).state == "done"


def test_a_quarantined_validation_set_holds_nobody_up() -> None:
    view = world.camera("Damaged set")  # a name of its own: stored files outlive a test
    chosen = world.stream(view, seed=8, minutes=0.5, as_validation=True)
    stored = artifacts().path(chosen.source)
    stored.write_bytes(b"gone bad")
    row = world.stream(view, seed=9, minutes=0.5, slice_ordinal=0)
    world.run_all(view)
    chosen.refresh_from_db()
    assert chosen.quarantined
    assert SegmentScore.objects.filter(segment__recording=row).exists()


def test_the_fifth_largest_on_numbers() -> None:
    """The rule the rows above follow, worked by hand."""
    found = segment_scores(np.array([1, 9, 3, 7, 5, 2, 8, np.nan, 4.0]), np.array([0] * 7 + [1, 1]), 2)
    assert found.score.tolist() == [3.0, 4.0]
