"""Draw the segments people are asked about and open their events. Every candidate's π is stored, asked or not."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from alfred.core import sampling
from alfred.core.methodologies import Methodology, who_is_asked
from alfred.models import (
    Camera,
    Candidate,
    Event,
    EventSegment,
    Lane,
    Recording,
    Segment,
    SegmentScore,
    ValidationSet,
)
from alfred.services import budget

EVENT_SEGMENTS = 3
"""Up to this many consecutive segments of one track make one event."""
EVENT_PEOPLE = 4
CONTACT = 0.6
"""Two people touch when their centres are nearer than this share of the taller one's height."""


def for_recording(camera: Camera, recording: Recording, scores: Sequence[SegmentScore]) -> None:
    """Open events for a recording just scored; the caller holds the camera's row lock and a transaction.

    While the camera has no validation set, a stratified sample over the whole score range is asked (warm-up);
    afterwards what is flagged, as the methodology says, within the review budget.
    """
    scored = [row for row in scores if row.value is not None]
    if not scored:
        return
    seed = _seed(camera, recording)
    rng = np.random.default_rng(seed)
    if _is_warming_up(camera):
        _warm_up(camera, recording, scored, rng, seed)
    else:
        _review(camera, recording, scored, rng, seed)


def _is_warming_up(camera: Camera) -> bool:
    return not ValidationSet.objects.filter(camera=camera, frozen_at__isnull=False).exists()


def _seed(camera: Camera, recording: Recording) -> int:
    """The same recording is drawn the same way, whichever worker does it."""
    return int.from_bytes(hashlib.sha256(f"{camera.pk}:{recording.sha256}".encode()).digest()[:7], "big")


def _warm_up(
    camera: Camera, recording: Recording, scored: list[SegmentScore], rng: np.random.Generator, seed: int
) -> None:
    values = np.array([row.value for row in scored], np.float64)
    strata = sampling.stratify(values, scored[0].deployment.theta)
    chosen, probability = sampling.draw_stratified(strata, budget.allowance(camera, recording, Lane.WARMUP), rng)
    _store_candidates(scored, Lane.WARMUP, strata.tolist(), chosen.tolist(), probability.tolist(), seed)
    asked = [row for row, take in zip(scored, chosen, strict=True) if take]
    _open([[row] for row in asked], camera, recording, Lane.WARMUP, rng)


def _review(
    camera: Camera, recording: Recording, scored: list[SegmentScore], rng: np.random.Generator, seed: int
) -> None:
    wanted = who_is_asked(Methodology(camera.methodology), np.array([row.flagged for row in scored], bool))
    flagged = [row for row, ask in zip(scored, wanted, strict=True) if ask]
    if not flagged:
        return
    chosen, probability = sampling.thin(len(flagged), budget.allowance(camera, recording, Lane.REVIEW), rng)
    _store_candidates(flagged, Lane.REVIEW, [0] * len(flagged), chosen.tolist(), probability.tolist(), seed)
    asked = [row for row, take in zip(flagged, chosen, strict=True) if take]
    _open(_group(asked), camera, recording, Lane.REVIEW, rng)


def _store_candidates(
    rows: list[SegmentScore],
    lane: Lane,
    strata: list[int],
    asked: list[bool],
    probability: list[float],
    seed: int,
) -> None:
    Candidate.objects.bulk_create(
        [
            Candidate(
                segment_id=row.segment_id,
                slice_id=row.slice_id,
                deployment_id=row.deployment_id,
                lane=lane,
                stratum=stratum,
                probability=p,
                asked=take,
                seed=seed,
            )
            for row, stratum, take, p in zip(rows, strata, asked, probability, strict=True)
        ],
        batch_size=2000,
    )


def _group(rows: list[SegmentScore]) -> list[list[SegmentScore]]:
    """Runs of up to 3 consecutive segments of one track, joined with those of people in direct contact."""
    by_track: dict[int, list[SegmentScore]] = defaultdict(list)
    for row in sorted(rows, key=lambda r: (r.segment.track_id, r.segment.ordinal)):
        by_track[row.segment.track_id].append(row)
    runs: list[list[SegmentScore]] = []
    for track in by_track.values():
        run = [track[0]]
        for row in track[1:]:
            if row.segment.ordinal == run[-1].segment.ordinal + 1 and len(run) < EVENT_SEGMENTS:
                run.append(row)
            else:
                runs.append(run)
                run = [row]
        runs.append(run)
    return _join_contacts(runs)


def _join_contacts(runs: list[list[SegmentScore]]) -> list[list[SegmentScore]]:
    """Each run takes the not yet taken runs that touch it; no chaining, at most 4 people a screen."""
    runs = sorted(runs, key=lambda run: (-(max(r.value or 0.0 for r in run)), run[0].segment_id))
    taken = [False] * len(runs)
    events: list[list[SegmentScore]] = []
    for i, run in enumerate(runs):
        if taken[i]:
            continue
        taken[i] = True
        people, event = {run[0].segment.track_id}, list(run)
        for j in range(i + 1, len(runs)):
            track = runs[j][0].segment.track_id
            if taken[j] or track in people or len(people) == EVENT_PEOPLE or not _touch(run, runs[j]):
                continue
            taken[j] = True
            people.add(track)
            event.extend(runs[j])
        events.append(event)
    return events


def _touch(a: list[SegmentScore], b: list[SegmentScore]) -> bool:
    return any(_in_contact(x.segment, y.segment) for x in a for y in b)


def _in_contact(a: Segment, b: Segment) -> bool:
    together = min(a.end_pts, b.end_pts) - max(a.start_pts, b.start_pts)
    apart = float(np.hypot(a.x - b.x, a.y - b.y))
    return together > 0 and apart < CONTACT * max(a.person_height, b.person_height)


def _open(
    groups: list[list[SegmentScore]],
    camera: Camera,
    recording: Recording,
    lane: Lane,
    rng: np.random.Generator,
) -> None:
    events = [
        Event(
            camera=camera,
            recording=recording,
            slice_id=recording.slice_id,
            lane=lane,
            place=float(rng.random()),
            start_pts=min(row.segment.start_pts for row in group),
            end_pts=max(row.segment.end_pts for row in group),
            peak_pts=max(group, key=lambda row: row.value or 0.0).peak_pts or group[0].segment.start_pts,
        )
        for group in groups
    ]
    Event.objects.bulk_create(events, batch_size=2000)
    EventSegment.objects.bulk_create(
        [
            EventSegment(event=event, segment_id=row.segment_id, lane=lane)
            for event, group in zip(events, groups, strict=True)
            for row in group
        ],
        batch_size=2000,
    )
