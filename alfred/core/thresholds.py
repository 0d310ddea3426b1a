"""Thresholds for a camera that has no confirmed anomalies yet: from its normals and an alert budget."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from alfred.core.curve import curve, labelled


def weighted_quantile(values: npt.ArrayLike, q: float, weights: npt.ArrayLike | None = None) -> float | None:
    """The smallest value at or below which lies at least the share `q` (0..1) of the weight.

    None for no values. values (n,), weights (n,) ≥ 0: a value of weight 2 counts like two of weight 1.
    Always one of the values.
    """
    v = np.asarray(values, np.float64)
    w = np.ones_like(v) if weights is None else np.asarray(weights, np.float64)
    if not w.sum() > 0:
        return None
    return float(np.quantile(v, q, weights=w, method="inverted_cdf"))


def budget_threshold(scores_of_normals: npt.ArrayLike, weights: npt.ArrayLike | None, share: float) -> float | None:
    """The smallest θ at which the weighted share of normals with score ≥ θ is at most `share` (0..1).

    Of all scores seen and one above the largest, which it is when even the largest flags too much. None
    without normals.
    Used in provisional mode (Design §3), where an EER threshold would need anomalies: such sets never yield
    one.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"the share of alerts must lie in 0..1, got {share}")
    scores = np.asarray(scores_of_normals)
    data = labelled(scores, np.zeros(len(scores), np.int8), weights)
    if not len(data.scores):
        return None
    points = curve(data)
    # θ falls along the curve, so the last that keeps to the budget is the smallest; none flagged always does.
    within = np.flatnonzero(np.round(points.fp / points.normal, 12) <= share)
    return float(points.theta[within[-1]])
