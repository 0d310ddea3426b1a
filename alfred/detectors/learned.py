"""What detectors that learn by gradients have in common: training a copy, scoring in chunks, the card, saving."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from alfred.detectors import presets, weights
from alfred.detectors.base import Cancelled, Progress, TrainingLog, checked_windows
from alfred.detectors.cpu import lean_cpu
from alfred.detectors.training import TrainingSettings
from alfred.pose.windows import WindowSpec

Model = TypeVar("Model", bound=nn.Module)
Array = npt.NDArray[np.float32]

LARGEST = float(np.finfo(np.float32).max)
"""Scores lie between minus and plus this: finite for any finite window."""

WINDOW_KEYS = ("length", "stride", "fps", "max_gap_s")


class Learned(ABC, Generic[Model]):
    """`alfred.detectors.base.Detector` around a torch module.

    A detector names itself, its training settings and how many windows it scores at once, and says how a model is made,
    trained and asked. Whatever trains, trains a copy: cancelled or failed, the detector is what it was.
    """

    name: ClassVar[str]
    family: ClassVar[str]
    FIT: ClassVar[TrainingSettings]
    FINE_TUNE: ClassVar[TrainingSettings]
    CHUNK: ClassVar[int]

    window: WindowSpec
    preset: str
    """Whose training schedule is used; saved weights keep theirs."""

    def __init__(self, window: WindowSpec, model: Model, device: str) -> None:
        self._device = torch.device(device)
        self.preset = presets.TUNED
        self.window = window
        self._card: dict[str, Any] = {}
        self._use(model)

    @abstractmethod
    def _fresh(self, seed: int) -> Model:
        """A model of the present settings with first weights drawn from `seed`."""

    @abstractmethod
    def _train(
        self,
        model: Model,
        windows: Array,
        settings: TrainingSettings,
        seed: int,
        progress: Progress | None,
        cancelled: Cancelled | None,
    ) -> TrainingLog:
        """Train `model` in place, with whatever belongs to its weights."""

    @abstractmethod
    def _scores(self, windows: Tensor) -> Tensor:
        """(n, C, T, 18) on the device → (n,)."""

    @abstractmethod
    def _facts(self) -> dict[str, Any]:
        """The card's entries about the architecture, and "score": what a score is."""

    def _fit(
        self, model: Model, windows: Array, given: dict[str, Any], seed: int, progress: Progress | None,
        cancelled: Cancelled | None,
    ) -> TrainingLog:  # fmt: skip
        """Training from scratch; `given` are the changes to `FIT`. For those that train in several stages to change."""
        return self._train(model, windows, settled(self.FIT, self._preset.fit, given), seed, progress, cancelled)

    @property
    def _preset(self) -> presets.Preset:
        return presets.preset(self.name, self.preset)

    def _use(self, model: Model) -> None:
        """Put a model in use. For those that keep something made of it to forget that."""
        self._model = model.to(self._device).eval()

    @property
    def model(self) -> Model:
        """The layers with their present weights, in evaluation mode."""
        return self._model

    @lean_cpu()
    def fit(
        self,
        windows: Array,
        *,
        seed: int,
        steps: int | None = None,
        learning_rate: float | None = None,
        validation_share: float | None = None,
        patience: int | None = None,
        progress: Progress | None = None,
        cancelled: Cancelled | None = None,
    ) -> TrainingLog:
        """Train from scratch on normal windows (n, C, T, 18): `FIT`, unless told otherwise.

        When it is cancelled or fails, the weights are what they were. Raises as `training.train`.
        """
        given = _given(steps, learning_rate, validation_share, patience)
        model = self._fresh(seed).to(self._device)
        log = self._fit(model, self._checked(windows), given, seed, progress, cancelled)
        self._use(model)
        self._card = {"training": log.settings}
        return log

    @lean_cpu()
    def fine_tune(
        self,
        windows: Array,
        *,
        seed: int,
        steps: int | None = None,
        learning_rate: float | None = None,
        validation_share: float | None = None,
        patience: int | None = None,
        progress: Progress | None = None,
        cancelled: Cancelled | None = None,
    ) -> TrainingLog:
        """Go on from the present weights with a fresh optimiser: `FINE_TUNE`, unless told otherwise.

        When it is cancelled or fails, the weights are what they were. Raises as `training.train`.
        """
        given = _given(steps, learning_rate, validation_share, patience)
        settings = settled(self.FINE_TUNE, self._preset.fine_tune, given)
        model = copy.deepcopy(self._model)
        log = self._train(model, self._checked(windows), settings, seed, progress, cancelled)
        self._use(model)
        self._card = {**self._card, "fine_tuned": [*self._card.get("fine_tuned", []), log.settings]}
        return log

    @lean_cpu()
    @torch.inference_mode()
    def score(self, windows: Array) -> Array:
        """(n, C, T, 18) → (n,), finite, higher = more anomalous; what it measures says `info()["score"]`."""
        values = self._checked(windows)
        out = np.empty(len(values), np.float32)
        for at in range(0, len(values), self.CHUNK):
            part = torch.from_numpy(np.array(values[at : at + self.CHUNK], np.float32)).to(self._device)
            scores = torch.nan_to_num(self._scores(part), nan=LARGEST).clamp(-LARGEST, LARGEST)
            out[at : at + self.CHUNK] = scores.cpu().numpy()
        return out

    def _checked(self, windows: Array) -> Array:
        return checked_windows(windows, self.window.channels, self.window.length)

    def save(self, path: Path) -> None:
        """Write the weights to `path` (.safetensors), the card as their metadata."""
        weights.save(path, self._model.state_dict(), self.info())

    def _adopt(self, model: Model, window: WindowSpec, card: dict[str, Any]) -> None:
        """Use weights that were read, with their window, card and preset. Raises ValueError for an unknown preset."""
        preset = str(card.get("preset", presets.TUNED))
        presets.preset(self.name, preset)
        self.window, self._card, self.preset = window, card, preset
        self._use(model)

    def describe(self, **entries: Any) -> None:
        """Add entries to the card: what the weights were trained on, what they reached, their licence."""
        self._card = {**self._card, **entries}

    def info(self) -> dict[str, Any]:
        """The card: architecture and window as they are, and what is known of the weights. JSON-able."""
        tuning = self.FINE_TUNE.with_(**self._preset.fine_tune)
        return {
            "fine_tuning": {
                **({"epochs": tuning.epochs} if tuning.epochs else {"steps": tuning.steps}),
                "learning_rate": tuning.learning_rate,
                "batch": tuning.batch,
                "batch_norm": tuning.batch_norm,
            },
            **self._card,
            "name": self.name,
            "preset": self.preset,
            "family": self.family,
            **{key: getattr(self.window, key) for key in WINDOW_KEYS},
            "parameters": sum(p.numel() for p in self._model.parameters()),
            **self._facts(),
        }


