"""What a round trains on: the membership of every segment with its reason, and the windows that follow from it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from django.db.models import Q, QuerySet

from alfred.core.methodologies import Label, Methodology, Reason, SegmentFacts, who_trains
from alfred.models import (
    Candidate,
    Lane,
    PoseExtraction,
    Recording,
    Round,
    Segment,
    SnapshotLabel,
    ValidationMember,
    ValidationSet,
)
from alfred.pose.formats.parquet import read_poses
from alfred.pose.segments import Segments, cut_segments, segment_at
from alfred.pose.windows import TRAINING_STRIDE, WindowSpec, iter_windows
from alfred.services.storage import artifacts

MAX_WINDOWS = 30_000
"""A round draws at most this many windows at random from those that may train: bounded memory, whatever the slice."""
BESIDE = timedelta(seconds=30)


@dataclass(frozen=True)
class Membership:
    """For each segment of the slice: why it trains or does not."""

    segments: list[int]
    reasons: npt.NDArray[np.uint8]

    @property
    def trains(self) -> set[int]:
        return {s for s, r in zip(self.segments, self.reasons, strict=True) if Reason(int(r)).trains}

    @property
    def confirmed(self) -> set[int]:
        """Those that train because a person called them normal although they were flagged."""
        return {s for s, r in zip(self.segments, self.reasons, strict=True) if r == Reason.CONFIRMED_FP}

    @property
    def by_reason(self) -> dict[str, int]:
        counted = Counter(int(r) for r in self.reasons)
        return {Reason(code).words: n for code, n in sorted(counted.items())}


def membership(row: Round) -> Membership:
    """Decide for the round's slice, on its frozen labels. Neighbours outside the slice are seen, not decided on."""
    segments = list(_rows(row).select_related("track", "recording", "score").order_by("id"))
    said = dict(SnapshotLabel.objects.filter(snapshot__round=row).values_list("segment_id", "label"))
    in_validation = set(
        ValidationMember.objects.filter(segment__in=segments).values_list("segment__track_id", flat=True)
    )
    facts = _facts(segments, said, in_validation)
    first = next((s.recording for s in segments if s.recording.height), None)
    aspect = first.width / first.height if first and first.width else 16 / 9
    _, reasons = who_trains(Methodology(row.methodology), facts, aspect=aspect)
    _keep_warm_up_out(row, segments, reasons)
    mine = [i for i, s in enumerate(segments) if s.slice_id == row.slice_id]
    return Membership([segments[i].pk for i in mine], reasons[mine])


def _keep_warm_up_out(row: Round, segments: list[Segment], reasons: npt.NDArray[np.uint8]) -> None:
    """While the validation set is in the making, tracks asked about in warm-up may become its members: none trains."""
    if ValidationSet.objects.filter(camera=row.camera, frozen_at__isnull=False).exists():
        return
    asked = set(
        Candidate.objects.filter(segment__in=segments, lane=Lane.WARMUP, asked=True).values_list(
            "segment__track_id", flat=True
        )
    )
    for i, segment in enumerate(segments):
        if segment.track_id in asked and Reason(int(reasons[i])).trains:
            reasons[i] = Reason.VALIDATION


def _rows(row: Round) -> QuerySet[Segment]:
    inside = Segment.objects.filter(slice=row.slice)
    times = list(inside.order_by("start_at").values_list("start_at", flat=True)[:1])
    ends = list(inside.order_by("-end_at").values_list("end_at", flat=True)[:1])
    if not times:
        return inside
    # Imported validation files were never part of the stream: their clock says nothing of what they overlap.
    stream = Q(camera=row.camera, recording__purpose=Recording.Purpose.STREAM)
    near = stream & Q(start_at__lte=ends[0] + BESIDE, end_at__gte=times[0] - BESIDE)
    return Segment.objects.filter(Q(slice=row.slice) | near)


