"""What a slice's decisions were worth: exact from ground truth, judged from verdicts, estimated with 1/π."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq

from alfred.core.methodologies import Label
from alfred.models import (
    Candidate,
    Deployment,
    Lane,
    PoseTruth,
    Scoring,
    SegmentScore,
    Slice,
    SliceCounts,
)
from alfred.services import build_validation, labels
from alfred.services.storage import artifacts

Blocks = dict[tuple[int, int], list[float]]
"""(recording, block) → tp, fp, tn, fn."""

TP, FP, TN, FN = range(4)

ESTIMATE_FROM = 30
"""Fewer answered warm-up segments of a slice than this say nothing about the slice."""


def cell(flagged: bool, anomalous: bool) -> int:
    """Which of the four counts a decision belongs to."""
    return (TP if flagged else FN) if anomalous else (FP if flagged else TN)


def store_ground_truth_counts(row: Slice) -> None:
    """Count a slice that is closing, wherever its files came with ground truth: segments, and poses apart."""
    by_deployment: dict[int, Blocks] = defaultdict(lambda: defaultdict(lambda: [0.0] * 4))
    scores = SegmentScore.objects.filter(slice=row, value__isnull=False, segment__truth__isnull=False)
    for deployment, recording, block, flagged, anomalous in scores.values_list(
        "deployment_id", "segment__recording_id", "segment__block", "flagged", "segment__truth__anomalous"
    ):
        by_deployment[deployment][(recording, block)][cell(flagged, anomalous)] += 1
    for deployment, blocks in by_deployment.items():
        _store(row, deployment, SliceCounts.Unit.SEGMENT, blocks)
        _store(row, deployment, SliceCounts.Unit.POSE, _pose_blocks(row, deployment))


def _store(row: Slice, deployment: int, unit: SliceCounts.Unit, blocks: Blocks) -> None:
    total = np.sum(list(blocks.values()), axis=0) if blocks else np.zeros(4)
    SliceCounts.objects.create(
        slice=row,
        deployment_id=deployment,
        unit=unit,
        basis=SliceCounts.Basis.GROUND_TRUTH,
        tp=total[TP],
        fp=total[FP],
        tn=total[TN],
        fn=total[FN],
        blocks=[[*key, *counts] for key, counts in sorted(blocks.items())],
    )


def _pose_blocks(row: Slice, deployment: int) -> Blocks:
    """Per pose: score ≥ θ against the pose's own label; unscored poses are coverage. One block a minute of a file."""
    blocks: Blocks = defaultdict(lambda: [0.0] * 4)
    theta = Deployment.objects.select_related("threshold").get(pk=deployment).theta
    scorings = Scoring.objects.filter(deployment_id=deployment, extraction__recording__slice=row)
    for key, recording in scorings.values_list("artifact", "extraction__recording_id"):
        truth = PoseTruth.objects.filter(recording_id=recording).first()
        if truth is None:
            continue
        scores = pq.read_table(artifacts().path(key), columns=["pts", "score"])
        label = pq.read_table(artifacts().path(truth.artifact), columns=["label"])["label"].to_numpy()
        value = scores["score"].to_numpy(zero_copy_only=False).astype(np.float64)
        scored = np.isfinite(value)
        minute = (scores["pts"].to_numpy() // 60).astype(int)
        index = np.where(label > 0, np.where(value >= theta, TP, FN), np.where(value >= theta, FP, TN))
        for m in np.unique(minute[scored]):
            counts = np.bincount(index[scored & (minute == m)], minlength=4)
            blocks[(recording, int(m))] = [float(c) for c in counts]
    return blocks


@dataclass(frozen=True)
class LiveCounts:
    """Counts from verdicts as they stand now. `judged` knows only what was flagged and answered; `estimated` is
    weighted by 1/π and says all four, where the sample covered the whole score range.
    """

    judged: Blocks
    estimated: Blocks | None
    unresolved: int
    asked: int


def from_verdicts(row: Slice) -> LiveCounts:
    """The slice's counts on what people said so far."""
    said = labels.of_slice(row.pk)
    facts = {
        segment: (flagged, recording, block)
        for segment, flagged, recording, block in SegmentScore.objects.filter(
            slice=row, segment_id__in=list(said)
        ).values_list("segment_id", "flagged", "segment__recording_id", "segment__block")
    }
    judged: Blocks = defaultdict(lambda: [0.0] * 4)
    for segment, label in said.items():
        if segment in facts and facts[segment][0] and label in (Label.NORMAL, Label.ANOMALY):
            judged[facts[segment][1:]][cell(True, label == Label.ANOMALY)] += 1
    estimated = _estimated(row, said, facts)
    asked = Candidate.objects.filter(slice=row, asked=True).count()
    unresolved = sum(label == Label.UNRESOLVED for label in said.values())
    return LiveCounts(judged, estimated, unresolved, asked)


def _estimated(row: Slice, said: dict[int, Label], facts: dict[int, tuple[bool, int, int]]) -> Blocks | None:
    """The warm-up sample weighted up to the slice; None where a part of the slice had no chance, or has no answer."""
    drawn = Candidate.objects.filter(slice=row, lane=Lane.WARMUP)
    if drawn.filter(probability=0).exists():
        return None
    drawn = drawn.filter(asked=True)
    answered = {s for s, label in said.items() if s in facts and label in (Label.NORMAL, Label.ANOMALY)}
    weights = build_validation.answered_weights(drawn, answered)
    strata = set(drawn.values_list("seed", "stratum"))
    reached = set(drawn.filter(segment_id__in=answered).values_list("seed", "stratum"))
    if len(weights) < ESTIMATE_FROM or strata != reached:
        return None
    blocks: Blocks = defaultdict(lambda: [0.0] * 4)
    for segment, weight in weights.items():
        flagged, recording, block = facts[segment]
        blocks[(recording, block)][cell(flagged, said[segment] == Label.ANOMALY)] += weight
    return blocks
