"""Counts of a slice against a case worked by hand, and the report that is made of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import numpy as np
import pyarrow.parquet as pq
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from alfred.core.rates import Counts
from alfred.models import (
    Answer,
    Camera,
    Candidate,
    Evaluation,
    Event,
    EventSegment,
    Recording,
    Scoring,
    SegmentScore,
    Slice,
    SliceCounts,
    Threshold,
    User,
    ValidationMember,
    ValidationSet,
    Verdict,
)
from alfred.models.detectors import in_force
from alfred.services import count_slice, deploy, slices
from alfred.services.report import camera_report
from alfred.services.storage import artifacts
from tests import world
from tests.reports import camera_rows as rows

pytestmark = pytest.mark.django_db


@dataclass
class Scene:
    view: Camera
    part: Slice
    scores: list[SegmentScore]


def scene(
    tmp_path: Path, people_seen: int = 8, *, labels: bool = True, review_budget: int = 0, calibrated: bool = False
) -> Scene:
    """One segment a person, and a θ that flags half of them."""
    poses = world.walkers(people_seen=people_seen, seconds=4)
    rng = np.random.default_rng(2)
    shaky = 8 * (poses.track[:, None, None] * 7 % people_seen / people_seen) ** 2  # px
    poses.keypoints[..., :2] += rng.normal(0, 1, poses.keypoints[..., :2].shape) * shaky
    truth = (poses.track % 3 == 0).astype(np.uint8)
    path = world.npz(tmp_path / "a.npz", poses, truth if labels else None)
    probe, view = world.camera("Probe", review_budget=0), world.camera(review_budget=review_budget)
    world.ingest_poses(probe, path, slice_ordinal=0)
    world.run_all(probe)
    values = sorted(v for v in SegmentScore.objects.values_list("value", flat=True) if v is not None)
    source = deploy.deploy_source(view.pk, world.FPS)
    half = (values[people_seen // 2 - 1] + values[people_seen // 2]) / 2
    frozen = ValidationSet.objects.create(camera=view, number=1, frozen_at=timezone.now()) if calibrated else None
    theta = Threshold.objects.create(
        camera=view, version=source.version, policy="budget", value=half, validation_set=frozen
    )
    deploy.append(view, source.version, theta, "a test", None)
    world.ingest_poses(view, path, slice_ordinal=0)
    world.run_all(view)
    scores = list(SegmentScore.objects.filter(segment__camera=view).order_by("segment__track__number"))
    assert [s.flagged for s in scores].count(True) == people_seen / 2
    return Scene(view, Slice.objects.get(camera=view), scores)


def test_ground_truth_counts_of_a_closing_slice(tmp_path: Path) -> None:
    found = scene(tmp_path)
    slices.close(found.part.pk)
    cells = {"tp": 0, "fp": 0, "tn": 0, "fn": 0}
    for number, score in enumerate(found.scores):  # anomalous: persons 0, 3 and 6
        if number in (0, 3, 6):
            cells["tp" if score.flagged else "fn"] += 1
        else:
            cells["fp" if score.flagged else "tn"] += 1
    assert sum(cells.values()) == 8 and cells["tp"] + cells["fn"] == 3
    row = SliceCounts.objects.get(slice=found.part, unit="segment")
    assert {name: getattr(row, name) for name in cells} == cells
    assert (row.basis, row.deployment) == ("ground_truth", in_force(found.view.pk))
    recording = Recording.objects.get(camera=found.view)
    assert row.blocks == [[recording.pk, 0, *(cells[n] for n in ("tp", "fp", "tn", "fn"))]]


def test_pose_counts_are_kept_apart_from_segment_counts(tmp_path: Path) -> None:
    found = scene(tmp_path, calibrated=True)
    slices.close(found.part.pk)
    theta = in_force(found.view.pk).theta  # type: ignore[union-attr]  # it was just scored with it
    stored = pq.read_table(
        artifacts().path(Scoring.objects.get(extraction__recording__camera=found.view).artifact)
    ).to_pydict()
    cells = [0, 0, 0, 0]
    for track, value in zip(stored["track"], stored["score"], strict=True):
        if value is not None:
            flagged, anomalous = value >= theta, track % 3 == 0
            cells[(0 if flagged else 3) if anomalous else (1 if flagged else 2)] += 1
    row = SliceCounts.objects.get(slice=found.part, unit="pose")
    assert [row.tp, row.fp, row.tn, row.fn] == cells and sum(cells) == 8 * 60
    report = camera_report(found.view)
    units = [line.unit for line in report.cumulative]
    assert units == ["segment", "pose"]
    assert {line.unit: line.counts.n for line in report.cumulative} == {"segment": 8, "pose": 480}


def test_unscored_segments_are_coverage_and_in_no_count(tmp_path: Path) -> None:
    view = world.camera()
    for name, seconds in (("short", 0.5), ("long", 4.0)):
        poses = world.walkers(people_seen=2, seconds=seconds)
        world.ingest_poses(view, world.npz(tmp_path / f"{name}.npz", poses, np.zeros(len(poses))), slice_ordinal=0)
    world.run_all(view)
    slices.close(Slice.objects.get().pk)
    row = SliceCounts.objects.get(unit="segment")
    assert row.tp + row.fp + (row.tn or 0) + (row.fn or 0) == 2
    report = camera_report(view)
    assert report.coverage == pytest.approx(120 / (120 + 16))


def test_closing_waits_for_what_is_in_work_and_happens_once(tmp_path: Path) -> None:
    found = scene(tmp_path)
    late = world.stream(found.view, minutes=0.2)
    with pytest.raises(slices.NotDrainedError, match="1 recordings of slice 0 are still being worked on"):
        slices.close(found.part.pk)
    world.run_all(found.view)
    closed = slices.close(found.part.pk)
    assert late.slice == closed
    before = list(SliceCounts.objects.values())
    assert slices.close(found.part.pk).closed_at == closed.closed_at
    assert list(SliceCounts.objects.values()) == before


def judged(found: Scene, answers: dict[int, Answer]) -> None:
    """Answers to a review event of each of these people's segments."""
    alice = world.people(found.view).alice
    recording = Recording.objects.get(camera=found.view)
    for number, answer in answers.items():
        event = Event.objects.create(
            camera=found.view, recording=recording, slice=found.part, lane="review", place=number,
            start_pts=0, end_pts=4, peak_pts=1,
        )  # fmt: skip
        EventSegment.objects.create(event=event, segment=found.scores[number].segment, lane="review")
        world.answer(alice, event, answer)


