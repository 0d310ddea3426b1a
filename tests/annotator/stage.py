"""One camera with everything a page can show, written straight as rows and small files: a few milliseconds each.

The numbers are unlike any others, so that a page that gives one away can be caught by searching for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from django.utils import timezone

from alfred.models import (
    Camera,
    Candidate,
    Clip,
    Deployment,
    DetectorVersion,
    Evaluation,
    Event,
    EventSegment,
    Job,
    Lane,
    Plate,
    PoseExtraction,
    Recording,
    Rendition,
    Round,
    Scoring,
    Segment,
    SegmentScore,
    Slice,
    Threshold,
    Track,
    User,
    ValidationSet,
)
from alfred.pose.formats.parquet import PoseMeta, PoseWriter
from alfred.pose.tracks import Poses
from alfred.services.score import write_scores
from alfred.services.storage import artifacts
from tests import world

THETA, OLDER_THETA = 1.7381, 2.6547
SCORE = 4.8213
PROBABILITY = 0.3719
LABEL, OLDER_LABEL, CANDIDATE_LABEL = "netting-7", "netting-6", "netting-8"
VIDEO = bytes(range(256)) * 8
"""Stands for a playable file: 2048 bytes of which each tells its place."""
RAW = VIDEO[::-1]
"""Stands for a clip as it was filmed."""
PICTURE, NEW_PICTURE = b"empty scene", b"empty scene, anew"
"""Stand for the JPEG of the background plate in use, and of the one to be approved."""


@dataclass
class Scene:
    """A camera with one scored recording, two deployments, a candidate round, a quarantined file, two plates."""

    camera: Camera
    slice: Slice
    recording: Recording
    refused: Recording
    refused_job: Job
    segments: list[Segment]
    deployments: list[Deployment]
    scoring: Scoring
    round: Round
    plates: list[Plate]
    """The one in use, and the one to be approved."""
    events: list[Event] = field(default_factory=list)


def scene(name: str, *, events: int = 1, lane: Lane = Lane.REVIEW, **policies: Any) -> Scene:
    """A camera called `name` with `events` open events, one segment each."""
    camera = world.camera(name, **{"privacy": Camera.Privacy.VIDEO, **policies})
    piece = Slice.objects.create(camera=camera, ordinal=0, closed_at=timezone.now())
    deployments = _deployments(camera)
    recording, extraction = record(camera, piece, people_seen=max(2, events))
    segments = list(recording.segments.order_by("track__number", "ordinal"))
    scoring = score(extraction, deployments[-1], segments)
    refused = Recording.objects.create(
        camera=camera,
        slice=piece,
        origin=Recording.Origin.VIDEO,
        name="broken.mp4",
        sha256=hashlib.sha256(name.encode()).hexdigest(),
        size=3,
        start_at=timezone.now(),
        quarantined="Not a video.",
    )
    given_up = Job.objects.create(
        camera=camera, kind=Job.Kind.EXTRACT, subject=refused.pk, key=f"extract:{refused.pk}", state=Job.State.FAILED
    )
    row = _round(camera, piece, deployments)
    made = Scene(camera, piece, recording, refused, given_up, segments, deployments, scoring, row, _plates(recording))
    made.events = [open_event(made, lane, [segment]) for segment in segments[:events]]
    return made


def _plates(recording: Recording) -> list[Plate]:
    root, _ = User.objects.get_or_create(username="sceneshifter")
    made = {"camera": recording.camera, "recording": recording, "width": 848, "height": 477, "frames": 41}
    made |= {"made_by": root, "made_at": timezone.now()}
    approved = {"approved_by": root, "approved_at": timezone.now()}
    return [
        Plate.objects.create(artifact=artifacts().put_bytes(recording.camera.slug, data, ".jpg"), **made, **more)
        for data, more in ((PICTURE, approved), (NEW_PICTURE, {}))
    ]


def open_event(where: Scene, lane: Lane, segments: list[Segment], place: float | None = None) -> Event:
    """An open event of `lane` that asks about `segments`, each with its row in the draw."""
    event = Event.objects.create(
        camera=where.camera,
        recording=where.recording,
        slice=where.slice,
        lane=lane,
        place=Event.objects.count() / 1000 if place is None else place,
        start_pts=min(s.start_pts for s in segments),
        end_pts=max(s.end_pts for s in segments),
        peak_pts=segments[0].start_pts + 1.5,
    )
    for segment in segments:
        EventSegment.objects.create(event=event, segment=segment, lane=lane)
        Candidate.objects.create(
            segment=segment,
            slice=where.slice,
            deployment=where.deployments[-1],
            lane=lane,
            probability=PROBABILITY,
            asked=True,
            seed=1,
        )
    key = artifacts().put_bytes(where.camera.slug, VIDEO, ".mp4")
    raw = artifacts().put_bytes(where.camera.slug, RAW, ".mp4")
    Clip.objects.create(event=event, blurred=key, raw=raw, offset_pts=0.5)
    return event


def record(
    camera: Camera,
    piece: Slice,
    *,
    people_seen: int = 2,
    start: float = 0.0,
    spans: Sequence[tuple[float, float]] = (),
) -> tuple[Recording, PoseExtraction]:
    """A recording with stored poses, tracks and segments of 4.5 s, and a file to play.

    `spans`: what the tracks' rows say instead of the poses' own first and last second.
    """
    poses = world.walkers(people_seen=people_seen, seconds=4.5, start=start)
    keys = artifacts()
    recording = Recording.objects.create(
        camera=camera,
        slice=piece,
        origin=Recording.Origin.VIDEO,
        name=f"walkers-{start:g}.mp4",
        sha256=hashlib.sha256(f"{camera.slug}{start}".encode()).hexdigest(),
        size=len(VIDEO),
        width=world.WIDTH,
        height=world.HEIGHT,
        fps=world.FPS,
        duration_s=4.5,
        start_at=timezone.now() - timedelta(minutes=5),
    )
    key = stored(camera, poses)
    extraction = PoseExtraction.objects.create(
        recording=recording,
        extractor="hand",
        info={},
        info_digest="0" * 64,
        artifact=key,
        n_frames=68,
        n_poses=len(poses),
        n_tracks=people_seen,
    )
    for number in np.unique(poses.track):
        pts = poses.pts[poses.track == number]
        first, last = spans[number] if spans else (float(pts[0]), float(pts[-1]))
        span = {"start_pts": first, "end_pts": last, "n_poses": len(pts)}
        track = Track.objects.create(camera=camera, extraction=extraction, number=int(number), **span)
        at = recording.start_at
        Segment.objects.create(
            camera=camera,
            track=track,
            ordinal=0,
            recording=recording,
            slice=piece,
            start_at=at + timedelta(seconds=span["start_pts"]),
            end_at=at + timedelta(seconds=span["end_pts"]),
            block=0,
            x=200.0,
            y=370.0,
            person_height=156.0,
            **span,
        )
    Rendition.objects.create(recording=recording, artifact=keys.put_bytes(camera.slug, VIDEO, ".mp4"))
    return recording, extraction


def stored(camera: Camera, *poses: Poses) -> str:
    """The key under which these poses are kept."""
    keys = artifacts()
    with keys.temporary(".parquet") as path:
        with PoseWriter(path, PoseMeta(world.WIDTH, world.HEIGHT, world.FPS)) as writer:
            for part in poses:
                writer.add(part)
        return keys.put_file(camera.slug, path, ".parquet")


def _deployments(camera: Camera) -> list[Deployment]:
    made = []
    for ordinal, (label, theta) in enumerate(((OLDER_LABEL, OLDER_THETA), (LABEL, THETA))):
        version = _version(camera, label)
        threshold = Threshold.objects.create(
            camera=camera, version=version, policy=Threshold.Policy.EER, value=theta, details={}
        )
        made.append(
            Deployment.objects.create(camera=camera, ordinal=ordinal, version=version, threshold=threshold, why="test")
        )
    return made


def _version(camera: Camera, label: str) -> DetectorVersion:
    return DetectorVersion.objects.create(
        camera=camera, detector="stg_nf", label=label, sha256=hashlib.sha256(label.encode()).hexdigest(), card={}
    )


def score(
    extraction: PoseExtraction,
    deployment: Deployment,
    segments: list[Segment],
    values: Sequence[float | None] = (),
) -> Scoring:
    """Every segment's score is `SCORE` and flagged, unless `values` says otherwise."""
    keys = artifacts()
    poses = world.walkers(people_seen=extraction.n_tracks, seconds=4.5)
    with keys.temporary(".parquet") as path:
        write_scores(path, poses, (SCORE + np.sin(poses.pts)).astype(np.float32))
        key = keys.put_file(extraction.recording.camera.slug, path, ".parquet")
    scoring = Scoring.objects.create(
        extraction=extraction, deployment=deployment, artifact=key, n_poses=len(poses), n_scored=len(poses)
    )
    for segment, value in zip(segments, values or [SCORE] * len(segments), strict=True):
        SegmentScore.objects.create(
            segment=segment,
            scoring=scoring,
            deployment=deployment,
            slice=segment.slice,
            value=value,
            flagged=value is not None and value >= deployment.theta,
            peak_pts=segment.start_pts + 1.5,
        )
    return scoring


