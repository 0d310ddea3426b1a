"""Gather a camera's rows into its report."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from django.db.models import Count, Sum

from alfred.models import (
    Camera,
    Deployment,
    Evaluation,
    Lane,
    Scoring,
    SegmentScore,
    Slice,
    SliceCounts,
    Verdict,
)
from alfred.models.detectors import in_force
from alfred.reports.camera_report import BasisCounts, CameraReport, SliceFigures, ThetaStep, build
from alfred.services import build_validation, count_slice
from alfred.services.evaluate import seed_of


def camera_report(camera: Camera) -> CameraReport:
    """Everything the supervisor's page says of one camera, as plain data."""
    slices = list(Slice.objects.filter(camera=camera).order_by("ordinal"))
    frozen = build_validation.frozen_set(camera.pk)
    progress = build_validation.progress(camera) if frozen is None else None
    return build(
        camera=camera.name,
        kind=camera.kind,
        slices=[_slice_figures(row, frozen.pk if frozen else None) for row in slices],
        theta=_theta_steps(camera),
        validation=_validation(camera, frozen.pk if frozen else None),
        warm_up=(progress.normals, progress.anomalies, progress.needed) if progress else None,
        coverage=_coverage(camera),
        work=_work(camera),
        seed=seed_of("report", camera.pk),
    )


def _slice_figures(row: Slice, set_id: int | None) -> SliceFigures:
    scored = SegmentScore.objects.filter(slice=row, value__isnull=False)
    used = list(
        Deployment.objects.filter(segmentscore__slice=row)
        .annotate(n=Count("segmentscore"))
        .select_related("version", "threshold")
        .order_by("ordinal")
    )
    return SliceFigures(
        ordinal=row.ordinal,
        closed=row.closed_at is not None,
        segments=scored.count(),
        flagged=scored.filter(flagged=True).count(),
        versions=[(d.version.label, d.theta, d.n) for d in used],
        current=set_id is not None and all(d.threshold.validation_set_id == set_id for d in used),
        counts=_counts(row),
    )


def _counts(row: Slice) -> list[BasisCounts]:
    """Ground truth as stored at closing; judged and estimated from the verdicts as they stand."""
    stored: dict[tuple[str, str], list[list[float]]] = defaultdict(list)
    for counts in SliceCounts.objects.filter(slice=row):
        stored[(counts.unit, counts.basis)].extend(block[2:] for block in counts.blocks)
    found = [BasisCounts(unit, basis, blocks) for (unit, basis), blocks in sorted(stored.items())]
    live = count_slice.from_verdicts(row)
    if live.estimated:
        found.append(BasisCounts("segment", "estimated", list(live.estimated.values())))
    if live.judged:
        found.append(BasisCounts("segment", "judged", list(live.judged.values()), partial=True))
    return found


def _theta_steps(camera: Camera) -> list[ThetaStep]:
    rows = Deployment.objects.filter(camera=camera).select_related("version", "threshold").order_by("ordinal")
    return [
        ThetaStep(d.ordinal, d.since.isoformat(), d.version.label, d.theta, d.threshold.get_policy_display(), d.why)
        for d in rows
    ]


def _validation(camera: Camera, set_id: int | None) -> dict[str, Any] | None:
    """The figures of what is in force on the validation set, marked in-sample by the page."""
    present = in_force(camera.pk)
    if set_id is None or present is None:
        return None
    rows = Evaluation.objects.filter(validation_set_id=set_id, version=present.version, threshold=present.threshold)
    row = rows.order_by("-id").first()
    return row.figures if row else None


def _coverage(camera: Camera) -> float | None:
    total = Scoring.objects.filter(extraction__recording__camera=camera).aggregate(s=Sum("n_scored"), n=Sum("n_poses"))
    return total["s"] / total["n"] if total["n"] else None


def _work(camera: Camera) -> dict[str, float]:
    """What people gave: answers, and minutes of active time."""
    rows = Verdict.objects.filter(event__camera=camera, superseded_by__isnull=True).exclude(answer="undo")
    events = rows.values("key").distinct().count()
    # Every segment of an event carries the time of the one answer, so it is counted once a key.
    seconds = sum(v / 1000 for v in rows.order_by("key").distinct("key").values_list("active_ms", flat=True))
    return {
        "answers": events,
        "minutes": seconds / 60,
        "scripted": rows.filter(scripted=True).values("key").distinct().count(),
        "warm_up": rows.filter(event__lane=Lane.WARMUP).values("key").distinct().count(),
    }
