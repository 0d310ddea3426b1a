"""Counts of a slice against a case worked by hand, and the report that is made of them."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import numpy as np
import pyarrow.parquet as pq
import pytest
from django.utils import timezone

from alfred.models import (
    Answer,
    Camera,
    Candidate,
    Event,
    EventSegment,
    Recording,
    Scoring,
    SegmentScore,
    Slice,
    SliceCounts,
    Threshold,
    ValidationSet,
    Verdict,
)
from alfred.models.detectors import in_force
from alfred.reports.as_csv import to_csv
from alfred.reports.camera_report import BasisCounts, CameraReport, SliceFigures, ThetaStep, build
from alfred.services import count_slice, deploy, slices
from alfred.services.report import camera_report
from alfred.services.storage import artifacts
from tests import world

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
    live = count_slice.from_verdicts(found.part)
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
    live = count_slice.from_verdicts(found.part)
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
    total = np.sum(list(live.estimated.values()), axis=0)
    assert total.tolist() == pytest.approx(expected.tolist()) and total.sum() == pytest.approx(40)


def test_few_answers_estimate_nothing(tmp_path: Path) -> None:
    found = scene(tmp_path, review_budget=8)
    alice = world.people(found.view).alice
    for event in Event.objects.all():
        world.answer(alice, event)
    assert count_slice.from_verdicts(found.part).estimated is None


def figures(**changes: object) -> CameraReport:
    """A report of two closed slices: 2/2/6/1 and 1/0/8/0 in segments, poses apart."""
    given: dict[str, object] = {
        "camera": "Gate",
        "kind": "real",
        "slices": [
            SliceFigures(0, True, 11, 4, [("v0", 1.5, 11)], True, [
                BasisCounts("segment", "ground_truth", [[2, 2, 6, 1]]),
                BasisCounts("pose", "ground_truth", [[90, 60, 400, 50]]),
            ]),
            SliceFigures(
                1, True, 9, 1, [("v0", 1.5, 9)], True, [BasisCounts("segment", "ground_truth", [[1, 0, 8, 0]])]
            ),
        ],
        "theta": [ThetaStep(0, "2026-01-01T00:00:00", "v0", 1.5, "source", "first")],
        "validation": None,
        "warm_up": None,
        "coverage": 0.9,
        "work": {},
        "seed": 1,
    }  # fmt: skip
    return build(**{**given, **changes})  # type: ignore[arg-type]  # the test's own keywords


def test_counts_are_added_before_they_are_divided() -> None:
    line = figures().cumulative[0]
    assert (line.unit, line.counts.tp, line.counts.fp, line.counts.tn, line.counts.fn) == ("segment", 3, 2, 14, 1)
    assert (line.fpr.value, line.fnr.value) == pytest.approx((2 / 16, 1 / 4))
    # not the mean of the slices' rates: (2/8 + 0/8) / 2 and (1/3 + 0) / 2
    a, b = 1 - 2 / 16, 1 - 1 / 4
    assert line.ebi.value == pytest.approx(2 * a * b / (a + b))
    assert (line.fpr.low, line.fpr.high) == (None, None) and "too few" in line.fpr.reason


def test_pose_and_segment_figures_share_no_line() -> None:
    report = figures()
    assert [(n, line.unit, line.counts.n) for n, line in report.slice_lines] == [
        (0, "segment", 11),
        (0, "pose", 600),
        (1, "segment", 9),
    ]
    assert [(line.unit, line.counts.n) for line in report.cumulative] == [("segment", 20), ("pose", 600)]
    assert "segments" in report.summary and "poses" not in report.summary


def test_an_open_slices_ground_truth_is_not_in_the_cumulative_figures() -> None:
    open_one = SliceFigures(
        2, False, 5, 5, [("v0", 1.5, 5)], True, [BasisCounts("segment", "ground_truth", [[0, 5, 0, 0]])]
    )
    given = [
        SliceFigures(0, True, 9, 1, [("v0", 1.5, 9)], True, [BasisCounts("segment", "ground_truth", [[1, 0, 8, 0]])])
    ]
    assert figures(slices=[*given, open_one]).cumulative[0].counts.fp == 0


def test_slices_of_an_older_validation_set_stand_on_their_own() -> None:
    earlier = SliceFigures(
        0, True, 9, 1, [("v0", 0.9, 5), ("v0", 1.5, 4)], False, [BasisCounts("segment", "ground_truth", [[1, 5, 3, 0]])]
    )
    report = figures(slices=[earlier])
    assert report.cumulative == [] and [n for n, _ in report.slice_lines] == [0]
    assert (earlier.version, earlier.theta, earlier.theta_words) == ("v0", None, "0.900 to 1.500")


def test_a_missing_class_is_not_available_and_never_zero() -> None:
    only_normal = [
        SliceFigures(0, True, 8, 1, [("v0", 1.5, 8)], True, [BasisCounts("segment", "ground_truth", [[0, 1, 7, 0]])])
    ]
    report = figures(slices=only_normal)
    line = report.cumulative[0]
    assert line.fpr.value == 1 / 8 and line.fnr.value is None and line.ebi.value is None
    assert line.fnr.reason
    assert "no EBI yet" in report.summary
    table = rows_of(report)
    cumulative = next(r for r in table if r["scope"] == "cumulative")
    assert (cumulative["fnr"], cumulative["ebi"]) == ("", "") and cumulative["fpr"] == "0.125"
    assert report.chart["ebi"] == [None] and report.chart["fnr"] == [None]


def rows_of(report: CameraReport) -> list[dict[str, str]]:
    """The figures' block of the CSV, by column."""
    blocks = to_csv(report).split("\r\n\r\n")
    return list(csv.DictReader(io.StringIO(blocks[1])))


def test_the_csv_says_what_the_page_says() -> None:
    report = figures()
    table = rows_of(report)
    assert [(r["scope"], r["unit"]) for r in table] == [
        ("cumulative", "segment"),
        ("cumulative", "pose"),
        ("slice 0", "segment"),
        ("slice 0", "pose"),
        ("slice 1", "segment"),
    ]
    for row, line in zip(table, [*report.cumulative, *(line for _, line in report.slice_lines)], strict=True):
        assert [float(row[n]) for n in ("tp", "fp", "tn", "fn")] == [
            line.counts.tp, line.counts.fp, line.counts.tn, line.counts.fn,
        ]  # fmt: skip
        assert float(row["ebi"]) == line.ebi.value


def test_judged_lines_leave_what_is_unknown_empty() -> None:
    known = [
        SliceFigures(
            0, True, 9, 3, [("v0", 1.5, 9)], True, [BasisCounts("segment", "judged", [[1, 2, 0, 0]], partial=True)]
        )
    ]
    (cumulative, _) = rows_of(figures(slices=known))
    assert (cumulative["tp"], cumulative["fp"], cumulative["tn"], cumulative["fn"]) == ("1.0", "2.0", "", "")
    assert (cumulative["fpr"], cumulative["fnr"], cumulative["ebi"]) == ("", "", "")


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_text_that_a_spreadsheet_would_run_is_quoted(name: str) -> None:
    step = ThetaStep(0, "2026-01-01", "v0", -1.5, "source", f"{name}|cmd")
    text = to_csv(figures(camera=name, theta=[step]))
    cells = [cell for row in csv.reader(io.StringIO(text, newline="")) for cell in row]
    assert f"'{name}" in cells and f"'{name}|cmd" in cells
    assert not [c for c in cells if c[:1] in "=+@\t\r" and c]
    assert "-1.5" in cells  # a number may keep its sign


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
