"""Labelled clips of a benchmark: mocap-cctv `.npz` files, or AlphaPose JSON with frame masks as for ShanghaiTech."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from alfred.pose.formats import alphapose, mocap
from alfred.pose.formats.labelled import BadPoses
from alfred.pose.published import PUBLISHED_SIZE
from alfred.pose.tracks import Poses

ALPHAPOSE = "_alphapose_tracked_person.json"


@dataclass(frozen=True, slots=True)
class Clip:
    """One clip: poses, a label (0/1) for each pose (n,) and each of its frames, picture size in px, frames a second.

    `camera` groups clips in tables; where poses have no labels of their own, they carry their frame's.
    """

    camera: str
    name: str
    poses: Poses
    pose_labels: npt.NDArray[np.uint8]
    frame_labels: npt.NDArray[np.uint8]
    width: float
    height: float
    fps: float


def read_clips(data: Path, masks: Path | None = None, *, fps: float | None = None) -> list[Clip]:
    """The clips of a file or folder: every `*_test.npz` (one clip a scene), or every AlphaPose JSON with its mask.

    `masks` is the folder of `<clip>.npy` frame labels (1 = anomalous); AlphaPose files name no rate: `fps`, or 30.
    Raises BadPoses, in one sentence, where there is nothing or a mask is missing or impossible.
    """
    if data.is_file():
        found = [data]
    else:
        found = sorted(data.glob("*_test.npz")) or sorted(data.glob(f"*{ALPHAPOSE}"))
    if not found:
        raise BadPoses(f"{data}: no *_test.npz and no *{ALPHAPOSE} there; give a labelled file or a folder of them.")
    clips = [clip for path in found for clip in _clips_of(path, masks, fps or 30.0)]
    if not any(clip.frame_labels.any() for clip in clips):
        raise BadPoses(f"{data}: nothing is labelled anomalous, so there is nothing to measure.")
    return clips


def _clips_of(path: Path, masks: Path | None, fps: float) -> Iterator[Clip]:
    if path.suffix == ".npz":
        yield from _scenes(path)
    else:
        yield _masked(path, masks, fps)


def _scenes(path: Path) -> Iterator[Clip]:
    data = mocap.read(path)
    if data.labels is None or data.blocks is None:
        raise BadPoses(f"{path.name} has no 'label' array; give a file with ground truth.")
    camera = path.name.split("_")[0]
    length = round(mocap.SCENE_SECONDS * data.fps)
    for scene in np.unique(data.blocks):
        mine = data.take(data.blocks == scene)
        assert mine.labels is not None
        frame = mine.poses.frame - int(scene) * length
        if frame.min() < 0 or frame.max() >= length:
            raise BadPoses(f"{path.name}: scene {scene} is longer than {mocap.SCENE_SECONDS:g} s; cut it into scenes.")
        labels = np.zeros(length, np.uint8)
        np.maximum.at(labels, frame, mine.labels)
        yield Clip(
            camera, f"{camera}_{scene}", mine.poses, mine.labels, labels,
            *(data.width or PUBLISHED_SIZE[0], data.height or PUBLISHED_SIZE[1]), data.fps,
        )  # fmt: skip


def _masked(path: Path, masks: Path | None, fps: float) -> Clip:
    name = path.name.removesuffix(ALPHAPOSE).removesuffix(".json")
    if masks is None:
        raise BadPoses(f"{path.name}: AlphaPose files hold no labels; say where the frame masks are (--masks FOLDER).")
    labels = _mask(masks / f"{name}.npy")
    poses = alphapose.read(path, fps=fps)
    if len(poses) and int(poses.frame.max()) >= len(labels):
        raise BadPoses(f"{name}.npy has {len(labels)} frames, but {path.name} goes on to frame {poses.frame.max()}.")
    return Clip(name.split("_")[0], name, poses, labels[poses.frame], labels, *PUBLISHED_SIZE, fps)


def _mask(path: Path) -> npt.NDArray[np.uint8]:
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise BadPoses(f"{path.name}: no frame mask could be read there ({error}).") from None
    if found.ndim != 1 or not np.isin(found, (0, 1)).all():
        raise BadPoses(f"{path.name}: a mask is one 0 or 1 a frame; this has shape {found.shape}.")
    return np.asarray(found, np.uint8)
