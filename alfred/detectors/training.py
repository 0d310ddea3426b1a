"""The training loop that detectors with gradients share: batches from a seed, hold-out, early stop, cancel."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from alfred.detectors import resume
from alfred.detectors.base import Cancellation, Cancelled, Progress, TrainingLog

Loss = Callable[[Tensor], Tensor]
"""A batch of windows (B, C, T, V) → one loss a window (B,), in the module's present mode."""

SCHEDULES = ("constant", "cosine", "decay", "triangular")

_OPTIMISERS = {"adam": torch.optim.Adam, "adamax": torch.optim.Adamax}


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """How long and how fast to train, in steps (epochs mean nothing across cameras of different traffic).

    `epochs` > 0 sets the steps instead: that many passes over the windows, as published code counts. `schedule` of the
    rate: "constant"; "cosine" lets it fall to 0 over the steps; "decay" takes a hundredth off after each epoch;
    "triangular" swings between the two multiples of it in `swing`, up in an eighth of the epochs and down in as many,
    each swing half as high (CyclicLR's triangular2, stepped by epoch). `flip` adds the mirror image of every window
    (x → -x; left and right joints stay, as published). `validation_share` of the windows is held out, one contiguous
    stretch, since neighbours overlap; it is looked at every `evaluate_every` steps, and after `patience` looks without
    a new best training ends (0: never). With a hold-out the best weights seen are kept, otherwise the last.
    """

    steps: int
    learning_rate: float
    batch: int = 256
    clip: float = 100.0
    flip: bool = True
    epochs: int = 0
    schedule: str = "constant"
    swing: tuple[float, float] = (1.0, 1.0)
    batch_norm: str = "trained"  # or "frozen": statistics as they are, in training as in scoring
    optimiser: str = "adam"
    validation_share: float = 0.0
    evaluate_every: int = 100
    patience: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1 or not self.learning_rate > 0:
            raise ValueError(f"{self}: steps, batch and learning rate must be positive")
        if not 0 <= self.validation_share < 1 or self.evaluate_every < 1 or self.patience < 0:
            raise ValueError(f"{self}: the validation share lies in [0, 1), evaluations are at least a step apart")
        for value, allowed in ((self.optimiser, _OPTIMISERS), (self.schedule, SCHEDULES)):
            if value not in allowed:
                raise ValueError(f"{self}: {value!r} must be one of {', '.join(allowed)}")

    def with_(self, **changes: Any) -> TrainingSettings:
        """The same with every change that is not None."""
        return replace(self, **{key: value for key, value in changes.items() if value is not None})

    def per_epoch(self, windows: int) -> int:
        """Steps of one pass over so many windows and, with `flip`, their mirror images."""
        return max(1, math.ceil(windows * (2 if self.flip else 1) / self.batch))

    def for_windows(self, windows: int) -> TrainingSettings:
        """With `steps` as `epochs` has it, where that is set."""
        return replace(self, steps=self.epochs * self.per_epoch(windows)) if self.epochs else self


