"""SPARTA as a detector: windows in, mean squared error of pose tokens out (higher = more anomalous)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alfred.detectors.base import Cancelled, Progress, TrainingLog
from alfred.detectors.learned import Array, Learned, window_of
from alfred.detectors.sparta import weights
from alfred.detectors.sparta.model import SpartaModel, SpartaSettings, seeded_model
from alfred.detectors.training import TrainingSettings, train
from alfred.pose.windows import WindowSpec

EVALUATION_BATCH = 256
"""Windows scored at once. With attention over the batch it is part of what a score means."""

_CALIBRATION = 4096  # windows that the hybrid's means and deviations are taken over, evenly spaced
_MODEL_KEYS = ("branch", "attention_axis", "tokens", "honest", "dropout")
_SCORES = {
    "future": "mean squared error of the predicted tokens of the window's second half",
    "current": "mean squared error of the window's reconstructed tokens",
    "hybrid": "sum of two z-scores: reconstruction error of the first half, prediction error of the second",
}


class Sparta(Learned[SpartaModel]):
    """`alfred.detectors.base.Detector` of the transformers in `model.py`.

    `length` samples a window at `fps` Hz: 2T for the branches "future" and "hybrid", which see T and predict T,
    and T for "current". The other settings are those of `SpartaSettings`. A window's score belongs to its centre
    pose, sample length // 2, as for every detector here: the first pose predicted. (The published code gives it to
    the centre of the predicted half, T / 2 later.)

    With `attention_axis="batch"` a score depends on what else is scored: on the order of the windows and on the
    batch of `EVALUATION_BATCH`. That is how the released weights were trained; see `load_published`.

    Untrained until `fit` or `load`: it scores, but says nothing. Raises ValueError for impossible settings.
    Fine-tuning takes the hybrid's means and deviations anew from its windows.
    """

    name = "sparta"
    family = "prediction"
    FIT = TrainingSettings(steps=400, learning_rate=1e-3, batch=128, clip=1.0, schedule="cosine")
    FINE_TUNE = TrainingSettings(steps=30, learning_rate=1e-4, batch=128, clip=1.0)
    CHUNK = EVALUATION_BATCH

    def __init__(
        self,
        *,
        length: int = 48,
        fps: float = 30.0,
        stride: int = 1,
        max_gap_s: float = 0.2,
        branch: str = "future",
        attention_axis: str = "time",
        tokens: str = "pst",
        honest: bool = True,
        dropout: float = 0.0,
        device: str = "cpu",
    ) -> None:
        settings = SpartaSettings(
            length=length,
            branch=branch,
            attention_axis=attention_axis,
            tokens=tokens,
            honest=honest,
            dropout=dropout,
        )
        window = WindowSpec(length=settings.length, stride=stride, fps=fps, max_gap_s=max_gap_s)
        super().__init__(window, seeded_model(settings, seed=0), device)

    def _fresh(self, seed: int) -> SpartaModel:
        return seeded_model(self._model.settings, seed)

    def _train(
        self,
        model: SpartaModel,
        windows: Array,
        settings: TrainingSettings,
        seed: int,
        progress: Progress | None,
        cancelled: Cancelled | None,
    ) -> TrainingLog:
        log = train(model, model.loss, windows, settings, seed=seed, progress=progress, cancelled=cancelled)
        if model.settings.branch == "hybrid":
            _calibrate(model, windows, self._device)
        return log

    def _scores(self, windows: Tensor) -> Tensor:
        return self._model.score(windows)

    def load(self, path: Path) -> None:
        """Read what `save` wrote; window and settings become those of its card. ValueError with the reason."""
        model, card = weights.load(path, self.name)
        self._adopt(model, window_of(card, model.settings.length, path.name), card)

    def load_published(
        self, path: Path, *, fps: float = 30.0, length: int | None = None, attention_axis: str = "batch"
    ) -> None:
        """Read a checkpoint of the authors' own code (see `sparta.weights`), trained at `fps`.

        Its file does not say how long a window is: `length` is 48 (24 + 24 samples; released for ShanghaiTech and
        NWPUC) unless given; CHAD's is 60. "batch" is what the weights were trained with.
        """
        model, card = weights.load_published(path, length=length, attention_axis=attention_axis)
        card["fps"] = fps
        self._adopt(model, window_of(card, model.settings.length, path.name), card)

    def _facts(self) -> dict[str, Any]:
        settings = self._model.settings
        by_batch = settings.attention_axis == "batch"
        return {
            **{key: getattr(settings, key) for key in _MODEL_KEYS},
            "score": _SCORES[settings.branch],
            "score_depends_on_batch": EVALUATION_BATCH if by_batch else False,
        }


@torch.inference_mode()
def _calibrate(model: SpartaModel, windows: Array, device: torch.device) -> None:
    """Set the hybrid's means and deviations from (at most `_CALIBRATION` of) the training windows."""
    some = windows[np.linspace(0, len(windows) - 1, min(len(windows), _CALIBRATION)).astype(np.intp)]
    parts = range(0, len(some), EVALUATION_BATCH)
    errors = torch.cat([model.errors(_batch(some[at : at + EVALUATION_BATCH], device)) for at in parts]).double()
    spread = errors.std(dim=0, correction=0)
    model.branch_mean.copy_(errors.mean(dim=0))
    # One window has no spread, and equal ones none worth dividing by: such a branch counts as it is.
    model.branch_std.copy_(torch.where(spread > 1e-6 * model.branch_mean.abs(), spread, 1.0))


def _batch(windows: Array, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(np.array(windows, np.float32)).to(device)
