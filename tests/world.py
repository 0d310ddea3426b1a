"""A standing cast for tests: plain builders of people, cameras, footage and work. No fixtures, no magic.

Everything goes through the product's own services. A test that uses these asks for the database itself
(`pytest.mark.django_db`, with transaction=True where several connections or processes meet).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt
from django.test import Client

from alfred.models import Answer, Camera, Event, Job, Lane, Recording, Role, SegmentTruth, User
from alfred.models.work import StaleAttemptError
from alfred.pose.tracks import Poses
from alfred.services import add_camera, build_validation, jobs, lease, record_verdict
from alfred.services.ingest import Ingested, ingest
from alfred.services.jobs import BadInputError, JobContext, NotYet
from alfred.services.seed_demo import simulated_stream
from workers.kinds import KINDS

PASSWORD = "correct horse battery"
FPS, WIDTH, HEIGHT = 15.0, 1280, 720


@dataclass(frozen=True)
class People:
    """alice annotates, bob too, sue supervises, charlie has an account and no camera, admin runs everything."""

    alice: User
    bob: User
    sue: User
    charlie: User
    admin: User


def person(name: str, *, password: str | None = None) -> User:
    """An account without a camera. Without a password it can't sign in (tests use `client.force_login`)."""
    return User.objects.create_user(name, password=password)


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def people(*cameras: Camera, password: str | None = None) -> People:
    """The cast; alice, bob and sue have their role on each of `cameras`."""
    cast = People(
        alice=person("alice", password=password),
        bob=person("bob", password=password),
        sue=person("sue", password=password),
        charlie=person("charlie", password=password),
        admin=User.objects.create_superuser("admin", password=password),
    )
    for view in cameras:
        join(cast, view)
    return cast


def join(cast: People, view: Camera) -> None:
    """Give alice, bob and sue their role on one more camera."""
    add_camera.allow(cast.alice, view, Role.ANNOTATOR)
    add_camera.allow(cast.bob, view, Role.ANNOTATOR)
    add_camera.allow(cast.sue, view, Role.SUPERVISOR)


PLAIN = {
    "slice_by": Camera.SliceBy.IMPORTED, "detector": "stg_nf", "second_share": 0.0, "second_in_warm_up": False,
    "known_share": 0.0, "one_voice_share": 1.0, "trial_first": False,
}  # fmt: skip
"""Slices by imported number, so that tests say which one a file belongs to; STG-NF, for its losses; one look each,
nothing mixed in, no trial, and one person may judge all."""


def camera(name: str = "Gate", **policies: Any) -> Camera:
    """A camera with `PLAIN` policies, unless told otherwise."""
    return add_camera.add(name=name, **{**PLAIN, **policies})


def stream(
    view: Camera,
    *,
    seed: int = 1,
    minutes: float = 1.0,
    anomaly_share: float = 0.1,
    slice_ordinal: int | None = 0,
    as_validation: bool = False,
) -> Recording:
    """A simulated stretch with ground truth, ingested and not yet worked on."""
    found = simulated_stream(
        view,
        seed=seed,
        minutes=minutes,
        anomaly_share=anomaly_share,
        slice_ordinal=None if as_validation else slice_ordinal,
        as_validation=as_validation,
    )
    assert not found.refused, found.message
    return found.recording


def scored(view: Camera, **what: Any) -> Recording:
    """`stream`, extracted and scored; a validation stretch is also calibrated on."""
    recording = stream(view, **what)
    run_all(view)
    recording.refresh_from_db()
    return recording


def run(job: Job, report: Callable[[int, int, str], None] = lambda done, total, text: None) -> Job:
    """Claim a waiting job and do its work in this process, with the outcomes a worker would record.

    Any other exception than the services' own is the test's: it is raised, and the job stays claimed.
    """
    assert job.claim("test:0"), f"{job} is {job.state} and can't be claimed"
    module, _, function = KINDS[job.kind].call.partition(":")
    context = JobContext(job.pk, job.attempts, report)
    try:
        getattr(importlib.import_module(module), function)(context, job.subject)
    except BadInputError as error:
        jobs.fail(job, str(error), permanent=True)
    except NotYet:
        jobs.postpone(job, 0.0)
    except StaleAttemptError:
        pass
    else:
        jobs.finish(job)
    job.refresh_from_db()
    return job


