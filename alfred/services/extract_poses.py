"""Recording → poses, tracks, segments. Heavy: runs in a worker's child process."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from django.conf import settings
from django.db import transaction

from alfred.models import Camera, Job, PoseExtraction, PoseTruth, Recording, Segment, SegmentTruth, Track
from alfred.models.work import fence, queue
from alfred.pose.extractors import registry
from alfred.pose.extractors.base import MissingWeightsError, PoseExtractor
from alfred.pose.formats.inspect import read_labelled
from alfred.pose.formats.labelled import BadPoses, LabelledPoses
from alfred.pose.formats.parquet import PoseMeta, PoseWriter, read_meta, read_poses
from alfred.pose.segments import Segments, cut_segments, segment_labels
from alfred.pose.tracks import Poses
from alfred.services import clean_up
from alfred.services.jobs import BadInputError, JobContext
from alfred.services.storage import artifacts
from alfred.video.probe import BadVideo

BLOCK_SECONDS = 60.0


def run(context: JobContext, recording_id: int) -> None:
    """Extract once per settings; an extraction that is stored already is reused."""
    recording = Recording.objects.select_related("camera").get(pk=recording_id)
    if recording.quarantined or PoseExtraction.objects.filter(recording=recording).exists():
        with transaction.atomic():
            fence(context.job_id, context.attempt)
            _queue_next(recording)
        return
    with artifacts().temporary(".parquet") as path:
        try:
            if recording.origin == Recording.Origin.POSES:
                labelled = _convert(recording, path)
            else:
                labelled = None
                _extract(context, recording, path)
        except (BadVideo, BadPoses) as error:
            raise BadInputError(str(error)) from None
        except MissingWeightsError as error:
            raise BadInputError(f"No poses: {error}") from None
        _store(context, recording, path, labelled)


def _convert(recording: Recording, path: Path) -> LabelledPoses:
    """A pose file: read it in its own format and write ours."""
    labelled = read_labelled(
        artifacts().path(recording.source), fps=recording.fps, resolution=(recording.width, recording.height)
    )
    meta = PoseMeta(recording.width, recording.height, recording.fps, {"extractor": "imported"})
    with PoseWriter(path, meta) as writer:
        writer.add(labelled.poses)
        frames = int(labelled.poses.frame.max(initial=-1)) + 1
        writer.note(frames=frames, duration_s=recording.duration_s)
    return labelled


def _extract(context: JobContext, recording: Recording, path: Path) -> None:
    """A video: decode, find people, track them; written as it goes, so memory does not grow with the file."""
    made = extractor()
    total = max(1, round(recording.duration_s * 10))
    meta = PoseMeta(recording.width, recording.height, recording.fps, made.info())
    frames, pts = 0, 0.0
    with PoseWriter(path, meta) as writer:
        for chunk in made.extract(artifacts().path(recording.source)):
            writer.add(chunk.poses)
            frames, pts = chunk.frames_done, chunk.pts
            context.report(min(total, round(pts * 10)), total, f"{frames} frames")
        if frames == 0:
            raise BadVideo("Not one frame could be decoded; record or export the file again.")
        writer.note(frames=frames, duration_s=pts)


@lru_cache(maxsize=1)
def extractor() -> PoseExtractor:
    """The extractor of the settings, its model kept warm in this process."""
    common: dict[str, Any] = {"weights_dir": settings.WEIGHTS_DIR}
    if settings.POSE_WEIGHTS:
        common["weights"] = settings.POSE_WEIGHTS
    if settings.POSE_IMGSZ:
        common["imgsz"] = settings.POSE_IMGSZ
    if settings.POSE_EXTRACTOR == "ultralytics":
        common |= {
            "device": settings.DEVICE,
            "batch": settings.POSE_BATCH,
            "download": settings.POSE_DOWNLOAD,
        }
    return registry.create(settings.POSE_EXTRACTOR, threads=settings.THREADS, **common)


def _store(context: JobContext, recording: Recording, path: Path, labelled: LabelledPoses | None) -> None:
    meta = read_meta(path)
    poses = read_poses(path)
    segments = cut_segments(poses)
    blocks = _scenes(labelled)
    key = artifacts().put_file(recording.camera.slug, path, ".parquet")
    truth_key = _store_truth(recording, labelled)
    info = json.dumps(meta.extractor, sort_keys=True)
    with transaction.atomic():
        fence(context.job_id, context.attempt)
        extraction = PoseExtraction.objects.create(
            recording=recording,
            extractor=str(meta.extractor.get("extractor", settings.POSE_EXTRACTOR)),
            info=meta.extractor,
            info_digest=hashlib.sha256(info.encode()).hexdigest(),
            artifact=key,
            n_frames=meta.frames or 0,
            n_poses=len(poses),
            n_tracks=len(np.unique(poses.track)),
        )
        rows = _segment_rows(recording, _store_tracks(recording, extraction, poses), segments, blocks)
        Segment.objects.bulk_create(rows, batch_size=2000)
        if labelled is not None and labelled.labels is not None and truth_key:
            _segment_truth(recording, truth_key, labelled.labels, segments, rows)
        _queue_next(recording)


def _scenes(labelled: LabelledPoses | None) -> npt.NDArray[np.int32] | None:
    """The file's own scenes as blocks, where all are short; long footage is cut into minutes like any other."""
    if labelled is None or labelled.blocks is None:
        return None
    for scene in np.unique(labelled.blocks):
        pts = labelled.poses.pts[labelled.blocks == scene]
        if pts.max() - pts.min() > BLOCK_SECONDS:
            return None
    return labelled.blocks


