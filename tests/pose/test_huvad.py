"""Poses of HuVAD and CHAD: what is written in their layout comes back as labelled clips; one sentence for the rest."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alfred.pose.formats import benchmark, huvad
from alfred.pose.formats.labelled import MAX_TRACKS, BadPoses
from alfred.pose.published import PUBLISHED_SIZE

Stored = dict[Any, Any]


def keypoints(seed: int = 0, *, width: float = 1200, height: float = 700) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.uniform([0, 0, 0.1], [width, height, 0.9], (17, 3))


def pose(seed: int = 0, **size: float) -> list[np.ndarray]:
    return [np.array([10.0 + seed, 20.0, 30.0, 60.0]), keypoints(seed, **size)]


def video(path: Path, stored: Stored, labels: Any = None, *, protocol: int = 4) -> Path:
    """The pickle, and the labels beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(stored, protocol))
    if labels is not None:
        np.save(path.with_suffix(".npy"), np.asarray(labels))
    return path


def walk(frames: int, people: int = 1, first: int = 0, **size: float) -> Stored:
    return {
        str(frame): {str(person): pose(frame * 10 + person, **size) for person in range(people)}
        for frame in range(first, first + frames)
    }


@pytest.mark.parametrize(
    "name, expected",
    [
        ("0_12.pkl", ("C0", 12, None)),
        ("5_007.pkl", ("C5", 7, None)),
        ("6_3.pkl", ("CSC", 3, None)),
        ("1_065_1.pkl", ("C1", 65, (1920, 1080))),
        ("4_12_0.pkl", ("C4", 12, (1280, 720))),
        ("6_1_0.pkl", ("C6", 1, None)),
    ],
)
def test_names_tell_the_camera(name: str, expected: Any) -> None:
    found = huvad.parse_name(name)
    assert found is not None and (found.camera, found.number, found.resolution) == expected


@pytest.mark.parametrize("name", ["a_1.pkl", "1.pkl", "1_2_3.pkl", "1_2.npy", "1_2.pkl.part", "-1_2.pkl", "x1_2.pkl"])
def test_other_names_are_of_another_kind(name: str) -> None:
    assert huvad.parse_name(name) is None


@pytest.mark.parametrize("protocol", range(6))
def test_poses_come_back_in_order_of_time(tmp_path: Path, protocol: int) -> None:
    stored = {"10": {"7": pose(1), "2": pose(2)}, "9": {"7": pose(3)}, "11": {}}
    poses = huvad.read(video(tmp_path / "0_1.pkl", stored, protocol=protocol), fps=25)
    np.testing.assert_array_equal(poses.frame, [9, 10, 10])
    np.testing.assert_array_equal(poses.track, [7, 2, 7])
    np.testing.assert_allclose(poses.pts, [0.36, 0.4, 0.4])
    for row, seed in enumerate((3, 2, 1)):
        np.testing.assert_allclose(poses.keypoints[row], keypoints(seed), rtol=1e-6)
        np.testing.assert_allclose(poses.bbox[row], [10 + seed, 20, 30, 60])
        assert poses.score[row] == pytest.approx(keypoints(seed)[:, 2].mean(), rel=1e-5)


