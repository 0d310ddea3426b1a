"""Reads labelled poses of the mocap-cctv kind: one `.npz` of parallel arrays, scenes one after another."""

from __future__ import annotations

import json
import lzma
import zipfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from alfred.pose.formats.labelled import MAX_COORDINATE, MAX_TRACKS, BadPoses, LabelledPoses
from alfred.pose.tracks import JOINTS, Poses

SCENE_SECONDS = 30.0
"""A scene's place on the time axis: 900 frames at 30 fps."""

DEFAULT_FPS = 30.0
MAX_BYTES = 2 << 30
"""Of all arrays, unpacked."""

_INT32 = 2**31 - 1
_MAX_META_BYTES = 1 << 20
_UNREADABLE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError)
_REQUIRED = ("scene", "frame_index", "track_id", "keypoints")
_OPTIONAL = ("bbox", "label", "action")
_TAILS: dict[str, tuple[int, ...]] = {"keypoints": (JOINTS, 3), "bbox": (4,)}

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class _Meta:
    fps: float = DEFAULT_FPS
    width: int | None = None
    height: int | None = None
    actions: tuple[str, ...] = ()


def read(path: Path, *, resolution: tuple[int, int] | None = None, fps: float | None = None) -> LabelledPoses:
    """Read `path`; frame rate, picture size and action names come from `<CAM>_meta.json` beside it.

    CAM is the file's name up to the first underscore. Without that file: `fps` or 30, and `resolution`
    (width, height) or unknown. Scene s begins at 30 s · s; tracks are renumbered over (scene, track_id);
    `blocks` is the scene. Array sizes are checked before anything is unpacked. Raises BadPoses, in one
    sentence, for a file that cannot be used.
    """
    meta = _read_meta(path.with_name(path.name.split("_")[0] + "_meta.json"))
    meta = replace(meta, fps=fps) if fps else meta
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = _read_arrays(path, archive)
    except FileNotFoundError:
        raise BadPoses(f"{path.name}: there is no such file; check the path.") from None
    except _UNREADABLE as error:
        raise BadPoses(f"{path.name} is not a readable .npz file ({error}); export it again.") from None
    width, height = resolution or (meta.width, meta.height)
    return _assemble(path, arrays, meta, width, height)


def _read_arrays(path: Path, archive: zipfile.ZipFile) -> dict[str, Array]:
    sizes = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
    missing = [name for name in _REQUIRED if name not in sizes]
    if missing:
        raise BadPoses(f"{path.name}: array {missing[0]!r} is missing; it needs {', '.join(_REQUIRED)}.")
    names = [name for name in (*_REQUIRED, *_OPTIONAL) if name in sizes]
    if sum(sizes[name].file_size for name in names) > MAX_BYTES:
        raise BadPoses(f"{path.name} unpacks to more than {MAX_BYTES >> 30} GiB; split it.")
    poses = 0
    for name in names:  # headers only: nothing of a size the file claims is allocated yet
        with archive.open(sizes[name]) as stream:
            shape = _check_header(path, name, stream, sizes[name].file_size)
        if name == _REQUIRED[0]:
            poses = shape[0] if len(shape) == 1 else -1
        if shape != (poses, *_TAILS.get(name, ())):
            expected = ", ".join(map(str, ("poses", *_TAILS.get(name, ()))))
            raise BadPoses(f"{path.name}: array {name!r} has shape {shape}, expected ({expected}).")
    if not poses:
        raise BadPoses(f"{path.name} holds no poses; there is nothing to read.")
    out: dict[str, Array] = {}
    for name in names:
        with archive.open(sizes[name]) as stream:
            try:
                out[name] = np.lib.format.read_array(stream, allow_pickle=False)
            except ValueError as error:
                raise BadPoses(f"{path.name}: array {name!r} is damaged ({error}); export it again.") from None
        if name == "track_id":
            _check_tracks(path, out["scene"], out["track_id"])
    return out


def _check_header(path: Path, name: str, stream: IO[bytes], size: int) -> tuple[int, ...]:
    try:
        version = np.lib.format.read_magic(stream)
        reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = reader(stream)
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise BadPoses(f"{path.name}: array {name!r} is not a NumPy array ({reason}); export it again.") from None
    wanted = "iuf" if name in _TAILS else "iub"
    if dtype.kind not in wanted:
        raise BadPoses(f"{path.name}: array {name!r} holds {dtype} values; store it as plain numbers.")
    if int(np.prod(shape, dtype=object)) * dtype.itemsize + stream.tell() > size:
        raise BadPoses(f"{path.name}: array {name!r} is shorter than it says; export it again.")
    return tuple(int(length) for length in shape)


def _check_tracks(path: Path, scene: Array, track: Array) -> None:
    for name, values in (("scene", scene), ("track_id", track)):
        if int(values.min()) < 0 or int(values.max()) > _INT32:
            raise BadPoses(f"{path.name}: array {name!r} holds negative or huge numbers; count from 0.")
    tracks = len(np.unique(_pair(scene, track)))
    if tracks > MAX_TRACKS:
        raise BadPoses(f"{path.name} holds {tracks} tracks, more than {MAX_TRACKS}; split the recording.")


