"""TSGAD's pose branch as a detector: windows in, -ELBO at the latent's mean out (higher = more anomalous)."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from alfred.detectors import training, weights
from alfred.detectors.base import Cancelled, Progress, TrainingLog, checked_windows
from alfred.detectors.fused_graph import fused
from alfred.detectors.threads import one_thread
from alfred.detectors.training import TrainingSettings
from alfred.detectors.tsgad.model import CHANNELS, GaVae, VaeSettings, seeded_model
from alfred.pose.windows import WindowSpec

NAME = "tsgad"
FIT = TrainingSettings(steps=300, learning_rate=2e-3, batch=32, cosine=True)
"""Short on purpose: on mocap-cctv C0 to C2 the pose AUC of -ELBO averages 0.690 after 300 steps, 0.660 after 900, while
the loss still falls: what is anomalous is rebuilt better as well. See `VaeSettings` for the likelihood.
"""
FINE_TUNE = TrainingSettings(steps=60, learning_rate=1e-4, batch=32, batch_norm="frozen")

SCORES = {
    "elbo": "-ELBO at the latent's mean, nats per coordinate",
    "latent": "distance of the latent's mean and log sigma to their means in training, root mean square",
}

_CHUNK = 32  # windows at once: what a layer writes stays in the processor's cache
_LATENT_SAMPLE = 1024  # windows, spread evenly, that the mean latent is taken over
_LARGEST = float(np.finfo(np.float32).max)
_WINDOW_KEYS = ("length", "stride", "fps", "max_gap_s")
_LATENT_MEAN = "latent_mean"


class Tsgad:
    """`alfred.detectors.base.Detector` of the autoencoder in `model.py`.

    `length` samples a window at `fps` Hz; `latent` z sets the widths (published: 10; cost grows with its square),
    `likelihood` is "gaussian" or, as published, "bernoulli"; `score_by` is a key of `SCORES`; `device` a torch device.
    Untrained until `fit` or `load`: it scores, but says nothing. Raises ValueError for impossible settings.
    """

    name = NAME
    family = "reconstruction"

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
        self._device = torch.device(device)
        self.window = WindowSpec(length=length, stride=stride, fps=fps, max_gap_s=max_gap_s)
        self._score_by = _known_score(score_by)
        self._vae = VaeSettings(length=length, latent=latent, likelihood=likelihood)
        self._card: dict[str, Any] = {}
        self._use(seeded_model(self._vae, seed=0), None)

    def _use(self, model: GaVae, latent_mean: Tensor | None) -> None:
        self._model = model.to(self._device).eval()
        mean = torch.zeros(model.settings.latent_size, 2) if latent_mean is None else latent_mean
        self._latent_mean = mean.to(self._device)
        self._fused: GaVae | None = None  # made at the next score

    @property
    def model(self) -> GaVae:
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

        The loss is -ELBO with one random latent a window, in nats per coordinate. When it is cancelled or fails, the
        weights are what they were. Raises as `training.train`.
        """
        settings = FIT.with_(
            steps=steps, learning_rate=learning_rate, validation_share=validation_share, patience=patience
        )
        model = seeded_model(self._vae, seed).to(self._device)
        log = self._train(model, windows, settings, seed, progress, cancelled)
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
        """Go on from the present weights with a fresh Adam: `FINE_TUNE`, unless told otherwise.

        BatchNorm statistics stay; the mean latent becomes that of these windows. When it is cancelled or fails, the
        weights are what they were.
        """
        settings = FINE_TUNE.with_(
            steps=steps, learning_rate=learning_rate, validation_share=validation_share, patience=patience
        )
        log = self._train(copy.deepcopy(self._model), windows, settings, seed, progress, cancelled)
        self._card = {**self._card, "fine_tuned": [*self._card.get("fine_tuned", []), log.settings]}
        return log

    @one_thread()
    def _train(
        self,
        model: GaVae,
        windows: npt.NDArray[np.float32],
        settings: TrainingSettings,
        seed: int,
        progress: Progress | None,
        cancelled: Cancelled | None,
    ) -> TrainingLog:
        """Train `model` and put it in use."""
        values = self._checked(windows)
        elements = self._vae.elements

        def loss(batch: Tensor) -> Tensor:
            return -model.sampled_elbo(batch) / elements

        log = training.train(model, loss, values, settings, seed=seed, progress=progress, cancelled=cancelled)
        self._use(model, _mean_latent(model, values, self._device))
        return log

    @one_thread()
    @torch.inference_mode()
    def score(self, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(n, 2, T, 18) → what `SCORES` says of `score_by` (n,), finite. No randomness: the latent is its mean."""
        values = self._checked(windows)
        if self._fused is None:
            self._fused = fused(self._model)
        out = np.empty(len(values), np.float32)
        for at in range(0, len(values), _CHUNK):
            part = torch.from_numpy(np.array(values[at : at + _CHUNK], np.float32)).to(self._device)
            scores = torch.nan_to_num(self._scores(self._fused, part), nan=_LARGEST).clamp(-_LARGEST, _LARGEST)
            out[at : at + _CHUNK] = scores.cpu().numpy()
        return out

    def _scores(self, model: GaVae, x: Tensor) -> Tensor:
        if self._score_by == "latent":
            return (model.encode(x) - self._latent_mean).square().mean(dim=(1, 2)).sqrt()
        return -model.elbo(x) / self._vae.elements

    def _checked(self, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return checked_windows(windows, CHANNELS, self.window.length)

    def save(self, path: Path) -> None:
        """Write the weights and the mean latent to `path` (.safetensors), the card as their metadata."""
        weights.save(path, {**self._model.state_dict(), _LATENT_MEAN: self._latent_mean}, self.info())

    def load(self, path: Path) -> None:
        """Read what `save` wrote; every setting but the device becomes that of its card.

        Raises ValueError with the reason.
        """
        tensors, card = weights.load(path, NAME)
        try:
            vae = VaeSettings(int(card["length"]), int(card["latent"]), str(card["likelihood"]))
            window = WindowSpec(
                length=vae.length,
                stride=int(card["stride"]),
                fps=float(card["fps"]),
                max_gap_s=float(card["max_gap_s"]),
            )
            score_by = _known_score(card["score_by"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"{path.name}: the card's settings are missing or impossible ({error})") from None
        mean = _checked_mean(tensors.pop(_LATENT_MEAN, None), (vae.latent_size, 2), path.name)
        model = GaVae(vae)
        weights.fill(model, tensors, path.name)
        self.window, self._vae, self._score_by, self._card = window, vae, score_by, card
        self._use(model, mean)

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
            },
            **self._card,
            "name": NAME,
            "family": self.family,
            **{key: getattr(self.window, key) for key in _WINDOW_KEYS},
            "latent": self._vae.latent,
            "likelihood": self._vae.likelihood,
            "score_by": self._score_by,
            "parameters": sum(p.numel() for p in self._model.parameters()),
            "score": SCORES[self._score_by],
        }


def _known_score(score_by: object) -> str:
    if score_by not in SCORES:
        raise ValueError(f"score_by is {score_by!r}; must be one of {', '.join(SCORES)}")
    return str(score_by)


@torch.inference_mode()
def _mean_latent(model: GaVae, windows: npt.NDArray[np.float32], device: torch.device) -> Tensor:
    """Mean and log sigma of the latent, averaged over a sample of the windows: (D, 2)."""
    index = np.unique(np.linspace(0, len(windows) - 1, _LATENT_SAMPLE).round().astype(np.intp))
    total = torch.zeros(model.settings.latent_size, 2, device=device)
    for at in range(0, len(index), _CHUNK):
        part = np.array(windows[index[at : at + _CHUNK]], np.float32)
        total += model.encode(torch.from_numpy(part).to(device)).sum(dim=0)
    return total / len(index)


def _checked_mean(mean: Tensor | None, shape: tuple[int, int], source: str) -> Tensor:
    if mean is None:
        raise ValueError(f"{source}: tensor {_LATENT_MEAN!r} is missing")
    if tuple(mean.shape) != shape or not torch.isfinite(mean).all():
        raise ValueError(f"{source}: {_LATENT_MEAN!r} has shape {tuple(mean.shape)}, expected {shape} of finite values")
    return mean
