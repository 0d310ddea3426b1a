"""Extractors: which weights may be loaded, how people are followed, and that frames keep their times."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from alfred.pose.extractors import catalogue, registry
from alfred.pose.extractors.base import MissingWeightsError
from alfred.pose.extractors.movenet import MoveNet
from alfred.pose.extractors.overlap import Detections, iou, nobody, pose_similarity, suppress
from alfred.pose.extractors.tracker import PoseTracker
from alfred.pose.extractors.yolo import Letterbox
from alfred.pose.tracks import Poses, concatenate
from tests.video import clips

SHARED = Path(__file__).resolve().parents[2] / "../shared"


def person(x: float, y: float, height: float = 100.0, score: float = 0.9) -> Detections:
    """A stick figure standing at (x, y) = centre of the box, px."""
    places = np.linspace(-0.45, 0.45, 17)
    keypoints = np.stack([x + 0.15 * height * np.cos(7 * places), y + height * places, np.full(17, 0.8)], axis=1)[None]
    bbox = np.array([[x - 0.2 * height, y - 0.5 * height, 0.4 * height, height]])
    return Detections(keypoints.astype(np.float32), bbox.astype(np.float32), np.array([score], np.float32))


def together(*people: Detections) -> Detections:
    return Detections(*(np.concatenate([getattr(p, n) for p in people]) for n in ("keypoints", "bbox", "score")))


def follow(frames: list[tuple[float, Detections]]) -> Poses:
    tracker = PoseTracker()
    parts = []
    for index, (pts, found) in enumerate(frames):
        tracker.update(index, pts, found)
        parts.append(tracker.settled())
    parts.append(tracker.flush())
    ordered = [p.pts[0] for p in parts if len(p)]
    assert ordered == sorted(ordered)
    return concatenate(parts)


def test_one_walker_is_one_track_from_the_first_frame() -> None:
    poses = follow([(i / 10, person(100 + 12 * i, 200)) for i in range(30)])
    assert len(poses) == 30 and set(poses.track) == {1}
    np.testing.assert_array_equal(poses.frame, np.arange(30))


def test_people_who_cross_keep_their_numbers() -> None:
    frames = [(i / 10, together(person(100 + 10 * i, 200), person(500 - 10 * i, 225))) for i in range(40)]
    poses = follow(frames)
    assert len(poses) == 80 and len(set(poses.track)) == 2
    for number in set(poses.track):
        x = poses.bbox[poses.track == number, 0]
        assert (np.diff(x) > 0).all() or (np.diff(x) < 0).all()


def test_a_short_absence_is_bridged_and_a_long_one_is_not() -> None:
    def walk(gap: float) -> Poses:
        frames = [(i / 10, person(100 + 5 * i, 200)) for i in range(20)]
        frames += [(2 + i / 10, nobody()) for i in range(round(gap * 10))]
        x = 200 + 50 * gap
        return follow([*frames, *[(2 + gap + i / 10, person(x + 5 * i, 200)) for i in range(20)]])

    assert len(set(walk(0.5).track)) == 1
    assert len(set(walk(3.0).track)) == 2


def test_one_frame_ghosts_are_dropped() -> None:
    frames = [
        (i / 10, together(person(100 + i, 200), person(400, 100)) if i == 5 else person(100 + i, 200))
        for i in range(15)
    ]
    poses = follow(frames)
    assert len(poses) == 15 and len(set(poses.track)) == 1


def test_unsure_detections_continue_a_track_but_start_none() -> None:
    assert len(follow([(i / 10, person(100, 200, score=0.15)) for i in range(20)])) == 0
    poses = follow([(i / 10, person(100, 200, score=0.15 if i > 5 else 0.5)) for i in range(20)])
    assert len(poses) == 20 and set(poses.track) == {1}


def test_age_is_counted_in_seconds_not_frames() -> None:
    slow = [(float(2 * i), person(100, 200)) for i in range(6)]  # a frame every two seconds
    assert set(follow(slow).track) == {1}


def test_iou_by_hand() -> None:
    a = np.array([[0, 0, 10, 10]], np.float32)
    b = np.array([[5, 0, 10, 10], [20, 20, 5, 5], [0, 0, 10, 10], [3, 3, 0, 0]], np.float32)
    np.testing.assert_allclose(iou(a, b), [[50 / 150, 0, 1, 0]])


def test_pose_similarity_by_hand() -> None:
    one, other = person(0, 0).keypoints, person(3, 4).keypoints  # all joints 5 px apart
    got = pose_similarity(one, other, np.array([50], np.float32), 0.1)
    assert got[0, 0] == pytest.approx(np.exp(-25 / (2 * 5**2)), rel=1e-4)
    one[:, 2:, 2] = 0
    assert pose_similarity(one, other, np.array([50], np.float32), 0.1)[0, 0] == 0


def test_the_better_of_two_sightings_of_one_person_stays() -> None:
    found = suppress(together(person(102, 201, score=0.5), person(100, 200), person(160, 200, score=0.4)))
    np.testing.assert_allclose(found.score, [0.9, 0.4])


def test_registry() -> None:
    assert {"movenet", "ultralytics"} <= set(registry.names())
    with pytest.raises(registry.UnknownExtractorError, match="movenet"):
        registry.create("nothing")
    code = (
        "import sys, alfred.pose.extractors.registry as r; r.names()\n"
        "heavy = ('torch', 'ultralytics', 'ai_edge_litert', 'onnxruntime', 'av', 'scipy')\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_movenet_weights_come_out_of_the_installed_package(tmp_path: Path) -> None:
    path = catalogue.resolve("movenet_multipose_lightning_fp16", tmp_path)
    assert path.parent == tmp_path
    assert hashlib.sha256(path.read_bytes()).hexdigest().startswith("d4489f89e6bd6777")
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_unknown_bytes_are_not_loaded_unless_the_operator_says_so(tmp_path: Path) -> None:
    file = tmp_path / "yolov8n-pose.pt"
    file.write_bytes(b"who knows")
    digest = hashlib.sha256(b"who knows").hexdigest()
    for wanted in ("yolov8n-pose", "yolov8n-pose.pt", str(file)):
        with pytest.raises(MissingWeightsError, match=digest):
            catalogue.resolve(wanted, tmp_path)
    allow = tmp_path / "weights.allow"
    allow.write_text(f"# {digest}  commented out\n{digest[:-1]}  short\n")
    with pytest.raises(MissingWeightsError, match=digest):
        catalogue.resolve("yolov8n-pose", tmp_path)
    allow.write_text(f"# ours\n{digest}  yolov8n-pose.pt\n")
    assert catalogue.resolve("yolov8n-pose", tmp_path) == file


def test_a_catalogue_name_stands_for_its_own_bytes_only(tmp_path: Path) -> None:
    movenet = catalogue.resolve("movenet_multipose_lightning_fp16", tmp_path)
    movenet.rename(tmp_path / "yolov8n-pose-deq.onnx")
    with pytest.raises(MissingWeightsError):
        catalogue.resolve("yolov8n-pose-deq", tmp_path)


@pytest.mark.parametrize("wanted", ["../x.pt", "sub/x.pt", "nothing", "yolo11n-pose", "/nowhere/x.pt"])
def test_missing_weights_say_what_to_do(tmp_path: Path, wanted: str) -> None:
    with pytest.raises(MissingWeightsError, match=r"folder|path"):
        catalogue.resolve(wanted, tmp_path)


@pytest.fixture(scope="module")
def movenet(tmp_path_factory: pytest.TempPathFactory) -> MoveNet:
    return MoveNet(weights_dir=tmp_path_factory.mktemp("weights"), imgsz=128)


def test_movenet_finds_nobody_in_squares(movenet: MoveNet, tmp_path: Path) -> None:
    times = [0.0, 0.1, 0.25, 0.9, 1.0]
    chunks = list(movenet.extract(clips.make(tmp_path / "a.mp4", times=times)))
    assert sum(len(c.poses) for c in chunks) == 0
    assert chunks[-1].frames_done == 5 and chunks[-1].pts == pytest.approx(1.0, abs=1e-3)


def test_movenet_says_what_its_poses_depend_on(movenet: MoveNet) -> None:
    info = json.loads(json.dumps(movenet.info()))
    assert info["imgsz"] == 128 and info["weights_sha256"].startswith("d4489f89")
    assert "ai-edge-litert" in info["versions"] and info["tracker"]["min_hits"] == 3
    with pytest.raises(ValueError, match="multiple of 32"):
        MoveNet(imgsz=100)


def test_letterbox_by_hand() -> None:
    box = Letterbox(1920, 1080, 640)
    assert (box.scaled, box.padded, box.corner) == ((640, 360), (640, 384), (0, 12))
    image = np.full((360, 640, 3), 255, np.uint8)
    placed = box.place(image)
    assert placed.shape == (3, 384, 640) and placed[0, 12, 0] == 1
    assert placed[0, 11, 0] == pytest.approx(114 / 255)
    output = np.zeros((56, 3), np.float32)
    output[:5, 0] = (100, 112, 40, 80, 0.9)
    output[:5, 1] = (101, 112, 40, 80, 0.8)  # the same person
    output[:5, 2] = (300, 112, 40, 80, 0.05)  # too unsure
    output[5:, 0] = np.tile([100, 112, 0.5], 17)
    found = box.people(output, 0.1, 0.7)
    np.testing.assert_allclose(found.bbox, [[240, 180, 120, 240]])
    np.testing.assert_allclose(found.keypoints[0, 0], [300, 300, 0.5])


def test_yolo_from_a_checkpoint_offline(tmp_path: Path) -> None:
    """Random weights: that it loads by its hash, runs on our frames, and asks the network for nothing."""
    code = """
