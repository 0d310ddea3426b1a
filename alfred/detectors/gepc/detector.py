"""GEPC as a detector: windows in, minus the log-likelihood of their soft assignment out (high = anomalous)."""

from __future__ import annotations

import copy
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from alfred.detectors import weights
from alfred.detectors.base import Cancelled, Progress, TrainingLog, checked_windows
from alfred.detectors.gepc import transforms
from alfred.detectors.gepc import weights as gepc_weights
from alfred.detectors.gepc.model import GepcModel, GepcSettings, seeded_model
from alfred.detectors.gepc.training import ClusteringSettings, cluster, fit
from alfred.detectors.threads import one_thread
from alfred.detectors.training import TrainingSettings
from alfred.pose.windows import WindowSpec

NAME = "gepc"
AUTOENCODER = TrainingSettings(steps=300, learning_rate=1e-3, batch=64, flip=False, cosine=True)
CLUSTERING = TrainingSettings(steps=60, learning_rate=8e-4, batch=64, flip=False)
"""Published: 10 and 25 epochs of batches of 512. These take some minutes of one CPU core at a width of 4.

`flip` is off in all three: the losses draw among the transforms themselves.
"""

FINE_TUNE = TrainingSettings(steps=30, learning_rate=1e-5, batch=64, flip=False, batch_norm="frozen")
REPLAY = 3.0
"""Assignments drawn from the mixture so far, for each new window, when fine-tuning fits it anew.

Without them a mixture of one short slice forgets the rest: test AUC on mocap-cctv C0 to C2 fell by .04 to .08.
"""

LARGEST = 1e9
"""Scores lie within ± this; what overflows on its way is as anomalous as can be."""

_CHUNK = 256  # windows sent to the device at once
_WINDOW_KEYS = ("length", "stride", "fps", "max_gap_s")


class Gepc:
    """`alfred.detectors.base.Detector` of the model in `model.py`.

    `length` samples a window at `fps` Hz, of `channels` 2 or 3 (then with confidence, as published); `width`,
    `clusters` and `components` as in `GepcSettings`; `divergence` the order of the clustering's (`DIVERGENCES`); a
    score is the mean over the first `transforms` of five turned or mirrored windows; `device` a torch device.
    Untrained until `fit` or `load`: it scores, but says nothing. Raises ValueError for impossible settings.

    Published: `fps` as filmed, 3 channels, width 8, the mean over all five transforms. Here 12 samples span 0.8 s,
    since clusters of shorter windows told less (mocap-cctv C0 to C2), and a width of 4 costs a quarter.
    """

    name = NAME
    family = "clustering"

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
        self._device = torch.device(device)
        self.window = WindowSpec(length=length, stride=stride, fps=fps, max_gap_s=max_gap_s)
        self._clustering = ClusteringSettings(divergence=divergence)
        self._transforms = _checked_transforms(transforms)
        self._card: dict[str, Any] = {}
        settings = GepcSettings(length, channels, width, clusters, components)
        self._use(seeded_model(settings, seed=0))

    def _use(self, model: GepcModel) -> None:
        self._model = model.to(self._device).eval()

    @property
    def model(self) -> GepcModel:
        """The parts with their present weights, in evaluation mode."""
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
        """Train from scratch on normal windows (n, C, T, 18): `AUTOENCODER`, then `CLUSTERING`.

        `steps` are shared out among the two as those are; the other settings, where given, hold for both. When it is
        cancelled or fails, the weights are what they were. Raises as `training.fit`.
        """
        given = {"learning_rate": learning_rate, "validation_share": validation_share, "patience": patience}
        alone, clustering = _shared_out(steps)
        model = seeded_model(self._model.settings, seed).to(self._device)
        log = fit(
            model,
            self._checked(windows),
            self._clustering,
            (AUTOENCODER.with_(steps=alone, **given), CLUSTERING.with_(steps=clustering, **given)),
            seed=seed,
            progress=progress,
            cancelled=cancelled,
        )
        self._use(model)
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
        """Deep clustering from the present weights and centres (`FINE_TUNE`), then a new mixture on `windows`.

        When it is cancelled or fails, the weights are what they were. Raises as `training.fit`.
        """
        settings = FINE_TUNE.with_(
            steps=steps, learning_rate=learning_rate, validation_share=validation_share, patience=patience
        )
        model = copy.deepcopy(self._model)
        log = cluster(
            model,
            self._checked(windows),
            self._clustering,
            settings,
            seed=seed,
            replay=REPLAY,
            progress=progress,
            cancelled=cancelled,
        )
        self._use(model)
        self._card = {**self._card, "fine_tuned": [*self._card.get("fine_tuned", []), log.settings]}
        return log

    @one_thread()
    @torch.inference_mode()
    def score(self, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(n, C, T, 18) → minus log density (n,) of the soft assignments under the mixture, in nats per cluster.

        Finite. Divided by the number of clusters, as nll is by dimensions: the density is one over so many numbers.
        """
        windows = self._checked(windows)
        out = np.empty(len(windows), np.float32)
        for at in range(0, len(windows), _CHUNK):
            part = torch.from_numpy(np.array(windows[at : at + _CHUNK], np.float32)).to(self._device)
            scores = -self._log_likelihood(part) / self._model.settings.clusters
            finite = torch.nan_to_num(scores, nan=LARGEST).clamp(-LARGEST, LARGEST)
            out[at : at + _CHUNK] = finite.cpu().numpy()
        return out

    def _log_likelihood(self, windows: torch.Tensor) -> torch.Tensor:
        """(B,) mean over the transforms in use; the first of them leaves windows as they are."""
        total = self._model.log_likelihood(windows)
        for which in range(1, self._transforms):
            index = torch.full((len(windows),), which, device=windows.device)
            total = total + self._model.log_likelihood(transforms.transformed(windows, index))
        return total / self._transforms

    def _checked(self, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return checked_windows(windows, self._model.settings.channels, self.window.length)

    def save(self, path: Path) -> None:
        """Write the weights to `path` (.safetensors), the card as their metadata."""
        weights.save(path, self._model.state_dict(), self.info())

    def load(self, path: Path) -> None:
        """Read what `save` wrote; window and settings become those of its card. Raises ValueError with the reason."""
        model, window, card = gepc_weights.load(path, NAME)
        try:
            clustering = replace(self._clustering, divergence=card["divergence"])
            averaged = _checked_transforms(int(card["transforms"]))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"{path.name}: the card's settings are missing or impossible ({error})") from None
        self.window, self._clustering, self._transforms, self._card = window, clustering, averaged, card
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
                "mixture": "fitted anew",
                "replay": REPLAY,
            },
            **self._card,
            "name": NAME,
            "family": self.family,
            **{key: getattr(self.window, key) for key in _WINDOW_KEYS},
            **asdict(self._model.settings),
            "divergence": self._clustering.divergence,
            "transforms": self._transforms,
            "parameters": sum(p.numel() for p in self._model.parameters()),
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
