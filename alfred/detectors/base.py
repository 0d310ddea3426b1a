"""What a detector is: windows in, one score a window out, higher = more anomalous."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from alfred.pose.skeleton import JOINTS18
from alfred.pose.windows import WindowSpec

Progress = Callable[[int, int, str], None]
"""Called with (steps done, steps in all, a short text such as "loss 1.23")."""

Cancelled = Callable[[], bool]
"""Asked between steps; True ends the training with `Cancellation`."""


class Cancellation(Exception):
    """Training was asked to stop."""


@dataclass(frozen=True, slots=True)
class TrainingLog:
    """What training did: one loss a step (mean over the batch), the settings it ran with, and (step, mean loss) at
    every look at the hold-out.
    """

    losses: list[float]
    settings: dict[str, Any] = field(default_factory=dict)
    validation: list[tuple[int, float]] = field(default_factory=list)


def checked_windows(windows: npt.NDArray[np.float32], channels: int, length: int) -> npt.NDArray[np.float32]:
    """`windows` (n, channels, length, 18) as float32. Raises ValueError that names what was expected and found."""
    values = np.asarray(windows)
    expected = (channels, length, JOINTS18)
    if values.ndim != 4 or values.shape[1:] != expected:
        raise ValueError(f"windows have shape {values.shape}, expected (n, {', '.join(map(str, expected))})")
    if values.dtype.kind != "f":
        raise ValueError(f"windows are of type {values.dtype}, expected float32")
    values = values.astype(np.float32, copy=False)
    if not np.isfinite(values).all():
        raise ValueError("windows hold values that are not finite")
    return values


@runtime_checkable
class Remembers(Protocol):
    """A detector that can be told at once, without training, that windows are normal here."""

    def remember(self, windows: npt.NDArray[np.float32]) -> None:
        """Take windows (n, C, T, V) that a person called normal; their scores and those of their like fall."""
        ...


class Detector(Protocol):
    """Scores windows of normalised poses. Sees no path, row or flag.

    `window` says how its windows are made (length, stride, frame rate); `family` is how it works: likelihood,
    reconstruction, prediction, clustering or memory. Same weights, same window → same score, whatever else is in the
    batch.
    """

    name: str
    family: str
    window: WindowSpec

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
        """Train from scratch on normal windows (n, C, T, V); None = the detector's own setting.

        `validation_share` of the windows is held out, and training ends early after `patience` looks at it without a
        new best. When it is cancelled or fails, the detector is what it was.
        """
        ...

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

    def describe(self, **entries: Any) -> None:
        """Add entries to the card: what the weights were trained on, what they reached, their licence."""
        ...

    def info(self) -> dict[str, Any]:
        """The card: name, parameters, window, fps, training settings, licence. JSON-able."""
        ...
