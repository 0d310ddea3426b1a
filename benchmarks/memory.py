"""Peak memory must not grow with the recording: each step on a clip and on eight of it, in processes of
their own.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

BUDGET = "peak memory of extraction, and of reading + windowing + scoring, at most 1.15 x for 8 x the length"
WANTED = 1.15
TIMES = 8
CLIP_FRAMES = 150
SIZE = (640, 360)
POSES_FRAMES = 900
PEOPLE = 5
STEPS = ("extract", "score")
MANY = (100_000, 1_000_000)
"""Poses of a stretch and of a day; their windows in one array would take 0.5 and 5 GB."""


def run() -> tuple[dict[str, float | str], bool]:
    """Peak resident memory (MB) of each step at 1 x and 8 x; the second value says whether the budget is
    met.
    """
    figures: dict[str, float | str] = {}
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for step in STEPS:
            peaks = []
            for times in (1, TIMES):
                path = Path(folder) / f"{step}-{times}"
                _call("make", step, path, times)
                peaks.append(_call("run", step, path, times)["peak_mb"])
                figures[f"{step}, {times} x: MB"] = round(peaks[-1])
            figures[f"{step}, {TIMES} x / 1 x"] = round(peaks[1] / peaks[0], 3)
            worst = max(worst, peaks[1] / peaks[0])
    for poses in MANY:
        extra = _call("run", "many", Path("unused"), poses)["peak_mb"]
        figures[f"memory, windows of {poses} poses in memory, beyond the poses: MB"] = round(extra)
    return figures, worst < WANTED


def _call(what: str, step: str, path: Path, times: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.memory", what, step, str(path), str(times)]
    root = Path(__file__).resolve().parents[1]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _make_clip(path: Path, times: int) -> None:
    """A moving pattern, H.264, 640 × 360, 10 a second."""
    import av
    import numpy as np
    from av.video.frame import VideoFrame

    width, height = SIZE
    ramp = np.add.outer(np.arange(height), np.arange(width))[..., None] * np.array([1, 2, 3])
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(10), options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for i in range(CLIP_FRAMES * times):
            picture = VideoFrame.from_ndarray(((ramp + 3 * i) % 256).astype(np.uint8), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def _make_poses(path: Path, times: int) -> None:
    """Five people for half a minute, `times` over, each time under new numbers."""
    import numpy as np

    from alfred.pose.formats.parquet import PoseMeta, PoseWriter
    from alfred.pose.tracks import from_arrays

    rng = np.random.default_rng(0)
    with PoseWriter(path, PoseMeta(*SIZE, 30.0)) as writer:
        for part in range(times):
            frame = np.repeat(np.arange(POSES_FRAMES), PEOPLE)
            track = np.tile(np.arange(PEOPLE), POSES_FRAMES) + PEOPLE * part
            n = len(frame)
            keypoints = rng.random((n, 17, 3)) * 300
            at = frame + POSES_FRAMES * part
            writer.add(from_arrays(track, at, at / 30, keypoints, rng.random((n, 4)), rng.random(n)))


def _extract(path: Path) -> None:
    from alfred.pose.extractors.movenet import MoveNet
    from alfred.pose.formats.parquet import PoseMeta, PoseWriter

    with tempfile.TemporaryDirectory() as folder:
        extractor = MoveNet(imgsz=256)
        with PoseWriter(Path(folder) / "poses.parquet", PoseMeta(*SIZE, 10.0)) as writer:
            for chunk in extractor.extract(path):
                writer.add(chunk.poses)


def _score(path: Path) -> None:
    import numpy as np

    from alfred.detectors import registry
    from alfred.detectors.scoring import score_poses
    from alfred.pose.formats.parquet import read_poses

    detector = registry.create("stg_nf")
    detector.load(registry.source_for("stg_nf", 30)[0])
    scores = score_poses(read_poses(path), width=SIZE[0], height=SIZE[1], detector=detector, batch_size=1024)
    if not np.isfinite(scores).any():
        raise RuntimeError("nothing was scored")


def _many(n: int) -> float:
    """Peak memory (MB) that scoring `n` poses adds to what the process and the poses take."""
    import numpy as np

    from alfred.detectors import registry
    from alfred.detectors.scoring import score_poses
    from alfred.pose.tracks import Poses

    rng = np.random.default_rng(0)
    frame = np.repeat(np.arange(n // PEOPLE), PEOPLE)
    track = (np.tile(np.arange(PEOPLE), n // PEOPLE) + PEOPLE * (frame // POSES_FRAMES)).astype(np.int32)
    keypoints = rng.random((len(frame), 17, 3), dtype=np.float32) * 300
    box = rng.random((len(frame), 4), dtype=np.float32)
    poses = Poses(track, frame, frame / 30, keypoints, box, np.ones(len(frame), np.float32))
    detector = registry.create("memory")
    detector.load(registry.source_for("memory", 30)[0])
    shape = (1, detector.window.channels, detector.window.length, 18)
    detector.score(np.zeros(shape, np.float32))
    before = _peak_mb()
    score_poses(poses, width=SIZE[0], height=SIZE[1], detector=detector)
    return _peak_mb() - before


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    what, step, path, times = sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])
    if step == "many":
        print(json.dumps({"peak_mb": _many(times)}))
        sys.exit()
    makers, runners = {"extract": _make_clip, "score": _make_poses}, {"extract": _extract, "score": _score}
    if what == "make":
        makers[step](path, times)
    else:
        runners[step](path)
    print(json.dumps({"peak_mb": _peak_mb()}))
