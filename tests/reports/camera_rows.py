"""Slices of a camera written straight as rows, so that a report of many costs little."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from datetime import timedelta
from uuid import uuid4

from django.utils import timezone

from alfred.models import (
    Answer,
    Camera,
    Candidate,
    Deployment,
    DetectorVersion,
    Event,
    EventSegment,
    PoseExtraction,
    Recording,
    Scoring,
    Segment,
    SegmentScore,
    SegmentTruth,
    Slice,
    SliceCounts,
    Threshold,
    Track,
    User,
    ValidationSet,
    Verdict,
)


def deployed(camera: Camera, label: str, theta: float, validation: ValidationSet | None) -> Deployment:
    """One more deployment; the version is made the first time its label is met."""
    sha = hashlib.sha256(f"{camera.pk}{label}".encode()).hexdigest()
    version, _ = DetectorVersion.objects.get_or_create(
        camera=camera, label=label, defaults={"detector": "stg_nf", "sha256": sha, "card": {}}
    )
    threshold = Threshold.objects.create(
        camera=camera, version=version, policy=Threshold.Policy.EER, value=theta, validation_set=validation
    )
    ordinal = Deployment.objects.filter(camera=camera).count()
    return Deployment.objects.create(camera=camera, ordinal=ordinal, version=version, threshold=threshold, why="a test")


def validation_set(camera: Camera, number: int = 1) -> ValidationSet:
    return ValidationSet.objects.create(camera=camera, number=number, frozen_at=timezone.now())


def sliced(
    by: Deployment,
    ordinal: int,
    scores: list[float | None],
    truth: list[bool] | None = None,
    *,
    days_ago: int | None = 1,
    poses: str = "none",
) -> tuple[Slice, list[Segment]]:
    """A slice of one recording, a segment a minute with these scores; closed `days_ago`, or open.

    With `truth` its ground truth is stored and, where it is closed, counted. `poses` is the key of their stored file.
    """
    camera = by.camera
    closed = None if days_ago is None else timezone.now() - timedelta(days=days_ago)
    row = Slice.objects.create(camera=camera, ordinal=ordinal, closed_at=closed)
    segments, scoring = _segments(row, by, scores, poses)
    SegmentScore.objects.bulk_create(
        SegmentScore(
            segment=segment, scoring=scoring, deployment=by, slice=row, value=value,
            flagged=value is not None and value >= by.theta,
        )
        for segment, value in zip(segments, scores, strict=True)
    )  # fmt: skip
    if truth is not None:
        SegmentTruth.objects.bulk_create(
            SegmentTruth(segment=s, anomalous=t, n_anomalous_poses=60 * t) for s, t in zip(segments, truth, strict=True)
        )
        if closed:
            _count(row, by, scores, truth)
    return row, segments


def _segments(row: Slice, by: Deployment, scores: list[float | None], poses: str) -> tuple[list[Segment], Scoring]:
    at = timezone.now()
    recording = Recording.objects.create(
        camera=by.camera, slice=row, origin="poses", name=f"{row.ordinal}.npz", size=1, start_at=at,
        sha256=hashlib.sha256(f"{by.camera_id}:{row.ordinal}".encode()).hexdigest(),
    )  # fmt: skip
    extraction = PoseExtraction.objects.create(
        recording=recording, extractor="hand", info={}, info_digest="0", artifact=poses, n_frames=1,
        n_poses=60 * len(scores), n_tracks=len(scores),
    )  # fmt: skip
    scored = 60 * sum(value is not None for value in scores)
    scoring = Scoring.objects.create(
        extraction=extraction, deployment=by, artifact="none", n_poses=60 * len(scores), n_scored=scored
    )
    tracks = Track.objects.bulk_create(
        Track(camera=by.camera, extraction=extraction, number=n, start_pts=60 * n, end_pts=60 * n + 4, n_poses=60)
        for n in range(len(scores))
    )
    segments = Segment.objects.bulk_create(
        Segment(
            camera=by.camera, track=track, ordinal=0, recording=recording, slice=row, start_pts=60 * n,
            end_pts=60 * n + 4, start_at=at, end_at=at, block=n, n_poses=60, x=0, y=0, person_height=100,
        )
        for n, track in enumerate(tracks)
    )  # fmt: skip
    return segments, scoring


def _count(row: Slice, by: Deployment, scores: list[float | None], truth: list[bool]) -> None:
    """One block a segment, as closing would store it."""
    blocks = []
    for minute, (value, anomalous) in enumerate(zip(scores, truth, strict=True)):
        if value is not None:
            flagged = value >= by.theta
            cells = [flagged and anomalous, flagged and not anomalous, not flagged and not anomalous]
            blocks.append([1, minute, *map(int, cells), int(not flagged and anomalous)])
    total = [sum(block[i] for block in blocks) for i in range(2, 6)]
    SliceCounts.objects.create(
        slice=row, deployment=by, unit="segment", basis="ground_truth", blocks=blocks,
        tp=total[0], fp=total[1], tn=total[2], fn=total[3],
    )  # fmt: skip


def drawn(segments: list[Segment], asked: set[int], lane: str = "warmup") -> None:
    """A draw over these segments in two strata, flagged or not, with π = the asked share of each."""
    scores = {s.segment_id: s for s in SegmentScore.objects.filter(segment__in=segments)}
    strata: dict[int, list[int]] = defaultdict(list)
    for n, segment in enumerate(segments):
        if scores[segment.pk].value is not None:
            strata[0 if scores[segment.pk].flagged else 1].append(n)
    for stratum, members in strata.items():
        share = len(asked & set(members)) / len(members)
        Candidate.objects.bulk_create(
            Candidate(
                segment=segments[n], slice=segments[n].slice, deployment=scores[segments[n].pk].deployment, lane=lane,
                stratum=stratum, probability=share, asked=n in asked, seed=segments[n].recording_id,
            )
            for n in members
        )  # fmt: skip


def said(user: User, segments: list[Segment], answers: dict[int, Answer], lane: str = "warmup") -> None:
    """An event and a verdict for each of these segments."""
    for n, answer in answers.items():
        segment = segments[n]
        event = Event.objects.create(
            camera=segment.camera, recording=segment.recording, slice=segment.slice, lane=lane, place=n,
            state="decided", start_pts=0, end_pts=4, peak_pts=1,
        )  # fmt: skip
        EventSegment.objects.create(event=event, segment=segment, lane=lane)
        Verdict.objects.create(event=event, segment=segment, user=user, answer=answer, key=uuid4(), active_ms=900)
