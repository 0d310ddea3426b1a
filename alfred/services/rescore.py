"""Segment scores by any version, from stored poses: what calibration and evaluation stand on. Needs torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable

import numpy as np

from alfred.detectors import scoring
from alfred.detectors.base import Detector
from alfred.models import PoseExtraction, Segment
from alfred.pose.formats.parquet import read_poses
from alfred.pose.segments import cut_segments, segment_scores
from alfred.services.storage import artifacts


def segment_values(
    detector: Detector, segments: Iterable[Segment], progress: Callable[[int, int], None] | None = None
) -> dict[int, float]:
    """s(segment) by segment id; those that can't be scored are left out. Touches no row."""
    by_recording: dict[int, list[Segment]] = defaultdict(list)
    for segment in segments:
        by_recording[segment.recording_id].append(segment)
    values: dict[int, float] = {}
    for done, (recording_id, wanted) in enumerate(by_recording.items(), start=1):
        values |= _of_recording(detector, recording_id, wanted)
        if progress:
            progress(done, len(by_recording))
    return values


def _of_recording(detector: Detector, recording_id: int, wanted: list[Segment]) -> dict[int, float]:
    extraction = PoseExtraction.objects.select_related("recording").get(recording_id=recording_id)
    poses = read_poses(artifacts().path(extraction.artifact))
    # Whole tracks only: a window reaches beyond its segment, and a segment's ordinal counts from its track's start.
    tracks = {segment.track.number for segment in wanted}
    poses = poses.take(np.isin(poses.track, list(tracks)))
    recording = extraction.recording
    scores = scoring.score_poses(poses, width=recording.width, height=recording.height, detector=detector)
    cut = cut_segments(poses)
    found = segment_scores(scores, cut.pose_segment, len(cut)).score
    row = {(int(t), int(o)): i for i, (t, o) in enumerate(zip(cut.track, cut.ordinal, strict=True))}
    values = {s.pk: float(found[row[(s.track.number, s.ordinal)]]) for s in wanted}
    return {pk: value for pk, value in values.items() if np.isfinite(value)}