def test_judged_counts_know_only_what_was_flagged_and_answered(tmp_path: Path) -> None:
    found = scene(tmp_path, labels=False, calibrated=True)
    flagged = [n for n, s in enumerate(found.scores) if s.flagged]
    unflagged = [n for n, s in enumerate(found.scores) if not s.flagged]
    assert len(flagged) >= 3
    first, second, third = flagged[:3]
    judged(
        found,
        {first: Answer.ANOMALY, second: Answer.NORMAL, third: Answer.UNSURE, unflagged[0]: Answer.ANOMALY},
    )
    live = count_slice.from_verdicts([found.part])[found.part.pk]
    total = np.sum(list(live.judged.values()), axis=0)
    assert total.tolist() == [1, 1, 0, 0]
    assert (live.unresolved, live.estimated) == (1, None)
    slices.close(found.part.pk)
    report = camera_report(found.view)
    (line,) = report.cumulative
    assert (line.basis, line.unit, line.counts.tp, line.counts.fp) == ("judged", "segment", 1, 1)
    # What was not flagged was not judged: no rate can be known, and none is shown as 0.
    assert [rate.value for rate in (line.fpr, line.fnr, line.ebi)] == [None, None, None]
    assert line.fnr.reason == "unflagged segments were not judged"
    assert report.work["answers"] == 4


def test_estimated_counts_weigh_warm_up_answers_up_to_the_slice(tmp_path: Path) -> None:
    found = scene(tmp_path, people_seen=40, review_budget=32)
    alice = world.people(found.view).alice
    asked = list(Candidate.objects.filter(segment__camera=found.view, asked=True).order_by("pk"))
    assert len(asked) == 32
    events = {e.segments.get().pk: e for e in Event.objects.filter(lane="warmup")}
    left_out = asked[0]
    for candidate in asked[1:]:
        anomalous = candidate.segment_id % 4 == 0
        world.answer(alice, events[candidate.segment_id], Answer.ANOMALY if anomalous else Answer.NORMAL)
    live = count_slice.from_verdicts([found.part])[found.part.pk]
    assert live.estimated is not None
    flags = {s.segment_id: s.flagged for s in found.scores}
    # By hand: N_h / answered_h for each answered segment of stratum h.
    everyone = list(Candidate.objects.filter(segment__camera=found.view))
    expected = np.zeros(4)
    for candidate in asked:
        if candidate.pk == left_out.pk:
            continue
        of_stratum = [c for c in everyone if c.stratum == candidate.stratum]
        answered = [c for c in of_stratum if c.asked and c.pk != left_out.pk]
        flagged, anomalous = flags[candidate.segment_id], candidate.segment_id % 4 == 0
        expected[(0 if flagged else 3) if anomalous else (1 if flagged else 2)] += len(of_stratum) / len(answered)
    total = np.sum(list(live.estimated.blocks.values()), axis=0)
    assert total.tolist() == pytest.approx(expected.tolist()) and total.sum() == pytest.approx(40)