import hashlib, json, socket, sys
from pathlib import Path
asked = []
def no(*a, **k): asked.append(a[:1]); raise OSError("no network in this test")
socket.getaddrinfo = socket.create_connection = no
folder, clip = Path(sys.argv[1]), Path(sys.argv[2])
from alfred.pose.extractors.ultralytics import UltralyticsPose, prepare
prepare(folder / "config")
import torch; torch.manual_seed(0); torch.set_num_threads(1)
from ultralytics import YOLO
YOLO("yolov8n-pose.yaml").save(folder / "mine.pt")
try: UltralyticsPose(weights="mine.pt", weights_dir=folder, imgsz=128); refused = False
except Exception as error: refused = type(error).__name__
digest = hashlib.sha256((folder / "mine.pt").read_bytes()).hexdigest()
(folder / "weights.allow").write_text(digest + "  mine.pt")
extractor = UltralyticsPose(weights="mine.pt", weights_dir=folder, imgsz=128, batch=2, precision="float32")
chunks = list(extractor.extract(clip))
json.dumps(extractor.info())
print(json.dumps([refused, chunks[-1].frames_done, round(chunks[-1].pts, 3), asked]))
"""
    clip = clips.make(tmp_path / "a.mp4", times=[0.0, 0.1, 0.25, 0.9, 1.0])
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), str(clip)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == ["MissingWeightsError", 5, 1.0, []]


def test_a_killed_child_leaves_nothing_visible(tmp_path: Path) -> None:
    code = """
