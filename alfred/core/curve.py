"""Errors at every threshold that scores tell apart: what EER, ROC and precision-recall are read from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Weights = npt.NDArray[np.float64] | npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Labelled:
    """n scores with their labels, checked once.

    scores   (n,)  float32 or float64, finite; higher = more anomalous
    labels   (n,)  bool, True = anomalous
    weights  (n,)  float64 > 0, or int64 ones when unweighted (sums of whole numbers are exact)
    """

    scores: npt.NDArray[np.floating]
    labels: npt.NDArray[np.bool_]
    weights: Weights


@dataclass(frozen=True, slots=True)
class Curve:
    """Weight flagged in each class at each candidate θ: one above the maximum, then all distinct scores.

    theta (k,) falling, fp (k,), tp (k,), and the totals of both classes. Nothing is dropped, collinear or
    not.
    """

    theta: npt.NDArray[np.floating]
    fp: Weights
    tp: Weights
    normal: float
    anomalous: float


def labelled(scores: npt.ArrayLike, labels: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> Labelled:
    """Check and cast. Items of weight 0 are left out.

    Raises ValueError when shapes differ, a score or weight is not finite, a weight is negative, or a label
    is not 0 or 1.
    """
    s, y = np.asarray(scores), np.asarray(labels)
    # θ is made in the scores' own precision, so that "score ≥ θ" means the same wherever it is asked.
    s = s if s.dtype in (np.float32, np.float64) else s.astype(np.float64)
    if s.ndim != 1 or s.shape != y.shape:
        raise ValueError(f"scores {s.shape} and labels {y.shape} must be two rows of equal length")
    if not np.isfinite(s).all():
        raise ValueError("scores must be finite; leave unscored items out")
    if not np.isin(y, (0, 1)).all():
        raise ValueError("labels must be 0 (normal) or 1 (anomalous)")
    if weights is None:
        return Labelled(s, y.astype(bool), np.ones(len(s), np.int64))
    w = np.asarray(weights, np.float64)
    if w.shape != s.shape or not np.isfinite(w).all() or (w < 0).any():
        raise ValueError("weights must be finite, not negative, one for each score")
    kept = w > 0
    return Labelled(s[kept], y[kept].astype(bool), w[kept])


def curve(data: Labelled) -> Curve:
    """The curve of at least one score; O(n log n)."""
    order = np.argsort(-data.scores, kind="stable")
    scores, labels, weights = data.scores[order], data.labels[order], data.weights[order]
    last_of_equals = np.append(scores[1:] != scores[:-1], True)
    above = np.nextafter(scores[0], scores.dtype.type(np.inf))
    theta = np.concatenate([[above], scores[last_of_equals]])
    zero = np.zeros(1, weights.dtype)
    fp = np.concatenate([zero, np.cumsum(np.where(labels, 0, weights))[last_of_equals]])
    tp = np.concatenate([zero, np.cumsum(np.where(labels, weights, 0))[last_of_equals]])
    return Curve(theta, fp, tp, normal=fp[-1].item(), anomalous=tp[-1].item())
