"""The experiment's loop: prequential, one dice for all, core's rules, and the same after a kill."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alfred.core import al_light
from alfred.core.methodologies import Label, Methodology
from alfred.detectors import registry
from alfred.experiment import camera_run
from alfred.experiment.arm import Rules, replayed, validate
from alfred.experiment.camera_run import Plan, run_camera
from alfred.experiment.oracle import Oracle
from alfred.experiment.slices import Unit, footage_of, prepare, standing_windows
from alfred.reports.experiment.pooled import FROZEN
from tests.experiment import scenes

ALL = tuple(str(m) for m in Methodology)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A memory that has seen a few people walk."""
    detector = registry.create("memory", capacity=64, density_rank=5)
    data = prepare(footage_of([scenes.clip("s", 77, people=3, shaking=0)]), detector.window, Unit.POSE, stride=6)
    detector.fit(data.windows.values, seed=0)
    path = tmp_path_factory.mktemp("weights") / "memory-test.safetensors"
    detector.save(path)
    return path


def run(weights: Path, folder: Path, **changes: Any) -> dict[str, Any]:
    plan = replace(Plan("memory", weights, ALL, stride=3), **changes)
    row = run_camera(scenes.camera(), plan, folder, lambda done, total: None)
    row.pop("wall_s")
    return row


