"""Readers of pose files: what they make of good ones, and one sentence for each bad one."""

from __future__ import annotations

import json
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alfred.pose.formats import alphapose, mocap
from alfred.pose.formats.labelled import MAX_TRACKS, BadPoses, LabelledPoses

SHARED = Path(__file__).resolve().parents[2] / "../shared/data"
Arrays = dict[str, Any]


def good_arrays(n: int = 6) -> Arrays:
    """Two scenes, the track number 1 in both; rows in no order."""
    rng = np.random.default_rng(0)
    return {
        "scene": np.array([1, 0, 0, 0, 1, 0], np.int16)[:n],
        "frame_index": np.array([3, 0, 1, 0, 2, 2], np.int32)[:n],
        "track_id": np.array([1, 1, 1, 2, 1, 1], np.int32)[:n],
        "keypoints": rng.uniform(0.1, 0.9, (n, 17, 3)).astype(np.float32),
        "bbox": rng.uniform(0, 9, (n, 4)).astype(np.float32),
        "label": np.array([1, 0, 0, 0, 1, 0], np.uint8)[:n],
        "action": np.arange(n, dtype=np.uint8),
    }


def write(path: Path, arrays: Arrays) -> Path:
    np.savez_compressed(path, **arrays)
    return path


def refused(path: Path, reader: Any = mocap.read) -> str:
    with pytest.raises(BadPoses) as caught:
        reader(path)
    sentence = str(caught.value)
    assert "\n" not in sentence and len(sentence) < 300
    assert path.name.split("_")[0] in sentence
    return sentence


def test_scenes_are_laid_one_after_another(tmp_path: Path) -> None:
    arrays = good_arrays()
    (tmp_path / "C7_meta.json").write_text(
        json.dumps({"fps": 25, "resolution": [640, 480], "actions": ["walk", "run"]})
    )
    data = mocap.read(write(tmp_path / "C7_test.npz", arrays))
    assert (data.fps, data.width, data.height, data.action_names) == (25.0, 640, 480, ("walk", "run"))
    # by time: scene 0 frames 0 0 1 2, scene 1 (from 30 s) frames 2 3; rows of the file: 1 3 2 5 4 0
    rows = [1, 3, 2, 5, 4, 0]
    np.testing.assert_allclose(data.poses.pts, [0, 0, 0.04, 0.08, 30.08, 30.12])
    np.testing.assert_array_equal(data.poses.frame, [0, 0, 1, 2, 752, 753])
    np.testing.assert_array_equal(data.labels, arrays["label"][rows])
    np.testing.assert_array_equal(data.actions, arrays["action"][rows])
    np.testing.assert_array_equal(data.blocks, arrays["scene"][rows])
    np.testing.assert_array_equal(data.poses.keypoints, arrays["keypoints"][rows])
    np.testing.assert_array_equal(data.poses.bbox, arrays["bbox"][rows])
    track = data.poses.track
    assert len({track[0], track[1], track[4]}) == 3  # the same number in two scenes is two people
    assert track[0] == track[2] == track[3] and track[4] == track[5]


def test_without_labels_boxes_and_meta_file(tmp_path: Path) -> None:
    arrays = {k: v for k, v in good_arrays().items() if k not in ("label", "bbox", "action")}
    arrays["keypoints"][0, :, 2] = 0
    arrays["keypoints"][0, 3:6] = [[5, 7, 1], [9, 8, 1], [6, 20, 1]]
    data = mocap.read(write(tmp_path / "mine.npz", arrays), resolution=(100, 50))
    assert (data.labels, data.actions, data.fps, data.width, data.height) == (None, None, 30.0, 100, 50)
    np.testing.assert_allclose(data.poses.bbox[-1], [5, 7, 4, 13])  # around the joints that were seen
    assert mocap.read(tmp_path / "mine.npz").width is None


def test_long_scenes_do_not_run_into_each_other(tmp_path: Path) -> None:
    arrays = good_arrays()
    arrays["frame_index"][1] = 1000
    data = mocap.read(write(tmp_path / "x.npz", arrays))
    assert data.blocks is not None
    assert data.poses.pts[data.blocks == 1].min() > data.poses.pts[data.blocks == 0].max()


