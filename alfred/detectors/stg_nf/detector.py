"""STG-NF as a detector: windows in, nll in bits per dimension out (higher = more anomalous)."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from alfred.detectors import weights
from alfred.detectors.base import Cancelled, Progress, TrainingLog, checked_windows
from alfred.detectors.stg_nf import weights as stg_nf_weights
from alfred.detectors.stg_nf.folded import LARGEST, FoldedScorer
from alfred.detectors.stg_nf.model import CHANNELS, FlowSettings, StgNfModel, seeded_model
from alfred.detectors.stg_nf.training import train
from alfred.detectors.threads import one_thread
from alfred.detectors.training import TrainingSettings
from alfred.pose.windows import WindowSpec

NAME = "stg_nf"
FIT = TrainingSettings(steps=3000, learning_rate=5e-3, optimiser="adamax", cosine=True)
FINE_TUNE = TrainingSettings(steps=60, learning_rate=5e-5, optimiser="adamax", batch_norm="frozen")
"""BatchNorm is frozen: its running statistics would move scores and thresholds even at a learning rate of 0.

The rate is a tenth of the published one. At 5e-4 a fresh Adamax throws converged weights out of their minimum in its
first steps (loss 1.1 → 4.0 on mocap-cctv C0) and ends with a lower test AUC than 5e-5 on all four cameras tried.
"""

_CHUNK = 4096  # windows sent to the device at once
_GENERAL_BATCH = 256
_WINDOW_KEYS = ("length", "stride", "fps", "max_gap_s")


class StgNf:
    """`alfred.detectors.base.Detector` of the flow in `model.py`.

    `length` samples a window at `fps` Hz; `radius` R is the prior's mean, `steps` K the flow's; `device` a
    torch device. Untrained until `fit` or `load`: it scores, but says nothing. Raises ValueError for
    impossible settings.
    """

    name = NAME
    family = "likelihood"

    def __init__(
        self,
        *,
        length: int = 24,
        fps: float = 30.0,
        stride: int = 1,
        max_gap_s: float = 0.2,
        radius: float = 3.0,
        steps: int = 8,
        device: str = "cpu",
    ) -> None:
        self._device = torch.device(device)
        self.window = WindowSpec(length=length, stride=stride, fps=fps, max_gap_s=max_gap_s)
        self._flow = FlowSettings(length=length, radius=radius, steps=steps)
        self._card: dict[str, Any] = {}
        self._use(seeded_model(self._flow, seed=0))

    def _use(self, model: StgNfModel) -> None:
        self._model = model.to(self._device).eval()
        self._folded: FoldedScorer | None = None  # made at the next score

    @property
    def model(self) -> StgNfModel:
        """The layers with their present weights, in evaluation mode."""
        return self._model

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
        """Train from scratch on normal windows (n, 2, T, 18): `FIT`, unless told otherwise.

        When it is cancelled or fails, the weights are what they were. Raises as `training.train`.
        """
        settings = FIT.with_(
            steps=steps, learning_rate=learning_rate, validation_share=validation_share, patience=patience
        )
        model = seeded_model(self._flow, seed).to(self._device)
        log = train(model, self._checked(windows), settings, seed=seed, progress=progress, cancelled=cancelled)
        self._use(model)
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
        """Go on from the present weights with a fresh Adamax: `FINE_TUNE`, unless told otherwise.

        ActNorm is trained but not set anew. When it is cancelled or fails, the weights are what they were.
        """
        settings = FINE_TUNE.with_(
            steps=steps, learning_rate=learning_rate, validation_share=validation_share, patience=patience
        )
        model = copy.deepcopy(self._model)
        model.mark_initialised()
        log = train(model, self._checked(windows), settings, seed=seed, progress=progress, cancelled=cancelled)
        self._use(model)
        self._card = {**self._card, "fine_tuned": [*self._card.get("fine_tuned", []), log.settings]}
        return log

    @one_thread()
    def score(self, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(n, 2, T, 18) → nll under the normal prior in bits per dimension (n,), finite."""
        windows = self._checked(windows)
        out = np.empty(len(windows), np.float32)
        if self._folded is None and self._model.adjacency_is_uniform:
            self._folded = FoldedScorer(self._model)
        for at in range(0, len(windows), _CHUNK):
            part = torch.from_numpy(np.array(windows[at : at + _CHUNK], np.float32)).to(self._device)
            scores = self._folded.nll(part) if self._folded else general_nll(self._model, part)
            out[at : at + _CHUNK] = scores.cpu().numpy()
        return out

    def _checked(self, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return checked_windows(windows, CHANNELS, self.window.length)

    def save(self, path: Path) -> None:
        """Write the weights to `path` (.safetensors), the card as their metadata."""
        weights.save(path, self._model.state_dict(), self.info())

    def load(self, path: Path) -> None:
        """Read what `save` wrote; window, R and K become those of its card. Raises ValueError with the
        reason.
        """
        model, card = stg_nf_weights.load(path, NAME)
        self._adopt(model, card)

    def load_published(self, path: Path, *, fps: float = 30.0) -> None:
        """Read a checkpoint of the authors' own code (see `stg_nf.weights`), trained at `fps`."""
        model, card = stg_nf_weights.load_published(path)
        self._adopt(model, {**card, "fps": fps})

    def _adopt(self, model: StgNfModel, card: dict[str, Any]) -> None:
        self.window = WindowSpec(
            length=model.settings.length,
            stride=int(card.get("stride", 1)),
            fps=float(card.get("fps", 30.0)),
            max_gap_s=float(card.get("max_gap_s", 0.2)),
        )
        self._flow = model.settings
        self._card = card
        self._use(model)

    def describe(self, **entries: Any) -> None:
        """Add entries to the card: what the weights were trained on, what they reached, their licence."""
        self._card = {**self._card, **entries}

    def info(self) -> dict[str, Any]:
        """The card: architecture and window as they are, and what is known of the weights. JSON-able."""
        return {
            "fine_tuning": {
                "steps": FINE_TUNE.steps,
                "learning_rate": FINE_TUNE.learning_rate,
                "batch": FINE_TUNE.batch,
                "batch_norm": FINE_TUNE.batch_norm,
                "actnorm": "not re-initialised",
            },
            **self._card,
            "name": NAME,
            **{key: getattr(self.window, key) for key in _WINDOW_KEYS},
            "radius": self._flow.radius,
            "flow_steps": self._flow.steps,
            "parameters": sum(p.numel() for p in self._model.parameters()),
            "score": "nll, bits per dimension",
        }


@torch.inference_mode()
def general_nll(model: StgNfModel, windows: torch.Tensor) -> torch.Tensor:
    """Scores by the layers themselves, any adjacency: (n, 2, T, V) → (n,), finite, some at a time."""
    parts = [model.nll(windows[at : at + _GENERAL_BATCH]) for at in range(0, len(windows), _GENERAL_BATCH)]
    return torch.nan_to_num(torch.cat(parts), nan=LARGEST).clamp(-LARGEST, LARGEST)
