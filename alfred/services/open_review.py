"""Draw the segments people are asked about and open their events. Every candidate's π is stored, asked or not."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from alfred.core import al_light, sampling
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
)
from alfred.services import band, budget, build_validation, clips, known_items

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
    if build_validation.warming_up(camera.pk):
        _warm_up(camera, recording, scored, rng, seed)
    else:
        _review(camera, recording, scored, rng, seed)


def _seed(camera: Camera, recording: Recording) -> int:
    """The same recording is drawn the same way, whichever worker does it."""
    return int.from_bytes(hashlib.sha256(f"{camera.pk}:{recording.sha256}".encode()).digest()[:7], "big")


def _warm_up(
    camera: Camera, recording: Recording, scored: list[SegmentScore], rng: np.random.Generator, seed: int
) -> None:
    values = np.array([row.value for row in scored], np.float64)
    strata = sampling.stratify(values, scored[0].deployment.theta)
    chosen, probability = sampling.draw_stratified(strata, budget.allowance(camera, recording, Lane.WARMUP), rng)
    drawn = [
        _Drawn(row, stratum, take, p)
        for row, stratum, take, p in zip(scored, strata.tolist(), chosen.tolist(), probability.tolist(), strict=True)
    ]
    _store_candidates(drawn, Lane.WARMUP, seed)
    open_events([[one.row] for one in drawn if one.asked], camera, Lane.WARMUP, rng)


def _review(
    camera: Camera, recording: Recording, scored: list[SegmentScore], rng: np.random.Generator, seed: int
) -> None:
    """All flagged segments are stored as candidates, with what the band said of each; the budget thins those in it."""
    methodology = Methodology(camera.methodology)
    flagged = np.array([row.flagged for row in scored], bool)
    light = band.decide(camera, scored[0].deployment, scored) if methodology is Methodology.AL_LIGHT else None
    wanted = who_is_asked(methodology, flagged, light.asked if light else None)
    if not flagged.any() or not methodology.asks:
        return
    chosen, probability = np.zeros(len(scored), bool), np.zeros(len(scored))
    allowed = budget.allowance(camera, recording, Lane.REVIEW)
    chosen[wanted], probability[wanted] = sampling.thin(int(wanted.sum()), allowed, rng)
    rows = np.flatnonzero(flagged)
    drawn = [_Drawn(scored[i], 0, bool(chosen[i]), float(probability[i]), *_said(light, i)) for i in rows.tolist()]
    _store_candidates(drawn, Lane.REVIEW, seed)
    open_events(_group([one.row for one in drawn if one.asked]), camera, Lane.REVIEW, rng)


def _said(light: al_light.Decisions | None, i: int) -> tuple[float | None, str]:
    """θ_med and why, of one segment; nothing without AL-Light."""
    if light is None:
        return None, ""
    middle = float(light.theta_med[i])
    return (middle if np.isfinite(middle) else None), str(list(al_light.Why)[light.why[i]])


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A candidate of a draw: its stratum, whether it is asked, its π, and what the band was for it."""

    row: SegmentScore
    stratum: int
    asked: bool
    probability: float
    theta_med: float | None = None
    band: str = ""


def _store_candidates(drawn: list[_Drawn], lane: Lane, seed: int) -> None:
    Candidate.objects.bulk_create(
        [
            Candidate(
                segment_id=one.row.segment_id,
                slice_id=one.row.slice_id,
                deployment_id=one.row.deployment_id,
                lane=lane,
                stratum=one.stratum,
                probability=one.probability,
                asked=one.asked,
                theta_med=one.theta_med,
                band=one.band,
                seed=seed,
            )
            for one in drawn
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


def open_events(groups: list[list[SegmentScore]], camera: Camera, lane: Lane, rng: np.random.Generator) -> None:
    """An event for each group of segments of one recording, and known items among them.

    The caller holds the camera's row lock.
    """
    _open(groups, camera, lane, rng)
    if lane != Lane.ALERT:  # a view of its own, where nothing can be mixed in
        _open([[row] for row in known_items.drawn(camera, len(groups), rng)], camera, Lane.KNOWN, rng)


def _open(groups: list[list[SegmentScore]], camera: Camera, lane: Lane, rng: np.random.Generator) -> None:
    events = [
        Event(
            camera=camera,
            recording_id=group[0].segment.recording_id,
            slice_id=None if lane == Lane.KNOWN else group[0].slice_id,  # none waits for a known item's answer
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
    if camera.privacy == Camera.Privacy.VIDEO:
        for recording, opened in groupby(sorted(events, key=_recording), key=_recording):
            clips.queue_for(camera.pk, recording, list(opened))


def _recording(event: Event) -> int:
    return event.recording_id
