"""GEPC as a detector: windows in, minus the log-likelihood of their soft assignment out (high = anomalous)."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from alfred.detectors.base import Cancelled, Progress, TrainingLog
from alfred.detectors.gepc import transforms, weights
from alfred.detectors.gepc.model import GepcModel, GepcSettings, seeded_model
from alfred.detectors.gepc.training import ClusteringSettings, cluster, fit
from alfred.detectors.learned import Array, Learned, settled, window_of
from alfred.detectors.training import TrainingSettings
from alfred.pose.windows import WindowSpec

AUTOENCODER = TrainingSettings(steps=300, learning_rate=1e-3, batch=64, flip=False, schedule="cosine")
CLUSTERING = TrainingSettings(steps=60, learning_rate=8e-4, batch=64, flip=False)
"""Published: 10 and 25 epochs of batches of 512. These take some minutes of one CPU core at a width of 4.

`flip` is off in all three: the losses draw among the transforms themselves.
"""

CONFIDENT = 3
"""Channels of a window that carries the joints' confidence."""

REPLAY = 3.0
"""Assignments drawn from the mixture so far, for each new window, when fine-tuning fits it anew.

Without them a mixture of one short slice forgets the rest: test AUC on mocap-cctv C0 to C2 fell by .04 to .08.
"""


class Gepc(Learned[GepcModel]):
    """`alfred.detectors.base.Detector` of the model in `model.py`.

    `length` samples a window at `fps` Hz, of `channels` 2 or 3 (then with confidence, as published); `width`,
    `clusters` and `components` as in `GepcSettings`; `divergence` the order of the clustering's (`DIVERGENCES`); a
    score is the mean over the first `transforms` of five turned or mirrored windows; `device` a torch device.
    Untrained until `fit` or `load`: it scores, but says nothing. Raises ValueError for impossible settings.

    Published: `fps` as filmed, 3 channels, width 8, the mean over all five transforms. Here 12 samples span 0.8 s,
    since clusters of shorter windows told less (mocap-cctv C0 to C2), and a width of 4 costs a quarter.
    """

    name = "gepc"
    family = "clustering"
    FIT = AUTOENCODER
    FINE_TUNE = TrainingSettings(steps=30, learning_rate=1e-5, batch=64, flip=False, batch_norm="frozen")
    CHUNK = 256

    def __init__(
        self,
        *,
        length: int = 12,
        fps: float = 15.0,
        stride: int = 1,
        max_gap_s: float = 0.2,
        channels: int = 2,
        width: int = 4,
        clusters: int = 10,
        components: int = 10,
        divergence: str = "assignment_first",
        transforms: int = 1,
        device: str = "cpu",
    ) -> None:
        self._clustering = ClusteringSettings(divergence=divergence)
        self._transforms = _checked_transforms(transforms)
        settings = GepcSettings(length, channels, width, clusters, components)
        window = WindowSpec(length, stride, fps, max_gap_s, confidence=settings.channels == CONFIDENT)
        super().__init__(window, seeded_model(settings, seed=0), device)

    def _fresh(self, seed: int) -> GepcModel:
        return seeded_model(self._model.settings, seed)

    def _fit(
        self,
        model: GepcModel,
        windows: Array,
        given: dict[str, Any],
        seed: int,
        progress: Progress | None,
        cancelled: Cancelled | None,
    ) -> TrainingLog:
        """`AUTOENCODER`, then `CLUSTERING`: steps are shared out as theirs are, other settings hold for both."""
        alone, clustering = _shared_out(given.pop("steps"))
        preset = self._preset
        stages = (
            settled(AUTOENCODER, preset.fit, {**given, "steps": alone}),
            settled(CLUSTERING, preset.clustering, {**given, "steps": clustering}),
        )
        return fit(model, windows, self._clustering, stages, seed=seed, progress=progress, cancelled=cancelled)

    def _train(
        self,
        model: GepcModel,
        windows: Array,
        settings: TrainingSettings,
        seed: int,
        progress: Progress | None,
        cancelled: Cancelled | None,
    ) -> TrainingLog:
        """Fine-tuning: deep clustering from the present weights and centres, then a new mixture."""
        return cluster(
            model,
            windows,
            self._clustering,
            settings,
            seed=seed,
            replay=REPLAY,
            progress=progress,
            cancelled=cancelled,
        )

    def _scores(self, windows: Tensor) -> Tensor:
        """Divided by the number of clusters, as nll is by dimensions: the density is one over so many numbers."""
        return -self._log_likelihood(windows) / self._model.settings.clusters

    def _log_likelihood(self, windows: Tensor) -> Tensor:
        """(B,) mean over the transforms in use; the first of them leaves windows as they are."""
        total = self._model.log_likelihood(windows)
        for which in range(1, self._transforms):
            index = torch.full((len(windows),), which, device=windows.device)
            total = total + self._model.log_likelihood(transforms.transformed(windows, index))
        return total / self._transforms

    def load(self, path: Path) -> None:
        """Read what `save` wrote; window and settings become those of its card. Raises ValueError with the reason."""
        model, card = weights.load(path, self.name)
        try:
            clustering = replace(self._clustering, divergence=card["divergence"])
            averaged = _checked_transforms(int(card["transforms"]))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"{path.name}: the card's settings are missing or impossible ({error})") from None
        confidence = model.settings.channels == CONFIDENT
        window = window_of(card, model.settings.length, path.name, confidence=confidence)
        self._clustering, self._transforms = clustering, averaged
        self._adopt(model, window, card)

    def _facts(self) -> dict[str, Any]:
        return {
            "mixture": "fitted anew when fine-tuning",
            "replay": REPLAY,
            **asdict(self._model.settings),
            "divergence": self._clustering.divergence,
            "transforms": self._transforms,
            "score": "minus log-likelihood of the soft assignment, nats per cluster",
        }


def _checked_transforms(count: int) -> int:
    if not 1 <= count <= transforms.COUNT:
        raise ValueError(f"{count} transforms to average over; must be 1 to {transforms.COUNT}")
    return count


def _shared_out(steps: int | None) -> tuple[int | None, int | None]:
    """Steps of the autoencoder alone and of the clustering, each at least one, in the proportion of the defaults.

    A single step is given to each.
    """
    if steps is None or steps < 1:
        return steps, steps
    clustering = max(1, round(steps * CLUSTERING.steps / (AUTOENCODER.steps + CLUSTERING.steps)))
    return max(1, steps - clustering), clustering
