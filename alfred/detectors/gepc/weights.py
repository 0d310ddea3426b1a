"""GEPC weights: the model rebuilt from a file of our own. The authors released no checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alfred.detectors import weights
from alfred.detectors.gepc.model import GepcModel, GepcSettings, seeded_model


def load(path: Path, name: str) -> tuple[GepcModel, dict[str, Any]]:
    """Read what `Gepc.save` wrote. Raises ValueError when it is not weights of the detector `name`."""
    tensors, card = weights.load(path, name)
    try:
        settings = GepcSettings(
            **{key: int(card[key]) for key in ("length", "channels", "width", "clusters", "components")}
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{path.name}: the card's settings are missing or impossible ({error})") from None
    model = seeded_model(settings, seed=0)
    weights.fill(model, tensors, path.name)
    return model.eval(), card
