"""Weights on disk, for every detector: safetensors with the card in their metadata, and the authors' checkpoints."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

Tensors = dict[str, Tensor]

_CARD = "card"


def save(path: Path, tensors: Mapping[str, Tensor], card: Mapping[str, Any]) -> None:
    """Write `tensors` to `path` (.safetensors), `card` as JSON in the file's metadata. Same input, same bytes."""
    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(stored, path, metadata={_CARD: json.dumps(card, sort_keys=True)})


def load(path: Path, name: str) -> tuple[Tensors, dict[str, Any]]:
    """Read what `save` wrote: (tensors, card). Raises ValueError when it is not weights of the detector `name`."""
    try:
        with safe_open(path, framework="pt") as stored:
            card = json.loads((stored.metadata() or {}).get(_CARD, "null"))
            tensors = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path.name} is not a safetensors file of weights ({error})") from None
    if not isinstance(card, dict) or card.get("name") != name:
        found = card.get("name") if isinstance(card, dict) else None
        raise ValueError(f"{path.name} holds weights of {found!r}, not of {name!r}")
    return tensors, card


def fill(module: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Copy `tensors` into `module`; the names, shapes and finiteness must all be right.

    Raises ValueError that names the first tensor that is not, what was expected and what was found.
    """
    expected = {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}
    for key in sorted(expected.keys() ^ tensors.keys()):
        raise ValueError(f"{source}: tensor {key!r} is {'missing' if key in expected else 'not known'}")
    for key, tensor in tensors.items():
        if tuple(tensor.shape) != expected[key]:
            raise ValueError(f"{source}: {key!r} has shape {tuple(tensor.shape)}, expected {expected[key]}")
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{source}: {key!r} holds values that are not finite")
    module.load_state_dict(dict(tensors))


def read_published(path: Path) -> Tensors:
    """The `state_dict` of a checkpoint as the authors' own code writes it. Only tensors are read.

    Raises ValueError with the reason when it is none. To compare with; what may be shipped says its licence.
    """
    try:
        # The one place that opens a pickle: the published checkpoints are nothing else. weights_only admits
        # tensors and the one class named here, so that opening a file runs no code of its own.
        with torch.serialization.safe_globals([argparse.Namespace]):
            stored = torch.load(path, map_location="cpu", weights_only=True)  # noqa: TID251 - said above
        state = {str(key): tensor for key, tensor in dict(stored["state_dict"]).items()}
    except OSError:
        raise
    except Exception as error:  # torch raises half a dozen kinds for a file that is none
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path.name} is no published checkpoint ({reason:.200})") from None
    if not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise ValueError(f"{path.name} is no published checkpoint (its state_dict holds more than tensors)")
    return state
