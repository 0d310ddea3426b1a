"""What a version would flag of footage that was scored before, from its stored poses. Heavy: needs torch.

One recording at a time, so memory stays flat however many slices are replayed. Same rows, same answer. Nothing that was
stored changes: the flags of the day stay what they were.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.db.models import Sum

from alfred.core.gates import Replayed, anomalies, lost_and_found
from alfred.core.methodologies import Label
from alfred.detectors.base import Progress
from alfred.models import (
    Camera,
    DetectorVersion,
    EventSegment,
    Job,
    Recording,
    Replay,
    ReplayChange,
    Round,
    Segment,
    Slice,
    Threshold,
)
from alfred.models.work import fence
from alfred.services import labels
from alfred.services.jobs import BadInputError, JobContext
from alfred.services.launch_replay import slices_asked
from alfred.services.load_detector import load
from alfred.services.rescore import segment_values

LAST_SLICES = 3
"""A round replays its slice and those before it, so many in all."""

SAID = {Label.NONE: "nothing", Label.NORMAL: "normal", Label.ANOMALY: "anomaly", Label.UNRESOLVED: "unresolved"}


@dataclass(frozen=True, slots=True)
class Change:
    """A segment whose flag is another on replay; `value` is its replayed score, NaN where this version gives none."""

    segment: int
    now_flagged: bool
    value: float
    label: Label


@dataclass(frozen=True)
class Found:
    """What a replay says: figures, JSON-able, and the segments that changed, by id."""

    figures: dict[str, Any]
    changes: list[Change]

    @property
    def replayed(self) -> Replayed:
        """What the gate is shown."""
        return replayed(self.figures)


def replayed(figures: Mapping[str, Any]) -> Replayed:
    """What the gate is shown, of stored figures."""
    return Replayed(figures["confirmed"], figures["lost"], figures["found"])


@dataclass
class _Tally:
    """Adds up recordings. `then` and `now` hold the flags of confirmed anomalies, by segment."""

    theta: float
    said: dict[int, Label]
    counts: Counter[str] = field(default_factory=Counter)
    changes: list[Change] = field(default_factory=list)
    then: dict[int, bool] = field(default_factory=dict)
    now: dict[int, bool] = field(default_factory=dict)
    places: dict[int, tuple[int, int]] = field(default_factory=dict)

    def add(self, segments: Iterable[Segment], values: Mapping[int, float]) -> None:
        for segment in segments:
            value = values.get(segment.pk, float("nan"))
            then, now = segment.score.flagged, value >= self.theta
            label = self.said.get(segment.pk, Label.NONE)
            self.counts.update(segments=1, unscored=value != value, flagged_then=then, flagged_now=now)
            if label == Label.ANOMALY:
                self.then[segment.pk], self.now[segment.pk] = then, now
                self.places[segment.pk] = (segment.track_id, segment.ordinal)
            if then != now:
                self.changes.append(Change(segment.pk, now, value, label))


def replay(
    camera: Camera,
    version: DetectorVersion,
    theta: float,
    slices: Sequence[Slice],
    progress: Progress | None = None,
) -> Found:
    """Score the stored poses of these closed slices with `version` and compare with the flags given on the day.

    Flagged then is what the deployment of that day said; confirmed is what people have said until now. `progress` is
    called after each recording with poses done and poses in all.
    """
    said = {s: label for part in labels.of_slices([p.pk for p in slices]).values() for s, label in part.items()}
    tally = _Tally(theta, said)
    detector, recordings = load(version), _recordings(camera, slices)
    done, total = 0, sum(poses for _, poses in recordings)
    for n, (recording, poses) in enumerate(recordings, start=1):
        rows = Segment.objects.filter(recording=recording, score__isnull=False)
        segments = list(rows.select_related("track", "score").order_by("pk"))
        tally.add(segments, segment_values(detector, segments))
        done += poses
        if progress:
            progress(done, total, f"recording {n} of {len(recordings)}")
    groups = anomalies(tally.places, _shown_together(tally.places))
    return Found(_figures(tally, groups, slices, len(recordings)), sorted(tally.changes, key=lambda c: c.segment))


def _recordings(camera: Camera, slices: Sequence[Slice]) -> list[tuple[int, int]]:
    """(id, number of poses) of each recording that was scored on the day."""
    rows = Recording.objects.filter(camera=camera, slice__in=slices, extractions__scorings__isnull=False)
    counted = rows.annotate(poses=Sum("extractions__n_poses")).order_by("slice__ordinal", "pk")
    return list(counted.values_list("pk", "poses"))


def _figures(tally: _Tally, groups: list[list[int]], slices: Sequence[Slice], recordings: int) -> dict[str, Any]:
    lost, found = lost_and_found(tally.then, tally.now, groups)
    by_label = {way: Counter(dict.fromkeys(SAID.values(), 0)) for way in (False, True)}
    for change in tally.changes:
        by_label[change.now_flagged][SAID[change.label]] += 1
    whole = {key: int(tally.counts[key]) for key in ("segments", "unscored", "flagged_then", "flagged_now")}
    return whole | {
        "slices": [part.ordinal for part in slices],
        "recordings": recordings,
        "no_longer": dict(by_label[False]),
        "newly": dict(by_label[True]),
        "confirmed": len(groups),
        "lost": len(lost),
        "found": len(found),
        "lost_segments": [segment for group in lost for segment in group],
        "found_segments": [segment for group in found for segment in group],
    }


def _shown_together(segments: Iterable[int]) -> list[list[int]]:
    """The segments of each event that shows some of these."""
    together: dict[object, list[int]] = defaultdict(list)
    for event, segment in EventSegment.objects.filter(segment__in=list(segments)).values_list("event_id", "segment_id"):
        together[event].append(segment)
    return list(together.values())


def made_by(row: Round) -> tuple[DetectorVersion, Threshold]:
    """The version and θ that a round has made. Raises BadInputError where it has none."""
    if row.version is None or row.threshold is None:
        raise BadInputError("This round has no version with a threshold to replay.")
    return row.version, row.threshold


def last_closed(camera: Camera, most: int, upto: int | None = None) -> list[Slice]:
    """The camera's newest closed slices, at most so many and none after number `upto`, oldest first."""
    closed = Slice.objects.filter(camera=camera, closed_at__isnull=False)
    if upto is not None:
        closed = closed.filter(ordinal__lte=upto)
    return list(closed.order_by("-ordinal")[:most])[::-1]


