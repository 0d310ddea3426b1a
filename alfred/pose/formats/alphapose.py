"""Reads AlphaPose tracked-person JSON, the layout of the published pose data sets.

`{person: {frame: {"keypoints": [x, y, confidence] * 17, "scores": number}}}`; a person may also be a list of
such objects. Persons and frames are written as strings; frames are put in the order of their numbers.
"""

from __future__ import annotations

import json
import mmap
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alfred.pose.formats.labelled import MAX_COORDINATE, MAX_TRACKS, BadPoses
from alfred.pose.formats.mocap import boxes, confidence
from alfred.pose.tracks import JOINTS, Poses

MAX_BYTES = 512 << 20
_VALUES = JOINTS * 3
_INT32 = 2**31 - 1
_NUMBER = re.compile(r"[0-9]{1,18}")
# A person opens where a key holds an object (or a list of objects) whose first key holds an object again.
_PERSON = re.compile(rb'"[^"]{0,64}"\s{0,64}:\s{0,64}(?:\[\s{0,64})?\{\s{0,64}"[^"]{0,64}"\s{0,64}:\s{0,64}\{')


class _Pose:
    """One parsed pose, made while parsing: a file needs some 200 bytes a pose and not 51 Python numbers."""

    __slots__ = ("keypoints", "score")

    def __init__(self, keypoints: npt.NDArray[np.float32], score: float | None) -> None:
        self.keypoints = keypoints
        self.score = score


def read(path: Path, *, fps: float = 30.0) -> Poses:
    """Read `path`: frame numbers become seconds by `fps`, boxes go around the joints with confidence above 0.

    Persons' numbers are kept as track numbers. The score is "scores" clipped to 0..1, or the mean joint
    confidence where it is null or absent. Raises BadPoses, in one sentence, for a file that cannot be used,
    and ValueError for an fps that is not positive.
    """
    if not fps > 0:
        raise ValueError(f"fps is {fps}, must be positive")
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise BadPoses(f"{path.name} is {size >> 20} MB, more than {MAX_BYTES >> 20}; split it.")
        if not size:
            raise BadPoses(f"{path.name} is empty; there is nothing to read.")
        _refuse_many_tracks(path)
        stored = _parse(path)
    except FileNotFoundError:
        raise BadPoses(f"{path.name}: there is no such file; check the path.") from None
    except OSError as error:
        raise BadPoses(f"{path.name} cannot be read ({error.strerror}); check the path.") from None
    return _assemble(path, stored, fps)


def _refuse_many_tracks(path: Path) -> None:
    """Count persons in the bytes, before parsing makes a Python object of each."""
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as text:
        for count, _ in enumerate(_PERSON.finditer(text), start=1):
            if count > MAX_TRACKS:
                raise BadPoses(f"{path.name} holds more than {MAX_TRACKS} tracks; split the recording.")


def _parse(path: Path) -> dict[str, Any]:
    def constant(name: str) -> float:
        raise BadPoses(f"{path.name} holds {name}; give a missing joint confidence 0 and finite x, y.")

    def pairs(items: list[tuple[str, Any]]) -> Any:
        stored = dict(items)
        if len(stored) < len(items):
            raise BadPoses(f"{path.name} names the same person or frame twice; keep one pose a track and frame.")
        return _pose(path, stored) if "keypoints" in stored else stored

    try:
        with path.open(encoding="utf-8") as stream:
            stored = json.load(stream, object_pairs_hook=pairs, parse_constant=constant)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error).splitlines()[0]
        raise BadPoses(f"{path.name} is not JSON ({reason}); export it again.") from None
    except ValueError as error:
        if isinstance(error, BadPoses):
            raise
        raise BadPoses(f"{path.name} holds a number that cannot be one; export it again.") from None
    if not isinstance(stored, dict):
        raise BadPoses(f"{path.name} is no object of persons; use AlphaPose's tracked-person layout.")
    return stored


def _pose(path: Path, stored: dict[str, Any]) -> _Pose:
    values = stored["keypoints"]
    if not isinstance(values, list) or len(values) != _VALUES:
        count = len(values) if isinstance(values, list) else "no"
        raise BadPoses(f"{path.name}: a pose has {count} keypoint values, expected {_VALUES} (17 COCO joints).")
    if not all(type(v) in (int, float) for v in values):
        raise BadPoses(f"{path.name}: a pose has keypoint values that are not numbers; export it again.")
    score = stored.get("scores")
    if not (score is None or type(score) in (int, float)):
        raise BadPoses(f'{path.name}: a pose has "scores" that is not a number; export it again.')
    try:
        keypoints = np.array(values, np.float64)
        number = None if score is None else float(score)
    except OverflowError:
        raise BadPoses(f"{path.name}: a pose has a number too large to be one; export it again.") from None
    if not np.isfinite(keypoints).all() or np.abs(keypoints).max() > MAX_COORDINATE:
        raise BadPoses(f"{path.name}: a pose has coordinates that are not finite pixels; export it again.")
    if number is not None and not np.isfinite(number):
        raise BadPoses(f'{path.name}: a pose has "scores" that is not finite; export it again.')
    return _Pose(keypoints.astype(np.float32), number)


def _frames(path: Path, person: str, value: Any) -> Iterator[tuple[int, _Pose]]:
    for part in value if isinstance(value, list) else [value]:
        if not isinstance(part, dict):
            raise BadPoses(f"{path.name}: person {person!r:.40} is no object of frames; use AlphaPose's layout.")
        for frame, pose in part.items():
            if not isinstance(pose, _Pose):
                raise BadPoses(f"{path.name}: person {person!r:.40} has a frame without keypoints.")
            yield _whole(path, "frame", frame), pose


def _whole(path: Path, what: str, text: str) -> int:
    if not _NUMBER.fullmatch(text) or int(text) > _INT32:
        raise BadPoses(f"{path.name}: {what} {text!r:.40} is not a whole number from 0 on; number them so.")
    return int(text)


def _assemble(path: Path, stored: dict[str, Any], fps: float) -> Poses:
    if len(stored) > MAX_TRACKS:
        raise BadPoses(f"{path.name} holds {len(stored)} tracks, more than {MAX_TRACKS}; split the recording.")
    seen: set[int] = set()
    tracks: list[int] = []
    frames: list[int] = []
    poses: list[_Pose] = []
    for person, value in stored.items():
        track = _whole(path, "person", person)
        mine = dict[int, _Pose]()
        for frame, pose in _frames(path, person, value):
            if frame in mine:
                raise BadPoses(f"{path.name}: person {track} has frame {frame} twice; keep one pose of them.")
            mine[frame] = pose
        if track in seen:
            raise BadPoses(f"{path.name}: person {track} is there twice; give each track its own number.")
        seen.add(track)
        tracks += [track] * len(mine)
        frames += mine
        poses += mine.values()
    if not poses:
        raise BadPoses(f"{path.name} holds no poses; there is nothing to read.")
    keypoints = np.stack([pose.keypoints for pose in poses]).reshape(-1, JOINTS, 3).astype(np.float32)
    keypoints[..., 2] = np.clip(keypoints[..., 2], 0, 1)
    given = np.array([np.nan if pose.score is None else pose.score for pose in poses])
    score = np.where(np.isnan(given), confidence(keypoints), np.clip(given, 0, 1)).astype(np.float32)
    numbers = np.array(frames, np.int64)
    return Poses(np.array(tracks, np.int32), numbers, numbers / fps, keypoints, boxes(keypoints), score).sorted()
