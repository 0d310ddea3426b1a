"""STG-NF weights on disk: our safetensors with their card, and the authors' published checkpoints."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from alfred.detectors.stg_nf.model import FlowSettings, StgNfModel

_CARD = "card"


def save(path: Path, model: StgNfModel, card: dict[str, Any]) -> None:
    """Write the model's tensors to `path`, `card` as JSON in the file's metadata."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    save_file(tensors, path, metadata={_CARD: json.dumps(card, sort_keys=True)})


def load(path: Path, name: str) -> tuple[StgNfModel, dict[str, Any]]:
    """Read what `save` wrote. Raises ValueError when it is not weights of the detector `name`."""
    try:
        with safe_open(path, framework="pt") as stored:
            card = json.loads((stored.metadata() or {}).get(_CARD, "null"))
            state = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path.name} is not a safetensors file of weights ({error})") from None
    if not isinstance(card, dict) or card.get("name") != name:
        found = card.get("name") if isinstance(card, dict) else None
        raise ValueError(f"{path.name} holds weights of {found!r}, not of {name!r}")
    try:
        settings = FlowSettings(int(card["length"]), float(card["radius"]), int(card["flow_steps"]))
        float(card["fps"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{path.name}: the card's settings are missing or impossible ({error})") from None
    return _filled(path, settings, state), card


def load_published(path: Path) -> tuple[StgNfModel, dict[str, Any]]:
    """Read a checkpoint as the authors' code writes it; window length and R come from its prior.

    Raises ValueError when it is not one. Their weights are CC BY-NC 4.0: to compare with, never to ship.
    """
    try:
        # The one place that opens a pickle: the published checkpoints are nothing else. weights_only admits
        # tensors and the one class named here, so that opening a file runs no code of its own.
        with torch.serialization.safe_globals([argparse.Namespace]):
            stored = torch.load(path, map_location="cpu", weights_only=True)  # noqa: TID251 - said above
        state = dict(stored["state_dict"])
        prior = state["prior_h_normal"]
        steps = sum(key.endswith("actnorm.bias") for key in state)
        settings = FlowSettings(int(prior.shape[1]), float(prior.flatten()[0]), steps)
    except OSError:
        raise
    except Exception as error:  # torch raises half a dozen kinds for a file that is none
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path.name} is no published STG-NF checkpoint ({reason:.200})") from None
    card = {"version": path.stem, "licence": "CC BY-NC 4.0 (published by the authors of STG-NF)"}
    return _filled(path, settings, state), card


def _filled(path: Path, settings: FlowSettings, state: dict[str, torch.Tensor]) -> StgNfModel:
    model = StgNfModel(settings)
    expected = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    for key in sorted(expected.keys() ^ state.keys()):
        raise ValueError(f"{path.name}: tensor {key!r} is {'missing' if key in expected else 'not known'}")
    for key, tensor in state.items():
        if tuple(tensor.shape) != expected[key]:
            raise ValueError(f"{path.name}: {key!r} has shape {tuple(tensor.shape)}, expected {expected[key]}")
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{path.name}: {key!r} holds values that are not finite")
    model.load_state_dict(state)
    model.mark_initialised()
    return model.eval()
