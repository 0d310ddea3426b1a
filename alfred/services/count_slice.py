"""What a slice's decisions were worth: exact from ground truth, judged from verdicts, estimated with 1/π."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq
from django.db.models import Count, QuerySet

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


DECIDED = (Label.NORMAL, Label.ANOMALY)
NOT_BY_CHOICE = tuple(lane for lane in Lane if lane not in (Lane.ALERT, Lane.KNOWN))
"""What was judged because somebody chose it from the alerts is no sample of anything."""


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
class Estimate:
    """The warm-up sample weighted by 1/π up to the slice, from `answered` segments.

    `best` and `worst`: the same with the `unresolved` ones of the sample all decided rightly, and all wrongly.
    """

    blocks: Blocks
    best: Blocks
    worst: Blocks
    answered: int
    unresolved: int


@dataclass(frozen=True)
class LiveCounts:
    """Counts of a slice from verdicts as they stand now.

    `judged` knows only what was flagged and answered; `judged_unresolved` counts what was flagged, asked and left
    without a label, by recording. `estimated` says all four counts, where the sample covered the whole score range.
    `unresolved` counts them all.
    """

    judged: Blocks
    judged_unresolved: dict[int, int]
    estimated: Estimate | None
    unresolved: int


@dataclass(frozen=True)
class _Fact:
    """Where a judged segment lies, and what the deployment said of it."""

    flagged: bool
    block: tuple[int, int]


@dataclass(frozen=True)
class _Sample:
    """The warm-up samples of several slices. `stratum` and the weights are by segment, `strata` by slice.

    `weight` is 1/π among the answered, `wide_weight` among the answered and the unresolved.
    """

    stratum: dict[int, tuple[int, int]]
    strata: dict[int, set[tuple[int, int]]]
    no_chance: set[int]
    weight: dict[int, float]
    wide_weight: dict[int, float]


def from_verdicts(rows: Iterable[Slice]) -> dict[int, LiveCounts]:
    """Each slice's counts on what people said so far, by slice id; as many queries for many slices as for one."""
    ids = [row.pk for row in rows]
    said, facts = labels.of_slices(ids, lanes=NOT_BY_CHOICE), _facts(ids)
    in_sample = labels.of_slices(ids, lanes=[Lane.WARMUP])
    known = {s: label for of_one in in_sample.values() for s, label in of_one.items() if s in facts}
    sample = _sample(ids, known)
    found = {}
    for pk in ids:
        everything = said.get(pk, {})
        here = {s: label for s, label in everything.items() if s in facts}
        unresolved = sum(label == Label.UNRESOLVED for label in everything.values())
        sampled = {s: label for s, label in in_sample.get(pk, {}).items() if s in facts}
        found[pk] = LiveCounts(*_judged(here, facts), _estimated(pk, sampled, facts, sample), unresolved)
    return found


def _facts(slice_ids: list[int]) -> dict[int, _Fact]:
    answered = labels.standing(together=True).filter(segment__slice_id__in=slice_ids).values("segment_id")
    rows = SegmentScore.objects.filter(slice_id__in=slice_ids, segment_id__in=answered)
    return {
        segment: _Fact(flagged, (recording, block))
        for segment, flagged, recording, block in rows.values_list(
            "segment_id", "flagged", "segment__recording_id", "segment__block"
        )
    }


def _sample(slice_ids: list[int], said: dict[int, Label]) -> _Sample:
    """Strata and weights for all slices at once: a draw's seed is its recording's own, so no two slices share one."""
    drawn = Candidate.objects.filter(slice_id__in=slice_ids, lane=Lane.WARMUP)
    asked = drawn.filter(asked=True)
    stratum: dict[int, tuple[int, int]] = {}
    strata: dict[int, set[tuple[int, int]]] = defaultdict(set)
    for slice_id, segment, seed, number in asked.values_list("slice_id", "segment_id", "seed", "stratum"):
        stratum[segment] = (seed, number)
        strata[slice_id or 0].add((seed, number))
    decided = {s for s, label in said.items() if label in DECIDED}
    return _Sample(
        stratum,
        strata,
        _without_chance(slice_ids, drawn),
        build_validation.answered_weights(asked, decided),
        build_validation.answered_weights(asked, set(said)),
    )


def _without_chance(slice_ids: list[int], drawn: QuerySet[Candidate]) -> set[int]:
    """Slices in which some scored segment was in no draw (warm-up had ended), or in one with a chance of 0."""
    scored = SegmentScore.objects.filter(slice_id__in=slice_ids, value__isnull=False)
    n_scored = dict(scored.values_list("slice_id").annotate(n=Count("id")))
    n_drawn = dict(drawn.filter(probability__gt=0).values_list("slice_id").annotate(n=Count("id")))
    return {pk for pk in slice_ids if n_drawn.get(pk, 0) < n_scored.get(pk, 0)}


def _judged(said: dict[int, Label], facts: dict[int, _Fact]) -> tuple[Blocks, dict[int, int]]:
    """What was flagged and answered, and by recording how much of it has no label."""
    judged: Blocks = defaultdict(lambda: [0.0] * 4)
    open_ones: Counter[int] = Counter()
    for segment, label in said.items():
        fact = facts[segment]
        if fact.flagged and label in DECIDED:
            judged[fact.block][cell(True, label == Label.ANOMALY)] += 1
        elif fact.flagged:
            open_ones[fact.block[0]] += 1
    return judged, open_ones


def _estimated(slice_id: int, said: dict[int, Label], facts: dict[int, _Fact], sample: _Sample) -> Estimate | None:
    """None where a part of the slice had no chance of being asked, or has no answer."""
    mine = {s: label for s, label in said.items() if s in sample.stratum}
    decided = {s: label == Label.ANOMALY for s, label in mine.items() if label in DECIDED}
    reached = {sample.stratum[s] for s in decided}
    if slice_id in sample.no_chance or len(decided) < ESTIMATE_FROM or sample.strata[slice_id] != reached:
        return None
    right = {s: facts[s].flagged for s in mine} | decided
    wrong = {s: not facts[s].flagged for s in mine} | decided
    return Estimate(
        _weighted(decided, sample.weight, facts),
        _weighted(right, sample.wide_weight, facts),
        _weighted(wrong, sample.wide_weight, facts),
        len(decided),
        len(mine) - len(decided),
    )


def _weighted(anomalous: dict[int, bool], weight: dict[int, float], facts: dict[int, _Fact]) -> Blocks:
    blocks: Blocks = defaultdict(lambda: [0.0] * 4)
    for segment, label in anomalous.items():
        fact = facts[segment]
        blocks[fact.block][cell(fact.flagged, label)] += weight[segment]
    return blocks
