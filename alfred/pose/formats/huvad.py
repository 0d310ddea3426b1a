"""Reads the poses of HuVAD and CHAD: one pickle file a video, of `{frame: {person: [box, keypoints]}}`.

HuVAD names them `<camera>_<video>.pkl` (camera 0 to 6; 6 is the context-specific one, CSC), CHAD
`<camera>_<video>_<1 where something anomalous happens>.pkl` (camera 1 to 4), as their authors' pages say. A box is
x, y, w, h; keypoints are 17 COCO joints of x, y, confidence, in one row or in 17. Frames and persons are whole numbers,
often written as text. Labels are separate: see `alfred.pose.formats.benchmark`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alfred.pose.formats import plain_pickle
from alfred.pose.formats.labelled import MAX_COORDINATE, MAX_TRACKS, BadPoses
from alfred.pose.formats.mocap import confidence
from alfred.pose.formats.plain_values import Items
from alfred.pose.tracks import JOINTS, Poses, from_arrays

_FILE = re.compile(r"([0-9]{1,3})_([0-9]{1,9})(_[01])?\.pkl")
_NUMBER = re.compile(r"[0-9]{1,18}")
_INT32 = 2**31 - 1
_VALUES = JOINTS * 3
_CONTEXT_SPECIFIC = 6
_CHAD_SIZES = {1: (1920, 1080), 2: (1920, 1080), 3: (1920, 1080), 4: (1280, 720)}

Values = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class VideoName:
    """What a file's name tells. `resolution` in px is CHAD's, known by camera; HuVAD's is published nowhere: None."""

    camera: str
    number: int
    resolution: tuple[int, int] | None


def parse_name(name: str) -> VideoName | None:
    """Camera "C0" to "C5" or "CSC", and the video's number; None where the name is of another kind."""
    found = _FILE.fullmatch(name)
    if found is None:
        return None
    camera, number = int(found[1]), int(found[2])
    if found[3]:
        return VideoName(f"C{camera}", number, _CHAD_SIZES.get(camera))
    return VideoName("CSC" if camera == _CONTEXT_SPECIFIC else f"C{camera}", number, None)


def read(path: Path, *, fps: float = 30.0) -> Poses:
    """The poses of one video; frame numbers become seconds by `fps`, persons' numbers track numbers.

    A video without anybody gives no poses. The score is the mean joint confidence. Raises BadPoses, in one sentence,
    for a file that cannot be used, whatever it holds (`plain_pickle`), and ValueError for an fps that is not positive.
    """
    if not fps > 0:
        raise ValueError(f"fps is {fps}, must be positive")
    stored = plain_pickle.read(path)
    if not isinstance(stored, dict):
        raise BadPoses(f"{path.name} is no dict of frames; use the layout {{frame: {{person: [box, keypoints]}}}}.")
    frames: list[int] = []
    tracks: list[int] = []
    boxes: list[Values] = []
    keypoints: list[Values] = []
    for frame, people in stored.items():
        number = _whole(path, "frame", frame)
        if not isinstance(people, dict):
            raise BadPoses(f"{path.name}: frame {number} is no dict of persons; use the published layout.")
        for person, pose in people.items():
            if not isinstance(pose, list) or len(pose) != 2:
                raise BadPoses(f"{path.name}: frame {number} has a person who is no [box, keypoints].")
            frames.append(number)
            tracks.append(_whole(path, "person", person))
            boxes.append(_values(path, pose[0], 4, "box numbers"))
            keypoints.append(_values(path, pose[1], _VALUES, "keypoints"))
    _check_numbers(path, tracks, frames)
    joints = _floats(path, keypoints, _VALUES).reshape(-1, JOINTS, 3)
    joints[..., 2] = np.clip(joints[..., 2], 0, 1)
    seconds = np.array(frames, np.float64) / fps
    return from_arrays(tracks, frames, seconds, joints, _floats(path, boxes, 4), confidence(joints))


def _whole(path: Path, what: str, key: int | str) -> int:
    if isinstance(key, str):
        key = int(key) if _NUMBER.fullmatch(key) else -1
    if not 0 <= key <= _INT32:
        raise BadPoses(f"{path.name}: a {what} is not a whole number from 0 on; number them so.")
    return key


def _values(path: Path, stored: Any, count: int, what: str) -> Values:
    """Numbers (count,) of whatever was stored: an array, or lists of numbers."""
    found = stored
    if isinstance(stored, Items):
        try:
            found = np.array(stored) if stored.size <= 2 * _VALUES else None  # 17 lists of 3 are 68
        except ValueError:
            found = None
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "iuf":
        raise BadPoses(f"{path.name}: a pose's {what} are no plain numbers; export it again.")
    # (17, 3) or (51,), also within further brackets; (3, 17) would be read crosswise.
    if found.size != count or found.shape[-1] not in (3, count):
        raise BadPoses(f"{path.name}: a pose's {what} have shape {found.shape}, expected {count} values.")
    return found.reshape(-1)


def _check_numbers(path: Path, tracks: list[int], frames: list[int]) -> None:
    count = len(set(tracks))
    if count > MAX_TRACKS:
        raise BadPoses(f"{path.name} holds {count} tracks, more than {MAX_TRACKS}; split the recording.")
    if len(set(zip(tracks, frames, strict=True))) < len(tracks):
        raise BadPoses(f"{path.name} names the same person or frame twice; keep one pose a person and frame.")


def _floats(path: Path, rows: list[Values], count: int) -> npt.NDArray[np.float32]:
    if not rows:
        return np.zeros((0, count), np.float32)
    values = np.concatenate(rows).astype(np.float64).reshape(-1, count)
    if not np.isfinite(values).all():
        raise BadPoses(f"{path.name} holds NaN or infinity; give a missing joint confidence 0 and finite x, y.")
    if np.abs(values).max() > MAX_COORDINATE:
        raise BadPoses(f"{path.name} holds numbers beyond {MAX_COORDINATE:.0f}; use pixels.")
    return values.astype(np.float32)
