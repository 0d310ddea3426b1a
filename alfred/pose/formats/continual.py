"""What the continual experiment streams: each camera's training data in slices, in order, and its test data.

Three layouts, told by their names: mocap-cctv (`<CAM>_train_<k>.npz`, one file a slice, and `<CAM>_test.npz`); the
pickles of HuVAD and CHAD; AlphaPose JSON. Videos are found as in `alfred.pose.formats.benchmark`; of CHAD's divisions
the second is taken, whose training videos hold anomalies too. Nine training videos of a camera are its nine slices; any
other number is cut into nine of equally many poses, as the videos follow one another by number.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from alfred.pose.formats import mocap
from alfred.pose.formats.benchmark import SPLITS, Clip, Scenes, Video, camera_size, find_videos
from alfred.pose.formats.labelled import BadPoses
from alfred.pose.published import PUBLISHED_SIZE

SLICES = 9
"""As in the ALFred paper (arXiv 2508.09058)."""
_TRAIN = re.compile(r"(.+)_train_([0-9]+)\.npz")


@dataclass(frozen=True, slots=True)
class Slice:
    """Part of a camera's data, not read yet: `load` reads it each time, so that nothing is held; can be pickled."""

    name: str
    parts: tuple[Scenes | Video, ...]

    def load(self) -> list[Clip]:
        """The clips in order, each one block of resampling; names differ within the slice. Raises BadPoses."""
        return [clip for part in self.parts for clip in part.load()]


@dataclass(frozen=True, slots=True)
class ContinualCamera:
    """A camera: picture size in px, frames a second, the slices of its stream in order, its test data."""

    name: str
    width: float
    height: float
    fps: float
    slices: tuple[Slice, ...]
    test: Slice


def read_cameras(
    folder: Path,
    cameras: Sequence[str] | None = None,
    masks: Path | None = None,
    *,
    fps: float | None = None,
    resolution: tuple[int, int] | None = None,
    slices: int = SLICES,
) -> list[ContinualCamera]:
    """The cameras in `folder`, or those named, in the order named; each needs training and test data.

    `masks`, `fps` and `resolution` as in `benchmark.read_clips`; where nobody says a HuVAD camera's picture size, its
    test data are read to find it, once. Cutting reads the training videos once, one at a time. Raises BadPoses, in one
    sentence, where there is nothing, a camera is missing, or a file that had to be read cannot be used.
    """
    arrays = _arrays_of(folder)
    if arrays:
        return [_scene_camera(folder, name, arrays[name]) for name in _chosen(folder, cameras, list(arrays))]

    division = 2 if (folder / "splits/train_split_2.txt").is_file() else 1
    train, test = (
        _by_camera(find_videos(folder, split, masks, fps=fps, resolution=resolution, chad_split=division))
        for split in SPLITS
    )
    both = [name for name in train if name in test]
    return [_video_camera(name, train[name], test[name], slices) for name in _chosen(folder, cameras, both)]


def _chosen(folder: Path, wanted: Sequence[str] | None, there: list[str]) -> list[str]:
    if not there:
        raise BadPoses(
            f"{folder}: no camera has training and test data there; "
            "give a folder of <CAM>_train_<k>.npz and <CAM>_test.npz, or one with videos in train and test."
        )
    unknown = [name for name in wanted or () if name not in there]
    if unknown:
        raise BadPoses(f"{folder.name} has no camera {unknown[0]!r:.40}; it has {', '.join(there)}.")
    return list(dict.fromkeys(wanted or there))


def _arrays_of(folder: Path) -> dict[str, list[Path]]:
    """mocap-cctv: each camera's training files by number, of cameras that have a test file."""
    numbered: dict[str, list[tuple[int, Path]]] = {}
    for path in sorted(folder.glob("*_train_*.npz")):
        found = _TRAIN.fullmatch(path.name)
        if found and (folder / f"{found[1]}_test.npz").is_file():
            numbered.setdefault(found[1], []).append((int(found[2]), path))
    return {camera: [path for _, path in sorted(paths)] for camera, paths in numbered.items()}


def _scene_camera(folder: Path, name: str, train: list[Path]) -> ContinualCamera:
    test = folder / f"{name}_test.npz"
    data = mocap.read(test)
    slices = tuple(Slice(path.stem, (Scenes(path),)) for path in train)
    width, height = (data.width, data.height) if data.width and data.height else PUBLISHED_SIZE
    return ContinualCamera(name, width, height, data.fps, slices, Slice(test.stem, (Scenes(test),)))


def _by_camera(videos: list[Video]) -> dict[str, list[Video]]:
    out: dict[str, list[Video]] = {}
    for video in videos:
        out.setdefault(video.camera, []).append(video)
    return out


def _video_camera(name: str, train: list[Video], test: list[Video], count: int) -> ContinualCamera:
    width, height = camera_size(test)
    train, test = ([replace(v, resolution=(width, height)) for v in videos] for videos in (train, test))
    parts = [(video,) for video in train] if len(train) == count else cut(train, count)
    slices = tuple(Slice(f"{name}_train_{number}", tuple(part)) for number, part in enumerate(parts))
    return ContinualCamera(name, width, height, test[0].fps, slices, Slice(f"{name}_test", tuple(test)))


def cut(videos: Sequence[Video], count: int) -> list[tuple[Video, ...]]:
    """`videos`, one after another, in `count` consecutive slices of equally many poses, cut between frames.

    A frame belongs to the slice that its first pose falls in. A video that is cut is in two or more slices, each time
    with its own part of the frames, and people there are cut with it. Raises BadPoses where there are fewer poses than
    slices.
    """
    poses = [_poses_by_frame(video) for video in videos]
    total = int(sum(frames.sum() for frames in poses))
    if total < count:
        raise BadPoses(f"{videos[0].path.name} and what follows hold {total} poses, too few for {count} slices.")
    out: list[list[Video]] = [[] for _ in range(count)]
    before = 0
    for video, frames in zip(videos, poses, strict=True):
        if not len(frames):
            continue
        first = before + np.cumsum(frames) - frames  # poses before each frame
        owner = np.minimum(first * count // total, count - 1)
        edges = [0, *(np.flatnonzero(np.diff(owner)) + 1).tolist(), len(frames)]
        for start, stop in pairwise(edges):
            part = video if (start, stop) == (0, len(frames)) else replace(video, start=start, stop=stop)
            out[owner[start]].append(part)
        before += int(frames.sum())
    return [tuple(parts) for parts in out]


def _poses_by_frame(video: Video) -> npt.NDArray[np.int64]:
    (clip,) = video.load()
    return np.bincount(clip.poses.frame, minlength=len(clip.frame_labels))