BROKEN = {
    "an array is missing": (lambda a: a.pop("track_id"), "missing"),
    "NaN": (lambda a: a["keypoints"].__setitem__((2, 3, 0), np.nan), "NaN"),
    "infinity in a box": (lambda a: a["bbox"].__setitem__((1, 1), np.inf), "NaN or infinity"),
    "15 joints": (lambda a: a.update(keypoints=a["keypoints"][:, :15]), "shape"),
    "no confidence": (lambda a: a.update(keypoints=a["keypoints"][..., :2]), "shape"),
    "negative frame": (lambda a: a["frame_index"].__setitem__(0, -1), "negative"),
    "negative track": (lambda a: a["track_id"].__setitem__(0, -1), "negative"),
    "negative scene": (lambda a: a["scene"].__setitem__(0, -1), "negative"),
    "a frame twice": (lambda a: a["frame_index"].__setitem__(2, 0), "twice"),
    "fewer labels": (lambda a: a.update(label=a["label"][:-1]), "shape"),
    "label 2": (lambda a: a["label"].__setitem__(0, 2), "label"),
    "objects": (lambda a: a.update(label=np.array([{}] * 6, object)), "object"),
    "text": (lambda a: a.update(scene=np.array(["a"] * 6)), "plain numbers"),
    "a scalar": (lambda a: a.update(scene=np.array(3)), "shape"),
    "coordinates beyond any picture": (lambda a: a["keypoints"].__setitem__((0, 0, 0), 1e20), "beyond"),
    "no poses": (lambda a: a.update({k: v[:0] for k, v in a.items()}), "no poses"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_bad_npz_gets_one_sentence(tmp_path: Path, name: str) -> None:
    arrays = good_arrays()
    damage, word = BROKEN[name]
    damage(arrays)
    assert word in refused(write(tmp_path / "bad.npz", arrays))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not really", b"hello", json.dumps({"1": {}}).encode()])
def test_what_is_no_archive_gets_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.npz"
    path.write_bytes(content)
    assert "not a readable" in refused(path)


def test_a_missing_file_gets_one_sentence(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "none.npz")
    assert "no such file" in refused(tmp_path / "none.json", alphapose.read)


def test_a_truncated_archive_and_a_truncated_array(tmp_path: Path) -> None:
    whole = write(tmp_path / "good.npz", good_arrays()).read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    refused(tmp_path / "cut.npz")
    with zipfile.ZipFile(tmp_path / "good.npz") as good, zipfile.ZipFile(tmp_path / "short.npz", "w") as bad:
        for name in good.namelist():
            content = good.read(name)
            bad.writestr(name, content[:-40] if name == "keypoints.npy" else content)
    assert "shorter" in refused(tmp_path / "short.npz")
    middle = len(whole) // 2
    (tmp_path / "bent.npz").write_bytes(whole[:middle] + bytes([255 - whole[middle]] * 9) + whole[middle + 9 :])
    assert "not a readable" in refused(tmp_path / "bent.npz")


def test_a_header_that_claims_terabytes_allocates_nothing(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "huge.npz", "w") as archive:
        for name, array in good_arrays().items():
            with archive.open(f"{name}.npy", "w") as stream:
                header = np.lib.format.header_data_from_array_1_0(array)
                header["shape"] = (10**11, *array.shape[1:])
                np.lib.format.write_array_header_1_0(stream, header)
                stream.write(array.tobytes())
    tracemalloc.start()
    assert "shorter" in refused(tmp_path / "huge.npz")
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()


@pytest.mark.parametrize(
    "meta",
    [
        "[]",
        "{",
        '{"resolution": [1]}',
        '{"resolution": [0, 5]}',
        '{"resolution": "ab"}',
        '{"resolution": [4, 3], "fps": 0}',
        '{"resolution": [4, 3], "fps": "x"}',
    ],
)
def test_a_bad_meta_file_gets_one_sentence(tmp_path: Path, meta: str) -> None:
    (tmp_path / "C1_meta.json").write_text(meta)
    assert "C1_meta.json" in refused(write(tmp_path / "C1_test.npz", good_arrays()))


def test_a_million_tracks_are_refused_before_the_keypoints_are_read(tmp_path: Path) -> None:
    n = 1_000_000
    with zipfile.ZipFile(tmp_path / "many.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        flat = {
            "scene": np.zeros(n, np.int16),
            "frame_index": np.zeros(n, np.int32),
            "track_id": np.arange(n),
        }
        for name, array in flat.items():
            with archive.open(f"{name}.npy", "w") as stream:
                np.lib.format.write_array(stream, array)
        with archive.open("keypoints.npy", "w", force_zip64=True) as stream:
            header = {"descr": "<f4", "fortran_order": False, "shape": (n, 17, 3)}
            np.lib.format.write_array_header_1_0(stream, header)
            zeros = bytes(17 * 3 * 4 * 10_000)
            for _ in range(n // 10_000):
                stream.write(zeros)
    tracemalloc.start()
    assert "1000000 tracks" in refused(tmp_path / "many.npz")
    assert tracemalloc.get_traced_memory()[1] < 100e6  # they would be 204 MB
    tracemalloc.stop()


def person(frames: list[str], joints: int = 51, score: Any = 0.5) -> dict[str, Any]:
    return {f: {"keypoints": [float(i + 1) / 60 for i in range(joints)], "scores": score} for f in frames}


def save(path: Path, stored: Any) -> Path:
    path.write_text(stored if isinstance(stored, str) else json.dumps(stored))
    return path


def test_alphapose_persons_and_frames(tmp_path: Path) -> None:
    """Frames sort by number, not as text; a person may be a list; a score may be null."""
    stored = {"12": person(["9", "10", "100"]), "3": [person(["7"]), person(["8"], score=None)]}
    poses = alphapose.read(save(tmp_path / "a.json", stored), fps=10)
    np.testing.assert_array_equal(poses.frame, [7, 8, 9, 10, 100])
    np.testing.assert_array_equal(poses.track, [3, 3, 12, 12, 12])
    np.testing.assert_allclose(poses.pts, [0.7, 0.8, 0.9, 1.0, 10.0])
    np.testing.assert_allclose(poses.keypoints[0, 1], np.array([4, 5, 6]) / 60, rtol=1e-6)
    np.testing.assert_allclose(poses.score, [0.5, np.mean(np.arange(3, 52, 3)) / 60, 0.5, 0.5, 0.5], rtol=1e-5)
    np.testing.assert_allclose(poses.bbox[0], np.array([1, 2, 48, 48]) / 60, rtol=1e-5)


BAD_JSON = {
    "not JSON": ("{'1': 2}", "not JSON"),
    "cut off": ('{"1": {"0": {"keypoints": [1, 2', "not JSON"),
    "a list": ("[1, 2]", "no object"),
    "nested too deeply": ("[" * 100_000, "not JSON"),
    "nobody": ("{}", "no poses"),
    "no frames": ('{"1": {}}', "no poses"),
    "15 joints": (json.dumps({"1": person(["0"], 45)}), "45 keypoint values"),
    "18 joints": (json.dumps({"1": person(["0"], 54)}), "54 keypoint values"),
    "NaN": (json.dumps({"1": person(["0"])}).replace("0.05", "NaN"), "NaN"),
    "infinity by overflow": (json.dumps({"1": person(["0"])}).replace("0.05", "1e999"), "not finite"),
    "text for a number": (json.dumps({"1": person(["0"])}).replace("0.05", '"x"'), "not numbers"),
    "a long number": (json.dumps({"1": person(["0"])}).replace("0.05", "9" * 5000), "number"),
    "negative frame": (json.dumps({"1": person(["-3"])}), "frame '-3'"),
    "frame with a name": (json.dumps({"1": person(["a.jpg"])}), "frame 'a.jpg'"),
    "a huge frame": (json.dumps({"1": person(["9999999999"])}), "whole number"),
    "person with a name": (json.dumps({"bob": person(["0"])}), "person 'bob'"),
    "a frame twice": (json.dumps({"1": person(["01", "1"])}), "twice"),
    "a key twice": ('{"1": {"0": %s, "0": %s}}' % ((json.dumps(person(["0"])["0"]),) * 2), "twice"),
    "a person twice": (json.dumps({"1": person(["0"]), "01": person(["5"])}), "twice"),
    "a frame without keypoints": ('{"1": {"0": {"scores": 1}}}', "without keypoints"),
    "keypoints at the top": ('{"keypoints": []}', "keypoint values"),
    "score of another kind": (json.dumps({"1": person(["0"], score=[1])}), "scores"),
}


@pytest.mark.parametrize("name", BAD_JSON)
def test_a_bad_json_gets_one_sentence(tmp_path: Path, name: str) -> None:
    text, word = BAD_JSON[name]
    assert word in refused(save(tmp_path / "bad.json", text), alphapose.read)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", bytes(1000)])
def test_bytes_that_are_no_text_get_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    refused(path, alphapose.read)


def test_many_persons_are_refused_before_parsing(tmp_path: Path) -> None:
    pose = '{"0":{"keypoints":[' + ",".join(["0"] * 51) + "]}}"
    with (tmp_path / "many.json").open("w") as stream:
        stream.write("{")
        stream.writelines(f'"{i}":{pose},' for i in range(MAX_TRACKS + 1))
        stream.write(f'"{MAX_TRACKS + 1}":{pose}}}')
    tracemalloc.start()
    assert "tracks" in refused(tmp_path / "many.json", alphapose.read)
    assert tracemalloc.get_traced_memory()[1] < 1e6
    tracemalloc.stop()


def test_a_json_too_large_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.json"
    with path.open("wb") as stream:
        stream.truncate(alphapose.MAX_BYTES + 1)  # a hole: takes no space
    assert "MB" in refused(path, alphapose.read)


def test_what_is_known_must_be_one_a_pose(tmp_path: Path) -> None:
    data = mocap.read(write(tmp_path / "x.npz", good_arrays()))
    part = data.take(np.array([1, 3]))
    np.testing.assert_array_equal(part.poses.pts, data.poses.pts[[1, 3]])
    assert part.labels is not None and len(part.labels) == 2
    with pytest.raises(ValueError, match="labels"):
        LabelledPoses(data.poses, np.zeros(2, np.uint8), None, None, None, 30.0)


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="the data folder is not beside the checkout")
def test_the_real_files() -> None:
    data = mocap.read(SHARED / "mocap-cctv/C0_test.npz")
    assert (len(data.poses), data.width, data.height, data.fps) == (4000, 1920, 1080, 30.0)
    assert data.labels is not None and data.labels.sum() == 2000
    assert data.action_names[0] == "walk"
    for path in sorted((SHARED / "poses/clips").glob("*.json")):
        poses = alphapose.read(path)
        assert len(poses) > 0 and (np.diff(poses.pts) >= 0).all()