def waiting(view: Camera, *kinds: str) -> list[Job]:
    """The camera's queued jobs, oldest first."""
    rows = Job.objects.filter(camera=view, state=Job.State.QUEUED).order_by("id")
    return list(rows.filter(kind__in=kinds) if kinds else rows)


def run_all(view: Camera, *kinds: str, limit: int = 100) -> int:
    """Run the camera's waiting jobs, and those they queue, until none waits; says how many runs it took."""
    for done in range(limit):
        left = waiting(view, *kinds)
        if not left:
            return done
        # Like several workers: a job that has to wait for another goes behind it.
        run(min(left, key=lambda job: (job.not_before is not None, job.pk)))
    raise AssertionError(f"{view}: jobs still wait after {limit} runs: {waiting(view)}")


def job_of(subject: int, kind: str) -> Job:
    """The newest job of that kind on that recording, round or camera."""
    return Job.objects.filter(kind=kind, subject=subject).latest("id")


def answer(user: User, event: Event, said: Answer = Answer.NORMAL, **more: Any) -> record_verdict.Recorded:
    """One key press, and what a worker then does about it."""
    recorded = record_verdict.record(user, event.pk, said, more.pop("key", None) or uuid4(), **more)
    if event.lane == Lane.WARMUP:
        build_validation.advance(event.camera)
    return recorded


def truth_of(event: Event) -> Answer:
    """What a perfect annotator says of the event."""
    known = SegmentTruth.objects.filter(segment__events=event).values_list("anomalous", flat=True)
    return Answer.ANOMALY if any(known) else Answer.NORMAL


def judge_all(view: Camera, user: User, most: int | None = None) -> int:
    """Answer what the camera's queue hands out, by ground truth, until it is empty or `most` are answered."""
    given = 0
    while (most is None or given < most) and (event := lease.next_event(user, view.slug)) is not None:
        answer(user, event, truth_of(event))
        given += 1
    return given


def walkers(
    *, people_seen: int = 2, seconds: float = 9.0, fps: float = FPS, start: float = 0.0, apart: float = 200.0
) -> Poses:
    """Upright people of 160 px side by side, `apart` px between them, all in view for `seconds`; no randomness."""
    frames = np.arange(round(seconds * fps))
    track = np.repeat(np.arange(people_seen), len(frames))
    frame = np.tile(frames + round(start * fps), people_seen)
    sway = 6 * np.sin(2 * np.pi * frame / fps)
    joint_x = np.array([0, 2, -2, 4, -4, 16, -16, 22, -22, 24, -24, 10, -10, 11, -11, 12, -12], np.float32)
    joint_y = np.array([0, -3, -3, 0, 0, 22, 22, 48, 48, 70, 70, 76, 76, 112, 112, 148, 148], np.float32)
    x = 200 + apart * track + 20 * frame / fps
    keypoints = np.ones((len(track), 17, 3), np.float32)
    keypoints[..., 0] = x[:, None] + joint_x + sway[:, None] * np.sign(joint_x)
    keypoints[..., 1] = 300 + joint_y
    box = np.stack([x - 40, np.full(len(x), 292.0), np.full(len(x), 80.0), np.full(len(x), 160.0)], axis=1)
    return Poses(
        track.astype(np.int32),
        frame.astype(np.int64),
        frame / fps,
        keypoints,
        box.astype(np.float32),
        np.ones(len(track), np.float32),
    ).sorted()


def npz(path: Path, poses: Poses, labels: npt.ArrayLike | None = None, **arrays: Any) -> Path:
    """`poses` as a labelled-pose file (.npz); further arrays replace those made of the poses."""
    content: dict[str, Any] = {
        "scene": np.zeros(len(poses), np.int16),
        "frame_index": poses.frame.astype(np.int32),
        "track_id": poses.track,
        "keypoints": poses.keypoints,
        "bbox": poses.bbox,
    }
    if labels is not None:
        content["label"] = np.asarray(labels, np.uint8)
    np.savez_compressed(path, **{**content, **arrays})
    return path


def ingest_poses(view: Camera, path: Path, **more: Any) -> Ingested:
    """Ingest a pose file made by `npz`, whose frame rate and picture size are the builders'."""
    return ingest(view, path, **{"fps": FPS, "resolution": (WIDTH, HEIGHT), **more})