import sys, time
from pathlib import Path
from alfred.artifacts import Artifacts
from alfred.pose.formats.parquet import PoseMeta, PoseWriter
from tests.pose.test_parquet import make
store = Artifacts(Path(sys.argv[1]))
with store.temporary(".parquet") as path, PoseWriter(path, PoseMeta(64, 48, 10.0)) as writer:
    writer.add(make(9000))
    print("half", flush=True)
    time.sleep(60)
"""
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None and child.stdout.readline().strip() == "half"
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert [p.parent.name for p in tmp_path.rglob("*") if p.is_file()] == ["tmp"]


@pytest.fixture
def shared_clip() -> Path:
    path = SHARED / "data" / "videos" / "fall_lawn.mp4"
    if not path.exists():
        pytest.skip("needs the data folder beside the checkout")
    return path


@pytest.mark.shared
def test_movenet_follows_one_man_through_a_fall(shared_clip: Path, tmp_path: Path) -> None:
    chunks = list(MoveNet(weights_dir=tmp_path, imgsz=256).extract(shared_clip))
    poses = concatenate([c.poses for c in chunks])
    assert chunks[-1].frames_done == 61
    numbers, counts = np.unique(poses.track, return_counts=True)
    main = poses.take(poses.track == numbers[counts.argmax()])
    assert counts.max() >= 50
    # Portrait, 720 × 960: he kneels on the left half, upright at first, wider than high at the end.
    assert (main.bbox[:, 0] > 0).all() and (main.bbox[:, 1] + main.bbox[:, 3] <= 960.5).all()
    first, last = main.bbox[0], main.bbox[-1]
    assert first[3] / first[2] > 1.5 > last[3] / last[2]
    assert all(a.pts <= b.pts for a, b in pairwise(chunks))


@pytest.mark.shared
def test_yolo_finds_what_stock_ultralytics_finds(shared_clip: Path) -> None:
    from alfred.pose.extractors.ultralytics import UltralyticsPose, prepare
    from alfred.video.decode import frames

    prepare()
    from ultralytics import YOLO

    from alfred.pose.extractors.torchvision_cpu import ensure_torchvision

    ensure_torchvision()
    weights = SHARED / "data" / "weights"
    ours = concatenate([c.poses for c in UltralyticsPose(weights_dir=weights).extract(shared_clip)])
    stock = YOLO(str((weights / "yolov8n-pose-deq.pt").resolve()), task="pose")
    overlaps = []
    with frames(shared_clip) as video:
        for frame in video:
            if frame.index % 15 == 5:
                found = stock.predict(frame.image[:, :, ::-1], conf=0.25, verbose=False)[0].boxes.xyxy.numpy()
                boxes = np.concatenate([found[:, :2], found[:, 2:] - found[:, :2]], axis=1)
                overlaps.append(iou(boxes, ours.bbox[ours.frame == frame.index]).max(axis=1))
    assert np.concatenate(overlaps).mean() > 0.95