@pytest.fixture(scope="module")
def row(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return run(weights, tmp_path_factory.mktemp("run"))


def test_every_arm_walks_every_slice_and_counts_every_scored_pose(row: dict[str, Any]) -> None:
    assert set(row["arms"]) == {FROZEN, *ALL}
    for name, arm in row["arms"].items():
        assert len(arm["steps"]) == (0 if name == "offline" else 3)
        for step in arm["steps"]:
            assert sum(step["counts"]) == step["scored"] <= step["items"]
            assert np.sum(step["blocks"], axis=0)[1:].tolist() == step["counts"]
            assert len(step["blocks"]) == 2  # a clip is a block


def test_the_first_slice_is_the_same_for_all_and_frozen_never_moves(row: dict[str, Any]) -> None:
    arms = {name: arm for name, arm in row["arms"].items() if arm["steps"]}
    assert len({json.dumps([arm["steps"][0][k] for k in ("theta", "counts")]) for arm in arms.values()}) == 1
    assert len({step["theta"] for step in arms[FROZEN]["steps"]}) == 1
    assert len({step["theta"] for step in arms["continual"]["steps"]}) == 3


def test_counts_and_the_threshold_agree_with_a_plain_computation(weights: Path, row: dict[str, Any]) -> None:
    """Slice 0 by the public pieces alone, without the experiment's own."""
    from sklearn.metrics import confusion_matrix, roc_auc_score

    from alfred.detectors.scoring import score_poses

    detector = registry.create("memory")
    detector.load(weights)
    first = row["arms"]["continual"]["steps"][0]
    detector.window = replace(detector.window, stride=3)
    counts = np.zeros(4, int)
    for clip in scenes.camera().slices[0].load():
        score = score_poses(clip.poses, width=640, height=480, detector=detector)
        kept = np.isfinite(score)
        tn, fp, fn, tp = confusion_matrix(clip.pose_labels[kept], score[kept] >= first["theta"], labels=[0, 1]).ravel()
        counts += [tp, fp, tn, fn]
    assert counts.tolist() == first["counts"]
    detector.window = replace(detector.window, stride=4)
    tests = scenes.camera().test.load()
    scores = [score_poses(c.poses, width=640, height=480, detector=detector) for c in tests]
    score, label = np.concatenate(scores), np.concatenate([c.pose_labels for c in tests])
    kept = np.isfinite(score)
    assert first["validation"]["auc_roc"] == pytest.approx(roc_auc_score(label[kept], score[kept]))


def test_who_is_asked_and_what_trains_is_what_the_methodology_says(row: dict[str, Any]) -> None:
    for step in row["arms"]["continual"]["steps"]:
        assert step["asked"] == 0 and set(step["left_out"]) <= {"unfiltered", "unscored"}
    for step in row["arms"]["pseudo_continual"]["steps"]:
        assert step["asked"] == 0 and step["left_out"]["flagged, not judged"] == step["flagged"]
    for step in row["arms"]["active_learning"]["steps"]:
        tp, fp, _, _ = step["counts"]
        assert step["asked"] == step["flagged"] == tp + fp
        assert step["left_out"].get("confirmed FP", 0) == fp and step["left_out"].get("confirmed anomaly", 0) == tp
        assert step["left_out"].get("flagged, not judged", 0) == 0


def test_a_run_that_was_killed_goes_on_to_the_same_figures(
    weights: Path, row: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, whole = camera_run._keep, []

    def killed(arms: Any, done: int, folder: Path) -> None:
        kept(arms, done, folder)
        whole.append(done)
        if done == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(camera_run, "_keep", killed)
    with pytest.raises(KeyboardInterrupt):
        run(weights, tmp_path)
    (tmp_path / "writing").mkdir()  # what a kill in the middle of writing leaves
    monkeypatch.setattr(camera_run, "_keep", kept)
    assert run(weights, tmp_path) == row
    assert whole == [1, 2]


@pytest.mark.parametrize("unit", list(Unit))
def test_the_same_seed_gives_the_same_row(weights: Path, tmp_path: Path, unit: Unit) -> None:
    first, second = (run(weights, tmp_path / name, unit=unit) for name in ("a", "b"))
    assert first == second
    step = first["arms"]["active_learning"]["steps"][0]
    assert step["items"] == (
        2 * 4 * 180 if unit is Unit.POSE else 2 * 4 * 2
    )  # six seconds: a segment of 4 and one of 2


def test_an_oracle_errs_by_segment_keeps_to_its_budget_and_sees_alerts_where_asked(weights: Path) -> None:
    slice_ = prepare(footage_of([scenes.clip("x", 5)]), registry.create("memory").window, Unit.POSE, stride=3)
    everything = np.ones(len(slice_), bool)
    said = Oracle(noise=1.0).answers(slice_, everything, seed=1)
    assert np.array_equal(said == Label.ANOMALY, slice_.label == 0)
    half = Oracle(noise=0.5).answers(slice_, everything, seed=1)
    wrong = (half == Label.ANOMALY) != (slice_.label > 0)
    assert 0 < wrong.mean() < 1
    for segment in np.unique(slice_.segment):
        assert len(set(wrong[slice_.segment == segment].tolist())) == 1
    asked = Oracle(budget=3).within_budget(slice_, everything, seed=1)
    assert len(np.unique(slice_.segment[asked])) == 3
    assert np.array_equal(Oracle().within_budget(slice_, everything, seed=1), everything)


@pytest.mark.parametrize("unit", list(Unit))
def test_one_window_stands_for_each_flagged_group_and_has_its_score(weights: Path, unit: Unit) -> None:
    detector = registry.create("memory")
    detector.load(weights)
    slice_ = prepare(footage_of([scenes.clip("x", 5)]), detector.window, unit, stride=1)
    of_windows = slice_.score(detector)
    scores = slice_.scores(of_windows)
    flagged = scores >= np.nanmedian(scores)
    found = standing_windows(slice_, of_windows, flagged)
    group = slice_.track if unit is Unit.POSE else slice_.segment
    expected = [np.nanmax(np.where(flagged & (group == g), scores, np.nan)) for g in np.unique(group[flagged])]
    assert sorted(of_windows[found].tolist()) == pytest.approx(sorted(expected))
    assert len(standing_windows(slice_, of_windows, np.zeros_like(flagged))) == 0


def test_replay_counts_anomalies_not_segments(weights: Path) -> None:
    """Two segments that follow each other in a track are one anomaly, as in the product."""
    detector = registry.create("memory")
    detector.load(weights)
    slice_ = prepare(footage_of([scenes.clip("x", 5)]), detector.window, Unit.SEGMENT, stride=3)
    said = np.full(len(slice_), Label.ANOMALY, np.int8)
    nothing = np.zeros(len(slice_), bool)
    lax, strict = (replayed(slice_, said, nothing, detector, theta) for theta in (-np.inf, np.inf))
    people = len(np.unique(slice_.track))
    assert (lax.confirmed, lax.lost, lax.found) == (people, 0, people)
    assert (strict.confirmed, strict.lost, strict.found) == (people, 0, 0)
    assert len(slice_) == 2 * people


def test_a_diverged_training_is_told_and_the_deployed_version_goes_on(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alfred.detectors.memory.detector import Memory

    def diverges(self: Any, windows: Any, **options: Any) -> None:
        raise ValueError("the loss is nan at step 3; use a lower learning rate")

    monkeypatch.setattr(Memory, "fine_tune", diverges)
    steps = run(weights, tmp_path, methodologies=("continual",))["arms"]["continual"]["steps"]
    assert [step["failed"] for step in steps] == ["the loss is nan at step 3; use a lower learning rate"] * 3
    assert len({step["theta"] for step in steps}) == 1


def test_a_validation_set_of_one_class_is_refused_in_words(weights: Path) -> None:
    detector = registry.create("memory")
    detector.load(weights)
    data = prepare(footage_of([scenes.clip("x", 5, shaking=0)]), detector.window, Unit.POSE, stride=4)
    with pytest.raises(ValueError, match="Both classes are needed"):
        validate(data, detector)


def test_alerts_are_judged_only_where_the_oracle_looks_at_them(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(al_light, "decide", partial(al_light.decide, band_min=1))  # a handful of tracks make a band
    light = {"methodologies": ("al_light",)}
    blind = run(weights, tmp_path / "a", **light)["arms"]["al_light"]["steps"]
    seeing = run(weights, tmp_path / "b", rules=Rules(alert_judged=True), **light)["arms"]["al_light"]["steps"]
    assert blind[0]["asked"] == seeing[0]["asked"]
    unasked = blind[0]["flagged"] - blind[0]["asked"]
    assert unasked > 0 and blind[0]["theta_med"] > blind[0]["theta"]
    assert blind[0]["left_out"].get("flagged, not judged", 0) == unasked
    assert seeing[0]["left_out"].get("flagged, not judged", 0) == 0
