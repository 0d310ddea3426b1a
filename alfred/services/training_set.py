"""What a round trains on: the membership of every segment with its reason, and the windows that follow from it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from django.db.models import Max, Min, Q, QuerySet

from alfred.core.methodologies import Label, Methodology, Reason, SegmentFacts, who_trains
from alfred.models import (
    Camera,
    PoseExtraction,
    Recording,
    Round,
    Segment,
    Slice,
    SnapshotLabel,
    ValidationMember,
    Verdict,
)
from alfred.pose.formats.parquet import read_poses
from alfred.pose.segments import Segments, cut_segments, segment_at
from alfred.pose.windows import TRAINING_STRIDE, WindowSpec, iter_windows
from alfred.services import build_validation, labels
from alfred.services.late_labels import false_alarms, frozen_late, late_labels
from alfred.services.storage import artifacts

MAX_WINDOWS = 30_000
"""A round draws at most this many windows at random from those that may train: bounded memory, whatever the slice."""
BESIDE = timedelta(seconds=30)
"""How far around a slice its neighbours are looked at: more than `methodologies.BESIDE_SECONDS`, and any segment."""

FROM_ROWS = {
    "segment": "pk",
    "slice": "slice__ordinal",
    "recording": "recording_id",
    "track": "track_id",
    "track_number": "track__number",
    "ordinal": "ordinal",
    "start_pts": "start_pts",
    "end_pts": "end_pts",
    "start_at": "start_at",
    "end_at": "end_at",
}
"""Columns of the manifest that say which segment, and where they come from. `track_number` is that of stored poses."""

MANIFEST_TYPES = {
    "slice": pa.int32(), "track_number": pa.int32(), "ordinal": pa.int32(), "start_pts": pa.float64(),
    "end_pts": pa.float64(), "start_at": pa.timestamp("us", "UTC"), "end_at": pa.timestamp("us", "UTC"),
}  # fmt: skip
MANIFEST = pa.schema(
    [(name, MANIFEST_TYPES.get(name, pa.int64())) for name in FROM_ROWS]
    + [("reason", pa.string()), ("trains", pa.bool_())]
)
MANIFEST_ROWS = 5000


@dataclass(frozen=True)
class Membership:
    """For each segment of the slices: why it trains or does not."""

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


def slices_of(row: Round) -> list[Slice]:
    """What the round trains on: its slice; `offline` all that the camera had closed up to it."""
    if Methodology(row.methodology) is not Methodology.OFFLINE:
        return [row.slice]
    closed = Slice.objects.filter(camera=row.camera, closed_at__isnull=False, ordinal__lte=row.slice.ordinal)
    return list(closed.order_by("ordinal"))


def labels_now(slices: Sequence[Slice]) -> dict[int, Label]:
    """What people say of these slices' segments, and of those just before and after them: what a snapshot freezes."""
    ids = [part.pk for part in slices]
    said = {s: label for part in labels.of_slices(ids, together=True).values() for s, label in part.items()}
    for part in slices:
        beside = Verdict.objects.filter(segment__in=_rows(part).exclude(slice=part))
        around = labels.standing(beside, together=True)
        said |= labels.of_verdicts(around.values_list("segment_id", "answer"))
    return said


def frozen_now(row: Round) -> dict[int, Label]:
    """What the round's snapshot freezes: the labels of its slices, and the late ones of slices before."""
    said = labels_now(slices_of(row))
    return said | late_labels(row.camera, row.slice) if _takes_late_labels(row) else said


def _takes_late_labels(row: Round) -> bool:
    methodology = Methodology(row.methodology)
    return methodology.asks and methodology is not Methodology.OFFLINE


def late_slices(row: Round) -> dict[Slice, set[int]]:
    """Earlier slices with false alarms that were confirmed after their own round had begun, and which those are."""
    found = false_alarms(frozen_late(row)) if _takes_late_labels(row) else set()
    parts: dict[Slice, set[int]] = defaultdict(set)
    for segment in Segment.objects.filter(pk__in=found).select_related("slice").order_by("slice__ordinal", "pk"):
        if segment.slice is not None:
            parts[segment.slice].add(segment.pk)
    return dict(parts)


