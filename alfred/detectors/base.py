"""What a detector is: windows in, one score a window out, higher = more anomalous."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from alfred.pose.windows import WindowSpec

Progress = Callable[[int, int, str], None]
"""Called with (steps done, steps in all, a short text such as "loss 1.23")."""

Cancelled = Callable[[], bool]
"""Asked between steps; True ends the training with `Cancellation`."""


class Cancellation(Exception):
    """Training was asked to stop."""


@dataclass(frozen=True, slots=True)
class TrainingLog:
    """What training did: one loss a step (mean over the batch), and the settings it ran with."""

    losses: list[float]
    settings: dict[str, Any] = field(default_factory=dict)


class Detector(Protocol):
    """Scores windows of normalised poses. Sees no path, row or flag.

    `window` says how its windows are made (length, stride, frame rate). Same weights, same window → same score,
    whatever else is in the batch.
    """

    name: str
    window: WindowSpec

    def fit(
        self,
        windows: npt.NDArray[np.float32],
        *,
        seed: int,
        progress: Progress | None = None,
        cancelled: Cancelled | None = None,
    ) -> TrainingLog:
        """Train from scratch on normal windows (n, C, T, V)."""
        ...

    def fine_tune(
        self,
        windows: npt.NDArray[np.float32],
        *,
        seed: int,
        steps: int | None = None,
        learning_rate: float | None = None,
        progress: Progress | None = None,
        cancelled: Cancelled | None = None,
    ) -> TrainingLog:
        """Go on from the present weights with a fresh optimiser; None = the detector card's own setting."""
        ...

    def score(self, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(n, C, T, V) → (n,), finite, higher = more anomalous."""
        ...

    def save(self, path: Path) -> None:
        """Write weights to `path` (.safetensors) with the card as its metadata."""
        ...

    def load(self, path: Path) -> None:
        """Read what `save` wrote. Raises ValueError when it is not this detector's."""
        ...

    def info(self) -> dict[str, Any]:
        """The card: name, parameters, window, fps, training settings, licence. JSON-able."""
        ...