def figures(theta: float) -> dict[str, Any]:
    """What an evaluation says, as the pages read it."""
    interval = {"low": 0.61, "high": 0.79, "reason": None}
    return {
        "theta": theta,
        "fpr": 0.21,
        "fnr": 0.33,
        "ebi": 0.72,
        "intervals": {"fpr": interval, "fnr": interval, "ebi": interval},
        "auc_roc": 0.81,
        "average_precision": 0.4,
        "normals": 50,
        "anomalies": 50,
    }


def _round(camera: Camera, piece: Slice, deployments: list[Deployment]) -> Round:
    version = _version(camera, CANDIDATE_LABEL)
    threshold = Threshold.objects.create(
        camera=camera, version=version, policy=Threshold.Policy.EER, value=1.9, details={}
    )
    keys = artifacts()
    with keys.temporary(".parquet") as path:
        pq.write_table(pa.table({"segment": [1], "reason": ["pseudo-normal"]}), path)
        manifest = keys.put_file(camera.slug, path, ".parquet")
    row = Round.objects.create(
        camera=camera,
        ordinal=1,
        slice=piece,
        methodology="active_learning",
        base=deployments[-1],
        state=Round.State.CANDIDATE,
        version=version,
        threshold=threshold,
        manifest=manifest,
        losses=[1.0, 0.5],
        left_out={"pseudo-normal": 12},
    )
    frozen = ValidationSet.objects.create(camera=camera, number=1, frozen_at=timezone.now())
    for role, at, (label, theta) in (
        ("deployed", deployments[-1].version, (deployments[-1].threshold, THETA)),
        ("candidate", version, (threshold, 1.9)),
    ):
        extra = {"gates": [{"name": "finite", "holds": True, "words": "Finite."}]} if role == "candidate" else {}
        Evaluation.objects.create(
            camera=camera,
            version=at,
            threshold=label,
            validation_set=frozen,
            round=row,
            role=role,
            figures=figures(theta) | extra,
        )
    return row
