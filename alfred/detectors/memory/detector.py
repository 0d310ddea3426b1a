"""The memory as a detector: windows in, distance to what is remembered out (higher = more anomalous)."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from alfred.detectors import presets, weights
from alfred.detectors.base import Cancellation, Cancelled, Progress, TrainingLog, checked_windows
from alfred.detectors.learned import WINDOW_KEYS
from alfred.detectors.memory import files
from alfred.detectors.memory.model import PARTS, Bank, Embedding, MemorySettings, add, empty_bank, scores
from alfred.pose.windows import WindowSpec

NAME = "memory"

LARGEST = 1e6
"""Scores lie below this; more is as anomalous as can be."""

_CHUNK = 4096  # windows sent to the device at once
_LEARN_FROM = 10_000  # windows, evenly spread: directions and deviations change no more with more of them


class Memory:
    """`alfred.detectors.base.Detector` of the bank in `model.py`.

    `length` samples a window at `fps` Hz; `device` a torch device; the rest are `MemorySettings`, whose defaults were
    the best, or no worse than any, on mocap-cctv C0 to C2. Raises ValueError for impossible settings.

    Three parts, each bounded: `fit` fills "base" (2048 windows), `fine_tune` adds to "camera" (2048), `remember` to
    "confirmed" (1024, about 60 segments at one window in 6). Reservoirs of 500 to 4000 windows ranked equally well;
    2048 leaves room for rare habits and takes 1.4 MB. The first two are equal so that what a camera sees every day
    soon counts as much as the source.
    """

    name = NAME
    family = "memory"

    def __init__(
        self,
        *,
        length: int = 24,
        fps: float = 30.0,
        stride: int = 1,
        max_gap_s: float = 0.2,
        device: str = "cpu",
        **settings: Any,
    ) -> None:
        self._device = torch.device(device)
        self.preset = presets.TUNED
        try:
            self._settings = MemorySettings(**settings)
        except TypeError as error:
            raise ValueError(f"unknown setting or one of a wrong type ({error})") from None
        self.window = self._spec(length, stride, fps, max_gap_s)
        self._bank: Bank | None = None
        self._seen = dict.fromkeys(PARTS, 0)
        self._card: dict[str, Any] = {}

    def _spec(self, length: int, stride: int, fps: float, max_gap_s: float) -> WindowSpec:
        needs = self._settings
        return WindowSpec(length, stride, fps, max_gap_s, confidence=needs.confidence, place=needs.needs_place)

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
        """Forget everything; learn the embedding from normal windows (n, C, T, 18) and remember a fair sample.

        `steps`, `learning_rate`, `validation_share` and `patience` are accepted and not used: nothing descends a
        gradient, so there is nothing to do more or less of, and nothing that could be overdone. When it is cancelled
        or fails, the memory is what it was. Raises ValueError for windows of another shape, none, or not finite.
        """
        values = self._some(windows)
        _report(cancelled, progress, "embedding")
        looked_at = np.array(values[:: 1 + len(values) // _LEARN_FROM])
        bank = empty_bank(Embedding.learn(torch.from_numpy(looked_at).to(self._device), self._settings))
        seen = dict.fromkeys(PARTS, 0)
        log = self._grow(bank, values, "base", seed, seen, progress, cancelled)
        self._card = {"training": log.settings}
        return log

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
        """Add to the camera's part: a fair sample of the windows of all calls. The embedding stays.

        `steps`, `learning_rate`, `validation_share` and `patience` are accepted and not used, as in `fit`. When it is
        cancelled or fails, the memory is what it was. Raises ValueError as `fit`, and where nothing was fitted.
        """
        bank = self._filled()
        log = self._grow(bank, self._some(windows), "camera", seed, dict(self._seen), progress, cancelled)
        self._card = {**self._card, "fine_tuned": [*self._card.get("fine_tuned", []), log.settings]}
        return log

    def remember(self, windows: npt.NDArray[np.float32]) -> None:
        """Remember windows (n, C, T, 18) that a person called normal, at once and all of them.

        The oldest of their part make room. Scores of these windows and of those near them fall; others stay what they
        were. Raises ValueError as `fine_tune`.
        """
        bank, values = self._filled(), self._some(windows)
        newest_first = -(self._seen["confirmed"] + np.arange(len(values), dtype=np.float64))
        self._bank = add(bank, values, "confirmed", newest_first)
        self._seen["confirmed"] += len(values)

    def _grow(
        self,
        bank: Bank,
        values: npt.NDArray[np.float32],
        part: str,
        seed: int,
        seen: dict[str, int],
        progress: Progress | None,
        cancelled: Cancelled | None,
    ) -> TrainingLog:
        _report(cancelled, progress, "remembering")
        keys = np.random.default_rng([seed, PARTS.index(part), seen[part]]).random(len(values))
        self._bank = add(bank, values, part, keys)
        seen[part] += len(values)
        self._seen = seen
        if progress is not None:
            progress(1, 1, f"{len(self._bank)} windows remembered")
        return TrainingLog([], {"part": part, "seed": seed, "windows": len(values), "remembered": len(self._bank)})

    @torch.inference_mode()
    def score(self, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(n, C, T, 18) → (n,), finite, ≥ 0. Raises ValueError where nothing is remembered."""
        bank, windows = self._filled(), self._checked(windows)
        out = np.empty(len(windows), np.float32)
        for at in range(0, len(windows), _CHUNK):
            part = torch.from_numpy(np.array(windows[at : at + _CHUNK])).to(self._device)
            found = torch.nan_to_num(scores(bank, part), nan=LARGEST).clamp(0, LARGEST)
            out[at : at + _CHUNK] = found.cpu().numpy()
        return out

    def _checked(self, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return checked_windows(windows, self.window.channels, self.window.length)

    def _some(self, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        values = self._checked(windows)
        if not len(values):
            raise ValueError("there are no windows to remember; expected at least 1")
        return values

    def _filled(self) -> Bank:
        if self._bank is None:
            raise ValueError("the memory is empty, expected at least 1 window; fit it or load weights first")
        return self._bank

    def save(self, path: Path) -> None:
        """Write the memory to `path` (.safetensors), the card as its metadata. Raises ValueError when it is empty."""
        weights.save(path, files.to_tensors(self._filled()), self.info())

    def load(self, path: Path) -> None:
        """Read what `save` wrote; window and settings become those of its card. Raises ValueError with the reason."""
        tensors, card = weights.load(path, NAME)
        bank, spec, seen = files.from_tensors(tensors, card, path.name, self._device)
        self._bank, self._settings, self._seen = bank, bank.embedding.settings, seen
        self.window, self._card, self.preset = spec, card, str(card.get("preset", presets.TUNED))

    def describe(self, **entries: Any) -> None:
        """Add entries to the card: what the memory was filled with, what it reached, its licence."""
        self._card = {**self._card, **entries}

    def info(self) -> dict[str, Any]:
        """The card: settings and window as they are, what is remembered, and what is known of it. JSON-able."""
        bank = self._bank
        return {
            "fine_tuning": {"adds to": "camera", "gradients": "none"},
            **self._card,
            "name": NAME,
            "preset": self.preset,
            "family": self.family,
            **{key: getattr(self.window, key) for key in WINDOW_KEYS},
            **asdict(self._settings),
            "seen": dict(self._seen),
            "remembered": {part: bank.count(part) if bank else 0 for part in PARTS},
            "parameters": sum(t.numel() for t in files.to_tensors(bank).values()) if bank else 0,
            "score": "mean distance to the nearest remembered windows over a power of their own spacing",
        }


def _report(cancelled: Cancelled | None, progress: Progress | None, text: str) -> None:
    if cancelled is not None and cancelled():
        raise Cancellation("stopped before anything was remembered")
    if progress is not None:
        progress(0, 1, text)
