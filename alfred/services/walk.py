"""The whole loop driven by a script instead of people: through the same services, queues and workers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import numpy as np
from django.db import connection

from alfred.models import (
    Answer,
    Camera,
    Job,
    PoseExtraction,
    Recording,
    Round,
    SegmentScore,
    SegmentTruth,
    User,
)
from alfred.services import add_camera, build_validation, deploy, launch_round, lease, record_verdict

NOISE = 0.05
"""Share of answers that the scripted reviewer gets wrong, where there is ground truth to be wrong about."""


class StageFailed(Exception):
    """A stage of the walk did not do its work; the message says which and why."""


@dataclass
class Seen:
    """What the walk saw of a camera."""

    camera: Camera
    tracks: int = 0
    poses: int = 0
    segments: int = 0
    flagged: int = 0
    answers: int = 0
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    sentence: str = ""
    in_force: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def share_flagged(self) -> float | None:
        return self.flagged / self.segments if self.segments else None


class _Told:
    """Says what runs, a line a tenth of a job: never the same twice, never a smaller percentage than before."""

    def __init__(self, camera: Camera, say: Callable[[str], None]) -> None:
        self._camera, self._say = camera, say
        self._tenth: dict[int, int] = {}

    def look(self, live: list[Job]) -> None:
        running = [job for job in live if job.state == Job.State.RUNNING]
        for job in running:
            if job.percent // 10 > self._tenth.get(job.pk, -1):
                self._tenth[job.pk] = job.percent // 10
                behind = len(live) - len(running)
                queue = f" ({behind} more to do)" if behind else ""
                self._say(f"{self._camera.name}: {job.get_kind_display()} {job.percent} %{queue}")


def wait(camera: Camera, what: str, say: Callable[[str], None], timeout_s: float = 1800) -> None:
    """Until the camera's jobs are done. Raises StageFailed when one was given up or time ran out."""
    end, told = time.monotonic() + timeout_s, _Told(camera, say)
    while True:
        live = list(Job.objects.filter(camera=camera, state__in=Job.LIVE).order_by("id"))
        # A round that failed says so itself (`run_round`), and may be one of an earlier walk.
        failed = Job.objects.filter(camera=camera, state=Job.State.FAILED).exclude(kind=Job.Kind.ROUND).last()
        if failed:
            raise StageFailed(f"{camera.name}, {failed.get_kind_display()}: {failed.error}")
        if not live:
            return
        if time.monotonic() > end:
            raise StageFailed(f"{camera.name}: {what} is not done after {timeout_s:.0f} s ({live[0]})")
        told.look(live)
        connection.close()
        time.sleep(0.5)


def script_reviewer(name: str = "scripted-reviewer") -> User:
    """The demo's stand-in for people; it can't sign in."""
    user, made = User.objects.get_or_create(username=name)
    if made:
        user.set_unusable_password()
        user.save(update_fields=["password"])
    return user


def review_all(camera: Camera, user: User, seed: int, noise: float = NOISE) -> int:
    """Answer every open event: by ground truth with some noise; "normal" where there is none."""
    from alfred.models import Role

    add_camera.allow(user, camera, Role.ANNOTATOR)
    rng = np.random.default_rng(seed)
    answers = 0
    while event := lease.next_event(user, camera.slug):
        truth = list(SegmentTruth.objects.filter(segment__events=event).values_list("anomalous", flat=True))
        anomalous = any(truth)
        if truth and rng.random() < noise:
            anomalous = not anomalous
        answer = Answer.ANOMALY if anomalous else Answer.NORMAL
        record_verdict.record(user, event.pk, answer, uuid4(), active_ms=0, scripted=True)
        answers += 1
    build_validation.advance(camera)
    return answers


def look(seen: Seen) -> None:
    """Note what was found on the camera so far."""
    camera = seen.camera
    extractions = PoseExtraction.objects.filter(recording__camera=camera)
    seen.tracks = sum(extractions.values_list("n_tracks", flat=True))
    seen.poses = sum(extractions.values_list("n_poses", flat=True))
    scores = SegmentScore.objects.filter(segment__camera=camera, segment__recording__purpose=Recording.Purpose.STREAM)
    seen.segments = scores.filter(value__isnull=False).count()
    seen.flagged = scores.filter(flagged=True).count()


def run_round(camera: Camera, seen: Seen, say: Callable[[str], None]) -> Round:
    """Launch, wait, promote; note the candidate beside the deployed version."""
    made = launch_round.launch(camera.pk, None)
    wait(camera, f"round {made.ordinal}", say)
    made.refresh_from_db()
    if made.state != Round.State.CANDIDATE:
        raise StageFailed(f"{camera.name}, round {made.ordinal}: {made.get_state_display()}. {made.message}")
    figures = {e.role: e.figures for e in made.evaluations.all()}
    seen.before, seen.after = figures.get("deployed"), figures.get("candidate")
    seen.sentence = made.message
    deployed = deploy.promote(made.pk, None, "scripted walk: candidates are always promoted")
    seen.in_force = f"{deployed.version.label}, θ {deployed.theta:.3f}"
    say(f"{camera.name}, round {made.ordinal}: promoted {seen.in_force}")
    return made