def test_few_answers_estimate_nothing(tmp_path: Path) -> None:
    found = scene(tmp_path, review_budget=8)
    alice = world.people(found.view).alice
    for event in Event.objects.all():
        world.answer(alice, event)
    assert count_slice.from_verdicts([found.part])[found.part.pk].estimated is None


def test_a_camera_in_warm_up_says_how_far_it_is(tmp_path: Path) -> None:
    found = scene(tmp_path, labels=False, review_budget=8)
    cast = world.people(found.view)
    events = list(Event.objects.all())
    world.answer(cast.alice, events[0], Answer.ANOMALY)
    world.answer(cast.alice, events[1], Answer.NORMAL, active_ms=60_000)
    world.answer(cast.bob, events[2], Answer.NORMAL, active_ms=30_000, key=uuid4(), scripted=True)
    report = camera_report(found.view)
    assert report.warm_up == (2, 1, 50)
    assert "warming up: 2 of 50 normals and 1 of 50 anomalies" in report.summary
    assert report.work["answers"] == 3 and report.work["scripted"] == 1
    assert report.work["minutes"] == pytest.approx(1.5)
    assert report.validation is None and Verdict.objects.count() == 3


NINE = [None, 0.1, 0.2, 0.9, 0.8, 0.3, 0.95, 0.15, 0.7] * 6
"""54 segments, six of them unscored, 24 at or above θ = .5."""


def many_slices(view: Camera, count: int, user: User) -> list[Slice]:
    """Warm-up answers on every second scored segment; the anomalous, the unsure and the skipped differ by slice."""
    by = rows.deployed(view, "v0", 0.5, None)
    made = []
    for ordinal in range(count):
        part, segments = rows.sliced(by, ordinal, list(NINE), [n % 5 == 0 for n in range(len(NINE))])
        asked = {n for n in range(len(NINE)) if n % 9 and (n + ordinal) % 4}
        rows.drawn(segments, asked)
        rows.said(user, segments, {n: answer_of(n, ordinal) for n in sorted(asked)})
        made.append(part)
    return made


def answer_of(n: int, ordinal: int) -> Answer:
    if n % 17 == ordinal:
        return Answer.UNSURE
    return Answer.ANOMALY if (n + ordinal) % 6 == 0 else Answer.NORMAL


def test_a_report_of_many_slices_asks_no_more_of_the_database_than_one_of_two() -> None:
    few, many = world.camera("Few"), world.camera("Many")
    alice = world.people(few, many).alice
    many_slices(few, 2, alice)
    many_slices(many, 9, alice)
    spent = {}
    for view in (few, many):
        with CaptureQueriesContext(connection) as seen:
            report = camera_report(view)
        spent[view.name] = len(seen.captured_queries)
        assert all({line.basis for n, line in report.slice_lines if n == s.ordinal} == {
            "ground_truth", "estimated", "judged"
        } for s in report.slices)  # fmt: skip
    assert spent["Few"] == spent["Many"] <= 25


