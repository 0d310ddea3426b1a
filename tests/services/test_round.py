"""A round from launch to its candidate, on a small simulated camera, in this process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import timedelta

import numpy as np
import pyarrow.parquet as pq
import pytest

from alfred.models import Answer, Camera, Evaluation, Event, LabelSnapshot, Replay, Round, Segment, SegmentScore
from alfred.models.detectors import in_force
from alfred.services import deploy, labels, training_set
from alfred.services.deploy import Refused
from alfred.services.launch_round import cancel_round, launch
from alfred.services.load_detector import load, weights_path
from alfred.services.storage import artifacts, digest_of
from tests import world
from tests.services.round_stage import run_launched, stage

pytestmark = pytest.mark.django_db


def test_a_round_of_the_memory_remembers_what_people_called_normal() -> None:
    scene = stage(detector="memory")
    view = scene.view
    base = load(scene.deployed.version).info()["remembered"]
    assert base["base"] > 0 and base["camera"] == base["confirmed"] == 0
    world.judge_all(view, scene.cast.alice)
    made = run_launched(launch(view.pk, scene.cast.admin))
    assert made.version is not None and made.losses == []
    found = training_set.membership(made, [made.slice])
    assert found.confirmed and found.confirmed < found.trains
    detector = load(made.version)
    confirmed = training_set.training_windows([made.slice], detector.window, found.confirmed, seed=made.seed)
    now = detector.info()["remembered"]
    seen = training_set.training_windows([made.slice], detector.window, found.trains - found.confirmed, seed=made.seed)
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
    assert [g["name"] for g in rows["candidate"].figures["gates"]] == [
        "finite",
        "not worse",
        "better than chance",
        "replay",
    ]
    found = Replay.objects.get(round=made)
    assert (found.version, found.threshold, list(found.slices.all())) == (version, made.threshold, [part])
    assert found.figures["segments"] == Segment.objects.filter(slice=part).count()
    assert found.figures["confirmed"] > 0
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
    segments = {s.pk: s for s in Segment.objects.filter(slice=made.slice).select_related("recording", "score", "track")}
    assert set(reason) == set(segments) and len(table["segment"]) == len(segments)
    for i, pk in enumerate(table["segment"]):
        row = segments[pk]
        stored = (row.track_id, row.recording_id, row.ordinal, row.start_pts, row.end_pts, row.start_at, row.end_at)
        named = ("track", "recording", "ordinal", "start_pts", "end_pts", "start_at", "end_at")
        assert tuple(table[name][i] for name in named) == stored
        assert (table["slice"][i], table["track_number"][i]) == (made.slice.ordinal, row.track.number)
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


def test_offline_trains_from_the_source_on_everything() -> None:
    """Two slices; the first trained and promoted. Offline begins anew from what the camera came with."""
    scene = stage(minutes=0.5, detector="memory")
    view = scene.view
    source = scene.deployed.version
    world.judge_all(view, scene.cast.alice)
    deploy.promote(run_launched(launch(view.pk, None)).pk, None, "a test")
    world.scored(view, seed=12, minutes=0.4, anomaly_share=0.2, slice_ordinal=1)
    Camera.objects.filter(pk=view.pk).update(methodology="offline")
    made = run_launched(launch(view.pk, None))
    assert made.version is not None and made.base.version != source == made.version.parent
    table = pq.read_table(artifacts().path(made.manifest)).to_pydict()
    assert Counter(table["slice"]) == Counter(Segment.objects.filter(slice__camera=view).values_list(
        "slice__ordinal", flat=True
    ))  # fmt: skip
    assert set(table["reason"]) <= {"unfiltered", "unscored"} and "unfiltered" in table["reason"]
    remembered = made.version.card["remembered"]
    spec = load(source).window
    everything = training_set.training_windows(
        list(view.slices.all()), spec, set(table["segment"]), seed=made.seed
    )  # unscored ones are too short to have windows
    assert remembered["confirmed"] == 0 and made.version.card["windows"] == len(everything)
    assert Replay.objects.filter(round=made).get().figures["slices"] == [0, 1]