def store(row: Round, slices: Sequence[Slice], found: Found, **more: Any) -> Replay:
    """Append a replay of the round's version with its θ; the caller holds a transaction. `more` joins the figures."""
    version, threshold = made_by(row)
    made = Replay.objects.create(
        camera=row.camera, version=version, threshold=threshold, round=row, figures=found.figures | more
    )
    made.slices.set(slices)
    ReplayChange.objects.bulk_create(
        [
            ReplayChange(
                replay=made, segment_id=c.segment, now_flagged=c.now_flagged, value=c.value, label=int(c.label)
            )
            for c in found.changes
        ],
        batch_size=2000,
    )
    return made


def run(context: JobContext, round_id: int) -> None:
    """A replay asked for by hand, over the camera's newest slices; how many stands in the job's key."""
    row = Round.objects.select_related("camera", "version", "threshold").get(pk=round_id)
    if Replay.objects.filter(round=row, figures__job=context.job_id).exists():
        return  # stored by an attempt that was killed right after
    version, threshold = made_by(row)
    slices = last_closed(row.camera, slices_asked(Job.objects.get(pk=context.job_id)))
    found = replay(row.camera, version, threshold.value, slices, context.report)
    with transaction.atomic():
        fence(context.job_id, context.attempt)
        store(row, slices, found, job=context.job_id)
