"""SPARTA as a detector: windows in, mean squared error of pose tokens out (higher = more anomalous)."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from alfred.detectors import weights
from alfred.detectors.base import Cancelled, Progress, TrainingLog, checked_windows
from alfred.detectors.sparta import weights as sparta_weights
from alfred.detectors.sparta.model import CHANNELS, SpartaModel, SpartaSettings, seeded_model
from alfred.detectors.threads import one_thread
from alfred.detectors.training import TrainingSettings, train
from alfred.pose.windows import WindowSpec

NAME = "sparta"
FIT = TrainingSettings(steps=400, learning_rate=1e-3, batch=128, clip=1.0, cosine=True)
"""Longer training lowers the loss but found no more: test AUC on mocap-cctv was the same after 300 and 600 steps."""

FINE_TUNE = TrainingSettings(steps=60, learning_rate=1e-4, batch=128, clip=1.0)

EVALUATION_BATCH = 256
"""Windows scored at once. With attention over the batch it is part of what a score means."""

_CALIBRATION = 4096  # windows that the hybrid's means and deviations are taken over, evenly spaced
_LARGEST = float(np.finfo(np.float32).max)
_WINDOW_KEYS = ("length", "stride", "fps", "max_gap_s")
_MODEL_KEYS = ("branch", "attention_axis", "tokens", "honest", "dropout")
_SCORES = {
    "future": "mean squared error of the predicted tokens of the window's second half",
    "current": "mean squared error of the window's reconstructed tokens",
    "hybrid": "sum of two z-scores: reconstruction error of the first half, prediction error of the second",
}


class Sparta:
    """`alfred.detectors.base.Detector` of the transformers in `model.py`.

    `length` samples a window at `fps` Hz: 2T for the branches "future" and "hybrid", which see T and predict T,
    and T for "current". The other settings are those of `SpartaSettings`. A window's score belongs to its centre
    pose, sample length // 2, as for every detector here: the first pose predicted. (The published code gives it to
    the centre of the predicted half, T / 2 later.)

    With `attention_axis="batch"` a score depends on what else is scored: on the order of the windows and on the
    batch of `EVALUATION_BATCH`. That is how the released weights were trained; see `load_published`.

    Untrained until `fit` or `load`: it scores, but says nothing. Raises ValueError for impossible settings.
    """

    name = NAME
    family = "prediction"

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
        self._device = torch.device(device)
        settings = SpartaSettings(
            length=length,
            branch=branch,
            attention_axis=attention_axis,
            tokens=tokens,
            honest=honest,
            dropout=dropout,
        )
        self.window = WindowSpec(length=settings.length, stride=stride, fps=fps, max_gap_s=max_gap_s)
        self._card: dict[str, Any] = {}
        self._use(seeded_model(settings, seed=0))

    def _use(self, model: SpartaModel) -> None:
        self._model = model.to(self._device).eval()

    @property
    def model(self) -> SpartaModel:
        """The layers with their present weights, in evaluation mode."""
        return self._model

    @one_thread()
    def fit(
        self,
        windows: npt.NDArray[np.float32],
        *,
        seed: int,
        steps: int | None = None,
        learning_rate: float | None = None,
        validation_share: float | None = None,
        patience: int | None = None,
        progress: Progress | None = None,
        cancelled: Cancelled | None = None,
    ) -> TrainingLog:
        """Train from scratch on normal windows (n, 2, length, 18): `FIT`, unless told otherwise.

        When it is cancelled or fails, the weights are what they were. Raises as `training.train`.
        """
        settings = FIT.with_(
            steps=steps, learning_rate=learning_rate, validation_share=validation_share, patience=patience
        )
        model = seeded_model(self._model.settings, seed).to(self._device)
        log = self._train(model, windows, settings, seed, progress, cancelled)
        self._card = {"training": log.settings}
        return log

    @one_thread()
    def fine_tune(
        self,
        windows: npt.NDArray[np.float32],
        *,
        seed: int,
        steps: int | None = None,
        learning_rate: float | None = None,
        validation_share: float | None = None,
        patience: int | None = None,
        progress: Progress | None = None,
        cancelled: Cancelled | None = None,
    ) -> TrainingLog:
        """Go on from the present weights with a fresh Adam: `FINE_TUNE`, unless told otherwise.

        The hybrid's means and deviations are taken anew from `windows`. When it is cancelled or fails, the weights
        are what they were.
        """
        settings = FINE_TUNE.with_(
            steps=steps, learning_rate=learning_rate, validation_share=validation_share, patience=patience
        )
        log = self._train(copy.deepcopy(self._model), windows, settings, seed, progress, cancelled)
        self._card = {**self._card, "fine_tuned": [*self._card.get("fine_tuned", []), log.settings]}
        return log

    def _train(
        self,
        model: SpartaModel,
        windows: npt.NDArray[np.float32],
        settings: TrainingSettings,
        seed: int,
        progress: Progress | None,
        cancelled: Cancelled | None,
    ) -> TrainingLog:
        windows = self._checked(windows)
        log = train(model, model.loss, windows, settings, seed=seed, progress=progress, cancelled=cancelled)
        if model.settings.branch == "hybrid":
            _calibrate(model, windows, self._device)
        self._use(model)
        return log

    @one_thread()
    def score(self, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(n, 2, length, 18) → (n,), finite; what it measures says `info()["score"]`."""
        windows = self._checked(windows)
        out = np.empty(len(windows), np.float32)
        with torch.inference_mode():
            for at in range(0, len(windows), EVALUATION_BATCH):
                scores = self._model.score(_batch(windows[at : at + EVALUATION_BATCH], self._device))
                finite = torch.nan_to_num(scores, nan=_LARGEST, posinf=_LARGEST, neginf=-_LARGEST)
                out[at : at + EVALUATION_BATCH] = finite.cpu().numpy()
        return out

    def _checked(self, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return checked_windows(windows, CHANNELS, self.window.length)

    def save(self, path: Path) -> None:
        """Write the weights to `path` (.safetensors), the card as their metadata."""
        weights.save(path, self._model.state_dict(), self.info())

    def load(self, path: Path) -> None:
        """Read what `save` wrote; window and settings become those of its card. ValueError with the reason."""
        self._adopt(*sparta_weights.load(path, NAME))

    def load_published(
        self, path: Path, *, fps: float = 30.0, length: int | None = None, attention_axis: str = "batch"
    ) -> None:
        """Read a checkpoint of the authors' own code (see `sparta.weights`), trained at `fps`.

        Its file does not say how long a window is: `length` is 48 (24 + 24 samples; released for ShanghaiTech and
        NWPUC) unless given; CHAD's is 60. "batch" is what the weights were trained with.
        """
        model, card = sparta_weights.load_published(path, length=length, attention_axis=attention_axis)
        self._adopt(model, {**card, "fps": fps})

    def _adopt(self, model: SpartaModel, card: dict[str, Any]) -> None:
        self.window = WindowSpec(
            length=model.settings.length,
            stride=int(card.get("stride", 1)),
            fps=float(card.get("fps", 30.0)),
            max_gap_s=float(card.get("max_gap_s", 0.2)),
        )
        self._card = card
        self._use(model)

    def describe(self, **entries: Any) -> None:
        """Add entries to the card: what the weights were trained on, what they reached, their licence."""
        self._card = {**self._card, **entries}

    def info(self) -> dict[str, Any]:
        """The card: architecture and window as they are, and what is known of the weights. JSON-able."""
        settings = self._model.settings
        by_batch = settings.attention_axis == "batch"
        return {
            "fine_tuning": {
                "steps": FINE_TUNE.steps,
                "learning_rate": FINE_TUNE.learning_rate,
                "batch": FINE_TUNE.batch,
            },
            **self._card,
            "name": NAME,
            "family": self.family,
            **{key: getattr(self.window, key) for key in _WINDOW_KEYS},
            **{key: getattr(settings, key) for key in _MODEL_KEYS},
            "parameters": sum(p.numel() for p in self._model.parameters()),
            "score": _SCORES[settings.branch],
            "score_depends_on_batch": EVALUATION_BATCH if by_batch else False,
        }


@torch.inference_mode()
def _calibrate(model: SpartaModel, windows: npt.NDArray[np.float32], device: torch.device) -> None:
    """Set the hybrid's means and deviations from (at most `_CALIBRATION` of) the training windows."""
    some = windows[np.linspace(0, len(windows) - 1, min(len(windows), _CALIBRATION)).astype(np.intp)]
    parts = range(0, len(some), EVALUATION_BATCH)
    errors = torch.cat([model.errors(_batch(some[at : at + EVALUATION_BATCH], device)) for at in parts]).double()
    spread = errors.std(dim=0, correction=0)
    model.branch_mean.copy_(errors.mean(dim=0))
    # One window has no spread, and equal ones none worth dividing by: such a branch counts as it is.
    model.branch_std.copy_(torch.where(spread > 1e-6 * model.branch_mean.abs(), spread, 1.0))


def _batch(windows: npt.NDArray[np.float32], device: torch.device) -> torch.Tensor:
    return torch.from_numpy(np.array(windows, np.float32)).to(device)