KEYPOINTS = keypoints(4)
FORMS: dict[str, Stored] = {
    "whole numbers as keys": {3: {5: [np.array([1, 2, 3, 4]), KEYPOINTS]}},
    "NumPy's numbers as keys": {np.int64(3): {np.int32(5): [np.array([1, 2, 3, 4]), KEYPOINTS]}},
    "padded text as keys": {"000003": {"05": [np.array([1, 2, 3, 4]), KEYPOINTS]}},
    "a tuple": {"3": {"5": (np.array([1, 2, 3, 4]), KEYPOINTS)}},
    "one row": {"3": {"5": [np.array([1, 2, 3, 4], "f4"), KEYPOINTS.reshape(51).astype("f4")]}},
    "within brackets": {"3": {"5": [np.array([[1, 2, 3, 4]]), KEYPOINTS[None]]}},
    "lists of numbers": {"3": {"5": [[1, 2.0, 3, 4], KEYPOINTS.tolist()]}},
    "one list of numbers": {"3": {"5": [(1, 2, 3, 4), tuple(KEYPOINTS.reshape(-1).tolist())]}},
    "columns first in memory": {"3": {"5": [np.array([1, 2, 3, 4]), np.asfortranarray(KEYPOINTS)]}},
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_the_same_pose(tmp_path: Path, form: str) -> None:
    poses = huvad.read(video(tmp_path / "0_1.pkl", FORMS[form]))
    assert (poses.frame.tolist(), poses.track.tolist(), poses.pts.tolist()) == ([3], [5], [0.1])
    np.testing.assert_allclose(poses.keypoints[0], KEYPOINTS, rtol=1e-6)
    np.testing.assert_array_equal(poses.bbox, [[1, 2, 3, 4]])


def test_shared_poses_and_confidence_beyond_one(tmp_path: Path) -> None:
    same = [np.array([1, 2, 3, 4]), KEYPOINTS * [1, 1, 2]]
    poses = huvad.read(video(tmp_path / "0_1.pkl", {str(frame): {"1": same} for frame in range(50)}))
    assert len(poses) == 50 and (poses.keypoints == poses.keypoints[0]).all()
    np.testing.assert_allclose(poses.keypoints[0, :, 2], np.minimum(KEYPOINTS[:, 2] * 2, 1), rtol=1e-6)


def test_a_video_without_anybody_is_no_error(tmp_path: Path) -> None:
    assert len(huvad.read(video(tmp_path / "0_1.pkl", {}))) == 0
    assert len(huvad.read(video(tmp_path / "0_1.pkl", {"0": {}, "1": {}}))) == 0


def changed(change: Callable[[list[Any]], Any]) -> Stored:
    one = pose()
    out = change(one)
    return {"1": {"1": one if out is None else out}}


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("exit 1",)


BROKEN: dict[str, tuple[Any, str]] = {
    "a list": ([1], "no dict of frames"),
    "a number": (3, "no dict of frames"),
    "frames without persons": ({"1": [1]}, "no dict of persons"),
    "a person without box": (changed(lambda p: p[1:]), "no [box, keypoints]"),
    "a person of three": (changed(lambda p: [*p, 1]), "no [box, keypoints]"),
    "a person of one array": (changed(lambda p: p[1]), "no [box, keypoints]"),
    "a person of a dict": (changed(lambda p: {0: p[0], 1: p[1]}), "no [box, keypoints]"),
    "a frame with a name": ({"one": {"1": pose()}}, "frame is not a whole number"),
    "a negative frame": ({-1: {"1": pose()}}, "frame is not a whole number"),
    "a huge person": ({"1": {2**40: pose()}}, "person is not a whole number"),
    "15 joints": (changed(lambda p: [p[0], p[1][:15]]), "shape (15, 3)"),
    "no confidence": (changed(lambda p: [p[0], p[1][:, :2]]), "shape (17, 2)"),
    "crosswise": (changed(lambda p: [p[0], p[1].T]), "shape (3, 17)"),
    "a box of corners": (changed(lambda p: [p[0].reshape(2, 2), p[1]]), "box numbers have shape (2, 2)"),
    "a box and a score": (changed(lambda p: [np.append(p[0], 1), p[1]]), "box numbers have shape (5,)"),
    "a box of text": (changed(lambda p: [["1", "2", "3", "4"], p[1]]), "box numbers are no plain numbers"),
    "a box of one number": (changed(lambda p: [4, p[1]]), "box numbers are no plain numbers"),
    "yes and no": (changed(lambda p: [p[0] > 0, p[1]]), "box numbers are no plain numbers"),
    "lists of unequal length": (changed(lambda p: [p[0], [[1, 2, 3], [1]]]), "keypoints are no plain numbers"),
    "very long lists": (changed(lambda p: [p[0], [1.0] * 1000]), "keypoints are no plain numbers"),
    "NaN": (changed(lambda p: p[1].__setitem__((0, 0), np.nan)), "NaN or infinity"),
    "infinity in a box": (changed(lambda p: p[0].__setitem__(0, np.inf)), "NaN or infinity"),
    "beyond any picture": (changed(lambda p: p[1].__setitem__((0, 1), 1e9)), "beyond 1000000"),
    "the same frame twice": ({"1": {"1": pose()}, 1: {"1": pose()}}, "twice"),
    "code": ({"1": {"1": [Evil(), KEYPOINTS]}}, "'posix.system', which is code"),
    "an array of objects": ({"1": {"1": np.array([np.zeros(4), KEYPOINTS], object)}}, "not plain numbers"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_bad_video_gets_one_sentence(tmp_path: Path, name: str) -> None:
    stored, words = BROKEN[name]
    with pytest.raises(BadPoses) as caught:
        huvad.read(video(tmp_path / "0_1.pkl", stored))
    sentence = str(caught.value)
    assert words in sentence and sentence.startswith("0_1.pkl") and "\n" not in sentence and len(sentence) < 300


def test_too_many_tracks_and_no_rate(tmp_path: Path) -> None:
    same = pose()
    with pytest.raises(BadPoses, match=f"more than {MAX_TRACKS}"):
        huvad.read(video(tmp_path / "0_1.pkl", {"0": dict.fromkeys(range(MAX_TRACKS + 1), same)}))
    with pytest.raises(ValueError, match="must be positive"):
        huvad.read(tmp_path / "0_1.pkl", fps=0)


def test_clips_of_test_videos_only(tmp_path: Path) -> None:
    video(tmp_path / "annotations/train/0_1.pkl", walk(5), [0] * 5)
    video(tmp_path / "annotations/test/0_10.pkl", walk(6, people=2), [0, 0, 1, 1, 0, 0])
    video(tmp_path / "annotations/test/0_9.pkl", walk(4), [0] * 8)
    video(tmp_path / "annotations/test/6_1.pkl", walk(4, first=2, width=1900, height=1000), [0, 0, 0, 1, 1, 1])
    clips = benchmark.read_clips(tmp_path)
    assert [(clip.camera, clip.name) for clip in clips] == [("C0", "0_9"), ("C0", "0_10"), ("CSC", "6_1")]
    assert [(clip.width, clip.height, clip.fps) for clip in clips] == [(1280, 720, 30)] * 2 + [(1920, 1080, 30)]
    assert [len(clip.frame_labels) for clip in clips] == [8, 6, 6]
    np.testing.assert_array_equal(clips[1].pose_labels, np.repeat([0, 0, 1, 1, 0, 0], 2))
    np.testing.assert_array_equal(clips[2].pose_labels, [0, 1, 1, 1])
    (told, *_) = benchmark.read_clips(tmp_path / "annotations/test", fps=15, resolution=(1000, 500))
    assert (told.width, told.height, told.fps, told.poses.pts[-1]) == (1000, 500, 15, 0.2)
    (alone,) = benchmark.read_clips(tmp_path / "annotations/test/6_1.pkl")
    assert (alone.camera, alone.width) == ("CSC", 1920)


@pytest.mark.parametrize("place", ["labels", "anomaly_labels/test", "poses/labels/test", "poses/test/anomaly_labels"])
def test_labels_are_found(tmp_path: Path, place: str) -> None:
    video(tmp_path / "poses/test/0_1.pkl", walk(3))
    with pytest.raises(BadPoses, match=r"0_1.pkl: no 0_1.npy .*--masks"):
        benchmark.read_clips(tmp_path)
    (tmp_path / place).mkdir(parents=True)
    np.save(tmp_path / place / "0_1.npy", np.array([0, 1, 0], np.int64))
    (clip,) = benchmark.read_clips(tmp_path)
    np.testing.assert_array_equal(clip.pose_labels, [0, 1, 0])
    with pytest.raises(BadPoses, match=r"no frame mask 0_1\.npy in elsewhere"):
        benchmark.read_clips(tmp_path, tmp_path / "elsewhere")
    (clip,) = benchmark.read_clips(tmp_path, tmp_path / place)
    np.testing.assert_array_equal(clip.frame_labels, [0, 1, 0])


def test_frames_counted_from_one(tmp_path: Path) -> None:
    video(tmp_path / "0_1.pkl", walk(4, first=1), [0, 0, 1, 1])
    (clip,) = benchmark.read_clips(tmp_path)
    np.testing.assert_array_equal(clip.poses.frame, [0, 1, 2, 3])
    np.testing.assert_array_equal(clip.pose_labels, [0, 0, 1, 1])
    assert clip.poses.pts[0] == 0


@pytest.mark.parametrize(
    "labels, words",
    [
        ([0, 1, 1], "0_1.npy has 3 frames, but 0_1.pkl goes on to frame 3"),
        ([0, 1, 2, 1], "one 0 or 1 a frame"),
        ([[0, 1, 1, 1]], "one 0 or 1 a frame"),
        ([0, 0, 0, 0], "nothing is labelled anomalous"),
        (np.array([{}] * 4, object), "no frame mask could be read"),
    ],
)
def test_impossible_labels_get_one_sentence(tmp_path: Path, labels: Any, words: str) -> None:
    video(tmp_path / "0_1.pkl", walk(4), labels)
    with pytest.raises(BadPoses, match=words):
        benchmark.read_clips(tmp_path)


def test_chad_by_its_lists(tmp_path: Path) -> None:
    for name in ("1_001_0", "1_002_1", "4_002_1"):
        video(tmp_path / f"annotations/{name}.pkl", walk(3))
        (tmp_path / "anomaly_labels").mkdir(exist_ok=True)
        np.save(tmp_path / f"anomaly_labels/{name}.npy", np.array([0, name.endswith("1"), 0], np.uint8))
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits/test_split_1.txt").write_text("4_002_1.pkl\n1_002_1\n\n")
    clips = benchmark.read_clips(tmp_path)
    assert [(clip.name, clip.camera, clip.width, clip.height) for clip in clips] == [
        ("1_002_1", "C1", 1920, 1080),
        ("4_002_1", "C4", 1280, 720),
    ]
    (tmp_path / "splits/test_split_1.txt").write_text("1_002_1\n../../x_1_1\n")
    with pytest.raises(BadPoses, match=r"lists 'x_1_1', which is not there \(1 of 2 missing\)"):
        benchmark.read_clips(tmp_path)


def test_two_folders_of_test_videos_are_not_guessed_at(tmp_path: Path) -> None:
    for above in ("conventional", "continual"):
        video(tmp_path / above / "test/0_1.pkl", walk(2), [0, 1])
    with pytest.raises(BadPoses, match=r"several folders of test videos \(continual/test, conventional/test\)"):
        benchmark.read_clips(tmp_path)
    assert len(benchmark.read_clips(tmp_path / "continual")) == 1


def test_nobody_in_any_test_video(tmp_path: Path) -> None:
    video(tmp_path / "0_1.pkl", {}, [0, 1])
    (clip,) = benchmark.read_clips(tmp_path)
    assert (len(clip.poses), clip.width, clip.height) == (0, *PUBLISHED_SIZE)
