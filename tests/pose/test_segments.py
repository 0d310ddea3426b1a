import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alfred.pose.segments import cut_segments, segment_labels, segment_scores
from alfred.pose.tracks import Poses, empty, from_arrays


def poses_at(times: dict[int, list[float]]) -> Poses:
    """Poses of tracks at these seconds; boxes 10 px wide, 20 px high, at x = 100 · track + pts."""
    track = np.concatenate([[t] * len(at) for t, at in times.items()])
    pts = np.concatenate([np.asarray(at, float) for at in times.values()])
    bbox = np.stack([100 * track + pts, np.zeros(len(pts)), np.full(len(pts), 10), np.full(len(pts), 20)], 1)
    keypoints = np.zeros((len(pts), 17, 3))
    keypoints[:, :, 2] = track[:, None] / 10
    return from_arrays(track, np.round(pts * 100), pts, keypoints, bbox, np.ones(len(pts)))


def every(step: float, start: float, end: float) -> list[float]:
    """Times from start to end, the end included."""
    return list(start + step * np.arange(round((end - start) / step) + 1))


def test_a_track_is_cut_every_four_seconds_from_its_own_start() -> None:
    poses = poses_at({7: every(0.1, 3.0, 14.5), 2: every(0.1, 0.0, 2.0)})
    segments = cut_segments(poses)
    assert list(segments.track) == [2, 7, 7, 7]
    assert list(segments.ordinal) == [0, 0, 1, 2]
    assert segments.start_pts == pytest.approx([0.0, 3.0, 7.0, 11.0])
    assert segments.end_pts == pytest.approx([2.0, 6.9, 10.9, 14.5])
    assert list(segments.n_poses) == [21, 40, 40, 36]
    assert segments.centre[1] == pytest.approx([700 + 4.95 + 5, 10])
    assert segments.height == pytest.approx([20] * 4)
    assert segments.confidence == pytest.approx([0.2, 0.7, 0.7, 0.7])


@pytest.mark.parametrize("rest, count", [(0.0, 2), (0.9, 2), (1.0, 3), (1.5, 3)])
def test_a_rest_under_a_second_joins_the_one_before(rest: float, count: int) -> None:
    segments = cut_segments(poses_at({1: every(0.1, 0.0, 8.0 + rest)}))
    assert list(segments.ordinal) == list(range(count))
    assert segments.end_pts[-1] == pytest.approx(8.0 + rest)


def test_a_short_track_is_one_segment_and_nobody_is_none() -> None:
    segments = cut_segments(poses_at({1: [5.0]}))
    assert (segments.start_pts[0], segments.end_pts[0], segments.n_poses[0]) == (5.0, 5.0, 1)
    assert len(cut_segments(empty())) == 0


def test_a_gap_leaves_ordinals_out_and_moves_no_cut() -> None:
    whole = cut_segments(poses_at({1: every(0.1, 0.0, 19.9)}))
    holed = cut_segments(poses_at({1: every(0.1, 0.0, 3.0) + every(0.1, 13.0, 19.9)}))
    assert list(whole.ordinal) == [0, 1, 2, 3, 4]
    assert list(holed.ordinal) == [0, 3, 4]
    assert holed.start_pts[-1] == whole.start_pts[-1]


def test_cuts_hold_at_absolute_times_and_at_any_rate() -> None:
    # Seconds since 1970 have a resolution of a quarter of a microsecond.
    late = cut_segments(poses_at({1: every(1 / 30, 1.7e9, 1.7e9 + 12.5)}))
    assert list(late.n_poses) == [120, 120, 136]
    slow = cut_segments(poses_at({1: every(0.5, 0.0, 12.5)}))
    assert list(slow.start_pts) == [0, 4, 8]


def test_bad_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="positive"):
        cut_segments(empty(), seconds=0)


tracks = st.dictionaries(
    st.integers(0, 5), st.lists(st.integers(0, 300), min_size=1, max_size=40, unique=True), max_size=4
)


@settings(max_examples=60)
@given(tracks)
def test_every_pose_is_in_exactly_one_segment_of_its_track(times: dict[int, list[int]]) -> None:
    poses = poses_at({t: [x / 10 for x in at] for t, at in times.items()}) if times else empty()
    segments = cut_segments(poses)
    rows = segments.pose_segment
    assert (segments.track[rows] == poses.track).all()
    assert (segments.start_pts[rows] <= poses.pts).all() and (poses.pts <= segments.end_pts[rows]).all()
    assert list(np.bincount(rows, minlength=len(segments))) == list(segments.n_poses)
    assert (rows[segments.first_pose] == np.arange(len(segments))).all()
    assert (poses.pts[segments.last_pose] == segments.end_pts).all()
    assert (segments.end_pts - segments.start_pts < 5.0 + 1e-6).all()
    keys = list(zip(segments.track, segments.ordinal, strict=True))
    assert keys == sorted(set(keys))


def test_segments_of_one_track_depend_on_no_other() -> None:
    alone = cut_segments(poses_at({3: every(0.1, 2.0, 13.0)}))
    crowd = cut_segments(poses_at({1: every(0.3, 0.0, 20.0), 3: every(0.1, 2.0, 13.0)}))
    mine = crowd.track == 3
    assert (crowd.start_pts[mine] == alone.start_pts).all() and (crowd.ordinal[mine] == alone.ordinal).all()


def test_scores_by_hand() -> None:
    rows = np.array([0, 0, 0, 0, 0, 0, 1, 1, 2, 2])
    scores = [1, 9, 3, 4, 5, 6, 7, 2, np.nan, np.nan]
    found = segment_scores(scores, rows, 4)
    assert found.score == pytest.approx([3, 2, np.nan, np.nan], nan_ok=True)
    assert list(found.peak) == [1, 6, -1, -1]
    assert segment_scores(scores, rows, 4, m=1).score[:2] == pytest.approx([9, 7])
    assert segment_scores([5, 5], np.array([0, 0]), 1).peak == [0], "the earliest of equals"


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 3), st.floats(-5, 5) | st.just(np.nan)), max_size=40), st.integers(1, 6))
def test_scores_agree_with_sorting_each_segment(items: list[tuple[int, float]], m: int) -> None:
    rows = np.array([r for r, _ in items], np.int64)
    scores = np.array([s for _, s in items], np.float32)
    found = segment_scores(scores, rows, 4, m=m)
    for segment in range(4):
        own = sorted((float(s) for s in scores[rows == segment] if np.isfinite(s)), reverse=True)
        if not own:
            assert np.isnan(found.score[segment]) and found.peak[segment] == -1
        else:
            assert found.score[segment] == own[min(m, len(own)) - 1]
            assert scores[found.peak[segment]] == own[0] and rows[found.peak[segment]] == segment


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=40), st.integers(1, 6))
def test_label_and_score_say_the_same_under_a_perfect_detector(items: list[tuple[int, bool]], m: int) -> None:
    rows = np.array([r for r, _ in items], np.int64)
    labels = np.array([y for _, y in items], np.uint8)
    found = segment_labels(labels, rows, 4, m=m)
    flagged = segment_scores(labels, rows, 4, m=m).score >= 0.5
    assert list(found) == list(flagged)


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match="values for"):
        segment_scores([1.0], np.array([0, 0]), 1)
    with pytest.raises(ValueError, match="m must"):
        segment_labels([1], np.array([0]), 1, m=0)
