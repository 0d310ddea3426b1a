"""The smallest detector a package can offer: the mean absolute difference of neighbouring samples. Scores movement."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alfred.detectors.base import TrainingLog, checked_windows
from alfred.pose.windows import WindowSpec


class StillPeople:
    """`alfred.detectors.base.Detector`; nothing to train, so a card is all it saves."""

    name = "still_people"
    family = "prediction"

    def __init__(self, *, length: int = 8, fps: float = 10.0, stride: int = 1, device: str = "cpu") -> None:
        self.window = WindowSpec(length=length, stride=stride, fps=fps)
        self._card: dict[str, Any] = {"licence": "AGPL-3.0-or-later"}

    def fit(self, windows: npt.NDArray[np.float32], *, seed: int, **settings: Any) -> TrainingLog:
        return TrainingLog([])

    def fine_tune(self, windows: npt.NDArray[np.float32], *, seed: int, **settings: Any) -> TrainingLog:
        return TrainingLog([])

    def score(self, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        moved = np.abs(np.diff(checked_windows(windows, 2, self.window.length), axis=2))
        return moved.mean(axis=(1, 2, 3)).astype(np.float32)

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(self.info()))

    def load(self, path: Path) -> None:
        self._card = json.loads(path.read_text())

    def describe(self, **entries: Any) -> None:
        self._card |= entries

    def info(self) -> dict[str, Any]:
        return {**self._card, "name": self.name, "parameters": 0, "fps": self.window.fps}
