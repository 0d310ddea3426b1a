"""Score a recording once, on arrival, by the deployment then in force. Heavy: needs torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from django.db import transaction

from alfred.detectors import scoring
from alfred.models import Camera, Deployment, Job, PoseExtraction, Recording, Scoring, Segment, SegmentScore
from alfred.models.detectors import in_force
from alfred.models.work import fence, queue
from alfred.pose.formats.parquet import read_poses
from alfred.pose.segments import SegmentScores, cut_segments, segment_scores
from alfred.pose.tracks import Poses
from alfred.pose.windows import WindowSpec, median_fps, slowest_fps
from alfred.services import alert_channels, band, drift_reference, open_review
from alfred.services.deploy import deploy_source
from alfred.services.jobs import BadInputError, JobContext, NotYet
from alfred.services.load_detector import load
from alfred.services.rescore import segment_values
from alfred.services.storage import artifacts


def run(context: JobContext, recording_id: int) -> None:
    """Score, store, and open what people should look at."""
    recording = Recording.objects.select_related("camera").get(pk=recording_id)
    extraction = PoseExtraction.objects.get(recording=recording)
    if Scoring.objects.filter(extraction=extraction).exists():
        return
    _wait_for_calibration(recording)
    poses = read_poses(artifacts().path(extraction.artifact))
    deployment = _deployment(recording, poses)
    _carry_band_over(recording.camera, deployment)
    _score_drift_reference(recording.camera, deployment)
    values, note = score_with(deployment, poses, recording, context)
    segments = cut_segments(poses)
    per_segment = segment_scores(values, segments.pose_segment, len(segments))
    with artifacts().temporary(".parquet") as path:
        write_scores(path, poses, values)
        key = artifacts().put_file(recording.camera.slug, path, ".parquet")
    with transaction.atomic():
        fence(context.job_id, context.attempt)
        _store(recording, extraction, deployment, key, poses, values, per_segment, note)


def _wait_for_calibration(recording: Recording) -> None:
    """A stream handed over together with its camera's validation set is scored with the θ found on that set."""
    if recording.purpose == Recording.Purpose.VALIDATION:
        return
    imported = Recording.objects.filter(
        camera=recording.camera, purpose=Recording.Purpose.VALIDATION, quarantined="", pk__lt=recording.pk
    )
    kinds = (Job.Kind.EXTRACT, Job.Kind.SCORE)
    live = Job.objects.filter(camera=recording.camera, state__in=Job.LIVE)
    if live.filter(kind__in=kinds, subject__in=imported.values("pk")).exists():
        raise NotYet
    if imported.exists() and live.filter(kind=Job.Kind.CALIBRATE).exists():
        raise NotYet


def _deployment(recording: Recording, poses: Poses) -> Deployment:
    present = in_force(recording.camera_id)
    if present:
        return present
    rate = median_fps(poses) or recording.fps or 30.0
    try:
        return deploy_source(recording.camera_id, rate)
    except ValueError as error:
        raise BadInputError(str(error)) from None


def _carry_band_over(camera: Camera, deployment: Deployment) -> None:
    """AL-Light's buffer belongs to a deployment: what it held before is scored anew, at the first recording after."""
    segments = band.to_carry_over(camera, deployment)
    if segments:
        values = segment_values(load(deployment.version), segments)
        band.carry_over(deployment, [values[segment.pk] for segment in segments if segment.pk in values])


def _score_drift_reference(camera: Camera, deployment: Deployment) -> None:
    segments = drift_reference.to_score(camera, deployment)
    if segments:
        drift_reference.store(camera, deployment, segment_values(load(deployment.version), segments))


def score_with(
    deployment: Deployment, poses: Poses, recording: Recording, context: JobContext | None = None
) -> tuple[npt.NDArray[np.float32], str]:
    """Pose scores (n,) with NaN = unscored, and a note when the footage can't be scored at all."""
    detector = load(deployment.version)
    report = context.report if context else None
    values = scoring.score_poses(
        poses,
        width=recording.width,
        height=recording.height,
        detector=detector,
        progress=report,
    )
    return values, _note(poses, detector.window)


def _note(poses: Poses, window: WindowSpec) -> str:
    """Why footage stays unscored as a whole, for the page."""
    rate = median_fps(poses)
    if rate is None or rate >= slowest_fps(window.fps):
        return ""
    return f"too slow: {rate:.0f} frames a second, this detector needs {window.fps / 2:.0f} or more"


def write_scores(path: Path, poses: Poses, values: npt.NDArray[np.float32]) -> None:
    """(track, frame, pts, score) a row, in the order of the poses; score is null where unscored."""
    table = pa.table(
        {
            "track": poses.track,
            "frame": poses.frame,
            "pts": poses.pts,
            "score": pa.array(values, from_pandas=True),
        }
    )
    pq.write_table(table, path, compression="zstd", row_group_size=16384)


def _store(
    recording: Recording,
    extraction: PoseExtraction,
    deployment: Deployment,
    key: str,
    poses: Poses,
    values: npt.NDArray[np.float32],
    per_segment: SegmentScores,
    note: str,
) -> None:
    row = Scoring.objects.create(
        extraction=extraction,
        deployment=deployment,
        artifact=key,
        n_poses=len(poses),
        n_scored=int(np.isfinite(values).sum()),
        note=note,
    )
    # Segments were stored in the order of (track, ordinal), as `cut_segments` gives them again here.
    stored = list(Segment.objects.filter(recording=recording).order_by("track__number", "ordinal"))
    if len(stored) != len(per_segment.score):
        raise BadInputError("The stored segments do not match the stored poses; ingest the file again.")
    made = SegmentScore.objects.bulk_create(
        [
            SegmentScore(
                segment=segment,
                scoring=row,
                deployment=deployment,
                slice_id=recording.slice_id,
                value=float(s) if np.isfinite(s) else None,
                flagged=bool(np.isfinite(s) and s >= deployment.theta),
                peak_pts=float(poses.pts[p]) if p >= 0 else None,
            )
            for segment, s, p in zip(stored, per_segment.score, per_segment.peak, strict=True)
        ],
        batch_size=2000,
    )
    camera = Camera.objects.select_for_update().get(pk=recording.camera_id)
    if recording.purpose == Recording.Purpose.STREAM:
        open_review.for_recording(camera, recording, made)
        alert_channels.tell(camera, recording)
    else:
        queue(camera.pk, Job.Kind.CALIBRATE, camera.pk, key=f"calibrate:{camera.pk}:recording:{recording.pk}")
