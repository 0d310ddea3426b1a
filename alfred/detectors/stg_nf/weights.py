"""STG-NF weights: the layers rebuilt from a file of our own or of the authors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alfred.detectors import weights
from alfred.detectors.stg_nf.model import FlowSettings, StgNfModel


def load(path: Path, name: str) -> tuple[StgNfModel, dict[str, Any]]:
    """Read what `StgNf.save` wrote. Raises ValueError when it is not weights of the detector `name`."""
    tensors, card = weights.load(path, name)
    try:
        settings = FlowSettings(int(card["length"]), float(card["radius"]), int(card["flow_steps"]))
        float(card["fps"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{path.name}: the card's settings are missing or impossible ({error})") from None
    return _filled(path, settings, tensors), card


def load_published(path: Path) -> tuple[StgNfModel, dict[str, Any]]:
    """Read a checkpoint as the authors' code writes it; window length and R come from its prior.

    Raises ValueError when it is not one. Their weights are CC BY-NC 4.0: to compare with, never to ship.
    """
    state = weights.read_published(path)
    try:
        prior = state["prior_h_normal"]
        steps = sum(key.endswith("actnorm.bias") for key in state)
        settings = FlowSettings(int(prior.shape[1]), float(prior.flatten()[0]), steps)
    except (KeyError, IndexError, ValueError) as error:
        raise ValueError(f"{path.name} is no published STG-NF checkpoint ({error})") from None
    card = {"version": path.stem, "licence": "CC BY-NC 4.0 (published by the authors of STG-NF)"}
    return _filled(path, settings, state), card


def _filled(path: Path, settings: FlowSettings, state: weights.Tensors) -> StgNfModel:
    model = StgNfModel(settings)
    weights.fill(model, state, path.name)
    return model.eval()
