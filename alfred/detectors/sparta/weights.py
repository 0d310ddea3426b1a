"""SPARTA weights: the layers rebuilt from a file of our own or of the authors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alfred.detectors import weights
from alfred.detectors.sparta.model import SpartaModel, SpartaSettings

_TEMPLATES = ("encoder_layers.", "decoder_layers.")
"""Layers that the authors' current-target model copies from and never runs; its checkpoints hold them too."""


def load(path: Path, name: str) -> tuple[SpartaModel, dict[str, Any]]:
    """Read what `Sparta.save` wrote. Raises ValueError when it is not weights of the detector `name`."""
    tensors, card = weights.load(path, name)
    try:
        settings = SpartaSettings(
            length=int(card["length"]),
            branch=str(card["branch"]),
            attention_axis=str(card["attention_axis"]),
            tokens=str(card["tokens"]),
            honest=bool(card["honest"]),
            dropout=float(card["dropout"]),
        )
        float(card["fps"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{path.name}: the card's settings are missing or impossible ({error})") from None
    return _filled(path, settings, tensors), card


def load_published(path: Path, *, length: int | None, attention_axis: str) -> tuple[SpartaModel, dict[str, Any]]:
    """Read a checkpoint as the authors' code writes it: 120 tensors of the future-target model (329,984 numbers),
    or those of the current-target model, 150 with its unused template layers (412,480), which are dropped.

    The two are told apart by the template layers. `length` is a window's, by default 48 for the future-target model
    and 24 for the other. Raises ValueError when the file is neither.
    """
    state = weights.read_published(path)
    used = {key: tensor for key, tensor in state.items() if not key.startswith(_TEMPLATES)}
    branch = "future" if len(used) == len(state) else "current"
    settings = SpartaSettings(
        length=length or (48 if branch == "future" else 24),
        branch=branch,
        attention_axis=attention_axis,
        tokens="pst",
        honest=False,
        dropout=0.1,
    )
    card = {"version": path.stem, "licence": "Apache-2.0 (published by the authors of SPARTA)"}
    return _filled(path, settings, used), card


def _filled(path: Path, settings: SpartaSettings, state: weights.Tensors) -> SpartaModel:
    model = SpartaModel(settings)
    weights.fill(model, state, path.name)
    return model.eval()