def membership(row: Round, slices: Sequence[Slice]) -> Membership:
    """Decide for the segments of `slices`, on the round's frozen labels; a slice at a time, to keep memory flat.

    Of earlier slices those false alarms that were confirmed too late for their own round are decided on as well.
    """
    said = dict(SnapshotLabel.objects.filter(snapshot__round=row).values_list("segment_id", "label"))
    members = ValidationMember.objects.filter(segment__camera=row.camera)
    held_out = set(members.values_list("segment__track_id", flat=True)) | _asked_in_warm_up(row.camera)
    parts = [_of_slice(row, part, said, held_out) for part in slices]
    for part, late in late_slices(row).items():
        segments, reasons_of = _of_slice(row, part, _ever_frozen(part) | said, held_out)
        mine = [i for i, segment in enumerate(segments) if segment in late]
        parts.append(([segments[i] for i in mine], reasons_of[mine]))
    reasons = [reasons for _, reasons in parts]
    return Membership(
        [segment for segments, _ in parts for segment in segments],
        np.concatenate(reasons) if reasons else np.zeros(0, np.uint8),
    )


def _ever_frozen(part: Slice) -> dict[int, int]:
    """The labels of a slice as snapshots have them, the newest of each: an anomaly judged in time keeps its neighbours
    out of a later round too.
    """
    rows = SnapshotLabel.objects.filter(segment__slice=part).order_by("snapshot__frozen_at")
    return dict(rows.values_list("segment_id", "label"))


def _of_slice(
    row: Round, part: Slice, said: dict[int, int], held_out: set[int]
) -> tuple[list[int], npt.NDArray[np.uint8]]:
    """Segments and reasons of one slice. Neighbours outside the slice are seen, not decided on."""
    segments = list(_rows(part).select_related("track", "recording", "score").order_by("id"))
    facts = _facts(segments, said, held_out)
    first = next((s.recording for s in segments if s.recording.height), None)
    aspect = first.width / first.height if first and first.width else 16 / 9
    _, reasons = who_trains(Methodology(row.methodology), facts, aspect=aspect)
    mine = [i for i, s in enumerate(segments) if s.slice_id == part.pk]
    return [segments[i].pk for i in mine], reasons[mine]


def _asked_in_warm_up(camera: Camera) -> set[int]:
    """While the validation set is in the making, tracks asked about in warm-up may become its members: neither they nor
    those beside them train.
    """
    if not build_validation.warming_up(camera.pk):
        return set()
    drawn = build_validation.drawn(camera.pk).filter(asked=True)
    return set(drawn.values_list("segment__track_id", flat=True))


def _rows(part: Slice) -> QuerySet[Segment]:
    """The slice's segments, and those of the camera's stream just before and after it."""
    ends = Segment.objects.filter(slice=part).aggregate(first=Min("start_at"), last=Max("end_at"))
    if ends["first"] is None:
        return Segment.objects.filter(slice=part)
    # Imported validation files were never part of the stream: their clock says nothing of what they overlap.
    stream = Q(camera=part.camera_id, recording__purpose=Recording.Purpose.STREAM)
    near = stream & Q(start_at__lte=ends["last"] + BESIDE, end_at__gte=ends["first"] - BESIDE)
    return Segment.objects.filter(Q(slice=part) | near)


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
    """Every segment the round could train on and why it trained or not, as Parquet; returns the artifact's key."""
    reason = dict(zip(found.segments, found.reasons, strict=True))
    with artifacts().temporary(".parquet") as path:
        with pq.ParquetWriter(path, MANIFEST, compression="zstd") as writer:
            for at in range(0, len(found.segments), MANIFEST_ROWS):
                writer.write_table(_manifest_rows(found.segments[at : at + MANIFEST_ROWS], reason))
        return artifacts().put_file(row.camera.slug, path, ".parquet")


def _manifest_rows(segments: list[int], reason: dict[int, np.uint8]) -> pa.Table:
    stored = Segment.objects.filter(pk__in=segments).order_by("slice__ordinal", "pk")
    columns: list[list[object]] = [
        list(column) for column in zip(*stored.values_list(*FROM_ROWS.values()), strict=True)
    ]
    decided = [Reason(int(reason[pk])) for pk in columns[0]]  # type: ignore[index]  # the first column is the key
    columns += [[r.words for r in decided], [r.trains for r in decided]]
    return pa.table(dict(zip(MANIFEST.names, columns, strict=True)), schema=MANIFEST)


def training_windows(
    slices: Sequence[Slice], spec: WindowSpec, trains: set[int], *, seed: int
) -> npt.NDArray[np.float32]:
    """Windows (n, C, T, V) whose centre pose lies in a segment that trains; a seeded draw where there are too many."""
    rng = np.random.default_rng(seed)
    kept = np.zeros((0, spec.channels, spec.length, 18), np.float32)
    keys = np.zeros(0)
    spec = replace(spec, stride=TRAINING_STRIDE)
    extractions = PoseExtraction.objects.filter(recording__slice__in=slices).select_related("recording").order_by("id")
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
