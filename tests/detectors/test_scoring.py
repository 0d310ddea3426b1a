"""From poses to a score a pose, and what source training makes of data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from alfred.detectors import registry, source_training
from alfred.detectors.scoring import score_poses
from alfred.detectors.stg_nf.detector import StgNf
from alfred.pose.formats import mocap
from alfred.pose.formats.labelled import LabelledPoses
from alfred.pose.tracks import Poses, concatenate, from_arrays
from alfred.pose.windows import WindowSpec

SHARED = Path(__file__).resolve().parents[2] / "../shared/data/mocap-cctv"
SIZE = {"width": 856.0, "height": 480.0}


class Tilt:
    """A stand-in detector: a window's score is the x of its centre sample's nose, normalised."""

    name = "tilt"
    window = WindowSpec()

    def score(self, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return windows[:, 0, 12, 0]


def walker(track: int, n: int, fps: float = 30.0, seed: int = 0) -> Poses:
    rng = np.random.default_rng(seed + track)
    keypoints = np.concatenate([rng.uniform(0, 400, (n, 17, 2)), np.ones((n, 17, 1))], axis=2)
    frames = np.arange(n)
    return from_arrays(np.full(n, track), frames, frames / fps, keypoints, np.zeros((n, 4)), np.ones(n))


def test_every_pose_in_the_middle_of_a_track_gets_its_own_windows_score() -> None:
    detector: Any = Tilt()
    poses = walker(1, 50)
    reports: list[tuple[int, int, str]] = []
    scores = score_poses(
        poses, **SIZE, detector=detector, batch_size=5, progress=lambda *report: reports.append(report)
    )
    xy = poses.keypoints[..., :2] / np.array([856, 480])
    neck = (xy[:, 5] + xy[:, 6]) / 2
    joints = np.concatenate([xy, neck[:, None]], axis=1)
    for i in range(12, 39):
        window = joints[i - 12 : i + 12]
        expected = (xy[i, 0, 0] - window[..., 0].mean()) / window[..., 1].std()
        assert scores[i] == pytest.approx(expected, abs=1e-4)
    assert (scores[:12] == scores[12]).all() and (scores[39:] == scores[38]).all()
    assert reports[-1][:2] == (27, 27) and len(reports) == 6


def test_what_cannot_be_scored_is_nan() -> None:
    detector: Any = Tilt()
    poses = concatenate([walker(1, 23), walker(2, 24), walker(3, 60, fps=10)])
    scores = score_poses(poses, **SIZE, detector=detector)
    assert set(poses.track[np.isfinite(scores)]) == {2}
    assert np.isnan(score_poses(walker(1, 5), **SIZE, detector=detector)).all()


def test_a_detector_that_returns_nonsense_is_refused() -> None:
    class Broken(Tilt):
        def score(self, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
            return np.full(len(windows), np.nan, np.float32)

    detector: Any = Broken()
    with pytest.raises(ValueError, match="finite"):
        score_poses(walker(1, 50), **SIZE, detector=detector)


def labelled(poses: Poses, labels: npt.ArrayLike) -> LabelledPoses:
    return LabelledPoses(poses, np.asarray(labels, np.uint8), None, 856, 480, 30.0)


def test_training_windows_hold_no_anomalous_pose() -> None:
    poses = concatenate([walker(1, 60), walker(2, 60)])
    labels = (poses.track == 1) & (poses.frame == 30)
    spec = WindowSpec()
    kept = source_training.normal_windows([labelled(poses, labels)], spec)
    # track 1: starts 0..6 end before frame 30, starts 31..36 begin after it; track 2: all 37
    assert len(kept) == 7 + 6 + 37


def test_thinning_to_a_lower_rate() -> None:
    data = labelled(walker(1, 60), np.arange(60) % 2)
    thin = source_training.at_rate(data, 10)
    np.testing.assert_array_equal(thin.poses.frame, np.arange(0, 60, 3))
    np.testing.assert_array_equal(thin.labels, np.arange(0, 60, 3) % 2)
    with pytest.raises(ValueError, match="thinned"):
        source_training.at_rate(data, 12)


def test_source_threshold_is_over_segments() -> None:
    """Tracks of 3 s, one segment each; a segment's score is its 5th largest pose score."""
    poses = concatenate([walker(i, 90) for i in range(4)])
    scores = np.zeros(len(poses), np.float32)
    for track, height in enumerate([1, 2, 3, 4]):
        mine = np.flatnonzero(poses.track == track)
        scores[mine[:5]] = height
        scores[mine[10:14]] = 99  # four outliers do not make a segment's score
    labels = (poses.track >= 2).astype(np.uint8)
    for track, height in enumerate([1, 2, 3, 4]):
        scores[np.flatnonzero(poses.track == track)[14]] = height
    threshold = source_training.segment_threshold([scores], [labelled(poses, labels)])
    assert threshold.eer == 0
    assert threshold.value == 2.5  # the middle between the 2 and the 3
    assert (threshold.n_normal, threshold.n_anomalous) == (2, 2)


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="the data folder is not beside the checkout")
def test_source_weights_reach_their_card_and_their_camera() -> None:
    path, card = registry.source_for("stg_nf", 30)
    detector = StgNf()
    detector.load(path)
    tests = [mocap.read(p) for p in sorted((SHARED / "clean").glob("*_test.npz"))]
    scores = source_training.score_all(detector, tests)
    quality = source_training.pose_quality(scores, tests)
    assert quality.auc == pytest.approx(card["evaluation"]["auc"], abs=2e-3)
    assert source_training.segment_threshold(scores, tests).value == pytest.approx(card["theta"], abs=1e-3)
    camera = [mocap.read(SHARED / "C0_test.npz")]
    # another implementation, trained alike on the same data, measured .70 to .74 here
    assert 0.65 < source_training.pose_quality(source_training.score_all(detector, camera), camera).auc < 0.80
