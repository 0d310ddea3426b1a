"""Draw the audit of a closing slice: segments at random, out of those that nobody would be asked about otherwise.

What the detector passed is not looked at, nor is what AL-Light's band and the review budget leave out. A few of each
are drawn here, with equal chances within a stratum (Design §3, "Audit"); `audit_figures` estimates from the answers.
"""

from __future__ import annotations

import hashlib
from math import ceil

import numpy as np
import numpy.typing as npt
from django.db.models import Exists, OuterRef, Subquery

from alfred.core import sampling
from alfred.core.audit import allocate_audit, audit_size
from alfred.models import AuditStratum, Candidate, Lane, SegmentScore, Slice, ValidationMember, Verdict
from alfred.services import build_validation, drift, labels, open_review

Kind = AuditStratum.Kind
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

BANDS = 3
"""Strata below θ."""
GUARD = 10
"""One in so many of the review budget is drawn above AL-Light's band, on top of its share: it can't seal itself."""


def for_slice(row: Slice) -> None:
    """Draw and ask the audit of a closing slice, once, doubled while drift stands; nothing without a validation set.

    The caller holds the camera's row lock and a transaction. A slice with nobody in it, or without a θ, gets its
    strata with nothing in them.
    """
    if build_validation.frozen_set(row.camera_id) is None or AuditStratum.objects.filter(slice=row).exists():
        return
    scores, kinds = _frame(row)
    populations = np.bincount(kinds, minlength=len(Kind))
    allocation = sizes(populations, row.camera.review_budget, 1 if drift.stands(row.camera_id) is None else 2)
    seed = _seed(row)
    rng = np.random.default_rng(seed)
    chosen, probability = sampling.draw(kinds, allocation, rng)
    AuditStratum.objects.bulk_create(
        AuditStratum(slice=row, kind=kind, population=int(populations[kind]), sampled=int(allocation[kind]), seed=seed)
        for kind in Kind
    )
    drawn = {scores[i]: (int(kinds[i]), float(probability[i])) for i in np.flatnonzero(chosen)}
    _ask(row, drawn, seed, rng)


def sizes(populations: npt.ArrayLike, review_budget: int, times: int = 1) -> Ints:
    """How many of each stratum are drawn, in the order of `Kind`; `times` as many while drift stands.

    Shares are core's; above AL-Light's band a tenth of the review budget comes on top.
    """
    held = np.asarray(populations, np.int64)
    allocation = allocate_audit(held, times * audit_size(review_budget))
    guarded = allocation[Kind.ALERT] + times * ceil(review_budget / GUARD)
    allocation[Kind.ALERT] = min(held[Kind.ALERT], guarded)
    return allocation


def _seed(row: Slice) -> int:
    """The same slice is drawn the same way, whoever closes it."""
    return int.from_bytes(hashlib.sha256(f"audit:{row.camera_id}:{row.ordinal}".encode()).digest()[:7], "big")


def _frame(row: Slice) -> tuple[list[int], Ints]:
    """The slice's scored segments that nobody was asked about, as ids of their scores, and the stratum of each.

    What was confirmed with its look-alikes was asked about, but nobody looked at it: it is in the frame again.
    """
    same = {"segment": OuterRef("segment")}
    together = Exists(labels.standing(Verdict.objects.filter(**same, batch__isnull=False), together=True))
    asked = Exists(Candidate.objects.filter(**same, asked=True)) & ~together
    answered = Exists(labels.standing().filter(**same))
    member = Exists(ValidationMember.objects.filter(**same))
    middle = Candidate.objects.filter(**same, lane=Lane.REVIEW).values("theta_med")[:1]
    scores = SegmentScore.objects.filter(slice=row, value__isnull=False).exclude(asked | answered | member)
    found = list(
        scores.annotate(theta_med=Subquery(middle))
        .order_by("segment_id")
        .values_list("pk", "value", "flagged", "theta_med", "deployment_id")
    )
    ids = [pk for pk, *_ in found]
    value = np.array([v for _, v, *_ in found], np.float64)
    flagged = np.array([f for _, _, f, *_ in found], bool)
    theta_med = np.array([np.inf if m is None else m for *_, m, _ in found], np.float64)
    deployment = np.array([d for *_, d in found], np.int64)
    return ids, strata_of(value, flagged, theta_med, deployment)


def strata_of(value: Floats, flagged: npt.NDArray[np.bool_], theta_med: Floats, by: Ints) -> Ints:
    """The stratum of each segment (n,), `by` the deployment that scored it: scores of two of them don't compare."""
    kinds = np.where(value > theta_med, Kind.ALERT, Kind.UNASKED).astype(np.int64)
    for deployment in np.unique(by[~flagged]):
        below = ~flagged & (by == deployment)
        # All of these lie below their θ; band 1 is the nearest.
        kinds[below] = Kind.NEAR - 1 + sampling.stratify(value[below], np.inf, BANDS)
    return kinds


def _ask(row: Slice, drawn: dict[int, tuple[int, float]], seed: int, rng: np.random.Generator) -> None:
    """Candidates and events of the audit lane, a segment each."""
    scores = list(SegmentScore.objects.filter(pk__in=drawn).select_related("segment").order_by("segment_id"))
    Candidate.objects.bulk_create(
        [
            Candidate(
                segment_id=score.segment_id,
                slice=row,
                deployment_id=score.deployment_id,
                lane=Lane.AUDIT,
                stratum=drawn[score.pk][0],
                probability=drawn[score.pk][1],
                asked=True,
                seed=seed,
            )
            for score in scores
        ],
        batch_size=2000,
    )
    open_review.open_events([[score] for score in scores], row.camera, Lane.AUDIT, rng)
