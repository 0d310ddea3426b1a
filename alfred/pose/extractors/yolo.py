"""YOLO-pose networks: letterboxed pictures in, people out. Runs .onnx on ONNX Runtime and .pt on torch.

Output of the network for each picture: (56, n) = box centre x, y, width, height, score, then 17 × (x, y,
confidence), all in px of its input. The picture is scaled to fit `imgsz` and padded with grey to multiples
of 32, as in training.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alfred.pose.extractors.overlap import Detections, iou, nobody

F32 = npt.NDArray[np.float32]
STRIDE = 32
GREY = 114
MAX_CANDIDATES = 1000
MAX_PEOPLE = 300
ROWS = 56

Network = Callable[[F32], F32]
"""(b, 3, H, W) RGB 0..1 → (b, 56, n)."""


@dataclass(frozen=True, slots=True)
class Letterbox:
    """How a picture of `width` × `height` px lies in the network's input: scaled, centred, padded."""

    width: int
    height: int
    imgsz: int

    @property
    def scaled(self) -> tuple[int, int]:
        """(width, height) of the scaled picture, px."""
        gain = self.imgsz / max(self.width, self.height)
        return max(1, round(self.width * gain)), max(1, round(self.height * gain))

    @property
    def padded(self) -> tuple[int, int]:
        """(width, height) of the input, multiples of 32."""
        width, height = (-(-side // STRIDE) * STRIDE for side in self.scaled)
        return width, height

    @property
    def corner(self) -> tuple[int, int]:
        """(left, top) of the picture in the input."""
        return round((self.padded[0] - self.scaled[0]) / 2 - 0.1), round((self.padded[1] - self.scaled[1]) / 2 - 0.1)

    def place(self, image: npt.NDArray[np.uint8]) -> F32:
        """Scaled picture (h, w, 3) uint8 RGB → (3, H, W) float32 0..1."""
        (width, height), (left, top) = self.padded, self.corner
        out = np.full((3, height, width), GREY / 255, np.float32)
        rows, columns = slice(top, top + image.shape[0]), slice(left, left + image.shape[1])
        np.multiply(image.transpose(2, 0, 1), np.float32(1 / 255), out=out[:, rows, columns], casting="unsafe")
        return out

    def people(self, output: F32, conf: float, max_iou: float) -> Detections:
        """One picture's (56, n) → people over `conf`, without duplicates, in px of the unscaled picture."""
        kept = output[:, output[4] > conf].T
        kept = kept[np.isfinite(kept).all(axis=1)]
        if len(kept) == 0:
            return nobody()
        kept = kept[np.argsort(-kept[:, 4], kind="stable")[:MAX_CANDIDATES]]
        boxes = np.concatenate([kept[:, :2] - kept[:, 2:4] / 2, kept[:, 2:4]], axis=1)
        best = _nms(boxes, max_iou)[:MAX_PEOPLE]
        corner = np.array(self.corner, np.float32)
        scale = np.array([self.width / self.scaled[0], self.height / self.scaled[1]], np.float32)
        low = ((boxes[best, :2] - corner) * scale).clip(0, [self.width, self.height])
        high = ((boxes[best, :2] + boxes[best, 2:] - corner) * scale).clip(0, [self.width, self.height])
        keypoints = kept[best, 5:].reshape(-1, 17, 3).copy()
        keypoints[:, :, :2] = (keypoints[:, :, :2] - corner) * scale
        keypoints[:, :, 2] = keypoints[:, :, 2].clip(0, 1)
        bbox = np.concatenate([low, high - low], axis=1).astype(np.float32)
        return Detections(keypoints, bbox, kept[best, 4].clip(0, 1))


def _nms(boxes: F32, max_iou: float) -> npt.NDArray[np.intp]:
    """Greedy suppression of boxes x, y, w, h that come best first; positions kept."""
    alike = iou(boxes, boxes) > max_iou
    keep = np.ones(len(boxes), bool)
    for i in range(len(boxes)):
        if keep[i]:
            keep[i + 1 :] &= ~alike[i, i + 1 :]
    return np.flatnonzero(keep)


def load(path: Path, *, device: str, threads: int, precision: str) -> tuple[Network, dict[str, Any]]:
    """The network in `path` (.onnx or .pt; the caller has checked its hash) and what its numbers depend on.

    `precision`: "float32", "bfloat16" or "float16" (.pt only), or "auto": the fastest that the device has
    units for. Raises ValueError for a file that is no YOLO-pose network with 17 joints.
    """
    if path.suffix == ".onnx":
        return _onnx(path, threads)
    return _torch(path, device, threads, precision)


def _onnx(path: Path, threads: int) -> tuple[Network, dict[str, Any]]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    given, made = session.get_inputs(), session.get_outputs()
    if len(given) != 1 or len(made[0].shape) != 3 or made[0].shape[1] not in (ROWS, None):
        raise ValueError(f"{path.name} is not a YOLO-pose network with 17 joints")
    if any(isinstance(side, int) for side in given[0].shape[2:]):
        raise ValueError(f"{path.name} takes one picture size only; export it with dynamic=True")
    name = given[0].name

    def run(pictures: F32) -> F32:
        output: F32 = session.run(None, {name: pictures})[0]
        return output

    return run, {"precision": "float32", "onnxruntime": onnxruntime.__version__}


def _torch(path: Path, device: str, threads: int, precision: str) -> tuple[Network, dict[str, Any]]:
    import torch
    from ultralytics.models import YOLO

    from alfred.pose.extractors.torchvision_cpu import ensure_torchvision

    ensure_torchvision()
    model: Any = YOLO(str(path.absolute()), task="pose").model
    if getattr(model, "kpt_shape", None) is None or list(model.kpt_shape) != [17, 3]:
        raise ValueError(f"{path.name} is not a YOLO-pose network with 17 joints")
    precision = _fastest(device) if precision == "auto" else precision
    kind = getattr(torch, precision)
    model = model.fuse(verbose=False).eval().to(device, memory_format=torch.channels_last, dtype=kind)

    def run(pictures: F32) -> F32:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            given = torch.from_numpy(pictures).to(device, dtype=kind, memory_format=torch.channels_last)
            made = model(given)
            output: F32 = (made[0] if isinstance(made, (tuple, list)) else made).float().cpu().numpy()
        return output

    return run, {"precision": precision, "torch": importlib.metadata.version("torch")}


def _fastest(device: str) -> str:
    import torch

    if device != "cpu":
        return "float16"
    # Both are private, there being no public question; without an answer float32 is always right.
    for question in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        if getattr(torch.cpu, question, bool)():
            return "bfloat16"
    return "float32"
