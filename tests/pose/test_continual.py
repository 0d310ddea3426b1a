"""Cameras of the continual experiment: slices in order, read when asked for, in each of the three layouts."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alfred.pose.formats import benchmark, huvad, mocap
from alfred.pose.formats.continual import ContinualCamera, Slice, read_cameras
from alfred.pose.formats.labelled import BadPoses
from alfred.pose.published import PUBLISHED_SIZE

SHARED = Path(__file__).resolve().parents[2] / "../shared/data/mocap-cctv"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the data folder is not beside the checkout")


def joints(count: int, *, width: float = 1200, height: float = 700) -> np.ndarray:
    """(count, 17, 3); pose k is told by its first joint's x, which is k / 8."""
    out = np.tile(np.linspace([1, 1, 0.5], [width, height, 0.5], 17), (count, 1, 1))
    out[:, 0, 0] = np.arange(count) / 8
    return out


def pickled(path: Path, people: list[int], labels: list[int] | None = None, **size: float) -> None:
    """A video with so many people in each frame; labels 0 unless given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    poses = iter(joints(sum(people), **size))
    stored = {str(f): {str(p): [np.ones(4), next(poses)] for p in range(count)} for f, count in enumerate(people)}
    path.write_bytes(pickle.dumps(stored))
    np.save(path.with_suffix(".npy"), np.array(labels or [0] * len(people)))


def scenes(path: Path, poses_a_scene: list[int], anomalous: int = 0) -> None:
    n = sum(poses_a_scene)
    np.savez(
        path,
        scene=np.repeat(np.arange(len(poses_a_scene)), poses_a_scene),
        frame_index=np.concatenate([np.arange(count) for count in poses_a_scene]),
        track_id=np.zeros(n, np.int32),
        keypoints=joints(n),
        label=(np.arange(n) < anomalous).astype(np.uint8),
    )


def marks(part: Slice) -> list[float]:
    """Which poses there are, clip after clip, by `joints`."""
    return [float(x) * 8 for clip in part.load() for x in clip.poses.keypoints[:, 0, 0]]


def only(folder: Path, **what: Any) -> ContinualCamera:
    (camera,) = read_cameras(folder, **what)
    return camera


def test_mocap_files_are_slices(tmp_path: Path) -> None:
    for camera in ("C2", "C10"):
        for number in (10, 2, 0):
            scenes(tmp_path / f"{camera}_train_{number}.npz", [3, number + 1], anomalous=2)
        scenes(tmp_path / f"{camera}_test.npz", [5], anomalous=1)
    scenes(tmp_path / "S0_train.npz", [4])
    scenes(tmp_path / "C9_train_0.npz", [4])  # has no test file
    (tmp_path / "C2_meta.json").write_text(json.dumps({"fps": 15, "resolution": [640, 480]}))
    assert [camera.name for camera in read_cameras(tmp_path)] == ["C10", "C2"]
    c2, c10 = read_cameras(tmp_path, ["C2", "C10", "C2"])
    assert (c2.name, c2.width, c2.height, c2.fps, c10.width) == ("C2", 640, 480, 15, PUBLISHED_SIZE[0])
    assert [part.name for part in c2.slices] == ["C2_train_0", "C2_train_2", "C2_train_10"]
    assert [[len(clip.poses) for clip in part.load()] for part in c2.slices] == [[3, 1], [3, 3], [3, 11]]
    clips = c2.slices[0].load()
    assert [clip.name for clip in clips] == ["C2_0", "C2_1"] and clips[0].width == 640
    np.testing.assert_array_equal(clips[0].pose_labels, [1, 1, 0])
    assert c2.test.name == "C2_test" and [len(clip.poses) for clip in c2.test.load()] == [5]


def test_nine_videos_are_nine_slices_and_nothing_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1, 10):
        pickled(tmp_path / f"train/6_{number * 3}.pkl", [number])
    pickled(tmp_path / "test/6_100.pkl", [1, 0, 2], [0, 0, 1], width=1900, height=900)
    camera = only(tmp_path)
    assert (camera.name, camera.width, camera.height, camera.fps) == ("CSC", 1920, 1080, 30)
    assert [len(marks(part)) for part in camera.slices] == list(range(1, 10))  # 3, 6, 9, 12 …: numbers, not text
    assert [part.parts[0].path.stem for part in camera.slices][-1] == "6_27"
    assert camera.slices[0].load()[0].width == 1920  # the test data tell the size of all
    (test,) = camera.test.load()
    np.testing.assert_array_equal(test.pose_labels, [0, 1, 1])
    assert pickle.loads(pickle.dumps(camera)) == camera

    def unread(path: Path, **_: Any) -> Any:
        raise AssertionError(path)

    monkeypatch.setattr(huvad, "read", unread)
    told = only(tmp_path, resolution=(1280, 720), fps=15)
    assert (told.width, told.height, told.fps) == (1280, 720, 15)


def test_other_numbers_of_videos_are_cut_by_poses(tmp_path: Path) -> None:
    """Three videos of 40, 5 and 45 poses in nine slices of ten; the frame numbers of a part count from its first."""
    pickled(tmp_path / "train/2_1.pkl", [2] * 20, [0] * 12 + [1] * 8)
    pickled(tmp_path / "train/2_9.pkl", [0, 5, 0])
    pickled(tmp_path / "train/2_10.pkl", [1] * 45)
    pickled(tmp_path / "test/2_2.pkl", [1], [1])
    slices = only(tmp_path).slices
    assert [part.name for part in slices] == [f"C2_train_{number}" for number in range(9)]
    assert [marks(part) for part in slices[:4]] == [list(range(10 * k, 10 * k + 10)) for k in range(4)]
    assert marks(slices[4]) == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4]  # the second video and the first five of the third
    assert marks(slices[8]) == [35, 36, 37, 38, 39, 40, 41, 42, 43, 44]
    assert sum(len(clip.frame_labels) for part in slices for clip in part.load()) == 20 + 3 + 45
    (second,) = slices[1].load()
    np.testing.assert_array_equal(second.poses.frame, np.repeat(np.arange(5), 2))
    np.testing.assert_allclose(second.poses.pts, np.repeat(np.arange(5), 2) / 30, atol=1e-12)
    (third,) = slices[2].load()
    np.testing.assert_array_equal(third.frame_labels, [0, 0, 1, 1, 1])
    np.testing.assert_array_equal(third.pose_labels, np.repeat([0, 0, 1, 1, 1], 2))


def test_cuts_are_between_frames(tmp_path: Path) -> None:
    pickled(tmp_path / "train/0_1.pkl", [3, 3, 1, 5, 0, 0, 2])
    pickled(tmp_path / "test/0_2.pkl", [1], [1])
    slices = only(tmp_path, slices=2).slices
    # 14 poses, so the second half begins with the first frame whose first pose is the 8th or later: frame 3
    assert [len(marks(part)) for part in slices] == [7, 7]
    assert [len(clip.frame_labels) for part in slices for clip in part.load()] == [3, 4]
    whole = only(tmp_path, slices=1).slices
    assert [len(marks(part)) for part in whole] == [14]


def test_alphapose_with_masks(tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    for split, clips in {"train": ["01_002", "01_010", "02_001"], "test": ["01_0020", "02_0001"]}.items():
        for clip in clips:
            (tmp_path / "poses" / split).mkdir(parents=True, exist_ok=True)
            (masks / split).mkdir(parents=True, exist_ok=True)
            stored = {"1": {str(f): {"keypoints": joints(9)[f].reshape(-1).tolist(), "scores": None} for f in range(9)}}
            path = tmp_path / "poses" / split / f"{clip}{benchmark.ALPHAPOSE}"
            path.write_text(json.dumps(stored))
            np.save(masks / split / f"{clip}.npy", np.arange(9) % 2)
    one, two = read_cameras(tmp_path / "poses", masks=masks, slices=3)
    assert (one.name, two.name) == ("01", "02") and (one.width, one.height) == PUBLISHED_SIZE
    assert [marks(part) for part in one.slices] == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 0, 1, 2], [3, 4, 5, 6, 7, 8]]
    assert [marks(part) for part in two.slices] == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    np.testing.assert_array_equal(two.slices[1].load()[0].pose_labels, [1, 0, 1])
    assert len(benchmark.read_clips(tmp_path / "poses", masks)) == 2


@pytest.mark.parametrize("division", [1, 2])
def test_chad_by_its_second_division_where_there_is_one(tmp_path: Path, division: int) -> None:
    for number in range(1, 4):
        pickled(tmp_path / f"annotations/1_00{number}_1.pkl", [1] * 9, [0] * 8 + [1])
    (tmp_path / "splits").mkdir()
    for which in range(1, division + 1):
        (tmp_path / f"splits/train_split_{which}.txt").write_text(f"1_00{which}_1\n")
        (tmp_path / f"splits/test_split_{which}.txt").write_text("1_003_1\n")
    camera = only(tmp_path)
    assert (camera.name, camera.width, camera.height) == ("C1", 1920, 1080)
    assert {part.parts[0].path.stem for part in camera.slices} == {f"1_00{division}_1"} and len(camera.slices) == 9


def test_what_is_missing_gets_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadPoses, match="no camera has training and test data"):
        read_cameras(tmp_path)
    pickled(tmp_path / "train/0_1.pkl", [1, 1])
    with pytest.raises(BadPoses, match="no camera has training and test data"):
        read_cameras(tmp_path)
    pickled(tmp_path / "test/0_2.pkl", [1], [1])
    with pytest.raises(BadPoses, match="has no camera 'C7'; it has C0"):
        read_cameras(tmp_path, ["C7"])
    with pytest.raises(BadPoses, match=r"^0_1.pkl and what follows hold 2 poses, too few for 9 slices"):
        read_cameras(tmp_path)
    (tmp_path / "train/0_1.npy").unlink()
    with pytest.raises(BadPoses, match=r"0_1.pkl: no 0_1.npy of its frames' labels"):
        read_cameras(tmp_path)


@pytest.mark.shared
@needs_shared
def test_the_mocap_cameras() -> None:
    cameras = read_cameras(SHARED)
    assert [camera.name for camera in cameras] == ["C0", "C1", "C2", "C3", "C4", "C5", "CSC"]
    assert all(len(camera.slices) == 9 and camera.fps == 30 for camera in cameras)
    first = cameras[0]
    assert (first.width, first.height) == (1920, 1080)
    assert sum(len(clip.poses) for part in first.slices for clip in part.load()) == 27020
    assert sum(int(clip.pose_labels.sum()) for clip in first.test.load()) == 2000


@pytest.mark.shared
@needs_shared
def test_mocap_written_as_pickles_gives_the_same_poses(tmp_path: Path) -> None:
    """The same camera in HuVAD's layout: poses and slices agree, labels are those of the frames."""
    for source, target in [("C4_train_0", "train/4_1"), ("C4_test", "test/4_2")]:
        data = mocap.read(SHARED / f"{source}.npz")
        stored: dict[str, Any] = {str(frame): {} for frame in range(int(data.poses.frame.max()) + 1)}
        assert data.labels is not None
        labels = np.zeros(len(stored), np.int64)
        np.maximum.at(labels, data.poses.frame, data.labels)
        for row, frame in enumerate(data.poses.frame):
            stored[str(frame)][str(data.poses.track[row])] = [data.poses.bbox[row], data.poses.keypoints[row]]
        path = tmp_path / f"{target}.pkl"
        path.parent.mkdir()
        path.write_bytes(pickle.dumps(stored))
        np.save(path.with_suffix(".npy"), labels)
    train = mocap.read(SHARED / "C4_train_0.npz").poses
    camera = only(tmp_path, slices=1)
    (clip,) = camera.slices[0].load()
    np.testing.assert_array_equal(clip.poses.keypoints, train.keypoints)
    np.testing.assert_array_equal(clip.poses.track, train.track)
    np.testing.assert_allclose(clip.poses.pts, train.pts)
    nine = only(tmp_path).slices
    counts = [sum(len(c.poses) for c in part.load()) for part in nine]
    assert sum(counts) == len(train) and max(counts) - min(counts) < 20
