"""A version with its θ on a validation set: counts, rates, intervals, curves. No torch: scores come in."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

from alfred.core.intervals import Interval, PairedDifference, paired_difference, rate_intervals
from alfred.core.rates import Counts
from alfred.core.roc import auc_pr, auc_roc, average_precision
from alfred.models import Camera, DetectorVersion, Evaluation, Round, Threshold, ValidationSet
from alfred.services.find_threshold import Labelled

CURVE_POINTS = 200


def block_counts(data: Labelled, theta: float, blocks: list[tuple[int, int]] | None = None) -> npt.NDArray[np.float64]:
    """(blocks, 4) weighted tp, fp, tn, fn; pass the same `blocks` for two versions, so that they pair up."""
    blocks = sorted(set(data.blocks)) if blocks is None else blocks
    row = {block: i for i, block in enumerate(blocks)}
    at = np.array([row[b] for b in data.blocks], np.intp)
    flagged = data.scores >= theta
    cell = np.where(data.anomalous, np.where(flagged, 0, 3), np.where(flagged, 1, 2))
    counts = np.zeros((len(blocks), 4))
    np.add.at(counts, (at, cell), data.weights)
    return counts


def seed_of(*parts: object) -> int:
    """A seed that is the same for the same rows."""
    return zlib.crc32(repr(parts).encode())


def figures(data: Labelled, theta: float, seed: int) -> dict[str, Any]:
    """Everything a page or report says of a version on a validation set."""
    weighted = Counts.from_decisions(data.scores >= theta, data.anomalous, data.weights)
    plain = Counts.from_decisions(data.scores >= theta, data.anomalous)
    intervals = rate_intervals(block_counts(data, theta), seed=seed)
    return {
        "unit": "segments",
        "theta": theta,
        "counts": {"tp": plain.tp, "fp": plain.fp, "tn": plain.tn, "fn": plain.fn},
        "fpr": weighted.fpr,
        "fnr": weighted.fnr,
        "ebi": weighted.ebi,
        "intervals": {
            name: _interval(getattr(intervals, name), getattr(intervals, f"{name}_reason"))
            for name in ("fpr", "fnr", "ebi")
        },
        "auc_roc": auc_roc(data.scores, data.anomalous, data.weights),
        "average_precision": average_precision(data.scores, data.anomalous, data.weights),
        "auc_pr": auc_pr(data.scores, data.anomalous, data.weights),
        "normals": int((~data.anomalous).sum()),
        "anomalies": int(data.anomalous.sum()),
    }


def _interval(found: Interval | None, reason: str | None) -> dict[str, Any]:
    if found is None:
        return {"low": None, "high": None, "reason": reason}
    return {"low": found.low, "high": found.high, "reason": None}


def compare(data: Labelled, theta: float, before: Labelled, theta_before: float, seed: int) -> PairedDifference:
    """EBI of the first less that of `before`, on the same resampled blocks (paired)."""
    blocks = sorted(set(data.blocks) | set(before.blocks))
    return paired_difference(block_counts(before, theta_before, blocks), block_counts(data, theta, blocks), seed=seed)


def as_figures(difference: PairedDifference) -> dict[str, Any]:
    """A paired difference as it is stored."""
    return {
        "estimate": difference.estimate,
        "low": difference.low,
        "high": difference.high,
        "verdict": str(difference.verdict),
    }


def store(
    camera: Camera,
    version: DetectorVersion,
    threshold: Threshold,
    validation: ValidationSet,
    data: Labelled,
    *,
    role: str,
    made_in: Round | None = None,
    extra: dict[str, Any] | None = None,
) -> Evaluation:
    """Append an evaluation row."""
    seed = seed_of(camera.pk, validation.pk)
    return Evaluation.objects.create(
        camera=camera,
        version=version,
        threshold=threshold,
        validation_set=validation,
        round=made_in,
        role=role,
        figures=figures(data, threshold.value, seed) | (extra or {}),
    )
