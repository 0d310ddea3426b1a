"""What a candidate must pass to be promoted without a reason."""

from __future__ import annotations

import math
from typing import Any


def check(
    candidate: dict[str, Any], deployed: dict[str, Any], difference: dict[str, Any], theta: float
) -> list[dict[str, Any]]:
    """One row a gate: name, whether it holds, and the sentence shown."""
    auc = candidate["auc_roc"]
    worse = difference["verdict"] == "worse"
    return [
        {
            "name": "finite",
            "holds": math.isfinite(theta),
            "words": "Weights and threshold are finite numbers."
            if math.isfinite(theta)
            else "θ is not a finite number.",
        },
        {
            "name": "not worse",
            "holds": not worse,
            "words": _comparison(difference),
        },
        {
            "name": "better than chance",
            "holds": auc is None or auc >= 0.5,
            "words": "The scores rank this camera's validation set."
            if auc is None or auc >= 0.5
            else f"AUC-ROC {auc:.2f}: on this camera the scores rank anomalies below normals.",
        },
    ]


def _comparison(difference: dict[str, Any]) -> str:
    if difference["low"] is None:
        return "Too little data for a paired comparison with the deployed version; nothing shows that it is worse."
    if difference["verdict"] == "worse":
        return "Worse than the deployed version beyond the paired interval."
    return "Not worse than the deployed version beyond the paired interval."


def held(figures: dict[str, Any]) -> bool:
    """Whether all gates of a candidate's evaluation hold."""
    return all(gate["holds"] for gate in figures.get("gates", []))
