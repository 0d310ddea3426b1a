"""Poses as Parquet: the file everything after the extractor reads.

One row a pose, sorted by (pts, track), in row groups of `GROUP_ROWS`:

    track      int32                     person within the recording
    frame      int64                     frame number in the file, from 0
    pts        double                    seconds since the first frame
    keypoints  fixed_size_list<float>[51]  17 COCO joints, x px, y px, confidence
    bbox       fixed_size_list<float>[4]   x, y, w, h in px
    score      float                     detection confidence

File metadata (text): alfred.poses = "1", width, height (px), fps (average), extractor (JSON), and frames and
duration_s once the whole recording was read. DuckDB and pandas read it as it is. The same poses and metadata
give the same bytes, however they were handed over.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from alfred.pose.tracks import JOINTS, Poses, concatenate, empty

GROUP_ROWS = 4096
VERSION = "1"

SCHEMA = pa.schema(
    [
        pa.field("track", pa.int32(), nullable=False),
        pa.field("frame", pa.int64(), nullable=False),
        pa.field("pts", pa.float64(), nullable=False),
        pa.field("keypoints", pa.list_(pa.field("element", pa.float32(), nullable=False), 51), nullable=False),
        pa.field("bbox", pa.list_(pa.field("element", pa.float32(), nullable=False), 4), nullable=False),
        pa.field("score", pa.float32(), nullable=False),
    ]
)

_ARRAYS: dict[str, tuple[tuple[int, ...], type[np.generic]]] = {
    "track": ((), np.int32),
    "frame": ((), np.int64),
    "pts": ((), np.float64),
    "keypoints": ((JOINTS, 3), np.float32),
    "bbox": ((4,), np.float32),
    "score": ((), np.float32),
}


@dataclass(frozen=True, slots=True)
class PoseMeta:
    """What a pose file says about its recording.

    `width`, `height` of the upright picture in px, `fps` the average rate, `extractor` what
    `PoseExtractor.info` returned; `frames` and `duration_s` (PTS of the last frame) are None in a file
    made without them.
    """

    width: int
    height: int
    fps: float
    extractor: dict[str, Any] = field(default_factory=dict)
    frames: int | None = None
    duration_s: float | None = None


class PoseWriter:
    """Writes poses to `path` a row group at a time; the file has that name only once it is complete.

    Use as a context manager: leaving with an exception removes what was written.
    """

    def __init__(self, path: Path, meta: PoseMeta) -> None:
        self._path = path
        self._part = path.with_name(path.name + ".part")
        self._waiting = empty()
        self._last = -math.inf
        self._frames, self._duration = meta.frames, meta.duration_s
        self.rows = 0
        schema = SCHEMA.with_metadata(_to_text(meta))
        self._writer = pq.ParquetWriter(
            self._part,
            schema,
            compression="zstd",
            use_dictionary=["track", "frame", "pts"],
            write_statistics=["pts"],
        )

    def add(self, poses: Poses) -> None:
        """Append poses, not earlier than those before. Raises ValueError otherwise."""
        if len(poses) == 0:
            return
        if poses.pts[0] < self._last or (np.diff(poses.pts) < 0).any():
            raise ValueError("poses must come in time order")
        self._last = float(poses.pts[-1])
        self._waiting = concatenate([self._waiting, poses]) if len(self._waiting) else poses
        whole = len(self._waiting) // GROUP_ROWS * GROUP_ROWS
        for start in range(0, whole, GROUP_ROWS):
            self._write(self._waiting.take(slice(start, start + GROUP_ROWS)))
        self._waiting = self._waiting.take(slice(whole, None))

    def note(self, *, frames: int, duration_s: float) -> None:
        """Say how many frames the recording has and the PTS of the last one; written at the end."""
        self._frames, self._duration = frames, duration_s

    def close(self) -> None:
        """Write the rest and give the file its name."""
        if len(self._waiting) or self.rows == 0:
            self._write(self._waiting)
        self._writer.add_key_value_metadata(_ending(self._frames, self._duration))
        self._writer.close()
        self._part.rename(self._path)

    def discard(self) -> None:
        """Give up: close and remove what was written."""
        self._writer.close()
        self._part.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def _write(self, poses: Poses) -> None:
        self._writer.write_table(to_table(poses, self._writer.schema), row_group_size=GROUP_ROWS)
        self.rows += len(poses)


def to_table(poses: Poses, schema: pa.Schema = SCHEMA) -> pa.Table:
    """The poses as an Arrow table of `SCHEMA`."""
    columns = [
        pa.array(poses.track),
        pa.array(poses.frame),
        pa.array(poses.pts),
        _lists(poses.keypoints, 51, schema.field("keypoints").type),
        _lists(poses.bbox, 4, schema.field("bbox").type),
        pa.array(poses.score),
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def read_poses(path: Path, *, start: float | None = None, end: float | None = None) -> Poses:
    """Poses with start ≤ pts < end (seconds; None = open), reading only the row groups that can hold some.

    Raises ValueError when the file is not a pose file of this kind.
    """
    low = -math.inf if start is None else start
    high = math.inf if end is None else end
    with _open(path) as file:
        groups = [g for g in range(file.num_row_groups) if _overlaps(file.metadata.row_group(g), low, high)]
        rows = sum(file.metadata.row_group(g).num_rows for g in groups)
        # One group at a time into the final arrays: peak memory is the poses and little more.
        arrays = {name: np.empty((rows, *shape), kind) for name, (shape, kind) in _ARRAYS.items()}
        at = 0
        for group in groups:
            part = from_table(file.read_row_group(group, use_threads=False))
            for name, array in arrays.items():
                array[at : at + len(part)] = getattr(part, name)
            at += len(part)
    poses = Poses(**arrays)
    inside = (poses.pts >= low) & (poses.pts < high)
    return poses if bool(inside.all()) else poses.take(inside)


def from_table(table: pa.Table) -> Poses:
    """Poses from an Arrow table of `SCHEMA`. Raises ValueError for non-finite values or nulls."""
    if any(column.null_count for column in table.columns):
        raise ValueError("pose file: a value is missing")
    n = table.num_rows
    return Poses(
        table["track"].to_numpy(),
        table["frame"].to_numpy(),
        table["pts"].to_numpy(),
        _values(table["keypoints"]).reshape(n, JOINTS, 3),
        _values(table["bbox"]).reshape(n, 4),
        table["score"].to_numpy(),
    )


def read_meta(path: Path) -> PoseMeta:
    """What the file says about its recording. Raises ValueError when it is not a pose file."""
    with _open(path) as file:
        text = file.metadata.metadata
    try:
        frames, duration = text.get(b"frames"), text.get(b"duration_s")
        return PoseMeta(
            width=int(text[b"width"]),
            height=int(text[b"height"]),
            fps=float(text[b"fps"]),
            extractor=json.loads(text[b"extractor"]),
            frames=None if frames is None else int(frames),
            duration_s=None if duration is None else float(duration),
        )
    except (KeyError, ValueError) as error:
        raise ValueError("pose file: its metadata is incomplete") from error


def _open(path: Path) -> pq.ParquetFile:
    try:
        file = pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise ValueError("not a Parquet file, or cut short") from error
    metadata = file.metadata.metadata or {}
    if metadata.get(b"alfred.poses") != VERSION.encode() or not file.schema_arrow.equals(SCHEMA):
        file.close()
        raise ValueError(f"a Parquet file, but not poses of format {VERSION}")
    return file


def _overlaps(group: Any, low: float, high: float) -> bool:
    statistics = group.column(SCHEMA.get_field_index("pts")).statistics
    if statistics is None or not statistics.has_min_max:
        return True
    return bool(statistics.max >= low and statistics.min < high)


def _lists(values: npt.NDArray[np.float32], size: int, kind: pa.DataType) -> pa.Array:
    flat = pa.array(np.ascontiguousarray(values, np.float32).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, type=kind) if len(flat) else pa.array([], type=kind)


def _values(column: pa.ChunkedArray) -> npt.NDArray[np.float32]:
    parts = [chunk.flatten().to_numpy() for chunk in column.chunks]
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def _to_text(meta: PoseMeta) -> dict[str, str]:
    return {
        "alfred.poses": VERSION,
        "width": str(meta.width),
        "height": str(meta.height),
        "fps": repr(float(meta.fps)),
        "extractor": json.dumps(meta.extractor, sort_keys=True),
    }


def _ending(frames: int | None, duration_s: float | None) -> dict[str, str]:
    ending = {} if frames is None else {"frames": str(frames)}
    return ending if duration_s is None else ending | {"duration_s": repr(float(duration_s))}
