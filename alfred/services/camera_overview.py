"""Cameras at a glance, and one camera's page: plain facts for templates, a fixed number of queries."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import Any

from django.db.models import Count, Exists, F, Max, OuterRef, Q, QuerySet, Subquery, Sum

from alfred.core.drift import LIMIT
from alfred.models import (
    Camera,
    Deployment,
    Evaluation,
    Event,
    Job,
    Recording,
    Round,
    Scoring,
    Segment,
    Slice,
    Threshold,
    ValidationSet,
)
from alfred.models.detectors import in_force
from alfred.services import auto_rounds, build_validation, camera_watch, drift, slices, warm_up_facts

SHOWN = 50
"""Recordings on a camera's page, newest first."""

MEASURED = 10
"""Slices whose drift the page shows, newest first."""


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


def camera_facts(camera: Camera, *, with_refused: bool = False) -> dict[str, Any]:
    """All that the camera's page shows. Refused files are counted, and listed only `with_refused`."""
    present = in_force(camera.pk)
    frozen = build_validation.frozen_set(camera.pk)
    warm_up = warm_up_facts.in_the_making(camera)
    rounds = list(Round.objects.filter(camera=camera).select_related("slice", "version").order_by("-ordinal")[:20])
    states = Event.objects.filter(camera=camera).aggregate(
        open=Count("pk", filter=Q(state=Event.State.OPEN)), held=Count("pk", filter=Q(state=Event.State.HELD))
    )
    return {
        "deployment": present,
        "validation_set": frozen,
        "validation": warm_up_facts.frozen(frozen),
        "warm_up": warm_up,
        "notices": camera_watch.notices(camera, present, warm_up, rounds[0] if rounds else None),
        "drift": _drift(camera, frozen),
        "recordings": _recordings(camera, with_refused),
        "refused": Recording.objects.filter(camera=camera).exclude(quarantined="").count(),
        "with_refused": with_refused,
        "failed": failed_jobs(camera),
        "deployments": list(
            Deployment.objects.filter(camera=camera)
            .select_related("version", "threshold", "by")
            .order_by("-ordinal")[:20]
        ),
        "rounds": rounds,
        "next_round": next_round(camera, present, rounds),
        "by_policy": by_policy(camera),
        "open_events": states["open"],
        "held_events": states["held"],
        "provisional": bool(present and present.threshold.policy != Threshold.Policy.EER),
    }


def next_round(camera: Camera, present: Deployment | None, rounds: list[Round]) -> dict[str, Any]:
    """What launching a round now would train on and close, as `launch_round` decides it; or why it can't be launched.

    `rounds`: the camera's newest, latest first.
    """
    live = next((r for r in rounds if r.state in Round.LIVE), None)
    if live:
        return {"live": live}
    row = slices.to_train(camera) if present else None
    if row is None:
        return {"slice": None}
    left_open = Slice.objects.filter(camera=camera, ordinal__lte=row.ordinal, closed_at=None)
    closes = list(left_open.order_by("ordinal").values_list("ordinal", flat=True))
    return {
        "slice": row,
        "closes": closes,
        "closes_it_alone": closes == [row.ordinal],
        "recordings": Recording.objects.filter(slice=row, quarantined="").count(),
        "segments": Segment.objects.filter(slice=row).count(),
        "in_work": 0 if row.closed_at else slices.in_work(row),
    }


def failed_jobs(camera: Camera) -> list[dict[str, Any]]:
    """Work that was given up and not done since, newest first, with its recording. Rounds and plates show their own."""
    since = Job.objects.filter(kind=OuterRef("kind"), subject=OuterRef("subject"), pk__gt=OuterRef("pk"))
    rows = list(
        Job.objects.filter(camera=camera, state__in=(Job.State.FAILED, Job.State.CANCELLED))
        .exclude(kind__in=(Job.Kind.ROUND, Job.Kind.PLATE))
        .exclude(Exists(since))
        .order_by("-id")[:20]
    )
    # The subject of a calibration is the camera itself; of everything else here, a recording.
    ids = [job.subject for job in rows if job.kind != Job.Kind.CALIBRATE]
    found = Recording.objects.filter(camera=camera).in_bulk(ids)
    told = [(job, found.get(job.subject) if job.kind != Job.Kind.CALIBRATE else None) for job in rows]
    return [{"job": job, "recording": r, "origin": r.origin if r else ""} for job, r in told]


def by_policy(camera: Camera) -> dict[str, Any] | None:
    """What the camera's policy still waits for on its newest closed slice; None where rounds start by hand."""
    if camera.round_policy == Camera.RoundPolicy.BY_HAND:
        return None
    said: dict[str, Any] = {"label": camera.get_round_policy_display()}
    if camera.round_policy == Camera.RoundPolicy.FALSE_ALARMS:
        said |= {"false_alarms": auto_rounds.new_false_alarms(camera), "needed": camera.round_min_fp}
    row = slices.untrained(camera).filter(closed_at__isnull=False).first()
    if row is None or row.closed_at is None:
        return said
    waiting = Event.objects.filter(slice=row, state__in=Event.WAITING).count()
    return said | {
        "slice": row,
        "waiting": waiting,
        "deadline": row.closed_at + timedelta(hours=camera.review_deadline_h),
        "reviewed": slices.reviews_done(row),
    }


def _drift(camera: Camera, frozen: ValidationSet | None) -> dict[str, Any]:
    """What stands, in words, and the newest measured slices: a value each quantity, its name first."""
    standing = drift.stands(camera.pk) if frozen else None
    rows = drift.newest(camera.pk, MEASURED) if frozen else []
    return {
        "stands": drift.sentence(standing) if standing else "",
        "names": list(drift.WORDS.values()),
        "rows": [(ordinal, [_measured(values.get(name)) for name in drift.WORDS]) for ordinal, values in rows],
    }


def _measured(value: float | None) -> tuple[float | None, bool]:
    """A value and whether it is over the limit."""
    return value, value is not None and value > LIMIT


def _recordings(camera: Camera, with_refused: bool) -> list[dict[str, Any]]:
    """Newest first, each with what was found and the job at work on it."""
    listed = Recording.objects.filter(camera=camera)
    rows = list(
        (listed if with_refused else listed.filter(quarantined=""))
        .select_related("slice", "rendition")
        .annotate(
            n_tracks=Max("extractions__n_tracks"),
            n_poses=Max("extractions__n_poses"),
            n_scored=Max("extractions__scorings__n_scored"),
            note=Max("extractions__scorings__note"),
        )
        .order_by("-id")[:SHOWN]
    )
    jobs: dict[int, list[Job]] = defaultdict(list)
    kinds = [Job.Kind.EXTRACT, Job.Kind.SCORE, Job.Kind.RENDITION, Job.Kind.CLIPS]
    for job in Job.objects.filter(camera=camera, kind__in=kinds, subject__in=[r.pk for r in rows]).order_by("id"):
        jobs[job.subject].append(job)
    return [
        {"recording": r, "live": next((j for j in jobs[r.pk] if j.is_live), None), "jobs": jobs[r.pk]} for r in rows
    ]
