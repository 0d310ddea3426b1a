"""Windows of live footage, and the way of a score back to its poses."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alfred.pose.skeleton import COCO17, LEFT, LIMBS, LIMBS18, RIGHT, to_18
from alfred.pose.tracks import Poses, concatenate, empty, from_arrays
from alfred.pose.windows import (
    Windows,
    WindowSpec,
    iter_windows,
    median_fps,
    normalise,
    pose_scores,
    slowest_fps,
    window_count,
)

SIZE = {"width": 1920, "height": 1080}


def track_of(number: int, pts: npt.ArrayLike, seed: int = 0) -> Poses:
    """A wandering person; each joint moves on a line, so resampling has a known answer."""
    times = np.asarray(pts, np.float64)
    n = len(times)
    keypoints = np.full((n, 17, 3), 0.9)
    keypoints[..., :2] = path_of(times, seed + number)
    ones = np.ones(n)
    return from_arrays(ones * number, np.arange(n), times, keypoints, np.zeros((n, 4)), ones)


def path_of(times: npt.NDArray[np.float64], seed: int) -> npt.NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    start, speed = rng.uniform(100, 900, (17, 2)), rng.uniform(-40, 40, (17, 2))
    return start + speed * times[:, None, None]  # linear: linear interpolation is exact


def all_windows(poses: Poses, spec: WindowSpec, batch_size: int = 4096) -> Windows:
    parts = list(iter_windows(poses, **SIZE, spec=spec, batch_size=batch_size))
    assert all(0 < len(part) <= batch_size for part in parts)
    if not parts:
        return Windows(np.zeros((0, spec.channels, spec.length, 18), np.float32), *(np.zeros(0) for _ in range(3)))
    return Windows(*(np.concatenate([getattr(p, f) for p in parts]) for f in Windows.__slots__))


def expected_window(times: npt.NDArray[np.float64], seed: int) -> npt.NDArray[np.float64]:
    """One normalised window, straight from the definition."""
    joints = path_of(times, seed)
    with_neck = np.concatenate([joints, (joints[:, 5:6] + joints[:, 6:7]) / 2], axis=1)
    order = [0, 17, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3]
    xy = with_neck[:, order].transpose(2, 0, 1) / np.array([1920, 1080])[:, None, None]
    xy -= xy.mean(axis=(1, 2), keepdims=True)
    return xy / xy[1].std()


def test_joint_order_and_neck() -> None:
    joints = np.arange(17 * 3, dtype=np.float32).reshape(17, 3)
    out = to_18(joints[None])[0]
    assert out.shape == (18, 3)
    np.testing.assert_array_equal(out[1], (joints[5] + joints[6]) / 2)
    names = [COCO17[int(row[0]) // 3] for i, row in enumerate(out) if i != 1]
    assert names[:4] == ["nose", "right_shoulder", "right_elbow", "right_wrist"]
    assert names[-4:] == ["right_eye", "left_eye", "right_ear", "left_ear"]
    with pytest.raises(ValueError, match="17"):
        to_18(np.zeros((2, 15, 3), np.float32))


def test_sides_and_limbs_match() -> None:
    assert [COCO17[i].removeprefix("left_") for i in LEFT] == [COCO17[i].removeprefix("right_") for i in RIGHT]
    mirror = {**dict(zip(LEFT, RIGHT, strict=True)), **dict(zip(RIGHT, LEFT, strict=True)), 0: 0}
    edges = {frozenset(limb) for limb in LIMBS}
    assert {frozenset((mirror[a], mirror[b])) for a, b in LIMBS} == edges
    assert len({frozenset(limb) for limb in LIMBS18}) == 17  # a tree over 18 joints


def test_windows_of_an_unbroken_track() -> None:
    times = np.arange(40) / 30
    windows = all_windows(track_of(7, times), WindowSpec())
    assert len(windows) == 40 - 24 + 1
    assert set(windows.track) == {7}
    np.testing.assert_allclose(windows.centre_pts, times[12 : 12 + 17], atol=1e-9)
    for i in (0, 9, 16):
        np.testing.assert_allclose(windows.values[i], expected_window(times[i : i + 24], 7), atol=2e-4)


@pytest.mark.parametrize("source_fps", [15.0, 25.0, 60.0])
def test_resampling_to_the_detectors_rate(source_fps: float) -> None:
    times = np.arange(round(2 * source_fps) + 1) / source_fps
    windows = all_windows(track_of(1, times), WindowSpec())
    assert len(windows) == 61 - 24 + 1
    np.testing.assert_allclose(windows.values[20], expected_window((20 + np.arange(24)) / 30, 1), atol=2e-4)


def test_a_tenth_of_the_rate_takes_every_third_frame() -> None:
    times = np.arange(90) / 30
    slow = all_windows(track_of(1, times[::3]), WindowSpec(length=16, fps=10))
    fast = all_windows(track_of(1, times), WindowSpec(length=16, fps=10))
    np.testing.assert_allclose(fast.values[: len(slow)], slow.values, atol=1e-4)
    assert len(slow) == 30 - 16 + 1


@pytest.mark.parametrize(
    ("lost", "runs"), [(5, 1), (6, 2)]
)  # at 30 fps 5 lost frames are a step of .2 s, 6 one of .233 s, beyond .2 s and half a sample
def test_gaps_are_filled_or_cut(lost: int, runs: int) -> None:
    times = np.arange(80) / 30
    kept = np.concatenate([times[:40], times[40 + lost :]])
    windows = all_windows(track_of(3, kept), WindowSpec())
    assert len(set(windows.run)) == runs
    assert len(windows) == (57 if runs == 1 else 17 + (40 - lost) - 23)
    if runs == 1:  # the filled frames are on the straight line the joints move along
        np.testing.assert_allclose(windows.values[30], expected_window((30 + np.arange(24)) / 30, 3), atol=2e-4)


def test_a_track_that_is_too_slow_is_not_windowed() -> None:
    slow, fast = track_of(1, np.arange(60) / 14), track_of(2, np.arange(60) / 15)
    poses = concatenate([slow, fast])
    windows = all_windows(poses, WindowSpec(max_gap_s=0.5))
    assert set(windows.track) == {2}
    scores = pose_scores(
        poses,
        run=windows.run,
        centre_pts=windows.centre_pts,
        scores=np.ones(len(windows)),
        spec=WindowSpec(max_gap_s=0.5),
    )
    assert np.isnan(scores[poses.track == 1]).all()
    assert not np.isnan(scores[poses.track == 2]).any()


def test_confidence_comes_along_where_it_is_asked_for() -> None:
    times = np.arange(40) / 15
    poses = track_of(3, times)
    poses.keypoints[..., 2] = 0
    poses.keypoints[:, 9, 2] = np.linspace(0, 1, 40)  # the left wrist is seen better and better
    poses.keypoints[:, 5, 2] = 0.8  # one shoulder: the neck lies half-way between a seen and an unseen one
    windows = all_windows(poses, WindowSpec(confidence=True))
    assert windows.values.shape[1:] == (3, 24, 18) == (WindowSpec(confidence=True).channels, 24, 18)
    np.testing.assert_array_equal(windows.values[:, :2], all_windows(poses, WindowSpec()).values)
    np.testing.assert_allclose(windows.values[10, 2, :, 7], (10 + np.arange(24)) / 2 / 39, atol=1e-6)
    np.testing.assert_allclose(windows.values[10, 2, :, 1], 0.4, atol=1e-6)
    assert (windows.values[:, 2, :, [0, 2, 3, 4, 6]] == 0).all()


@pytest.mark.parametrize("confidence", [False, True])
def test_place_is_what_normalising_takes_away(confidence: bool) -> None:
    times = np.arange(40) / 30
    poses = track_of(3, times)
    spec = WindowSpec(place=True, confidence=confidence)
    assert spec.channels == 5 + confidence
    windows = all_windows(poses, spec)
    plain = all_windows(poses, WindowSpec())
    np.testing.assert_array_equal(windows.values[:, :2], plain.values)
    place = windows.values[:, -3:, :1, :1]
    np.testing.assert_array_equal(windows.values[:, -3:], np.broadcast_to(place, (len(windows), 3, 24, 18)))
    # with the place given back, the picture's own pixels are there again
    x, y, size = (place[4, i, 0, 0] for i in range(3))
    again = plain.values[4] * np.exp(size) + np.array([x, y])[:, None, None]
    joints = to_18(np.pad(path_of(times[4:28], 3), ((0, 0), (0, 0), (0, 1))).astype(np.float32))[..., :2]
    expected = joints.transpose(2, 0, 1) / np.array([1920, 1080])[:, None, None]
    np.testing.assert_allclose(again, expected, atol=1e-5)


def test_place_of_people_who_are_nowhere_is_finite() -> None:
    poses = track_of(1, np.arange(30) / 30)
    for value in (0.0, 1e30):
        poses.keypoints[..., :2] = value
        assert np.isfinite(all_windows(poses, WindowSpec(place=True)).values).all()


def test_rates() -> None:
    assert median_fps(track_of(1, np.arange(50) / 12.5)) == pytest.approx(12.5)
    assert median_fps(track_of(1, [0.0])) is None
    assert slowest_fps(30.0) < 14.985 < 15.0 * 1.001  # half of NTSC's 29.97 is enough
    assert slowest_fps(30.0) > 14.5


def test_normalise_is_the_published_one() -> None:
    rng = np.random.default_rng(0)
    windows = rng.uniform(0, 500, (5, 3, 16, 18)).astype(np.float32)
    before = windows.copy()
    out = normalise(windows, 856, 480)
    np.testing.assert_array_equal(windows, before)
    np.testing.assert_array_equal(out[:, 2], windows[:, 2])
    y = windows[:, 1].astype(float)
    x = windows[:, 0].astype(float)
    deviation = y.std(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(out[:, 1], (y - y.mean(axis=(1, 2), keepdims=True)) / deviation, atol=1e-5)
    aspect = 480 / 856
    np.testing.assert_allclose(out[:, 0], (x - x.mean(axis=(1, 2), keepdims=True)) * aspect / deviation, atol=1e-5)


@pytest.mark.parametrize("value", [0.0, 333.3, 1e30, 3e38])
def test_a_window_without_extent_is_all_zeros(value: float) -> None:
    windows = np.full((2, 2, 24, 18), value, np.float32)
    windows[1, 0] += np.linspace(0, value, 24 * 18, dtype=np.float32).reshape(24, 18) * 0.1  # x moves, y does not
    assert (normalise(windows, 1920, 1080) == 0).all()


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="expected"):
        normalise(np.zeros((1, 4, 24, 18), np.float32), 10, 10)
    with pytest.raises(ValueError, match="positive"):
        normalise(np.zeros((1, 2, 24, 18), np.float32), 0, 10)
    with pytest.raises(ValueError, match="positive"):
        list(iter_windows(track_of(1, np.arange(30) / 30), **SIZE, spec=WindowSpec(stride=0)))
    with pytest.raises(ValueError, match="must be equal"):
        pose_scores(empty(), run=np.zeros(1, np.int32), centre_pts=np.zeros(2), scores=np.zeros(1), spec=WindowSpec())


def test_nobody_gives_no_windows() -> None:
    assert list(iter_windows(empty(), **SIZE, spec=WindowSpec())) == []
    assert window_count(empty(), WindowSpec()) == 0
    nothing = np.zeros(0)
    assert len(pose_scores(empty(), run=nothing, centre_pts=nothing, scores=nothing, spec=WindowSpec())) == 0


def test_two_poses_of_a_track_at_one_time_count_once() -> None:
    times = np.repeat(np.arange(40) / 30, [2] + [1] * 39)
    assert window_count(track_of(1, times), WindowSpec()) == 17


@pytest.mark.parametrize("stride", [1, 6])
def test_scores_go_to_the_centre_and_to_the_nearest(stride: int) -> None:
    """30 fps without gaps: pose i of n takes the window whose start + 12 is nearest, the earlier of two."""
    n = 60
    poses = track_of(5, np.arange(n) / 30)
    spec = WindowSpec(stride=stride)
    windows = all_windows(poses, spec)
    starts = np.arange(0, n - 24 + 1, stride)
    assert len(windows) == len(starts)
    scores = pose_scores(
        poses,
        run=windows.run[::-1],  # the order of the windows does not matter
        centre_pts=windows.centre_pts[::-1],
        scores=starts[::-1].astype(np.float32),
        spec=spec,
    )
    expected = [starts[np.argmin(np.abs(starts + 12 - i))] for i in range(n)]  # argmin: the first of equals
    np.testing.assert_array_equal(scores, expected)


def test_no_score_crosses_a_gap_or_a_track() -> None:
    long, short = np.arange(40) / 30, 3 + np.arange(10) / 30
    poses = concatenate([track_of(1, np.concatenate([long, short])), track_of(2, long)])
    windows = all_windows(poses, WindowSpec())
    scores = pose_scores(
        poses,
        run=windows.run,
        centre_pts=windows.centre_pts,
        scores=windows.track.astype(np.float32),
        spec=WindowSpec(),
    )
    after = poses.pts >= 3
    assert np.isnan(scores[after]).all()
    np.testing.assert_array_equal(scores[~after], poses.track[~after])


@st.composite
def footage(draw: st.DrawFn) -> Poses:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    fps = draw(st.sampled_from([8.0, 15.0, 25.0, 29.97, 30.0, 60.0]))
    parts = []
    for number in range(draw(st.integers(1, 5))):
        n = int(rng.integers(1, 120))
        times = rng.uniform(0, 5) + np.arange(n) / fps + rng.uniform(-0.2, 0.2, n) / fps
        kept = rng.random(n) > draw(st.sampled_from([0.0, 0.1, 0.5]))
        parts.append(track_of(number * 3, np.sort(times[kept])))
    return concatenate(parts)


@settings(max_examples=40, deadline=None)
@given(footage(), st.integers(1, 7), st.sampled_from([(24, 30.0), (16, 10.0), (5, 12.5)]))
def test_windows_are_finite_counted_and_independent_of_batching(
    poses: Poses, stride: int, window: tuple[int, float]
) -> None:
    spec = WindowSpec(length=window[0], stride=stride, fps=window[1])
    whole = all_windows(poses, spec)
    small = all_windows(poses, spec, batch_size=7)
    assert len(whole) == window_count(poses, spec)
    assert np.isfinite(whole.values).all()
    np.testing.assert_array_equal(whole.run, small.run)
    np.testing.assert_array_equal(whole.centre_pts, small.centre_pts)
    np.testing.assert_allclose(whole.values, small.values, atol=1e-5)
    if len(whole):
        assert whole.values.mean(axis=(2, 3)) == pytest.approx(0, abs=1e-3)
        assert whole.values[:, 1].std(axis=(1, 2)) == pytest.approx(1, abs=1e-3)


@settings(max_examples=40, deadline=None)
@given(footage(), st.integers(1, 7))
def test_a_pose_is_scored_by_its_nearest_window(poses: Poses, stride: int) -> None:
    """Against a plain search over all windows of the pose's track and run."""
    spec = WindowSpec(stride=stride)
    windows = all_windows(poses, spec)
    number = np.arange(len(windows), dtype=np.float32)
    scores = pose_scores(poses, run=windows.run, centre_pts=windows.centre_pts, scores=number, spec=spec)
    for i in np.flatnonzero(np.isfinite(scores))[::5]:
        mine = int(scores[i])
        assert windows.track[mine] == poses.track[i]
        same = windows.centre_pts[windows.run == windows.run[mine]]
        away = np.abs(same - poses.pts[i]).min()
        assert abs(windows.centre_pts[mine] - poses.pts[i]) <= away + 2e-6
    if len(windows):
        assert np.isfinite(scores).any()
    for track in set(poses.track) - set(windows.track):
        assert np.isnan(scores[poses.track == track]).all()


@settings(max_examples=20, deadline=None)
@given(footage(), st.integers(0, 2**16))
def test_order_of_poses_does_not_matter(poses: Poses, seed: int) -> None:
    mixed = poses.take(np.random.default_rng(seed).permutation(len(poses)))
    one, other = all_windows(poses, WindowSpec()), all_windows(mixed, WindowSpec())
    np.testing.assert_array_equal(one.values, other.values)
    np.testing.assert_array_equal(one.track, other.track)