def test_slices_counted_together_are_counted_as_each_alone() -> None:
    """Each slice worked by hand: the sample's N_h / answered_h, and with the unresolved decided rightly or wrongly."""
    view = world.camera()
    parts = many_slices(view, 4, world.people(view).alice)
    together = count_slice.from_verdicts(parts)
    for ordinal, part in enumerate(parts):
        found = together[part.pk]
        assert found == count_slice.from_verdicts([part])[part.pk]
        flagged = {n: value >= 0.5 for n, value in enumerate(NINE) if value is not None}
        said = {n: answer_of(n, ordinal) for n in flagged if (n + ordinal) % 4}
        decided = {n: a == Answer.ANOMALY for n, a in said.items() if a != Answer.UNSURE}
        assert found.unresolved == len(said) - len(decided) > 0
        judged = [sum(flagged[n] and decided[n] for n in decided), sum(flagged[n] and not decided[n] for n in decided)]
        assert np.sum(list(found.judged.values()), axis=0).tolist() == [*judged, 0, 0]
        assert found.estimated is not None
        assert (found.estimated.answered, found.estimated.unresolved) == (len(decided), len(said) - len(decided))
        right = {n: decided.get(n, flagged[n]) for n in said}
        wrong = {n: decided.get(n, not flagged[n]) for n in said}
        for answers, blocks in (
            (decided, found.estimated.blocks),
            (right, found.estimated.best),
            (wrong, found.estimated.worst),
        ):
            expected = np.zeros(4)
            for n, anomalous in answers.items():
                alike = [m for m in flagged if flagged[m] == flagged[n]]
                weight = len(alike) / sum(m in answers for m in alike)
                expected[(0 if flagged[n] else 3) if anomalous else (1 if flagged[n] else 2)] += weight
            assert np.sum(list(blocks.values()), axis=0).tolist() == pytest.approx(expected.tolist())


def test_unscored_segments_are_counted_beside_the_figures_they_are_not_in() -> None:
    view = world.camera()
    rows.sliced(
        rows.deployed(view, "v0", 0.5, rows.validation_set(view)), 0, [0.9, None, 0.1, None], [True, True, False, False]
    )
    report = camera_report(view)
    assert (report.slices[0].segments, report.slices[0].unscored) == (2, 2)
    assert (report.cumulative[0].counts.n, report.cumulative[0].unscored) == (2, 2)


def test_series_follow_the_validation_set_the_version_and_the_calendar() -> None:
    view = world.camera()
    first, second = rows.validation_set(view, 1), rows.validation_set(view, 2)
    truth = [True, False, False]
    rows.sliced(rows.deployed(view, "v0", 0.5, None), 0, [0.9, 0.9, 0.9], truth, days_ago=90)
    rows.sliced(rows.deployed(view, "v0", 0.5, first), 1, [0.1, 0.1, 0.1], truth, days_ago=60)
    rows.sliced(rows.deployed(view, "v0", 0.5, second), 2, [0.9, 0.1, 0.1], truth, days_ago=40)
    rows.sliced(rows.deployed(view, "v1", 0.5, second), 3, [0.9, 0.9, 0.1], truth, days_ago=2)
    rows.sliced(rows.deployed(view, "v0", 0.6, second), 4, [0.1, 0.9, 0.1], truth, days_ago=1)
    report = camera_report(view)
    # v0 is in force again, with a θ of the second set: of that set it scored slices 2 and 4.
    assert [(s.scope, s.slices) for s in report.series] == [
        ("cumulative", [2, 3, 4]),
        ("last_28_days", [3, 4]),
        ("deployed_version", [2, 4]),
    ]
    assert [s.lines[0].counts for s in report.series] == [Counts(2, 2, 4, 1), Counts(1, 2, 2, 1), Counts(1, 1, 3, 1)]
    assert [(s.title, s.slices) for s in report.earlier] == [
        ("stg_nf, validation set 1", [1]),
        ("stg_nf, before a validation set (provisional θ)", [0]),
    ]


def test_validation_members_without_a_score_are_said() -> None:
    view = world.camera()
    chosen = rows.validation_set(view)
    by = rows.deployed(view, "v0", 0.5, chosen)
    _, segments = rows.sliced(by, 0, [0.9, None, 0.1, 0.2], days_ago=None)
    for segment, anomalous in zip(segments, (True, False, False, False), strict=True):
        ValidationMember.objects.create(
            validation_set=chosen, segment=segment, anomalous=anomalous, weight=1, origin="warmup"
        )
    interval = {"low": None, "high": None, "reason": "too few"}
    figures = {
        "ebi": 0.8, "fpr": 0.2, "fnr": 0.2, "intervals": dict.fromkeys(("ebi", "fpr", "fnr"), interval),
        "auc_roc": 0.9, "average_precision": 0.5, "normals": 2, "anomalies": 1,
    }  # fmt: skip
    Evaluation.objects.create(
        camera=view, version=by.version, threshold=by.threshold, validation_set=chosen, role="deployed", figures=figures
    )
    found = camera_report(view).validation
    assert found is not None and found.ebi.reason == "too few"
    assert (found.normals, found.unscored_normals, found.anomalies, found.unscored_anomalies) == (2, 1, 1, 0)
