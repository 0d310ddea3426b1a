"""Cameras, slices and people as rows alone: no files, no poses, no detector. For what reads only the database."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt
from django.utils import timezone

from alfred.models import (
    Answer,
    Camera,
    Deployment,
    DetectorVersion,
    Event,
    EventSegment,
    LabelSnapshot,
    Lane,
    PoseExtraction,
    Recording,
    Round,
    Scoring,
    Segment,
    SegmentScore,
    Slice,
    SnapshotLabel,
    Threshold,
    Track,
    User,
    ValidationMember,
    ValidationSet,
)
from alfred.models.detectors import in_force
from alfred.services import record_verdict
from tests import world

WIDTH, HEIGHT = 1280, 720
START = datetime(2024, 5, 6, tzinfo=UTC)
"""A Monday."""


def deployed(view: Camera, theta: float = 1.0, label: str = "source") -> Deployment:
    """A version with its θ, in force from now on."""
    last = in_force(view.pk)
    version = DetectorVersion.objects.create(
        camera=view, detector="memory", label=label, sha256=hashlib.sha256(label.encode()).hexdigest(), card={}
    )
    threshold = Threshold.objects.create(camera=view, version=version, policy=Threshold.Policy.EER, value=theta)
    return Deployment.objects.create(
        camera=view, ordinal=last.ordinal + 1 if last else 0, version=version, threshold=threshold, why="test"
    )


def seen(
    view: Camera,
    piece: Slice | None,
    scores: Sequence[float | None] = (0.5,),
    *,
    each: int = 1,
    at: datetime = START,
    clock_known: bool = False,
    x: npt.ArrayLike = 640.0,
    y: npt.ArrayLike = 360.0,
    height: npt.ArrayLike = 160.0,
    confidence: npt.ArrayLike = 0.8,
    purpose: str = "stream",
    poses: str = "none",
) -> list[Segment]:
    """A recording of one person a score, `each` with so many segments of that score; scored by what is in force.

    `poses` is the key of their stored file.
    """
    n = len(scores)
    recording = Recording.objects.create(
        camera=view, slice=piece, purpose=purpose, origin="poses", name="rows", sha256=uuid4().hex * 2, size=1,
        width=WIDTH, height=HEIGHT, fps=15, duration_s=4.0 * each, start_at=at, clock_known=clock_known,
    )  # fmt: skip
    extraction = PoseExtraction.objects.create(
        recording=recording, extractor="rows", info={}, info_digest="0", artifact=poses, n_frames=1, n_poses=n,
        n_tracks=n,
    )  # fmt: skip
    tracks = Track.objects.bulk_create(
        Track(camera=view, extraction=extraction, number=i, start_pts=0, end_pts=4.0 * each, n_poses=60)
        for i in range(n)
    )
    place = [np.broadcast_to(np.asarray(v, np.float64), (n,)).tolist() for v in (x, y, height, confidence)]
    made = Segment.objects.bulk_create(
        Segment(
            camera=view, track=track, ordinal=k, recording=recording, slice=piece, start_pts=4.0 * k,
            end_pts=4.0 * k + 4, start_at=at + timedelta(seconds=4 * k), end_at=at + timedelta(seconds=4 * k + 4),
            block=0, n_poses=60, x=place[0][i], y=place[1][i], person_height=place[2][i], confidence=place[3][i],
        )
        for i, track in enumerate(tracks)
        for k in range(each)
    )  # fmt: skip
    now = in_force(view.pk) or deployed(view)
    scoring = Scoring.objects.create(extraction=extraction, deployment=now, artifact="none", n_poses=n, n_scored=n)
    values = [value for value in scores for _ in range(each)]
    SegmentScore.objects.bulk_create(
        SegmentScore(
            segment=segment, scoring=scoring, deployment=now, slice=piece, value=value,
            flagged=value is not None and value >= now.theta,
        )
        for segment, value in zip(made, values, strict=True)
    )  # fmt: skip
    return made


def piece(view: Camera, ordinal: int, *, closed_h: float | None = None) -> Slice:
    """A slice by number, closed so many hours ago; open without."""
    at = None if closed_h is None else timezone.now() - timedelta(hours=closed_h)
    return Slice.objects.create(camera=view, ordinal=ordinal, closed_at=at)


def asked(segment: Segment, lane: Lane = Lane.REVIEW) -> Event:
    """An open event that asks about this segment."""
    event = Event.objects.create(
        camera=segment.camera, recording=segment.recording, slice=segment.slice, lane=lane,
        place=(n := Event.objects.count()) / (n + 1), start_pts=segment.start_pts, end_pts=segment.end_pts,
        peak_pts=segment.start_pts,
    )  # fmt: skip
    EventSegment.objects.create(event=event, segment=segment, lane=lane)
    return event


def said(user: User, segment: Segment, answer: Answer = Answer.NORMAL, lane: Lane = Lane.REVIEW) -> Event:
    """The segment is asked about and answered."""
    event = Event.objects.filter(segments=segment, lane=lane).first() or asked(segment, lane)
    record_verdict.record(user, event.pk, answer, uuid4())
    return event


def validated(view: Camera, members: Sequence[Segment], origin: str = "warmup", **more: Any) -> ValidationSet:
    """A frozen set of these segments, every second one an anomaly."""
    last = view.validation_sets.order_by("-number").first()
    made = ValidationSet.objects.create(
        camera=view, number=last.number + 1 if last else 1, **{"frozen_at": timezone.now(), **more}
    )
    ValidationMember.objects.bulk_create(
        ValidationMember(validation_set=made, segment=s, anomalous=i % 2 == 1, weight=2.0, origin=origin)
        for i, s in enumerate(members)
    )
    return made


def rounded(part: Slice, labels: dict[int, int], state: str = "promoted") -> Round:
    """A round that froze these labels (segment → 0 normal, 1 anomalous, 2 unresolved) and ended so."""
    base = in_force(part.camera_id) or deployed(part.camera)
    row = Round.objects.create(
        camera=part.camera, ordinal=part.camera.rounds.count() + 1, slice=part, methodology="active_learning",
        base=base, state=state,
    )  # fmt: skip
    snapshot = LabelSnapshot.objects.create(round=row, digest="0")
    SnapshotLabel.objects.bulk_create(
        SnapshotLabel(snapshot=snapshot, segment_id=s, label=v) for s, v in labels.items()
    )
    return row


def camera(name: str = "Gate", **policies: Any) -> Camera:
    """A camera with something in force; slices by imported number unless said otherwise."""
    made = world.camera(name, **{"detector": "memory", **policies})
    deployed(made)
    return made
