"""The threshold at which both error rates are (nearly) equal: how a camera is calibrated."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from alfred.core.curve import Curve, Floats, Labelled, curve, labelled
from alfred.core.sampling import effective_sample_size


@dataclass(frozen=True, slots=True)
class EqualErrorRate:
    """A threshold at equal error rates and what it costs.

    `value` is θ: anomalous iff score ≥ θ. `fpr` and `fnr` hold at θ, `eer` is their mean; `eer_interpolated`
    is read off between the two neighbouring candidates and belongs to no single θ. `n_*` are items,
    `effective_*` Kish's effective sample sizes.
    """

    value: float
    fpr: float
    fnr: float
    eer: float
    eer_interpolated: float
    n_normal: int
    n_anomalous: int
    effective_normal: float
    effective_anomalous: float


class NoThresholdReason(StrEnum):
    ONE_CLASS = "one class"
    TOO_FEW = "too few"
    CONSTANT = "constant scores"


@dataclass(frozen=True, slots=True)
class NoThreshold:
    """Why there is no threshold; `sentence` is for people. The one in force stays."""

    reason: NoThresholdReason
    sentence: str


def eer_threshold(
    scores: npt.ArrayLike,
    labels: npt.ArrayLike,
    weights: npt.ArrayLike | None = None,
    *,
    per_class_min: int = 1,
) -> EqualErrorRate | NoThreshold:
    """θ = argmin |FPR − FNR| over all distinct scores and one above the maximum (Design §6).

    scores (n,) finite, higher = more anomalous; labels (n,) 0/1; weights (n,) ≥ 0, 1/π for a sample of a
    stream. Ties: the smaller mean error, then the smaller FPR, then the larger θ. Where the classes are
    perfectly separated θ is the middle of the gap. Raises ValueError on values that are not finite or labels
    other than 0/1.
    """
    data = labelled(scores, labels, weights)
    failure = _failure(data, per_class_min)
    if failure is not None:
        return failure
    points = curve(data)
    best = _nearest(points)
    fpr = float(points.fp[best] / points.normal)
    fnr = float((points.anomalous - points.tp[best]) / points.anomalous)
    theta = _middle_of_gap(data) if fpr == 0 and fnr == 0 else points.theta[best]
    normal, anomalous = data.weights[~data.labels], data.weights[data.labels]
    return EqualErrorRate(
        value=float(theta),
        fpr=fpr,
        fnr=fnr,
        eer=(fpr + fnr) / 2,
        eer_interpolated=_interpolated(points),
        n_normal=len(normal),
        n_anomalous=len(anomalous),
        effective_normal=effective_sample_size(normal),
        effective_anomalous=effective_sample_size(anomalous),
    )


def _failure(data: Labelled, per_class_min: int) -> NoThreshold | None:
    anomalous = int(data.labels.sum())
    normal = len(data.labels) - anomalous
    have = f"{normal} normal and {anomalous} anomalous"
    if min(normal, anomalous) == 0:
        return NoThreshold(NoThresholdReason.ONE_CLASS, f"Both classes are needed to calibrate; there are {have}.")
    if min(normal, anomalous) < per_class_min:
        return NoThreshold(
            NoThresholdReason.TOO_FEW, f"At least {per_class_min} of each class are needed; there are {have}."
        )
    if data.scores.min() == data.scores.max():
        return NoThreshold(NoThresholdReason.CONSTANT, "All scores are equal: no threshold tells the classes apart.")
    return None


def _nearest(points: Curve) -> int:
    """Row of the best candidate. Rates are put over one denominator, so that unweighted ties are exact."""
    fp = points.fp * points.anomalous
    fn = (points.anomalous - points.tp) * points.normal
    if fp.dtype.kind == "f":
        # Sums of weights differ in their last digits; equal rates must still tie.
        scale = points.normal * points.anomalous
        fp, fn = fp / scale, fn / scale
        # Rounded once each, from the full figures: a difference of rounded rates could fall to either side.
        gap, error, fp = np.round(np.abs(fp - fn), 9), np.round(fp + fn, 9), np.round(fp, 9)
    else:
        gap, error = np.abs(fp - fn), fp + fn
    return int(np.lexsort((-points.theta, fp, error, gap))[0])


def _middle_of_gap(data: Labelled) -> float:
    top = data.scores[~data.labels].max()
    bottom = data.scores[data.labels].min()
    middle = top + (bottom - top) / 2
    # Neighbouring floats have no middle.
    return float(middle if middle > top else bottom)


def _interpolated(points: Curve) -> float:
    """Where straight lines between neighbouring candidates have FPR = FNR."""
    fpr: Floats = points.fp / points.normal
    fnr: Floats = 1 - points.tp / points.anomalous
    # θ falls along the curve: FPR − FNR rises from −1 to 1.
    above = int(np.argmax(fpr - fnr >= 0))
    below = above - 1
    d0, d1 = fpr[below] - fnr[below], fpr[above] - fnr[above]
    share = -d0 / (d1 - d0)
    return float(fpr[below] + share * (fpr[above] - fpr[below]))