def _clock(recording: Recording) -> float:
    """Second zero of a recording. One whose start is not known gets a time of its own, far from all others: what
    overlaps or lies beside what is then decided within it alone.
    """
    return recording.start_at.timestamp() if recording.clock_known else -1e7 * recording.pk


def _facts(segments: list[Segment], said: dict[int, int], in_validation: set[int]) -> SegmentFacts:
    def score_of(segment: Segment) -> tuple[bool, bool]:
        score = getattr(segment, "score", None)
        return (bool(score.flagged), score.value is not None) if score else (False, False)

    decided = [score_of(s) for s in segments]
    start = [_clock(s.recording) for s in segments]
    return SegmentFacts(
        flagged=np.array([f for f, _ in decided], bool),
        scored=np.array([k for _, k in decided], bool),
        label=np.array([said.get(s.pk, Label.NONE) for s in segments], np.int8),
        track=np.array([s.track_id for s in segments], np.int64),
        track_start=np.array([b + s.track.start_pts for s, b in zip(segments, start, strict=True)]),
        track_end=np.array([b + s.track.end_pts for s, b in zip(segments, start, strict=True)]),
        start=np.array([b + s.start_pts for s, b in zip(segments, start, strict=True)]),
        end=np.array([b + s.end_pts for s, b in zip(segments, start, strict=True)]),
        x=np.array([s.x / max(1, s.recording.width) for s in segments]),
        y=np.array([s.y / max(1, s.recording.height) for s in segments]),
        radius=np.array([s.person_height / 2 / max(1, s.recording.height) for s in segments]),
        in_validation=np.array([s.track_id in in_validation for s in segments], bool),
    )


def write_manifest(row: Round, found: Membership) -> str:
    """Every segment of the slice and why it trained or not, as Parquet; returns the artifact's key."""
    words = [Reason(int(r)).words for r in found.reasons]
    table = pa.table(
        {"segment": found.segments, "reason": words, "trains": [Reason(int(r)).trains for r in found.reasons]}
    )
    with artifacts().temporary(".parquet") as path:
        pq.write_table(table, path, compression="zstd")
        return artifacts().put_file(row.camera.slug, path, ".parquet")


def training_windows(row: Round, spec: WindowSpec, trains: set[int]) -> npt.NDArray[np.float32]:
    """Windows (n, C, T, V) whose centre pose lies in a segment that trains; a seeded draw where there are too many."""
    rng = np.random.default_rng(row.seed)
    kept = np.zeros((0, spec.channels, spec.length, 18), np.float32)
    keys = np.zeros(0)
    spec = replace(spec, stride=TRAINING_STRIDE)
    extractions = PoseExtraction.objects.filter(recording__slice=row.slice).select_related("recording").order_by("id")
    for extraction in extractions:
        poses = read_poses(artifacts().path(extraction.artifact))
        cut = cut_segments(poses)
        allowed = _allowed(extraction, cut, trains)
        recording = extraction.recording
        for windows in iter_windows(poses, width=recording.width, height=recording.height, spec=spec):
            inside = allowed[segment_at(cut, windows.track, windows.centre_pts)]
            kept = np.concatenate([kept, windows.values[inside]])
            keys = np.concatenate([keys, rng.random(int(inside.sum()))])
            if len(keys) > MAX_WINDOWS:
                # Every window drew a key; the smallest stay: a fair draw from all, whichever recording they are of.
                smallest = np.sort(np.argpartition(keys, MAX_WINDOWS)[:MAX_WINDOWS])
                kept, keys = kept[smallest], keys[smallest]
    return kept


def _allowed(extraction: PoseExtraction, cut: Segments, trains: set[int]) -> npt.NDArray[np.bool_]:
    """For each row of `cut` whether its stored segment trains."""
    stored = Segment.objects.filter(track__extraction=extraction).values_list("track__number", "ordinal", "id")
    pk = {(number, ordinal): i for number, ordinal, i in stored}
    return np.array([pk.get((int(t), int(o))) in trains for t, o in zip(cut.track, cut.ordinal, strict=True)], bool)
