import numpy as np
import pytest

from alfred.pose import stick_people
from alfred.pose.segments import cut_segments, segment_labels
from alfred.pose.simulate import ACTIONS, FALLING, FIGHTING, JOGGING, SimulatedStream, simulate
from alfred.pose.stick_people import HIP, KNEE, Motion

HIPS, SHOULDERS, KNEES, ANKLES, WRISTS = ([11, 12], [5, 6], [13, 14], [15, 16], [9, 10])


@pytest.fixture(scope="module")
def stream() -> SimulatedStream:
    return simulate(seed=1, minutes=10, anomaly_share=0.1)


def body(motion: Motion, heading: float = np.pi / 2, stature: float = 1.8) -> np.ndarray:
    return stick_people.joints(motion.angles, np.full(len(motion.angles), heading), stature)


def times(seconds: float, fps: float = 30.0) -> np.ndarray:
    return np.arange(round(seconds * fps)) / fps


def motions() -> dict[str, Motion]:
    rng, t = np.random.default_rng(0), times(6)
    return {
        "walk": stick_people.walk(t, rng, 1.3, 1.8),
        "jog": stick_people.walk(t, rng, 2.8, 1.8),
        "stand": stick_people.stand(t, rng),
        "sit": stick_people.sit(t, rng),
        "fall": stick_people.fall(t, rng),
        "fight": stick_people.fight(t, rng),
    }


@pytest.mark.parametrize("name", list(motions()))
def test_limbs_keep_their_length_and_nobody_sinks_or_floats(name: str) -> None:
    joints = body(motions()[name])
    for upper, lower, share in (
        (HIPS, KNEES, stick_people.THIGH),
        (KNEES, ANKLES, stick_people.SHANK),
        ([7, 8], WRISTS, stick_people.FOREARM),
    ):
        length = np.linalg.norm(joints[:, upper] - joints[:, lower], axis=2)
        assert length == pytest.approx(np.full(length.shape, 1.8 * share))
    lowest = joints[:, :, 1].min(axis=1)
    assert (lowest > 0.05).all() and (lowest < 0.12).all()


def test_a_standing_person_has_the_proportions_of_one() -> None:
    joints = body(Motion(np.zeros((1, 16)), np.zeros(1), np.zeros(1), planted=True))[0]
    assert joints[0, 1] == pytest.approx(0.93 * 1.8, abs=0.04), "the nose is a hand below the crown"
    assert joints[SHOULDERS, 1].mean() == pytest.approx(0.82 * 1.8, abs=0.03)
    assert joints[HIPS, 1].mean() == pytest.approx(0.53 * 1.8, abs=0.03)
    assert joints[KNEES, 1].mean() == pytest.approx(0.285 * 1.8, abs=0.03)
    # Facing right: the left side is the far one, the nose is in front of the ears.
    assert joints[5, 2] > joints[6, 2]
    assert joints[0, 0] > joints[3, 0]


def test_a_walker_swings_legs_in_turn_and_the_standing_foot_hardly_slides() -> None:
    t = times(6, 60)
    motion = stick_people.walk(t, np.random.default_rng(2), 1.3, 1.8)
    hips = motion.angles[:, HIP]
    assert np.corrcoef(hips[:, 0], hips[:, 1])[0, 1] < -0.99
    assert (motion.angles[:, KNEE] >= 0).all(), "knees bend one way only"
    ankles = body(motion)[:, ANKLES, 0] + 1.3 * t[:, None]
    slide = np.abs(np.diff(ankles, axis=0)).min(axis=1) * 60
    assert np.median(slide) < 0.35
    assert np.ptp(ankles[-1]) < 1.0


def test_the_same_arguments_give_the_same_stream() -> None:
    first, second = (simulate(seed=5, minutes=1) for _ in range(2))
    assert (first.poses.keypoints == second.poses.keypoints).all()
    assert (first.actions == second.actions).all()
    other = simulate(seed=6, minutes=1)
    assert first.poses.keypoints.shape != other.poses.keypoints.shape


def test_the_view_seed_moves_the_camera() -> None:
    # Standing height in the picture, at the bottom of it, differs from camera to camera.
    tall = [np.median(simulate(seed=1, minutes=3, view_seed=v).poses.bbox[:, 3]) for v in (0, 1, 2)]
    assert len({round(float(h)) for h in tall}) == 3


def test_all_arrays_belong_together(stream: SimulatedStream) -> None:
    poses, n = stream.poses, len(stream.poses)
    assert n > 5000
    assert stream.labels.shape == stream.actions.shape == (n,)
    assert stream.labels.dtype == stream.actions.dtype == np.uint8
    assert stream.action_names == ACTIONS
    assert set(np.unique(stream.actions)) == set(range(len(ACTIONS)))
    assert (stream.labels == (stream.actions >= FALLING)).all()
    assert (np.lexsort((poses.track, poses.pts)) == np.arange(n)).all()
    assert poses.pts == pytest.approx(poses.frame / 15.0)
    assert poses.frame.max() < 10 * 60 * 15
    assert len(np.unique(np.stack([poses.track, poses.frame]), axis=1).T) == n, "one pose a person and frame"


