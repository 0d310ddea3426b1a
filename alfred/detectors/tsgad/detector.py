"""TSGAD's pose branch as a detector: windows in, -ELBO at the latent's mean out (higher = more anomalous)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alfred.detectors import training, weights
from alfred.detectors.base import Cancelled, Progress, TrainingLog
from alfred.detectors.fused_graph import fused
from alfred.detectors.learned import Array, Learned, window_of
from alfred.detectors.training import TrainingSettings
from alfred.detectors.tsgad.model import GaVae, VaeSettings, seeded_model
from alfred.pose.windows import WindowSpec

SCORES = {
    "elbo": "-ELBO at the latent's mean, nats per coordinate",
    "latent": "distance of the latent's mean and log sigma to their means in training, root mean square",
}

_LATENT_SAMPLE = 1024  # windows, spread evenly, that the mean latent is taken over
_LATENT_MEAN = "latent_mean"


class Tsgad(Learned[GaVae]):
    """`alfred.detectors.base.Detector` of the autoencoder in `model.py`.

    `length` samples a window at `fps` Hz; `latent` z sets the widths (published: 10; cost grows with its square),
    `likelihood` is "gaussian" or, as published, "bernoulli"; `score_by` is a key of `SCORES`; `device` a torch device.
    Untrained until `fit` or `load`: it scores, but says nothing. Raises ValueError for impossible settings.

    Training is short on purpose: on mocap-cctv C0 to C2 the pose AUC of -ELBO averages 0.690 after 300 steps, 0.660
    after 900, while the loss still falls: what is anomalous is rebuilt better as well. See `VaeSettings` for the
    likelihood. The loss is -ELBO with one random latent a window, in nats per coordinate; after any training the mean
    latent is that of its windows.
    """

    name = "tsgad"
    family = "reconstruction"
    FIT = TrainingSettings(steps=300, learning_rate=2e-3, batch=32, schedule="cosine")
    FINE_TUNE = TrainingSettings(steps=60, learning_rate=1e-4, batch=32, batch_norm="frozen")
    CHUNK = 32  # what a layer writes stays in the processor's cache

    def __init__(
        self,
        *,
        length: int = 24,
        fps: float = 30.0,
        stride: int = 1,
        max_gap_s: float = 0.2,
        latent: int = 2,
        likelihood: str = "gaussian",
        score_by: str = "elbo",
        device: str = "cpu",
    ) -> None:
        self._score_by = _known_score(score_by)
        settings = VaeSettings(length=length, latent=latent, likelihood=likelihood)
        window = WindowSpec(length=length, stride=stride, fps=fps, max_gap_s=max_gap_s)
        super().__init__(window, seeded_model(settings, seed=0), device)

    def _use(self, model: GaVae) -> None:
        super()._use(model)
        self._fused: GaVae | None = None  # made at the next score

    def _fresh(self, seed: int) -> GaVae:
        return seeded_model(self._model.settings, seed)

    def _train(
        self,
        model: GaVae,
        windows: Array,
        settings: TrainingSettings,
        seed: int,
        progress: Progress | None,
        cancelled: Cancelled | None,
    ) -> TrainingLog:
        elements = model.settings.elements

        def loss(batch: Tensor) -> Tensor:
            return -model.sampled_elbo(batch) / elements

        log = training.train(model, loss, windows, settings, seed=seed, progress=progress, cancelled=cancelled)
        model.latent_mean = self._mean_latent(model, windows)
        return log

    @torch.inference_mode()
    def _mean_latent(self, model: GaVae, windows: Array) -> Tensor:
        """Mean and log sigma of the latent, averaged over a sample of the windows: (D, 2)."""
        index = np.unique(np.linspace(0, len(windows) - 1, _LATENT_SAMPLE).round().astype(np.intp))
        encoder = fused(model)
        total = torch.zeros(model.settings.latent_size, 2, device=self._device)
        for at in range(0, len(index), self.CHUNK):
            part = np.array(windows[index[at : at + self.CHUNK]], np.float32)
            total += encoder.encode(torch.from_numpy(part).to(self._device)).sum(dim=0)
        return total / len(index)

    def _scores(self, windows: Tensor) -> Tensor:
        """No randomness: the latent is its mean."""
        if self._fused is None:
            self._fused = fused(self._model)
        if self._score_by == "latent":
            return (self._fused.encode(windows) - self._model.latent_mean).square().mean(dim=(1, 2)).sqrt()
        return -self._fused.elbo(windows) / self._model.settings.elements

    def save(self, path: Path) -> None:
        """Write the weights and the mean latent to `path` (.safetensors), the card as their metadata."""
        weights.save(path, {**self._model.state_dict(), _LATENT_MEAN: self._model.latent_mean}, self.info())

    def load(self, path: Path) -> None:
        """Read what `save` wrote; every setting but the device becomes that of its card. ValueError with the reason."""
        tensors, card = weights.load(path, self.name)
        try:
            settings = VaeSettings(int(card["length"]), int(card["latent"]), str(card["likelihood"]))
            score_by = _known_score(card["score_by"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"{path.name}: the card's settings are missing or impossible ({error})") from None
        mean = _checked_mean(tensors.pop(_LATENT_MEAN, None), (settings.latent_size, 2), path.name)
        window = window_of(card, settings.length, path.name)
        model = GaVae(settings)
        weights.fill(model, tensors, path.name)
        model.latent_mean = mean
        self._score_by = score_by
        self._adopt(model, window, card)

    def _facts(self) -> dict[str, Any]:
        settings = self._model.settings
        return {
            "latent": settings.latent,
            "likelihood": settings.likelihood,
            "score_by": self._score_by,
            "score": SCORES[self._score_by],
        }


def _known_score(score_by: object) -> str:
    if score_by not in SCORES:
        raise ValueError(f"score_by is {score_by!r}; must be one of {', '.join(SCORES)}")
    return str(score_by)


def _checked_mean(mean: Tensor | None, shape: tuple[int, int], source: str) -> Tensor:
    if mean is None:
        raise ValueError(f"{source}: tensor {_LATENT_MEAN!r} is missing")
    if tuple(mean.shape) != shape or not torch.isfinite(mean).all():
        raise ValueError(f"{source}: {_LATENT_MEAN!r} has shape {tuple(mean.shape)}, expected {shape} of finite values")
    return mean