def train(
    module: nn.Module,
    loss: Loss,
    windows: npt.NDArray[np.float32],
    settings: TrainingSettings,
    *,
    seed: int,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> TrainingLog:
    """Train `module` in place on windows (n, C, T, V); it is in evaluation mode afterwards, whatever happens.

    Same windows, settings and seed on the same CPU give the same weights. Raises Cancellation when asked to stop,
    ValueError without windows or when the loss stops being finite.
    """
    fit, held = split(len(windows), settings.validation_share, seed)
    if not len(fit):
        raise ValueError("there are no windows to train on")
    settings = settings.for_windows(len(fit))
    per_epoch = settings.per_epoch(len(fit))
    optimiser = _OPTIMISERS[settings.optimiser](module.parameters(), lr=settings.learning_rate)
    device = next(module.parameters()).device
    training = settings.batch_norm != "frozen"
    module.train(training)
    torch.manual_seed(seed)  # what a module draws itself (dropout, samples)
    stage = resume.next_stage(_key(module, windows, settings, seed))
    try:
        state = stage.load(module, optimiser)
        batches = _batches(windows, fit, settings, seed, device)
        for step, batch in enumerate(batches, start=1):
            if step <= state.step:
                continue  # done before this process began
            if state.done:
                break
            if cancelled is not None and cancelled():
                raise Cancellation(f"stopped after {step - 1} of {settings.steps} steps")
            optimiser.param_groups[0]["lr"] = settings.learning_rate * rate_factor(settings, step - 1, per_epoch)
            state.losses.append(_step(module, loss, batch, optimiser, settings.clip, step))
            state.step = step
            if progress is not None:
                progress(step, settings.steps, f"loss {state.losses[-1]:.3f}")
            if len(held) and (step % settings.evaluate_every == 0 or step == settings.steps):
                _look(state, module, _mean_loss(module, loss, windows[held], settings, device))
                module.train(training)
                state.done = 0 < settings.patience <= state.looks_since
            if step % resume.EVERY == 0 or step == settings.steps:
                stage.save(state, module, optimiser)
        if state.best is not None:
            module.load_state_dict(state.best)
    finally:
        module.eval()
    used = {**asdict(settings), "seed": seed, "windows": len(fit), "held_out": len(held), "steps_run": state.step}
    return TrainingLog(state.losses, used, state.looks)


def _look(state: resume.State, module: nn.Module, loss: float) -> None:
    """Keep the weights that are the best so far on the hold-out."""
    state.looks.append((state.step, loss))
    if loss < state.best_loss:
        state.best_loss, state.looks_since = loss, 0
        state.best = copy.deepcopy(module.state_dict())
    else:
        state.looks_since += 1


def _key(module: nn.Module, windows: npt.NDArray[np.float32], settings: TrainingSettings, seed: int) -> str:
    """Names what is trained on and how: a saved state of anything else is none of this training's."""
    sums = [float(windows[at : at + 4096].astype(np.float64).sum()) for at in range(0, len(windows), 4096)]
    shapes = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    return repr((shapes, getattr(module, "settings", None), windows.shape, sums, asdict(settings), seed))


def split(n: int, share: float, seed: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Indices (to train on, held out) of n windows: the hold-out is one stretch that begins where `seed` says."""
    held = int(n * share)
    start = int(np.random.default_rng([seed, 1]).integers(0, n - held + 1)) if held else 0
    index = np.arange(n)
    out = (index >= start) & (index < start + held)
    return index[~out], index[out]


def _step(
    module: nn.Module, loss: Loss, batch: Tensor, optimiser: torch.optim.Optimizer, clip: float, step: int
) -> float:
    value = loss(batch).mean()
    optimiser.zero_grad()
    value.backward()  # type: ignore[no-untyped-call]  # torch leaves Tensor.backward untyped
    nn.utils.clip_grad_norm_(module.parameters(), clip)
    optimiser.step()
    found = float(value.detach())
    if not math.isfinite(found):
        raise ValueError(f"the loss is {found} at step {step}; use a lower learning rate")
    return found


def rate_factor(settings: TrainingSettings, step: int, per_epoch: int) -> float:
    """What the rate is multiplied by at a step (from 0); `per_epoch` steps are an epoch."""
    epoch = step // per_epoch
    if settings.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * step / settings.steps))
    if settings.schedule == "decay":
        return float(0.99**epoch)
    if settings.schedule == "triangular":
        low, high = settings.swing
        half = max(1, settings.epochs // 8)
        cycle, within = divmod(epoch, 2 * half)
        rise = within / half if within < half else 2 - within / half
        return float(low + (high - low) * rise / 2**cycle)
    return 1.0


@torch.no_grad()
def _mean_loss(
    module: nn.Module, loss: Loss, windows: npt.NDArray[np.float32], settings: TrainingSettings, device: torch.device
) -> float:
    """The mean loss over the hold-out in evaluation mode; what a module draws does not touch training's draws."""
    module.eval()
    total = 0.0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for at in range(0, len(windows), settings.batch):
            part = torch.from_numpy(np.array(windows[at : at + settings.batch], np.float32)).to(device)
            total += float(loss(part).sum())
    return total / len(windows)


def _batches(
    windows: npt.NDArray[np.float32],
    fit: npt.NDArray[np.intp],
    settings: TrainingSettings,
    seed: int,
    device: torch.device,
) -> Iterator[Tensor]:
    """Permutations of the windows and their mirror images, one after another, cut into batches."""
    rng = np.random.default_rng(seed)
    total = len(fit) * (2 if settings.flip else 1)
    size = min(settings.batch, total)
    waiting = np.empty(0, np.intp)
    for _ in range(settings.steps):
        while len(waiting) < size:
            waiting = np.append(waiting, rng.permutation(total))
        index, waiting = waiting[:size], waiting[size:]
        batch = np.array(windows[fit[index % len(fit)]], np.float32)
        batch[index >= len(fit), 0] *= -1
        yield torch.from_numpy(batch).to(device)
