"""Cameras at a glance, and one camera's page: plain facts for templates, a fixed number of queries."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from django.db.models import Count, F, Max, OuterRef, Q, QuerySet, Subquery, Sum

from alfred.models import (
    Camera,
    Deployment,
    Evaluation,
    Event,
    Job,
    Recording,
    Round,
    Scoring,
    Threshold,
    ValidationSet,
)
from alfred.models.detectors import in_force
from alfred.services import build_validation


def overview(cameras: QuerySet[Camera]) -> list[dict[str, Any]]:
    """One row a camera: state, θ, EBI on the validation set, queue, coverage."""
    newest = Deployment.objects.filter(camera=OuterRef("pk")).order_by("-ordinal").values("pk")[:1]
    rows = list(cameras.annotate(deployment_id=Subquery(newest)))
    ids = [c.pk for c in rows]
    deployments = Deployment.objects.select_related("version", "threshold").in_bulk([c.deployment_id for c in rows])
    queue = _counted(Event.objects.filter(camera__in=ids, state=Event.State.OPEN))
    busy = _counted(Job.objects.filter(camera__in=ids, state__in=Job.LIVE))
    ready = set(
        ValidationSet.objects.filter(camera__in=ids, frozen_at__isnull=False).values_list("camera_id", flat=True)
    )
    coverage = {
        row["camera"]: (row["scored"] or 0) / row["all"]
        for row in Scoring.objects.filter(extraction__recording__camera__in=ids)
        .values(camera=F("extraction__recording__camera"))
        .annotate(scored=Sum("n_scored"), all=Sum("n_poses"))
        if row["all"]
    }
    ebi = {
        e.camera_id: e.figures
        for e in Evaluation.objects.filter(
            camera__in=ids, threshold__in=[d.threshold_id for d in deployments.values()]
        ).order_by("id")
    }
    return [
        {
            "camera": c,
            "deployment": deployments.get(c.deployment_id),
            "ready": c.pk in ready,
            "queue": queue.get(c.pk, 0),
            "busy": busy.get(c.pk, 0),
            "coverage": coverage.get(c.pk),
            "figures": ebi.get(c.pk),
        }
        for c in rows
    ]


def _counted(rows: QuerySet[Any]) -> dict[int, int]:
    return {r["camera_id"]: r["n"] for r in rows.values("camera_id").annotate(n=Count("pk"))}


def camera_facts(camera: Camera) -> dict[str, Any]:
    """All that the camera's page shows."""
    present = in_force(camera.pk)
    frozen = build_validation.frozen_set(camera.pk)
    return {
        "deployment": present,
        "validation_set": frozen,
        "validation_counts": _members(frozen),
        "warm_up": None if frozen else build_validation.progress(camera),
        "recordings": _recordings(camera),
        "deployments": list(
            Deployment.objects.filter(camera=camera)
            .select_related("version", "threshold", "by")
            .order_by("-ordinal")[:20]
        ),
        "rounds": list(
            Round.objects.filter(camera=camera).select_related("slice", "version").order_by("-ordinal")[:20]
        ),
        "open_events": Event.objects.filter(camera=camera, state=Event.State.OPEN).count(),
        "held_events": Event.objects.filter(camera=camera, state=Event.State.HELD).count(),
        "live_round": Round.objects.filter(camera=camera, state__in=Round.LIVE).first(),
        "provisional": bool(present and present.threshold.policy != Threshold.Policy.EER),
    }


def _members(frozen: ValidationSet | None) -> dict[str, int] | None:
    if frozen is None:
        return None
    return frozen.members.aggregate(
        anomalies=Count("pk", filter=Q(anomalous=True)), normals=Count("pk", filter=Q(anomalous=False))
    )


def _recordings(camera: Camera) -> list[dict[str, Any]]:
    """Newest first, each with what was found and the job at work on it."""
    rows = list(
        Recording.objects.filter(camera=camera)
        .select_related("slice", "rendition")
        .annotate(
            n_tracks=Max("extractions__n_tracks"),
            n_poses=Max("extractions__n_poses"),
            n_scored=Max("extractions__scorings__n_scored"),
            note=Max("extractions__scorings__note"),
        )
        .order_by("-id")[:50]
    )
    jobs: dict[int, list[Job]] = defaultdict(list)
    kinds = [Job.Kind.EXTRACT, Job.Kind.SCORE, Job.Kind.RENDITION]
    for job in Job.objects.filter(camera=camera, kind__in=kinds, subject__in=[r.pk for r in rows]).order_by("id"):
        jobs[job.subject].append(job)
    return [
        {"recording": r, "live": next((j for j in jobs[r.pk] if j.is_live), None), "jobs": jobs[r.pk]} for r in rows
    ]