def _pair(high: Array, low: Array) -> npt.NDArray[np.int64]:
    return (high.astype(np.int64) << 32) | low.astype(np.int64)


def _assemble(
    path: Path, arrays: dict[str, Array], meta: _Meta, width: int | None, height: int | None
) -> LabelledPoses:
    frame = arrays["frame_index"].astype(np.int64)
    if frame.min() < 0 or frame.max() > _INT32:
        raise BadPoses(f"{path.name}: array 'frame_index' holds negative or huge numbers; count from 0.")
    keypoints = _floats(path, "keypoints", arrays)
    bbox = _floats(path, "bbox", arrays) if "bbox" in arrays else boxes(keypoints)
    scene = arrays["scene"].astype(np.int64)
    track = np.unique(_pair(arrays["scene"], arrays["track_id"]), return_inverse=True)[1].astype(np.int32)
    keys = _pair(track, frame)
    if len(np.unique(keys)) < len(keys):
        again = int(np.argmax(np.bincount(np.unique(keys, return_inverse=True)[1]) > 1))
        where = np.flatnonzero(keys == np.unique(keys)[again])[1]
        whose = f"scene {scene[where]}, track {arrays['track_id'][where]}"
        raise BadPoses(f"{path.name}: {whose} has frame {frame[where]} twice; keep one pose of them.")
    seconds = max(SCENE_SECONDS, float(np.ceil((frame.max() + 1) / meta.fps)))  # no scene runs into the next
    pts = scene * seconds + frame / meta.fps
    order = np.lexsort((track, pts))
    numbered = scene * round(seconds * meta.fps) + frame
    poses = Poses(track, numbered, pts, keypoints, bbox, confidence(keypoints)).take(order)
    label = arrays.get("label")
    if label is not None and not np.isin(label, (0, 1)).all():
        raise BadPoses(f"{path.name}: array 'label' holds other values than 0 (normal) and 1 (anomalous).")
    action = arrays.get("action")
    return LabelledPoses(
        poses,
        None if label is None else label.astype(np.uint8)[order],
        scene.astype(np.int32)[order],
        width,
        height,
        meta.fps,
        None if action is None else action.astype(np.uint8)[order],
        meta.actions,
    )


def _floats(path: Path, name: str, arrays: dict[str, Array]) -> npt.NDArray[np.float32]:
    values = arrays[name]
    if not np.isfinite(values).all():
        raise BadPoses(f"{path.name}: array {name!r} holds NaN or infinity; give a missing joint confidence 0.")
    if np.abs(values).max() > MAX_COORDINATE:
        raise BadPoses(f"{path.name}: array {name!r} holds numbers beyond {MAX_COORDINATE:.0f}; use pixels.")
    out = values.astype(np.float32)
    if name == "keypoints":
        out[..., 2] = np.clip(out[..., 2], 0, 1)
    return out


def confidence(keypoints: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(n, 17, 3) → (n,): the mean joint confidence, for files that store no score of the detection."""
    mean: npt.NDArray[np.float32] = keypoints[..., 2].mean(axis=1, dtype=np.float32)
    return mean


def boxes(keypoints: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(n, 17, 3) px → (n, 4) x, y, w, h around the joints with confidence above 0 (all, where none has)."""
    seen = keypoints[..., 2] > 0
    seen |= ~seen.any(axis=1, keepdims=True)
    low = np.where(seen[..., None], keypoints[..., :2], np.inf).min(axis=1)
    high = np.where(seen[..., None], keypoints[..., :2], -np.inf).max(axis=1)
    return np.concatenate([low, high - low], axis=1).astype(np.float32)


def _read_meta(path: Path) -> _Meta:
    try:
        if path.stat().st_size > _MAX_META_BYTES:
            raise BadPoses(f"{path.name} is larger than 1 MB; it should hold fps and resolution only.")
        stored = json.loads(path.read_text(encoding="utf-8"))
        width, height = (int(n) for n in stored["resolution"])
        fps = float(stored.get("fps", DEFAULT_FPS))
        meta = _Meta(fps, width, height, tuple(str(name) for name in stored.get("actions", ())))
    except FileNotFoundError:
        return _Meta()
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError, OverflowError):
        raise BadPoses(f"{path.name} is no JSON object with a resolution [width, height]; mend it.") from None
    except BadPoses:
        raise
    except (ValueError, RecursionError, OSError):
        raise BadPoses(f"{path.name} cannot be read or its numbers are no numbers; mend it.") from None
    if not (1 <= meta.fps <= 1000 and 1 <= width <= 100_000 and 1 <= height <= 100_000):
        raise BadPoses(f"{path.name}: {fps:g} fps at {width} x {height} px cannot be; mend it.")
    return meta
