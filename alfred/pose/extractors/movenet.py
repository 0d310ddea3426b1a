"""MoveNet MultiPose Lightning (Apache-2.0) on LiteRT, with our own tracker: poses without any download.

The network takes uint8 RGB (1, H, W, 3), H and W multiples of 32, and gives (1, 6, 56): up to 6 people,
each 17 × (y, x, confidence) in COCO order, then ymin, xmin, ymax, xmax and a score, all relative to the
input.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alfred.pose.extractors.base import Chunk
from alfred.pose.extractors.catalogue import resolve, sha256
from alfred.pose.extractors.overlap import Detections, nobody, suppress
from alfred.pose.extractors.tracker import PoseTracker, TrackerSettings
from alfred.video.decode import frames

CHUNK_FRAMES = 100
STRIDE = 32

Image = npt.NDArray[np.uint8]


class MoveNet:
    """Extractor "movenet".

    `imgsz`: longer side of the network's input in px, a multiple of 32. 512 suits people from a seventh of
    the picture's height to all of it; 768 holds smaller ones longer, at over twice the cost, but loses
    those that fill the picture. `score`: detections under it are dropped; those under the tracker's `sure`
    only continue tracks. At most 6 people a frame: for crowds use another extractor.
    """

    name = "movenet"

    def __init__(
        self,
        *,
        weights: str = "movenet_multipose_lightning_fp16",
        weights_dir: str | Path | None = None,
        imgsz: int = 512,
        threads: int = 1,
        score: float = 0.1,
        tracker: dict[str, Any] | None = None,
    ) -> None:
        if imgsz % STRIDE or not 128 <= imgsz <= 2048:
            raise ValueError("imgsz must be a multiple of 32 between 128 and 2048")
        path = resolve(weights, None if weights_dir is None else Path(weights_dir))
        self._sha256 = sha256(path)
        self._imgsz, self._threads, self._score = imgsz, threads, score
        self._settings = replace(TrackerSettings(), **(tracker or {}))
        self._network = _Network(path, threads)

    def info(self) -> dict[str, Any]:
        """Settings, weights and library versions."""
        return {
            "name": self.name,
            "weights_sha256": self._sha256,
            "imgsz": self._imgsz,
            "score": self._score,
            "tracker": asdict(self._settings),
            "versions": {p: importlib.metadata.version(p) for p in ("ai-edge-litert", "av", "numpy", "scipy")},
        }

    def extract(self, path: Path) -> Iterator[Chunk]:
        """Tracked poses of the file, a chunk every `CHUNK_FRAMES` frames; see `PoseExtractor`."""
        tracker = PoseTracker(self._settings)
        done, pts = 0, 0.0
        with frames(path, size=self._input_size, threads=self._threads) as video:
            for frame in video:
                found = self._look(frame.image, video.width, video.height)
                tracker.update(frame.index, frame.pts, found)
                done, pts = frame.index + 1, frame.pts
                if done % CHUNK_FRAMES == 0:
                    yield Chunk(tracker.settled(), done, pts)
        yield Chunk(tracker.flush(), done, pts)

    def _input_size(self, width: int, height: int) -> tuple[int, int]:
        scale = self._imgsz / max(width, height)
        return max(1, round(width * scale)), max(1, round(height * scale))

    def _look(self, image: Image, width: int, height: int) -> Detections:
        """People in one frame, in px of the full picture of `width` × `height`."""
        people = self._network(image)
        people = people[(people[:, 55] >= self._score) & np.isfinite(people).all(axis=1)]
        if len(people) == 0:
            return nobody()
        scale = np.array([width / image.shape[1], height / image.shape[0]], np.float32)
        keypoints = people[:, :51].reshape(-1, 17, 3)[:, :, [1, 0, 2]]
        keypoints[:, :, :2] *= scale
        keypoints[:, :, 2] = keypoints[:, :, 2].clip(0, 1)
        low = (people[:, [52, 51]] * scale).clip(0, [width, height])
        high = (people[:, [54, 53]] * scale).clip(0, [width, height])
        bbox = np.concatenate([low, high - low], axis=1).astype(np.float32)
        real = np.flatnonzero((bbox[:, 2:] >= 2).all(axis=1))
        return suppress(Detections(keypoints, bbox, people[:, 55].clip(0, 1)).take(real))


class _Network:
    """The interpreter; called with an RGB picture it gives (6, 56) in px of that picture."""

    def __init__(self, path: Path, threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(str(path), num_threads=threads)
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]
        self._padded = np.zeros((1, 0, 0, 3), np.uint8)

    def __call__(self, image: Image) -> npt.NDArray[np.float32]:
        height, width = image.shape[:2]
        shape = (1, -(-height // STRIDE) * STRIDE, -(-width // STRIDE) * STRIDE, 3)
        if self._padded.shape != shape:
            self._padded = np.zeros(shape, np.uint8)
            self._interpreter.resize_tensor_input(self._input, shape, strict=True)
            self._interpreter.allocate_tensors()
        self._padded[:] = 0
        self._padded[0, :height, :width] = image
        self._interpreter.set_tensor(self._input, self._padded)
        self._interpreter.invoke()
        people: npt.NDArray[np.float32] = self._interpreter.get_tensor(self._output)[0].astype(np.float32)
        people[:, 0:51:3] *= shape[1]
        people[:, 1:51:3] *= shape[2]
        people[:, [51, 53]] *= shape[1]
        people[:, [52, 54]] *= shape[2]
        return people
