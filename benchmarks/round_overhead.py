"""What a round costs beside gradients and scoring: rows, files, manifest, snapshot. A camera with 61 000 poses."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import uuid4

from benchmarks.database import database

BUDGET = "round overhead (not gradients, scoring, process start) ≤ max(5 s, 10 % of the round)"
DATA = Path(__file__).resolve().parents[2] / "shared/data/mocap-cctv"
CAMERA = "C3"
DETECTORS = ("memory", "stg_nf")


def run() -> tuple[dict[str, float | str], bool]:
    """One round an all-in-one slice of the camera's nine, every flagged segment answered by ground truth."""
    if not DATA.is_dir():
        return {"skipped": f"{DATA} is not here"}, True
    figures: dict[str, float | str] = {}
    holds = True
    with database():
        for detector in DETECTORS:
            whole, inside, row = _round(detector)
            overhead = whole - inside
            figures |= {
                f"{detector}: windows": row.version.card["windows"],
                f"{detector}: round s": round(whole, 1),
                f"{detector}: gradients and scoring s": round(inside, 1),
                f"{detector}: overhead s": round(overhead, 1),
            }
            holds &= overhead <= max(5.0, 0.1 * whole)
    return figures | {"poses": 61_176, "note": "in one process, without the broker"}, holds


def _round(detector: str) -> tuple[float, float, Any]:
    """Seconds of the round, seconds of it in the detector, and the round."""
    from alfred.models import Camera, Slice
    from alfred.services import add_camera, slices
    from alfred.services.ingest import ingest
    from alfred.services.launch_round import launch

    view = add_camera.add(name=f"{CAMERA} {detector}", detector=detector, slice_by=Camera.SliceBy.IMPORTED)
    ingest(view, DATA / f"{CAMERA}_test.npz", as_validation=True)
    for part in range(9):
        ingest(view, DATA / f"{CAMERA}_train_{part}.npz", slice_ordinal=0)
    _work_off(view)
    _judge(view)
    slices.close(Slice.objects.get(camera=view, ordinal=0).pk)
    row = launch(view.pk, None)
    with _timed(detector) as spent:
        began = time.perf_counter()
        _work_off(view)
        whole = time.perf_counter() - began
    row.refresh_from_db()
    if row.state != "candidate":
        raise RuntimeError(f"the round ended as {row.state}: {row.message}")
    return whole, sum(spent), row


def _work_off(view: Any) -> None:
    """Do the camera's waiting jobs in this process."""
    from django.db.models import F

    from alfred.models import Job
    from alfred.services import jobs
    from alfred.services.jobs import JobContext, NotYet
    from workers.kinds import KINDS

    waiting = Job.objects.filter(camera=view, state=Job.State.QUEUED).order_by(
        F("not_before").asc(nulls_first=True), "pk"
    )
    while job := waiting.first():  # what was postponed comes after what was not
        job.claim("bench:0")
        module, _, function = KINDS[job.kind].call.partition(":")
        try:
            getattr(importlib.import_module(module), function)(
                JobContext(job.pk, job.attempts, lambda *told: None), job.subject
            )
            jobs.finish(job)
        except NotYet:
            jobs.postpone(job, 0.0)


def _judge(view: Any) -> None:
    from alfred.models import Answer, Event, Role, SegmentTruth, User
    from alfred.services import add_camera, record_verdict

    user = User.objects.create_user(f"ana {view.pk}")
    add_camera.allow(user, view, Role.ANNOTATOR)
    for event in Event.objects.filter(camera=view, state=Event.State.OPEN):
        truth = SegmentTruth.objects.filter(segment__events=event, anomalous=True).exists()
        record_verdict.record(user, event.pk, Answer.ANOMALY if truth else Answer.NORMAL, uuid4())


@contextmanager
def _timed(detector: str) -> Iterator[list[float]]:
    """Seconds of every outermost call that trains, remembers or scores."""
    from alfred.detectors import registry

    kind, spent, depth = type(registry.create(detector)), list[float](), [0]

    def watched(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            depth[0] += 1
            began = time.perf_counter()
            try:
                return method(*given, **named)
            finally:
                depth[0] -= 1
                if not depth[0]:
                    spent.append(time.perf_counter() - began)

        return call

    names = [name for name in ("fine_tune", "remember", "score") if hasattr(kind, name)]
    patches = [patch.object(kind, name, watched(getattr(kind, name))) for name in names]
    for one in patches:
        one.start()
    try:
        yield spent
    finally:
        for one in patches:
            one.stop()