def window_of(card: dict[str, Any], length: int, source: str, *, confidence: bool = False) -> WindowSpec:
    """The window that a card describes, of `length` samples. Raises ValueError, beginning with `source`."""
    try:
        window = WindowSpec(
            length=length,
            stride=int(card.get("stride", 1)),
            fps=float(card.get("fps", 30.0)),
            max_gap_s=float(card.get("max_gap_s", 0.2)),
            confidence=confidence,
        )
        if window.stride < 1 or not (0 < window.fps < math.inf and 0 <= window.max_gap_s < math.inf):
            raise ValueError(f"{window} makes no window")
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{source}: the card's settings are missing or impossible ({error})") from None
    return window


def _given(
    steps: int | None, learning_rate: float | None, validation_share: float | None, patience: int | None
) -> dict[str, Any]:
    return {
        "steps": steps, "learning_rate": learning_rate, "validation_share": validation_share, "patience": patience,
    }  # fmt: skip


def settled(own: TrainingSettings, preset: Mapping[str, Any], given: dict[str, Any]) -> TrainingSettings:
    """The detector's own settings, as the preset and then the caller change them. Steps asked for replace epochs."""
    changes = {**preset, **{key: value for key, value in given.items() if value is not None}}
    if given.get("steps") is not None:
        changes["epochs"] = 0
    return own.with_(**changes)
