"""GEPC weights: the model rebuilt from a file of our own. The authors released no checkpoint."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from alfred.detectors import weights
from alfred.detectors.gepc.model import GepcModel, GepcSettings, seeded_model
from alfred.pose.windows import WindowSpec


def load(path: Path, name: str) -> tuple[GepcModel, WindowSpec, dict[str, Any]]:
    """Read what `Gepc.save` wrote. Raises ValueError when it is not weights of the detector `name`."""
    tensors, card = weights.load(path, name)
    try:
        settings = GepcSettings(
            **{key: int(card[key]) for key in ("length", "channels", "width", "clusters", "components")}
        )
        window = WindowSpec(settings.length, int(card["stride"]), float(card["fps"]), float(card["max_gap_s"]))
        if window.stride < 1 or not (0 < window.fps < math.inf and 0 <= window.max_gap_s < math.inf):
            raise ValueError(f"{window} makes no window")
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{path.name}: the card's settings are missing or impossible ({error})") from None
    model = seeded_model(settings, seed=0)
    weights.fill(model, tensors, path.name)
    return model.eval(), window, card
