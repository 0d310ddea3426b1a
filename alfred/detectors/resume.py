"""Training that goes on where it was killed: inside `resumable(folder)` every `train` keeps its state in a file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

EVERY = 200
"""Steps between two savings."""

_META = "training"
_RNG = "rng"

Tensors = dict[str, Tensor]


@dataclass
class State:
    """Where a training is: steps done, losses, looks at the hold-out, and the best weights seen on it."""

    step: int = 0
    losses: list[float] = field(default_factory=list)
    looks: list[tuple[int, float]] = field(default_factory=list)
    best: Tensors | None = None
    best_loss: float = float("inf")
    looks_since: int = 0
    done: bool = False


class Stage:
    """The file of one call of `train`. `key` names its settings and data: with another key it begins anew."""

    def __init__(self, path: Path | None, key: str) -> None:
        self._path, self._key = path, key

    def load(self, module: nn.Module, optimiser: torch.optim.Optimizer) -> State:
        """Put back weights, optimiser and random numbers as they were saved; a fresh state where nothing fits."""
        if self._path is None or not self._path.is_file():
            return State()
        try:
            with safe_open(self._path, framework="pt") as stored:
                meta = json.loads((stored.metadata() or {})[_META])
                tensors = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118 - not a dict
        except (SafetensorError, OSError, KeyError, json.JSONDecodeError):
            return State()  # half a file of a killed process: what it held is trained again
        if meta.pop("key") != self._key:
            return State()
        module.load_state_dict(_part(tensors, "module."))
        _fill_optimiser(optimiser, _part(tensors, "optimiser."))
        torch.set_rng_state(tensors[_RNG])
        state = State(**meta, best=_part(tensors, "best.") or None)
        state.looks = [(int(step), float(loss)) for step, loss in state.looks]
        return state

    def save(self, state: State, module: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        """Keep everything, atomically; nothing outside `resumable`."""
        if self._path is None:
            return
        tensors = {f"module.{key}": tensor for key, tensor in module.state_dict().items()}
        tensors |= {f"best.{key}": tensor for key, tensor in (state.best or {}).items()}
        tensors |= {f"optimiser.{key}": tensor for key, tensor in _optimiser_tensors(optimiser).items()}
        tensors[_RNG] = torch.get_rng_state()
        meta = {key: value for key, value in vars(state).items() if key != "best"} | {"key": self._key}
        written = self._path.with_suffix(".tmp")
        stored = {key: tensor.detach().cpu().contiguous().clone() for key, tensor in tensors.items()}
        save_file(stored, written, metadata={_META: json.dumps(meta)})
        written.replace(self._path)


@dataclass
class _Folder:
    path: Path
    stages: int = 0


_FOLDER: ContextVar[_Folder | None] = ContextVar("resumable", default=None)


@contextmanager
def resumable(folder: Path) -> Iterator[None]:
    """Trainings inside keep their state in `folder` (made when missing) and go on from what they find there.

    The nth call of `train` in the block is stage n; a finished stage gives its weights at once. Delete the folder when
    all is done: this does not.
    """
    folder.mkdir(parents=True, exist_ok=True)
    token = _FOLDER.set(_Folder(folder))
    try:
        yield
    finally:
        _FOLDER.reset(token)


def next_stage(key: str) -> Stage:
    """The file for the training that begins now; none outside `resumable`."""
    folder = _FOLDER.get()
    if folder is None:
        return Stage(None, key)
    folder.stages += 1
    return Stage(folder.path / f"stage-{folder.stages}.safetensors", key)


def _part(tensors: Mapping[str, Tensor], prefix: str) -> Tensors:
    return {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}


def _optimiser_tensors(optimiser: torch.optim.Optimizer) -> Tensors:
    """Adam's and Adamax's state is tensors alone: `<parameter>.<name>`."""
    state: dict[int, dict[str, Any]] = optimiser.state_dict()["state"]
    return {
        f"{index}.{name}": torch.as_tensor(value) for index, entry in state.items() for name, value in entry.items()
    }


def _fill_optimiser(optimiser: torch.optim.Optimizer, tensors: Tensors) -> None:
    stored = optimiser.state_dict()
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = tensor
    optimiser.load_state_dict({"state": state, "param_groups": stored["param_groups"]})
