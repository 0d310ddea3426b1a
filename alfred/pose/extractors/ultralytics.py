"""Ultralytics' YOLO-pose networks and ByteTrack, fed with our own decoded frames. Offline and quiet.

Their predictor is not used: frames come from `alfred.video.decode` at the network's size and with their
own time stamps, decoding runs ahead in a thread, and the input is the smallest rectangle that holds the
picture.
"""

from __future__ import annotations

import atexit
import importlib.metadata
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from alfred.pose.extractors.base import Chunk
from alfred.pose.extractors.catalogue import resolve, sha256
from alfred.pose.extractors.overlap import Detections
from alfred.pose.extractors.yolo import Letterbox, load
from alfred.pose.tracks import Poses, concatenate, empty, from_arrays
from alfred.video.ahead import ahead
from alfred.video.decode import Frame, frames

CHUNK_FRAMES = 100
LOST_S = 1.0

# Ultralytics' own bytetrack.yaml; `track_buffer` is set from the frame rate to be LOST_S seconds.
BYTETRACK: dict[str, Any] = {
    "track_high_thresh": 0.25,
    "track_low_thresh": 0.1,
    "new_track_thresh": 0.25,
    "match_thresh": 0.8,
    "fuse_score": True,
}


class UltralyticsPose:
    """Extractor "ultralytics".

    `weights`: catalogue name, file in the weights folder, or absolute path (.onnx, .pt). `imgsz`: longer
    side of the input, px, a multiple of 32: 640, or 1280 for people under a sixth of the picture's height.
    `conf`: detections under it are dropped; `iou`: over it two boxes are one person. `batch`: frames a
    look; 1 is best on a CPU. `device`, `precision`: see `yolo.load`. `threads`: of the network; decoding
    has one more, running ahead. `download`: let Ultralytics fetch official weights. `config_dir`: where it
    keeps its settings file.
    """

    name = "ultralytics"

    def __init__(
        self,
        *,
        weights: str = "yolov8n-pose-deq",
        weights_dir: str | Path | None = None,
        imgsz: int = 640,
        conf: float = 0.1,
        iou: float = 0.7,
        batch: int = 1,
        threads: int = 1,
        device: str = "cpu",
        precision: str = "auto",
        tracker: dict[str, Any] | None = None,
        config_dir: str | Path | None = None,
        download: bool = False,
    ) -> None:
        if imgsz % 32 or not 128 <= imgsz <= 2048 or batch < 1:
            raise ValueError("imgsz must be a multiple of 32 between 128 and 2048, batch at least 1")
        prepare(None if config_dir is None else Path(config_dir), offline=not download)
        path = resolve(weights, None if weights_dir is None else Path(weights_dir), download=download)
        self._network, self._depends = load(path, device=device, threads=threads, precision=precision)
        self._settings = {"imgsz": imgsz, "conf": conf, "iou": iou, "weights_sha256": sha256(path)}
        self._tracker = BYTETRACK | (tracker or {})
        self._imgsz, self._conf, self._iou, self._batch, self._threads = imgsz, conf, iou, batch, threads

    def info(self) -> dict[str, Any]:
        """Settings, weights and library versions."""
        versions = {p: importlib.metadata.version(p) for p in ("ultralytics", "av", "numpy", "lap")}
        tracker = {"tracker": self._tracker, "lost_s": LOST_S}
        return {"name": self.name, "versions": versions} | self._settings | self._depends | tracker

    def extract(self, path: Path) -> Iterator[Chunk]:
        """Tracked poses of the file, a chunk every `CHUNK_FRAMES` frames; see `PoseExtractor`."""
        parts: list[Poses] = []
        done, pts = 0, 0.0
        with frames(path, size=self._scaled, threads=self._threads) as video:
            box = Letterbox(video.width, video.height, self._imgsz)
            tracker = _Tracker(self._tracker, video.fps)
            ready = ahead(video, lambda frame: _Ready.of(frame, box), depth=2 * self._batch + 1)
            try:
                for ready_batch in _batches(ready, self._batch):
                    outputs = self._network(np.stack([r.picture for r in ready_batch]))
                    for one, output in zip(ready_batch, outputs, strict=True):
                        people = box.people(output, self._conf, self._iou)
                        parts.append(tracker.update(one.index, one.pts, people))
                        done, pts = one.index + 1, one.pts
                    if len(parts) >= CHUNK_FRAMES:
                        yield Chunk(concatenate(parts), done, pts)
                        parts = []
            finally:
                ready.close()
        yield Chunk(concatenate(parts), done, pts)

    def _scaled(self, width: int, height: int) -> tuple[int, int]:
        return Letterbox(width, height, self._imgsz).scaled


def prepare(config_dir: Path | None = None, *, offline: bool = True) -> None:
    """Set Ultralytics up before its first import: no network, no installs, no messages, no usage reports.

    Without `config_dir` its settings file lies in a folder of this process, removed at its end.
    """
    if config_dir is None and "YOLO_CONFIG_DIR" not in os.environ:
        config_dir = Path(tempfile.mkdtemp(prefix="alfred-ultralytics-"))
        atexit.register(shutil.rmtree, config_dir, ignore_errors=True)
    if config_dir is not None:
        config_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.environ["YOLO_CONFIG_DIR"] = str(config_dir)
    os.environ["YOLO_OFFLINE"] = "1" if offline else "0"
    os.environ.update(YOLO_AUTOINSTALL="0", YOLO_VERBOSE="false")
    from ultralytics.utils import LOGGER, SETTINGS

    LOGGER.setLevel("ERROR")
    settings: Any = SETTINGS
    settings.update({"sync": False})


@dataclass(frozen=True, slots=True)
class _Ready:
    """A frame as the network wants it."""

    index: int
    pts: float
    picture: npt.NDArray[np.float32]

    @classmethod
    def of(cls, frame: Frame, box: Letterbox) -> _Ready:
        return cls(frame.index, frame.pts, box.place(frame.image))


class _Boxes:
    """Detections as Ultralytics' trackers read them."""

    def __init__(self, xywh: npt.NDArray[np.float32], conf: npt.NDArray[np.float32]) -> None:
        self.xywh, self.conf = xywh, conf
        self.cls = np.zeros(len(conf), np.float32)

    def __len__(self) -> int:
        return len(self.conf)

    def __getitem__(self, index: npt.NDArray[np.bool_]) -> _Boxes:
        return _Boxes(self.xywh[index], self.conf[index])


class _Tracker:
    """Ultralytics' ByteTrack; gives each detection that it tracks, unfiltered, with its track's number."""

    def __init__(self, settings: dict[str, Any], fps: float) -> None:
        from ultralytics.trackers.byte_tracker import BYTETracker

        make: Callable[[Any], Any] = BYTETracker
        self._tracker = make(SimpleNamespace(**settings, track_buffer=max(2, round(LOST_S * fps))))

    def update(self, index: int, pts: float, people: Detections) -> Poses:
        centred = people.bbox.copy()
        centred[:, :2] += centred[:, 2:] / 2
        rows = self._tracker.update(_Boxes(centred, people.score))
        if len(rows) == 0:
            return empty()
        # Rows are x1, y1, x2, y2, track, score, class, number of the detection.
        chosen = people.take(rows[:, 7].astype(np.intp))
        n = len(rows)
        return from_arrays(
            rows[:, 4].astype(np.int32),
            np.full(n, index),
            np.full(n, pts),
            chosen.keypoints,
            chosen.bbox,
            chosen.score,
        )


def _batches(source: Iterator[_Ready], size: int) -> Iterator[list[_Ready]]:
    while batch := list(islice(source, size)):
        yield batch
