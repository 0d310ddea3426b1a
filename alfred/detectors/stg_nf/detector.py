"""STG-NF as a detector: windows in, nll in bits per dimension out (higher = more anomalous)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from alfred.detectors.base import Cancelled, Progress, TrainingLog
from alfred.detectors.cpu import lean_cpu
from alfred.detectors.learned import Array, Learned, settled, window_of
from alfred.detectors.stg_nf import weights
from alfred.detectors.stg_nf.folded import LARGEST, FoldedScorer
from alfred.detectors.stg_nf.model import FlowSettings, StgNfModel, seeded_model
from alfred.detectors.stg_nf.training import labelled, train
from alfred.detectors.training import TrainingSettings
from alfred.pose.windows import WindowSpec

_GENERAL_BATCH = 256


class StgNf(Learned[StgNfModel]):
    """`alfred.detectors.base.Detector` of the flow in `model.py`.

    `length` samples a window at `fps` Hz; `radius` R is the prior's mean, `steps` K the flow's; `device` a
    torch device. Untrained until `fit` or `load`: it scores, but says nothing. Raises ValueError for
    impossible settings.

    Fine-tuning freezes BatchNorm: its running statistics would move scores and thresholds even at a learning rate of 0.
    Its rate is a tenth of the published one. At 5e-4 a fresh Adamax throws converged weights out of their minimum in
    its first steps (loss 1.1 → 4.0 on mocap-cctv C0) and ends with a lower test AUC than 5e-5 on all four cameras
    tried.
    ActNorm is trained but not set anew.
    """

    name = "stg_nf"
    family = "likelihood"
    FIT = TrainingSettings(steps=3000, learning_rate=5e-3, optimiser="adamax", schedule="cosine")
    FINE_TUNE = TrainingSettings(steps=60, learning_rate=5e-5, optimiser="adamax", batch_norm="frozen")
    CHUNK = 4096

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
        window = WindowSpec(length=length, stride=stride, fps=fps, max_gap_s=max_gap_s)
        super().__init__(window, seeded_model(FlowSettings(length=length, radius=radius, steps=steps), seed=0), device)

    def _use(self, model: StgNfModel) -> None:
        super()._use(model)
        self._folded: FoldedScorer | None = None  # made at the next score

    def _fresh(self, seed: int) -> StgNfModel:
        return seeded_model(self._model.settings, seed)

    def _train(
        self,
        model: StgNfModel,
        windows: Array,
        settings: TrainingSettings,
        seed: int,
        progress: Progress | None,
        cancelled: Cancelled | None,
    ) -> TrainingLog:
        if settings.batch_norm == "frozen":  # the weights are somebody's already
            model.mark_initialised()
        return train(model, windows, settings, seed=seed, progress=progress, cancelled=cancelled)

    @lean_cpu()
    def fit_labelled(
        self,
        windows: Array,
        anomalous: npt.NDArray[np.bool_],
        *,
        seed: int,
        steps: int | None = None,
        learning_rate: float | None = None,
        progress: Progress | None = None,
        cancelled: Cancelled | None = None,
    ) -> TrainingLog:
        """Train from scratch on windows (n, 2, T, 18) of both kinds: the published supervised form.

        Anomalous ones (n,) are drawn to -R as normal ones are to R; a score stays the nll of a normal window. Raises as
        `fit`, and ValueError where the two do not go together.
        """
        checked = self._checked(windows)
        if anomalous.shape != (len(checked),):
            raise ValueError(f"{len(checked)} windows and labels of shape {anomalous.shape}: one each is needed")
        settings = settled(self.FIT, self._preset.fit, {"steps": steps, "learning_rate": learning_rate})
        model = self._fresh(seed).to(self._device)
        log = self._train(model, labelled(checked, anomalous.astype(bool)), settings, seed, progress, cancelled)
        self._use(model)
        self._card = {"training": log.settings | {"anomalous": int(anomalous.sum())}}
        return log

    def _scores(self, windows: Tensor) -> Tensor:
        if not self._model.adjacency_is_uniform:
            return general_nll(self._model, windows)
        if self._folded is None:
            self._folded = FoldedScorer(self._model)
        return self._folded.nll(windows)

    def load(self, path: Path) -> None:
        """Read what `save` wrote; window, R and K become those of its card. Raises ValueError with the reason."""
        model, card = weights.load(path, self.name)
        self._adopt(model, window_of(card, model.settings.length, path.name), card)

    def load_published(self, path: Path, *, fps: float = 30.0) -> None:
        """Read a checkpoint of the authors' own code (see `stg_nf.weights`), trained at `fps`."""
        model, card = weights.load_published(path)
        card["fps"] = fps
        self._adopt(model, window_of(card, model.settings.length, path.name), card)

    def _facts(self) -> dict[str, Any]:
        flow = self._model.settings
        return {"radius": flow.radius, "flow_steps": flow.steps, "score": "nll, bits per dimension"}


@torch.inference_mode()
def general_nll(model: StgNfModel, windows: torch.Tensor) -> torch.Tensor:
    """Scores by the layers themselves, any adjacency: (n, 2, T, V) → (n,), finite, some at a time."""
    parts = [model.nll(windows[at : at + _GENERAL_BATCH]) for at in range(0, len(windows), _GENERAL_BATCH)]
    return torch.nan_to_num(torch.cat(parts), nan=LARGEST).clamp(-LARGEST, LARGEST)
