"""A round from launch to promotion, on a small simulated camera, in this process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from alfred.models import (
    Answer,
    AuditEntry,
    Camera,
    Deployment,
    DetectorVersion,
    Evaluation,
    Event,
    Job,
    LabelSnapshot,
    Recording,
    Round,
    Segment,
    SegmentScore,
    Threshold,
    ValidationMember,
)
from alfred.models.detectors import in_force
from alfred.services import deploy, labels, run_round, training_set
from alfred.services.deploy import Refused
from alfred.services.jobs import JobContext
from alfred.services.launch_round import cancel_round, launch
from alfred.services.load_detector import load, weights_path
from alfred.services.storage import artifacts, digest_of
from tests import world

pytestmark = pytest.mark.django_db


@dataclass
class Stage:
    view: Camera
    cast: world.People
    recording: Recording

    @property
    def deployed(self) -> Deployment:
        found = in_force(self.view.pk)
        assert found is not None
        return found


def stage(minutes: float = 1.5, **policies: Any) -> Stage:
    """A camera with an imported validation set, a slice scored with its θ, and the flagged ones judged."""
    view = world.camera(**policies)
    cast = world.people(view)
    world.stream(view, seed=8, minutes=1, anomaly_share=0.3, as_validation=True)
    recording = world.scored(view, seed=9, minutes=minutes, anomaly_share=0.1, slice_ordinal=0)
    return Stage(view, cast, recording)


def run_launched(made: Round) -> Round:
    job = world.run(world.job_of(made.pk, "round"))
    made.refresh_from_db()
    assert (job.state, made.state) == ("done", "candidate"), (job.error, made.message)
    return made


def test_a_round_of_the_memory_remembers_what_people_called_normal() -> None:
    scene = stage(detector="memory")
    view = scene.view
    base = load(scene.deployed.version).info()["remembered"]
    assert base["base"] > 0 and base["camera"] == base["confirmed"] == 0
    world.judge_all(view, scene.cast.alice)
    made = run_launched(launch(view.pk, scene.cast.admin))
    assert made.version is not None and made.losses == []
    found = training_set.membership(made)
    assert found.confirmed and found.confirmed < found.trains
    detector = load(made.version)
    confirmed = training_set.training_windows(made, detector.window, found.confirmed)
    now = detector.info()["remembered"]
    seen = training_set.training_windows(made, detector.window, found.trains - found.confirmed)
    # What people confirmed is in a part of its own, and not among what was merely seen.
    assert now == base | {"camera": len(seen), "confirmed": len(confirmed)} and len(seen) > 0 < len(confirmed)
    before = load(scene.deployed.version).score(confirmed)
    assert (detector.score(confirmed) < before).mean() > 0.9
    deploy.promote(made.pk, scene.cast.admin, "remembers")
    assert in_force(view.pk).version.detector == "memory"  # type: ignore[union-attr]  # there is one


def test_a_round_end_to_end() -> None:
    scene = stage()
    view, alice = scene.view, scene.cast.alice
    assert world.judge_all(view, alice) > 2
    base = scene.deployed
    made = launch(view.pk, scene.cast.admin)
    part = scene.recording.slice
    assert part is not None
    part.refresh_from_db()
    assert part.closed_at is not None and made.slice == part and made.base == base
    frozen = labels.of_slice(part.pk)
    # what is said after the snapshot counts for the next round
    late = Segment.objects.filter(recording=scene.recording, verdicts__isnull=True).first()
    assert late is not None
    event = Event.objects.create(
        camera=view, recording=scene.recording, slice=part, lane="alert", place=0.5, start_pts=0, end_pts=1, peak_pts=0
    )
    event.eventsegment_set.create(segment=late, lane="alert")
    answered = False

    def report(done: int, total: int, text: str) -> None:
        nonlocal answered
        if text.startswith("training") and not answered:
            answered = True
            world.answer(scene.cast.bob, event, Answer.ANOMALY)

    job = world.run(world.job_of(made.pk, "round"), report)
    made.refresh_from_db()
    assert (job.state, made.state) == ("done", "candidate"), (job.error, made.message)
    assert answered
    snapshot = LabelSnapshot.objects.get(round=made)
    assert dict(snapshot.labels.values_list("segment_id", "label")) == {s: int(v) for s, v in frozen.items()}
    assert late.pk not in frozen and len(frozen) > 2

    # the manifest says of every segment why it trained or not
    assert_manifest_is_right(made, frozen)

    # new weights, that load, of this parent
    version = made.version
    assert version is not None and version.parent == base.version and version.label == "v1"
    assert version.camera == view and version.sha256 == digest_of(weights_path(version))
    assert version.sha256 != base.version.sha256
    probe = np.random.default_rng(0).normal(0, 0.3, (8, 2, 24, 18)).astype(np.float32)
    old, new = load(base.version).score(probe), load(version).score(probe)
    assert np.isfinite(new).all() and not np.allclose(old, new)
    assert version.card["slice"] == 0 and version.card["windows"] > 0
    assert len(made.losses) == version.card["fine_tuning"]["steps"] and np.isfinite(made.losses).all()

    # θ found with the new weights, evaluated beside the deployed version on the same set
    assert made.threshold is not None and made.threshold.version == version
    assert made.threshold.policy == "eer"
    rows = {e.role: e for e in Evaluation.objects.filter(round=made)}
    assert set(rows) == {"candidate", "deployed"}
    assert (rows["candidate"].threshold, rows["deployed"].threshold) == (made.threshold, base.threshold)
    assert rows["candidate"].figures["theta"] == made.threshold.value
    assert {g["name"] for g in rows["candidate"].figures["gates"]} >= {"finite", "not worse", "better than chance"}
    # one minute of validation footage is one block: nothing can be said of chance
    difference = rows["candidate"].figures["difference"]
    assert (difference["verdict"], difference["low"]) == ("too few", None)
    # the stream goes on with what is in force until somebody promotes
    assert scene.deployed == base


def assert_manifest_is_right(made: Round, said: Mapping[int, int]) -> None:
    """Each reason against a reading of the rows that shares no code with the service."""
    table = pq.read_table(artifacts().path(made.manifest)).to_pydict()
    reason = dict(zip(table["segment"], table["reason"], strict=True))
    trains = dict(zip(table["segment"], table["trains"], strict=True))
    segments = {s.pk: s for s in Segment.objects.filter(slice=made.slice).select_related("recording", "score")}
    assert set(reason) == set(segments)
    assert Counter(reason.values()) == Counter(made.left_out)
    anomalies = [segments[s] for s, label in said.items() if label == 1]
    for pk, row in segments.items():
        label = said.get(pk)
        if row.score.value is None:
            expected = {"unscored"}
        elif label == 1:
            expected = {"confirmed anomaly"}
        elif label == 2:
            expected = {"unresolved"}
        elif row.score.flagged and label is None:
            expected = {"flagged, not judged"}
        else:
            first = {"confirmed FP"} if row.score.flagged else {"pseudo-normal"}
            expected = {"beside an anomaly"} if any(beside(row, a) for a in anomalies) else first
        assert {reason[pk]} == expected, (pk, label, row.score.value, row.score.flagged)
        assert trains[pk] == (reason[pk] in {"pseudo-normal", "confirmed FP"})
    assert any(trains.values()) and not all(trains.values())


def beside(a: Segment, b: Segment) -> bool:
    """Within 5 s and in the same place: centres within a tenth of the diagonal, or the half heights reach."""
    slack = timedelta(seconds=5)
    if a.start_at > b.end_at + slack or b.start_at > a.end_at + slack:
        return False
    distance = np.hypot(a.x - b.x, a.y - b.y)
    return bool(distance <= max(0.1 * np.hypot(1280, 720), (a.person_height + b.person_height) / 2))


def test_nothing_of_a_validation_track_trains() -> None:
    """Warm-up: the set is made of the stream itself, so its tracks and those beside them are left out."""
    view = world.camera(val_min=4, review_budget=24)
    cast = world.people(view)
    recording = world.scored(view, seed=9, minutes=3, anomaly_share=0.05, slice_ordinal=0)
    events = list(Event.objects.filter(camera=view).order_by("place"))
    for n, event in enumerate(events[:8]):
        world.answer(cast.alice, event, Answer.ANOMALY if n % 2 else Answer.NORMAL)
    world.run_all(view)
    made = launch(view.pk, None)
    inside = set(ValidationMember.objects.values_list("segment__track_id", flat=True))
    assert len(inside) >= 4
    found = training_set.membership(_snapshotted(made))
    rows = Segment.objects.filter(recording=recording).select_related("track")
    spans = [(t.start_pts, t.end_pts) for t in {s.track for s in rows if s.track_id in inside}]
    trained = [s for s in rows if s.pk in found.trains]
    assert trained, found.by_reason
    for row in trained:
        assert row.track_id not in inside
        assert not any(row.track.start_pts <= end and row.track.end_pts >= start for start, end in spans)
    assert found.by_reason["in a validation set"] == sum(s.track_id in inside for s in rows)


def _snapshotted(made: Round) -> Round:
    job = world.job_of(made.pk, "round")
    assert job.claim("test:0")
    run_round._snapshot(JobContext(job.pk, job.attempts, lambda *a: None), made)
    return made


def test_training_windows_are_those_of_the_segments_that_train() -> None:
    scene = stage(minutes=0.7)
    made = launch(scene.view.pk, None)
    spec = load(scene.deployed.version).window
    segments = list(Segment.objects.filter(recording=scene.recording).order_by("-n_poses"))
    everything = {s.pk for s in segments}
    full = training_set.training_windows(made, spec, everything)
    one = training_set.training_windows(made, spec, {segments[0].pk})
    rest = training_set.training_windows(made, spec, everything - {segments[0].pk})
    assert len(training_set.training_windows(made, spec, set())) == 0
    assert 0 < len(one) < len(full) and len(one) + len(rest) == len(full)
    assert {w.tobytes() for w in one} | {w.tobytes() for w in rest} == {w.tobytes() for w in full}
    assert not {w.tobytes() for w in one} & {w.tobytes() for w in rest}


def test_promote_and_roll_back_append() -> None:
    scene = stage()
    world.judge_all(scene.view, scene.cast.alice)
    base = scene.deployed
    made = run_launched(launch(scene.view.pk, None))
    before = list(Deployment.objects.values())
    promoted = deploy.promote(made.pk, scene.cast.admin, "looks right")
    made.refresh_from_db()
    assert made.state == "promoted" and made.ended_at is not None
    assert (promoted.version, promoted.threshold) == (made.version, made.threshold)
    assert promoted.ordinal == base.ordinal + 1 and promoted.by == scene.cast.admin
    assert list(Deployment.objects.values())[: len(before)] == before  # nothing earlier was touched
    with pytest.raises(Refused, match="no candidate to promote"):
        deploy.promote(made.pk, scene.cast.admin, "again")
    # the next footage is scored by it
    newer = world.scored(scene.view, seed=10, minutes=0.4, slice_ordinal=1)
    used = SegmentScore.objects.filter(segment__recording=newer)
    assert {s.deployment_id for s in used} == {promoted.pk}
    # and back: the older version and its θ, appended again
    back = deploy.roll_back(scene.view.pk, base.pk, scene.cast.admin, "too many alerts")
    assert (back.version, back.threshold, back.restores) == (base.version, base.threshold, base)
    assert back.ordinal == promoted.ordinal + 1 and back.theta == base.theta
    assert "too many alerts" in back.why and scene.deployed == back
    with pytest.raises(Refused, match="in force already"):
        deploy.roll_back(scene.view.pk, base.pk, scene.cast.admin, "again")
    assert AuditEntry.objects.filter(camera=scene.view, action="deploy", by=scene.cast.admin).count() == 2


def candidate(scene: Stage, **gate: bool) -> Round:
    """A round that waits for a decision, without the training: rows as a round leaves them."""
    base, part = scene.deployed, scene.recording.slice
    assert part is not None
    version = DetectorVersion.objects.create(
        camera=scene.view, detector="stg_nf", label="v9", parent=base.version, sha256="9" * 64, card={}
    )
    theta = Threshold.objects.create(camera=scene.view, version=version, policy="eer", value=1.0)
    made = Round.objects.create(
        camera=scene.view, ordinal=9, slice=part, methodology="active_learning", base=base, version=version,
        threshold=theta, state="candidate",
    )  # fmt: skip
    Evaluation.objects.create(
        camera=scene.view, version=version, threshold=theta, role="candidate", round=made,
        validation_set=scene.view.validation_sets.get(),
        figures={"gates": [{"name": name, "holds": holds, "words": ""} for name, holds in gate.items()]},
    )  # fmt: skip
    return made


def test_a_gate_that_does_not_hold_needs_a_reason() -> None:
    scene = stage(minutes=0.3)
    made = candidate(scene, finite=True, better=False)
    with pytest.raises(Refused, match="Not all checks of this candidate hold"):
        deploy.promote(made.pk, scene.cast.admin)
    made.refresh_from_db()
    assert made.state == "candidate" and scene.deployed == made.base
    promoted = deploy.promote(made.pk, scene.cast.admin, "the camera was turned")
    assert "the camera was turned" in promoted.why and scene.deployed == promoted


def test_gates_that_hold_need_none_and_a_rejected_one_changes_nothing() -> None:
    scene = stage(minutes=0.3)
    made = candidate(scene, finite=True)
    deploy.reject(made.pk, scene.cast.admin, "not now")
    made.refresh_from_db()
    assert (made.state, made.message) == ("rejected", "not now") and scene.deployed == made.base
    with pytest.raises(Refused):
        deploy.promote(made.pk, scene.cast.admin, "after all")
    Round.objects.filter(pk=made.pk).update(state="candidate")
    assert deploy.promote(made.pk, scene.cast.admin).version == made.version


def test_another_deployment_meanwhile_needs_a_reason() -> None:
    scene = stage(minutes=0.3)
    made = candidate(scene, finite=True)
    first = Deployment.objects.get(camera=scene.view, ordinal=0)
    deploy.roll_back(scene.view.pk, first.pk, None, "")
    with pytest.raises(Refused, match="Another deployment was made since"):
        deploy.promote(made.pk, scene.cast.admin)
    assert deploy.promote(made.pk, scene.cast.admin, "still better").version == made.version


def test_a_second_launch_is_refused_until_the_first_is_decided() -> None:
    scene = stage(minutes=0.3)
    made = launch(scene.view.pk, None)
    with pytest.raises(Refused, match="A round is running"):
        launch(scene.view.pk, None)
    cancel_round(made.pk, None)
    made.refresh_from_db()
    assert made.state == "cancelled"
    again = launch(scene.view.pk, None)  # the same slice, a round of its own
    assert (again.ordinal, again.slice) == (made.ordinal + 1, made.slice)
    Round.objects.filter(pk=again.pk).update(state="candidate")
    with pytest.raises(Refused, match="candidate waits for a decision"):
        launch(scene.view.pk, None)
    Round.objects.filter(pk=again.pk).update(state="rejected")
    with pytest.raises(Refused, match="no slice with people in it that a round has not used"):
        launch(scene.view.pk, None)


def test_launching_needs_footage_that_is_scored() -> None:
    view = world.camera()
    with pytest.raises(Refused, match="Nothing has been scored"):
        launch(view.pk, None)
    world.scored(view, minutes=0.3)
    waiting = world.stream(view, seed=2, minutes=0.3)
    with pytest.raises(Refused, match="still being worked on"):
        launch(view.pk, None)
    assert not Round.objects.exists()
    assert waiting.slice is not None and waiting.slice.closed_at is None
    Camera.objects.filter(pk=view.pk).update(methodology="offline")
    with pytest.raises(Refused, match="can't run the methodology offline"):
        launch(view.pk, None)


class Killed(Exception):
    """The process ends here."""


def test_a_round_killed_after_training_goes_on_without_training_again() -> None:
    scene = stage(minutes=0.7)
    world.judge_all(scene.view, scene.cast.alice)
    made = launch(scene.view.pk, None)
    job = world.job_of(made.pk, "round")
    steps: list[str] = []

    def dies(done: int, total: int, text: str) -> None:
        steps.append(text)
        if text == "calibrating":
            raise Killed

    with pytest.raises(Killed):
        world.run(job, dies)
    made.refresh_from_db()
    assert made.state == "calibrating" and made.version is not None
    assert any(text.startswith("training, loss") for text in steps)
    version, snapshot = made.version, LabelSnapshot.objects.get(round=made)
    Job.objects.filter(pk=job.pk).update(state="queued")
    job.refresh_from_db()
    again: list[str] = []
    world.run(job, lambda done, total, text: again.append(text))
    made.refresh_from_db()
    assert (job.state, job.attempts, made.state) == ("done", 2, "candidate")
    assert not any("training" in text for text in again)
    assert made.version == version and LabelSnapshot.objects.get() == snapshot
    assert DetectorVersion.objects.filter(camera=scene.view).count() == 1
    assert Evaluation.objects.filter(round=made).count() == 2
    assert Threshold.objects.filter(version=version).count() == 1


def test_a_slice_with_nothing_to_train_on_fails_with_the_reasons() -> None:
    scene = stage(minutes=0.4)
    first = scene.deployed
    low = Threshold.objects.create(camera=scene.view, version=first.version, policy="eer", value=-1000.0)
    deploy.append(scene.view, first.version, low, "flags everything", None)
    world.scored(scene.view, seed=11, minutes=0.3, slice_ordinal=1)
    made = launch(scene.view.pk, None)
    job = world.run(world.job_of(made.pk, "round"))
    made.refresh_from_db()
    assert (job.state, job.attempts, made.state) == ("failed", 1, "failed")
    assert made.message.startswith("Nothing to train on: of the slice's segments ")
    assert "are flagged, not judged" in made.message and made.ended_at is not None
    assert scene.deployed.threshold == low


def test_counts_are_taken_before_training_and_stay() -> None:
    scene = stage(minutes=0.5)
    made = launch(scene.view.pk, None)
    part = made.slice
    stored = {c.unit: (c.tp, c.fp, c.tn, c.fn, c.deployment_id) for c in part.counts.all()}
    by_hand = Counter(
        (s.flagged, s.segment.truth.anomalous)
        for s in SegmentScore.objects.filter(slice=part, value__isnull=False).select_related("segment__truth")
    )
    expected = [by_hand[k] for k in ((True, True), (True, False), (False, False), (False, True))]
    assert list(stored["segment"]) == [*expected, scene.deployed.pk]
    assert np.sum(stored["pose"][:4]) > np.sum(stored["segment"][:4])  # type: ignore[arg-type]  # ground truth knows all four
    run_launched(made)
    deploy.promote(made.pk, None, "a test")
    assert {c.unit: (c.tp, c.fp, c.tn, c.fn, c.deployment_id) for c in part.counts.all()} == stored
