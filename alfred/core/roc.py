"""How well scores rank, over all thresholds: ROC and precision-recall. None where a class is missing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from alfred.core.curve import Curve, Floats, curve, labelled


@dataclass(frozen=True, slots=True)
class RocCurve:
    """Both error rates at each candidate θ, falling; rows (k,). No point is dropped, collinear or not.

    The first θ lies just above the largest score (nothing is flagged), the last is the smallest (everything
    is).
    """

    theta: Floats
    fpr: Floats
    fnr: Floats


def roc_curve(scores: npt.ArrayLike, labels: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> RocCurve | None:
    """FPR and FNR at all distinct scores and one above them; scores (n,), labels (n,) 0/1, weights (n,) ≥ 0.

    Raises ValueError on scores that are not finite, like all functions here.
    """
    points = _points(scores, labels, weights)
    if points is None:
        return None
    fnr: Floats = 1 - points.tp / points.anomalous
    return RocCurve(points.theta.astype(np.float64), points.fp / points.normal, np.maximum(fnr, 0.0))


def auc_roc(scores: npt.ArrayLike, labels: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> float | None:
    """P(score of an anomalous item > score of a normal one) + ½ P(equal)."""
    points = _points(scores, labels, weights)
    if points is None:
        return None
    return _trapezoid(points.fp / points.normal, points.tp / points.anomalous)


def average_precision(
    scores: npt.ArrayLike, labels: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> float | None:
    """AP = Σ (recall_i − recall_{i−1}) · precision_i: a step function, no interpolation."""
    points = _points(scores, labels, weights)
    if points is None:
        return None
    recall = points.tp / points.anomalous
    return float(np.sum(np.diff(recall) * _precision(points)[1:]))


def auc_pr(scores: npt.ArrayLike, labels: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> float | None:
    """Area under precision over recall by trapezoids, from (recall 0, precision 1).

    Kept beside `average_precision` because published figures use it; with many tied scores it is too kind.
    """
    points = _points(scores, labels, weights)
    if points is None:
        return None
    return _trapezoid(points.tp / points.anomalous, _precision(points))


def _points(scores: npt.ArrayLike, labels: npt.ArrayLike, weights: npt.ArrayLike | None) -> Curve | None:
    data = labelled(scores, labels, weights)
    if data.labels.all() or not data.labels.any():
        return None
    return curve(data)


def _precision(points: Curve) -> Floats:
    """1 where nothing is flagged yet."""
    flagged = (points.fp + points.tp).astype(np.float64)
    return np.divide(points.tp, flagged, out=np.ones_like(flagged), where=flagged > 0)


def _trapezoid(x: Floats, y: Floats) -> float:
    return float(np.trapezoid(y, x))
