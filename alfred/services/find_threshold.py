"""From labelled segments and their scores to θ: which policy applies, and the figures that go with it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from alfred.core.eer import NoThreshold, eer_threshold
from alfred.core.phrases import phrase
from alfred.core.sampling import effective_sample_size
from alfred.core.thresholds import budget_threshold
from alfred.models import Camera, Threshold, ValidationMember

PRELIMINARY_FROM = 10
"""From this many segments of each class an equal error rate is computed; below `val_min` it is preliminary."""


@dataclass(frozen=True)
class Labelled:
    """Scored, labelled segments: scores, labels, weights, blocks, whether they were imported; all (n,)."""

    segments: list[int]
    scores: npt.NDArray[np.float64]
    anomalous: npt.NDArray[np.bool_]
    weights: npt.NDArray[np.float64]
    blocks: list[tuple[int, int]]
    imported: npt.NDArray[np.bool_]

    def without_imports(self) -> Labelled:
        """What people confirmed in warm-up alone."""
        kept = np.flatnonzero(~self.imported)
        return Labelled(
            [self.segments[i] for i in kept],
            self.scores[kept],
            self.anomalous[kept],
            self.weights[kept],
            [self.blocks[i] for i in kept],
            self.imported[kept],
        )


@dataclass(frozen=True)
class Found:
    """θ with the policy that gave it, or None and the sentence that says why there is none."""

    value: float | None
    policy: Threshold.Policy
    details: dict[str, Any]
    sentence: str


def labelled(members: list[ValidationMember], values: dict[int, float]) -> Labelled:
    """Members that have a score; the others are coverage."""
    scored = [m for m in members if m.segment_id in values]
    return Labelled(
        [m.segment_id for m in scored],
        np.array([values[m.segment_id] for m in scored], np.float64),
        np.array([m.anomalous for m in scored], bool),
        np.array([m.weight for m in scored], np.float64),
        [(m.segment.recording_id, m.segment.block) for m in scored],
        np.array([m.origin == ValidationMember.Origin.GROUND_TRUTH for m in scored], bool),
    )


def find(camera: Camera, data: Labelled, *, complete: bool) -> Found:
    """Equal error rate with enough of both classes; else the alert budget on confirmed normals (provisional).

    Where imported segments stand beside confirmed ones, the details say what θ would be without them.
    """
    found = _find(camera, data, complete=complete)
    if data.imported.all() or not data.imported.any():
        return found
    alone = _find(camera, data.without_imports(), complete=complete)
    named = {"theta": alone.value, "policy": str(alone.policy), "imported": int(data.imported.sum())}
    return replace(found, details=found.details | {"without_imports": alone.details | named})


def _find(camera: Camera, data: Labelled, *, complete: bool) -> Found:
    normals, anomalies = int((~data.anomalous).sum()), int(data.anomalous.sum())
    counts = {
        "normals": normals,
        "anomalies": anomalies,
        "needed": camera.val_min,
        "effective_normals": effective_sample_size(data.weights[~data.anomalous]),
        "effective_anomalies": effective_sample_size(data.weights[data.anomalous]),
    }
    enough = min(normals, anomalies) >= PRELIMINARY_FROM
    if enough or (complete and min(normals, anomalies) > 0):
        found = eer_threshold(data.scores, data.anomalous, data.weights)
        if not isinstance(found, NoThreshold):
            policy = Threshold.Policy.EER if complete and enough else Threshold.Policy.PRELIMINARY
            rates = {
                "fpr": found.fpr,
                "fnr": found.fnr,
                "eer": found.eer,
                "eer_interpolated": found.eer_interpolated,
            }
            return Found(found.value, policy, counts | rates, "")
    if normals == 0:
        return Found(None, Threshold.Policy.BUDGET, counts, phrase("No confirmed normal segment yet."))
    normal = ~data.anomalous
    theta = budget_threshold(data.scores[normal], data.weights[normal], camera.alert_share)
    sentence = (
        f"Too few confirmed anomalies ({anomalies} of {camera.val_min}) for an equal error rate; "
        f"θ flags at most {camera.alert_share:.0%} of confirmed normals."
    )
    return Found(theta, Threshold.Policy.BUDGET, counts, sentence)