def _queue_next(recording: Recording) -> None:
    """Score what was found; keep the pixels only where the camera's privacy says so."""
    queue(recording.camera_id, Job.Kind.SCORE, recording.pk)
    if recording.origin != Recording.Origin.VIDEO or not recording.source:
        return
    if recording.camera.privacy == Camera.Privacy.VIDEO:
        queue(recording.camera_id, Job.Kind.RENDITION, recording.pk)
    else:
        transaction.on_commit(lambda: clean_up.discard(recording.pk, recording.source))


def _store_tracks(recording: Recording, extraction: PoseExtraction, poses: Poses) -> dict[int, Track]:
    numbers, first, count = np.unique(poses.track, return_index=True, return_counts=True)
    last = len(poses) - 1 - np.unique(poses.track[::-1], return_index=True)[1]
    made = Track.objects.bulk_create(
        [
            Track(
                camera_id=recording.camera_id,
                extraction=extraction,
                number=int(number),
                start_pts=float(poses.pts[f]),
                end_pts=float(poses.pts[e]),
                n_poses=int(n),
            )
            for number, f, e, n in zip(numbers, first, last, count, strict=True)
        ],
        batch_size=2000,
    )
    return {track.number: track for track in made}


def _segment_rows(
    recording: Recording, tracks: dict[int, Track], segments: Segments, blocks: npt.NDArray[np.int32] | None
) -> list[Segment]:
    def at(pts: float) -> Any:
        return recording.start_at + timedelta(seconds=pts)

    return [
        Segment(
            camera_id=recording.camera_id,
            track=tracks[int(segments.track[i])],
            ordinal=int(segments.ordinal[i]),
            recording=recording,
            slice_id=recording.slice_id,
            start_pts=float(segments.start_pts[i]),
            end_pts=float(segments.end_pts[i]),
            start_at=at(float(segments.start_pts[i])),
            end_at=at(float(segments.end_pts[i])),
            block=int(blocks[segments.first_pose[i]] if blocks is not None else segments.start_pts[i] // BLOCK_SECONDS),
            n_poses=int(segments.n_poses[i]),
            x=float(segments.centre[i, 0]),
            y=float(segments.centre[i, 1]),
            person_height=float(segments.height[i]),
            confidence=float(segments.confidence[i]),
        )
        for i in range(len(segments))
    ]


def _store_truth(recording: Recording, labelled: LabelledPoses | None) -> str:
    """Labels of each pose, in a file of their own: no detector ever reads it."""
    if labelled is None or labelled.labels is None:
        return ""
    poses = labelled.poses
    with artifacts().temporary(".parquet") as path:
        table = pa.table({"track": poses.track, "frame": poses.frame, "label": labelled.labels})
        pq.write_table(table, path, compression="zstd")
        return artifacts().put_file(recording.camera.slug, path, ".parquet")


def _segment_truth(
    recording: Recording, key: str, labels: npt.NDArray[np.uint8], segments: Segments, rows: list[Segment]
) -> None:
    anomalous = segment_labels(labels, segments.pose_segment, len(segments))
    counts = np.bincount(segments.pose_segment[labels > 0], minlength=len(segments))
    PoseTruth.objects.create(recording=recording, artifact=key, n_anomalous=int((labels > 0).sum()))
    SegmentTruth.objects.bulk_create(
        [
            SegmentTruth(segment=row, anomalous=bool(a), n_anomalous_poses=int(n))
            for row, a, n in zip(rows, anomalous, counts, strict=True)
        ],
        batch_size=2000,
    )
