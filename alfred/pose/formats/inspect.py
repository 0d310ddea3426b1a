"""What a file is and whether it can be used, found out in a child process with limits before anything is stored."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from alfred.pose.formats import alphapose, mocap
from alfred.pose.formats.labelled import BadPoses, LabelledPoses
from alfred.video.probe import BadVideo, probe_safely

COMMON_SIZES = ((640, 480), (856, 480), (1280, 720), (1920, 1080), (3840, 2160), (7680, 4320))
"""Where a pose file names no picture size, the smallest of these that holds all joints is taken."""
DEFAULT_FPS = 30.0
TIME_LIMIT_S = 180.0
MEMORY_LIMIT = 6 << 30
POSE_SUFFIXES = {".json", ".npz"}


class BadFile(Exception):
    """The file can't be used; the message is one sentence: what is wrong, what to do."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """`origin` is "video" or "poses"; sizes in px of the upright picture; `words` for people."""

    origin: str
    width: int
    height: int
    fps: float
    duration_s: float
    has_labels: bool
    words: str


def is_pose_file(path: Path) -> bool:
    """By name: poses come as .json or .npz; everything else is taken for video."""
    return path.suffix.lower() in POSE_SUFFIXES


def read_labelled(path: Path, *, fps: float | None = None, resolution: tuple[int, int] | None = None) -> LabelledPoses:
    """A pose file in whichever format it is. Raises BadPoses."""
    if path.suffix.lower() == ".npz":
        return mocap.read(path, fps=fps, resolution=resolution)
    poses = alphapose.read(path, fps=fps or DEFAULT_FPS)
    width, height = resolution or (None, None)
    return LabelledPoses(poses, None, None, width, height, fps or DEFAULT_FPS)


def inspect(path: Path, *, fps: float | None = None, resolution: tuple[int, int] | None = None) -> FileFacts:
    """Read a pose file through and say what it holds. Raises BadPoses."""
    found = read_labelled(path, fps=fps, resolution=resolution)
    poses = found.poses
    if len(poses) == 0:
        raise BadPoses(f"{path.name} holds no poses; there is nothing to add.")
    width, height = (found.width, found.height) if found.width and found.height else size_for(found)
    words = f"{len(poses)} poses of {len(np.unique(poses.track))} tracks at {found.fps:g} fps"
    if not found.width:
        words += f"; it names no picture size, taken as {width}×{height}"
    if found.labels is not None:
        words += f", {int(found.labels.sum())} poses labelled anomalous"
    duration = float(poses.pts[-1]) + 1 / found.fps
    return FileFacts("poses", int(width), int(height), found.fps, duration, found.labels is not None, words)


def size_for(found: LabelledPoses) -> tuple[int, int]:
    seen = found.poses.keypoints[found.poses.keypoints[..., 2] > 0]
    if len(seen) == 0:
        return COMMON_SIZES[2]
    # A few joints are guessed outside the picture: the outermost thousandth does not count.
    x, y = np.quantile(seen[:, 0], 0.999), np.quantile(seen[:, 1], 0.999)
    return next(((w, h) for w, h in COMMON_SIZES if x <= w and y <= h), (int(x) + 1, int(y) + 1))


def inspect_safely(path: Path, *, fps: float | None = None, resolution: tuple[int, int] | None = None) -> FileFacts:
    """Facts about a video or pose file; reading happens in a child with limits. Raises BadFile."""
    if path.stat().st_size == 0:
        raise BadFile("The file is empty (0 bytes); copy or export it again.")
    if is_pose_file(path):
        return _in_child(path, fps, resolution)
    try:
        facts = probe_safely(path)
    except BadVideo as error:
        raise BadFile(str(error)) from None
    words = f"video {facts.width}×{facts.height}, {facts.duration_s:.1f} s at {facts.fps:.3g} fps"
    return FileFacts("video", facts.width, facts.height, facts.fps, facts.duration_s, False, words)


def _in_child(path: Path, fps: float | None, resolution: tuple[int, int] | None) -> FileFacts:
    package = Path(__file__).resolve().parents[3]
    command = [sys.executable, "-m", "alfred.pose.formats.inspect", str(path.absolute()), json.dumps([fps, resolution])]
    environment = {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(package), "LANG": "C.UTF-8"}
    try:
        done = subprocess.run(
            command, cwd=package, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIME_LIMIT_S
        )
        answer = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        raise BadFile(f"Reading it takes longer than {TIME_LIMIT_S:.0f} s; split it.") from None
    except ValueError:
        raise BadFile("It needs more memory than is allowed to read; split it.") from None
    if "refused" in answer:
        raise BadFile(answer["refused"])
    return FileFacts(**answer)


def _child(path: Path, wishes: str) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    resource.setrlimit(resource.RLIMIT_CPU, (int(TIME_LIMIT_S), int(TIME_LIMIT_S)))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    fps, resolution = json.loads(wishes)
    try:
        answer = asdict(inspect(path, fps=fps, resolution=tuple(resolution) if resolution else None))
    except BadPoses as refusal:
        answer = {"refused": str(refusal)}
    except MemoryError:
        answer = {"refused": "It needs more memory than is allowed to read; split it."}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    _child(Path(sys.argv[1]), sys.argv[2])
