"""Labelled clips of a benchmark: mocap-cctv `.npz` files, or poses of videos with a label for each frame.

Videos are AlphaPose JSON, as for ShanghaiTech, or the pickles of HuVAD and CHAD. Training and test videos are told
apart by folders `train` and `test` anywhere below the one given, or by CHAD's `splits/<train|test>_split_<1|2>.txt`;
without either all are test videos. The frame labels of a video are the `.npy` of its name: in the folder given for
them, or beside it, or in `labels` or `anomaly_labels` of a folder that it is in, there also by train and test.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from alfred.pose.formats import alphapose, huvad, mocap
from alfred.pose.formats.inspect import DEFAULT_FPS, size_for
from alfred.pose.formats.labelled import BadPoses, LabelledPoses
from alfred.pose.published import PUBLISHED_SIZE
from alfred.pose.tracks import Poses

ALPHAPOSE = "_alphapose_tracked_person.json"
LABEL_FOLDERS = ("labels", "anomaly_labels")
Split = Literal["train", "test"]
SPLITS: tuple[Split, Split] = ("train", "test")


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


@dataclass(frozen=True, slots=True)
class Scenes:
    """A mocap-cctv file, not read yet."""

    path: Path

    def load(self) -> list[Clip]:
        """One clip a scene. Raises BadPoses."""
        return list(_scenes(self.path))


@dataclass(frozen=True, slots=True)
class Video:
    """A video's poses and frame labels, not read yet; of it the frames start ≤ frame < stop (None: to the end).

    `resolution` is the picture's width and height in px, None where nobody says (then see `picture_size`).
    """

    path: Path
    labels: Path
    camera: str
    fps: float
    resolution: tuple[int, int] | None
    start: int = 0
    stop: int | None = None

    @property
    def name(self) -> str:
        """The file's, without what says how it is written."""
        return _stem(self.path)

    @property
    def size_unknown(self) -> bool:
        """Whether `picture_size` is to be asked: not for AlphaPose, whose published protocol takes `PUBLISHED_SIZE`."""
        return self.resolution is None and self.path.suffix == ".pkl"

    def load(self) -> list[Clip]:
        """One clip, whose frames count from 0 at `start`; a pose has its frame's label. Raises BadPoses.

        Pickled frames that run from 1 to the number of labels are taken to be counted from 1.
        """
        labels = _mask(self.labels)
        pickled = self.path.suffix == ".pkl"
        poses = huvad.read(self.path, fps=self.fps) if pickled else alphapose.read(self.path, fps=self.fps)
        last = int(poses.frame.max(initial=0))
        if pickled and len(poses) and poses.frame.min() > 0 and last == len(labels):
            poses, last = _earlier(poses, 1, self.fps), last - 1
        if len(poses) and last >= len(labels):
            raise BadPoses(
                f"{self.labels.name} has {len(labels)} frames, but {self.path.name} goes on to frame {last}."
            )
        if self.start or self.stop is not None:
            stop = len(labels) if self.stop is None else self.stop
            inside = (poses.frame >= self.start) & (poses.frame < stop)
            poses, labels = _earlier(poses.take(inside), self.start, self.fps), labels[self.start : stop]
        size = self.resolution or PUBLISHED_SIZE
        return [Clip(self.camera, self.name, poses, labels[poses.frame], labels, *size, self.fps)]


def read_clips(
    data: Path, masks: Path | None = None, *, fps: float | None = None, resolution: tuple[int, int] | None = None
) -> list[Clip]:
    """The clips of a file or folder: every `*_test.npz` (one clip a scene), or every (test) video with its labels.

    `masks` is the folder of `<clip>.npy` frame labels (1 = anomalous). Videos name no rate: `fps`, or 30; and no
    picture size: `resolution`, or what is known of CHAD, or `PUBLISHED_SIZE` for AlphaPose, `picture_size` for HuVAD.
    Raises BadPoses, in one sentence, where there is nothing or a mask is missing or impossible.
    """
    arrays = [data] if data.suffix == ".npz" else sorted(data.glob("*_test.npz"))
    videos = [] if arrays else find_videos(data, "test", masks, fps=fps, resolution=resolution)
    if not arrays and not videos:
        raise BadPoses(
            f"{data}: no *_test.npz, no *{ALPHAPOSE} and no <camera>_<video>.pkl there; "
            "give a labelled file or a folder of them."
        )
    clips = [clip for path in arrays for clip in Scenes(path).load()]
    clips += [clip for video in videos for clip in video.load()]
    for camera in dict.fromkeys(video.camera for video in videos if video.size_unknown):
        width, height = picture_size(clip for clip in clips if clip.camera == camera)
        clips = [replace(clip, width=width, height=height) if clip.camera == camera else clip for clip in clips]
    if not any(clip.frame_labels.any() for clip in clips):
        raise BadPoses(f"{data}: nothing is labelled anomalous, so there is nothing to measure.")
    return clips