def test_keypoints_stay_in_the_picture_and_confidence_says_what_is_seen(stream: SimulatedStream) -> None:
    poses = stream.poses
    assert np.isfinite(poses.keypoints).all()
    x, y, confidence = np.moveaxis(poses.keypoints, 2, 0)
    assert x.min() >= 0 and x.max() <= 1279 and y.min() >= 0 and y.max() <= 719
    assert confidence.min() > 0 and confidence.max() < 1
    cut_off = poses.bbox[:, 0] <= 0
    assert cut_off.any()
    assert confidence[cut_off].mean() < confidence[~cut_off].mean() - 0.05
    inside = (poses.bbox[:, :2] >= 0).all() and (poses.bbox[:, 0] + poses.bbox[:, 2] <= 1279.01).all()
    assert inside
    assert 0.3 < np.median(poses.score) < 0.98


@pytest.mark.parametrize("share", [0.0, 0.02, 0.1, 0.5])
def test_the_share_of_anomalous_poses_is_what_was_asked(share: float) -> None:
    found = simulate(seed=3, minutes=15 if share < 0.2 else 4, anomaly_share=share).labels.mean()
    assert found == pytest.approx(share, abs=0.008 if share < 0.2 else 0.04)


def test_people_are_tracks_of_some_seconds(stream: SimulatedStream) -> None:
    poses = stream.poses
    _, row = np.unique(poses.track, return_inverse=True)
    start, end = (np.full(row.max() + 1, fill) for fill in (np.inf, -np.inf))
    np.minimum.at(start, row, poses.pts)
    np.maximum.at(end, row, poses.pts)
    seconds = end - start
    assert seconds.max() <= 25
    assert 6 <= np.median(seconds) <= 25
    assert np.mean(seconds >= 4) > 0.85
    # A frame is missed now and then.
    seen = np.bincount(row) / (seconds * 15 + 1)
    assert 0.9 < seen.mean() < 0.999


def test_anomalous_tracks_are_so_for_only_part_of_their_time(stream: SimulatedStream) -> None:
    tracks = np.unique(stream.poses.track[stream.labels == 1])
    partly = [(stream.labels[stream.poses.track == t] == 0).any() for t in tracks]
    assert np.mean(partly) > 0.8
    segments = cut_segments(stream.poses)
    labels = segment_labels(stream.labels, segments.pose_segment, len(segments))
    mixed = np.isin(segments.track, tracks) & (labels == 0)
    assert labels.sum() > 20 and mixed.sum() > 15


def test_who_falls_ends_up_low_and_wide() -> None:
    stream = simulate(seed=2, minutes=10, anomaly_share=0.1)
    poses, wide = stream.poses, []
    for track in np.unique(poses.track[stream.actions == FALLING]):
        rows = np.flatnonzero(poses.track == track)
        falling = stream.actions[rows] == FALLING
        if falling.sum() < 45 or falling.all():
            continue
        before, after = rows[~falling][-1], rows[-1]
        upright, down = poses.bbox[before, 2:], poses.bbox[after, 2:]
        assert down[1] < 0.75 * upright[1]
        wide.append(down[0] / down[1])
    assert len(wide) >= 5
    assert np.median(wide) > 1.2


def test_who_fights_is_close_to_somebody_who_fights(stream: SimulatedStream) -> None:
    poses = stream.poses
    fighting = np.flatnonzero(stream.actions == FIGHTING)
    near = []
    for row in fighting[::10]:
        others = fighting[(poses.frame[fighting] == poses.frame[row]) & (fighting != row)]
        apart = np.abs(poses.bbox[others, 0] - poses.bbox[row, 0])
        near.append((apart < 1.5 * poses.bbox[row, 3]).any())
    assert np.mean(near) > 0.85


def test_calm_streams_have_no_joggers() -> None:
    assert JOGGING not in simulate(seed=1, minutes=10, calm=True).actions
    assert JOGGING in simulate(seed=1, minutes=10, calm=False).actions


def test_other_rates_and_sizes() -> None:
    small = simulate(seed=1, minutes=2, fps=10.0, width=640, height=480)
    assert (small.fps, small.width, small.height) == (10.0, 640, 480)
    assert small.poses.pts == pytest.approx(small.poses.frame / 10)
    assert small.poses.keypoints[..., 0].max() <= 639


def test_an_empty_stream_and_bad_arguments() -> None:
    nobody = simulate(seed=1, minutes=1, people_per_minute=0)
    assert len(nobody.poses) == len(nobody.labels) == 0
    for wrong in ({"anomaly_share": 1.0}, {"minutes": 0}, {"fps": 0}, {"width": 5}):
        with pytest.raises(ValueError, match="simulate"):
            simulate(**({"seed": 1, "minutes": 1} | wrong))
