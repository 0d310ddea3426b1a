"""How GEPC learns: the autoencoder alone, then with its clusters, then the mixture on what came of it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from alfred.detectors.base import Cancellation, Cancelled, Progress, TrainingLog
from alfred.detectors.gepc import transforms
from alfred.detectors.gepc.clustering import DIVERGENCES, divergence, log_target
from alfred.detectors.gepc.model import Autoencoder, GepcModel
from alfred.detectors.training import Loss, TrainingSettings, train

Windows = npt.NDArray[np.float32]

_CHUNK = 256  # windows encoded at once


@dataclass(frozen=True, slots=True)
class ClusteringSettings:
    """What the deep clustering adds to the reconstruction.

    `divergence` names the order of the Kullback-Leibler divergence (`clustering.DIVERGENCES`), `weight` its share of
    the loss of a window; `refresh` steps pass between two targets; `l2` weighs the squared parameters; `augment` of
    the five transforms are drawn from. The mixture's variances are `floor` or more, and it is fitted, as is k-means,
    to at most `sample` windows spread evenly over those given.
    """

    divergence: str = "assignment_first"
    weight: float = 0.6
    refresh: int = 40
    l2: float = 1e-6
    augment: int = 2
    floor: float = 1e-6
    sample: int = 4000

    def __post_init__(self) -> None:
        if self.divergence not in DIVERGENCES:
            raise ValueError(f"divergence is {self.divergence!r}; must be one of {', '.join(DIVERGENCES)}")
        if not 1 <= self.augment <= transforms.COUNT:
            raise ValueError(f"{self.augment} transforms to draw from; must be 1 to {transforms.COUNT}")


class DeepClustering(nn.Module):
    """The model, and itself as it was at the last refresh, whose assignments are sharpened to be the target.

    Both are state of one module, with the count of steps, so that a training that was killed goes on as it would have
    (`alfred.detectors.resume`). Sizes of clusters are those in the batch.
    """

    steps: Tensor

    def __init__(self, model: GepcModel, settings: ClusteringSettings) -> None:
        super().__init__()
        self.model = model
        self.earlier = copy.deepcopy(model).requires_grad_(False)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self._settings = settings

    def loss(self, windows: Tensor) -> Tensor:
        """(B, C, T, V) → (B,): reconstruction, squared parameters, divergence of the assignment from its target."""
        if torch.is_grad_enabled():  # not when the hold-out is looked at
            self._refresh()
        windows = transforms.randomly_transformed(windows, self._settings.augment)
        codes, rebuilt = self.model.autoencoder(windows)
        away = divergence(self._log_target(windows), self.model.clusters(codes), self._settings.divergence)
        plain = _squared_error(rebuilt, windows) + self._settings.l2 * _squared_parameters(self.model)
        return plain + self._settings.weight * away

    @torch.no_grad()
    def _log_target(self, windows: Tensor) -> Tensor:
        return log_target(self.earlier.eval().log_assignment(windows))

    def _refresh(self) -> None:
        if self.steps > 0 and self.steps % self._settings.refresh == 0:
            self.earlier.load_state_dict(self.model.state_dict())
        self.steps += 1


def _reconstruction(autoencoder: Autoencoder, settings: ClusteringSettings) -> Loss:
    """Mean squared error of each window as rebuilt, and the squared parameters."""

    def loss(windows: Tensor) -> Tensor:
        windows = transforms.randomly_transformed(windows, settings.augment)
        _, rebuilt = autoencoder(windows)
        return _squared_error(rebuilt, windows) + settings.l2 * _squared_parameters(autoencoder)

    return loss


def _squared_error(rebuilt: Tensor, windows: Tensor) -> Tensor:
    return (rebuilt - windows).square().mean(dim=(1, 2, 3))


def _squared_parameters(module: nn.Module) -> Tensor:
    return torch.stack([parameter.square().sum() for parameter in module.parameters()]).sum()


def fit(
    model: GepcModel,
    windows: Windows,
    settings: ClusteringSettings,
    phases: tuple[TrainingSettings, TrainingSettings],
    *,
    seed: int,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> TrainingLog:
    """Train `model` in place on windows (n, C, T, V): `phases` are the autoencoder's and the clustering's.

    Raises Cancellation when asked to stop; ValueError with fewer windows than clusters or components, or when the
    loss stops being finite.
    """
    _check_enough(model, len(windows))
    alone, clustering = (phase.for_windows(len(windows)) for phase in phases)
    total = alone.steps + clustering.steps
    first = train(
        model.autoencoder,
        _reconstruction(model.autoencoder, settings),
        windows,
        alone,
        seed=seed,
        progress=_shifted(progress, 0, total),
        cancelled=cancelled,
    )
    model.clusters.place(_codes(model, windows, settings.sample, cancelled), seed)
    second = cluster(
        model,
        windows,
        settings,
        clustering,
        seed=seed,
        progress=_shifted(progress, alone.steps, total),
        cancelled=cancelled,
    )
    looks = [(step + len(first.losses), loss) for step, loss in second.validation]
    used = {"autoencoder": first.settings, **second.settings}
    return TrainingLog(first.losses + second.losses, used, first.validation + looks)


def cluster(
    model: GepcModel,
    windows: Windows,
    settings: ClusteringSettings,
    steps: TrainingSettings,
    *,
    seed: int,
    replay: float = 0.0,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> TrainingLog:
    """Deep clustering from the present weights and centres, in place, then a new mixture. Raises as `fit`.

    For each window, `replay` assignments drawn from the mixture so far go into the new one.
    """
    _check_enough(model, len(windows))
    module = DeepClustering(model, settings)
    log = train(module, module.loss, windows, steps, seed=seed, progress=progress, cancelled=cancelled)
    points = _assignments(model, windows, settings.sample, cancelled)
    earlier = _drawn(model, round(replay * len(points)), seed)
    model.mixture.fit(np.concatenate([points, earlier]), seed=seed, floor=settings.floor)
    used = {**log.settings, **asdict(settings), "replay": replay}
    return TrainingLog(log.losses, {"clustering": used}, log.validation)


def _drawn(model: GepcModel, n: int, seed: int) -> npt.NDArray[np.float64]:
    """Soft assignments (n, K) as the mixture so far has them: shares of a window, not negative, that add up to 1."""
    points = np.clip(model.mixture.draw(n, seed=seed), 1e-9, 1)
    shares: npt.NDArray[np.float64] = points / points.sum(axis=1, keepdims=True)
    return shares


def _check_enough(model: GepcModel, windows: int) -> None:
    if not windows:
        raise ValueError("there are no windows to train on")
    needed = max(model.settings.clusters, model.settings.components)
    if windows < needed:
        raise ValueError(f"{windows} windows; {needed} or more are needed for that many clusters")


def _shifted(progress: Progress | None, done: int, total: int) -> Progress | None:
    """`progress` for one phase of several, `done` steps of which came before."""
    if progress is None:
        return None
    return lambda step, _, text: progress(done + step, total, text)


def _codes(model: GepcModel, windows: Windows, most: int, cancelled: Cancelled | None) -> npt.NDArray[np.float32]:
    """Codes (m, D) of at most `most` windows, evenly spread."""
    return _in_chunks(model, model.autoencoder.encode, windows, most, cancelled).numpy()


def _assignments(model: GepcModel, windows: Windows, most: int, cancelled: Cancelled | None) -> npt.NDArray[np.float64]:
    """Soft assignments (m, K) of at most `most` windows, evenly spread."""
    return _in_chunks(model, model.log_assignment, windows, most, cancelled).exp().numpy()


@torch.inference_mode()
def _in_chunks(
    model: GepcModel, function: Callable[[Tensor], Tensor], windows: Windows, most: int, cancelled: Cancelled | None
) -> Tensor:
    device = next(model.parameters()).device
    index = np.linspace(0, len(windows) - 1, min(most, len(windows))).astype(np.intp)
    parts = []
    for at in range(0, len(index), _CHUNK):
        if cancelled is not None and cancelled():
            raise Cancellation("stopped while the windows were being encoded")
        part = np.array(windows[index[at : at + _CHUNK]], np.float32)
        parts.append(function(torch.from_numpy(part).to(device)).cpu())
    return torch.cat(parts)