def find_videos(
    data: Path,
    split: Split,
    masks: Path | None = None,
    *,
    fps: float | None = None,
    resolution: tuple[int, int] | None = None,
    chad_split: int = 1,
) -> list[Video]:
    """The videos of `split` in `data` (see above), by camera and number; for a file, that one. Nothing is read.

    `chad_split` is which of CHAD's two divisions counts: in 1 all training videos are normal, in 2 they are not.
    Raises BadPoses where labels are missing, a listed video is, or several folders might be meant.
    """
    paths = [data] if data.is_file() else _of_split(data, split, chad_split)
    return [_video(data, path, masks, fps or DEFAULT_FPS, resolution) for path in sorted(paths, key=_order)]


def camera_size(videos: Sequence[Video]) -> tuple[int, int]:
    """Width and height in px of the camera of `videos`, which are read, one at a time, where nobody says."""
    if videos[0].size_unknown:
        return picture_size(clip for video in videos for clip in video.load())
    return videos[0].resolution or PUBLISHED_SIZE


def picture_size(clips: Iterable[Clip]) -> tuple[int, int]:
    """The smallest common picture size that holds all clips' joints, as for other pose files that name none."""
    sizes = [size_for(LabelledPoses(clip.poses, None, None, None, None, clip.fps)) for clip in clips if len(clip.poses)]
    return max(sizes, key=lambda size: size[0] * size[1], default=PUBLISHED_SIZE)


def _of_split(data: Path, split: Split, chad_split: int) -> list[Path]:
    listed = data / "splits" / f"{split}_split_{chad_split}.txt"
    below = [path for path in data.rglob("*") if _is_video(path.name)]
    if listed.is_file():
        return _listed(listed, below)
    places = {place for path in below for place in path.parents if place.name == split and data in place.parents}
    if len(places) > 1:
        names = ", ".join(sorted(str(place.relative_to(data)) for place in places))
        raise BadPoses(f"{data.name} holds several folders of {split} videos ({names}); give the folder above one.")
    if places:
        return [path for path in below if places & set(path.parents)]
    return [path for path in below if path.parent in (data, data / "annotations")] if split == "test" else []


def _listed(listed: Path, below: list[Path]) -> list[Path]:
    there = {path.stem: path for path in below}
    try:
        names = [Path(line.strip()).name for line in listed.read_text(encoding="utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError:
        raise BadPoses(f"{listed.name} is no list of names; download it again.") from None
    stems = [re.sub(r"\.(pkl|npy|mp4)$", "", name) for name in names]
    missing = [stem for stem in stems if stem not in there]
    if missing:
        count = f"{len(missing)} of {len(stems)} missing"
        raise BadPoses(f"{listed.name} lists {missing[0]!r:.60}, which is not there ({count}); copy the rest there.")
    return [there[stem] for stem in dict.fromkeys(stems)]


def _is_video(name: str) -> bool:
    return name.endswith(ALPHAPOSE) or huvad.parse_name(name) is not None


def _stem(path: Path) -> str:
    return path.name.removesuffix(ALPHAPOSE).removesuffix(".json").removesuffix(".pkl")


def _order(path: Path) -> list[tuple[int, str]]:
    """By the numbers in the name, 9 before 10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]+)", _stem(path))]


def _video(data: Path, path: Path, masks: Path | None, fps: float, resolution: tuple[int, int] | None) -> Video:
    known = huvad.parse_name(path.name)
    camera = known.camera if known else _stem(path).split("_")[0]
    size = resolution or (known.resolution if known else None)
    return Video(path, _labels_of(data, path, masks), camera, fps, size)


def _labels_of(data: Path, path: Path, masks: Path | None) -> Path:
    name, split = f"{_stem(path)}.npy", path.parent.name
    if masks is not None:
        folders = [masks]
    else:
        above = [path.parent] if data.is_file() else [p for p in path.parents if data in (p, *p.parents)]
        folders = [path.parent, *(place / labels for place in above for labels in LABEL_FOLDERS)]
    for folder in folders:
        for found in (folder / split / name, folder / name):
            if found.is_file():
                return found
    if masks is not None:
        raise BadPoses(f"{path.name}: no frame mask {name} in {masks.name}; it needs a 0 or 1 for each frame.")
    raise BadPoses(f"{path.name}: no {name} of its frames' labels; say where the frame masks are (--masks FOLDER).")


def _earlier(poses: Poses, frames: int, fps: float) -> Poses:
    return replace(poses, frame=poses.frame - frames, pts=poses.pts - frames / fps)


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
            camera, f"{camera}_{scene}", replace(mine.poses, frame=frame), mine.labels, labels,
            *(data.width or PUBLISHED_SIZE[0], data.height or PUBLISHED_SIZE[1]), data.fps,
        )  # fmt: skip


def _mask(path: Path) -> npt.NDArray[np.uint8]:
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise BadPoses(f"{path.name}: no frame mask could be read there ({error}).") from None
    if found.ndim != 1 or not np.isin(found, (0, 1)).all():
        raise BadPoses(f"{path.name}: a mask is one 0 or 1 a frame; this has shape {found.shape}.")
    return np.asarray(found, np.uint8)
