"""What a round may train on, where clocks are unknown or the validation set is still in the making."""

from __future__ import annotations

from typing import Any

import pyarrow.parquet as pq
import pytest

from alfred.models import Answer, Candidate, Event, Lane, Round, Segment, Track, ValidationMember
from alfred.services import run_round, training_set
from alfred.services.jobs import JobContext
from alfred.services.launch_round import launch
from alfred.services.load_detector import load
from alfred.services.storage import artifacts
from tests import world
from tests.services.round_stage import run_launched, stage

pytestmark = pytest.mark.django_db


def reasons_of(row: Round) -> dict[int, str]:
    table = pq.read_table(artifacts().path(row.manifest))
    return dict(zip(table["segment"].to_pylist(), table["reason"].to_pylist(), strict=True))


def test_tracks_asked_about_in_warm_up_and_those_beside_them_never_train() -> None:
    """They may become members of the validation set that is being made."""
    view = world.camera(review_budget=12)
    cast = world.people(view)
    recording = world.scored(view, seed=3, minutes=4)
    for event in Event.objects.filter(camera=view)[:10]:
        world.answer(cast.alice, event)
    row = launch(view.pk, cast.admin)
    world.run_all(view)
    row.refresh_from_db()
    assert row.state == "candidate", row.message
    asked = set(Candidate.objects.filter(lane=Lane.WARMUP, asked=True).values_list("segment__track_id", flat=True))
    track = dict(Segment.objects.values_list("pk", "track_id"))
    trained = {s for s, reason in reasons_of(row).items() if reason in ("pseudo-normal", "confirmed FP")}
    assert trained and asked
    assert not asked & {track[s] for s in trained}
    spans = list(Track.objects.filter(pk__in=asked).values_list("start_pts", "end_pts"))
    for other in Track.objects.filter(segments__in=trained, extraction__recording=recording).distinct():
        assert not any(other.start_pts <= end and other.end_pts >= start for start, end in spans)


def test_recordings_of_unknown_time_overlap_nothing_but_themselves() -> None:
    """Two files handed over at the same moment were not filmed at the same moment."""
    view = world.camera()
    first = world.stream(view, seed=1, minutes=0.3, slice_ordinal=0)
    second = world.stream(view, seed=2, minutes=0.3, slice_ordinal=0)
    assert not first.clock_known
    apart = abs(training_set._clock(first) - training_set._clock(second))
    assert apart > 24 * 3600
    first.clock_known = second.clock_known = True
    assert training_set._clock(second) - training_set._clock(first) == pytest.approx(
        (second.start_at - first.start_at).total_seconds(),
        abs=1e-5,  # seconds since 1970 as a float are known to a quarter of a microsecond
    )


def test_nothing_of_a_validation_track_trains() -> None:
    """Warm-up: the set is made of the stream itself, so its tracks and those beside them are left out."""
    view = world.camera(val_min=4, review_budget=24)
    cast = world.people(view)
    recording = world.scored(view, seed=9, minutes=3, anomaly_share=0.05, slice_ordinal=0)
    events = list(Event.objects.filter(camera=view).order_by("place"))
    for n, event in enumerate(events[:8]):
        world.answer(cast.alice, event, Answer.ANOMALY if n % 2 else Answer.NORMAL)
    world.run_all(view)
    made = launch(view.pk, None)
    inside = set(ValidationMember.objects.values_list("segment__track_id", flat=True))
    assert len(inside) >= 4
    found = training_set.membership(_snapshotted(made), [made.slice])
    rows = Segment.objects.filter(recording=recording).select_related("track")
    spans = [(t.start_pts, t.end_pts) for t in {s.track for s in rows if s.track_id in inside}]
    trained = [s for s in rows if s.pk in found.trains]
    assert trained, found.by_reason
    for row in trained:
        assert row.track_id not in inside
        assert not any(row.track.start_pts <= end and row.track.end_pts >= start for start, end in spans)
    assert found.by_reason["in a validation set"] == sum(s.track_id in inside for s in rows)


def _snapshotted(made: Round) -> Round:
    job = world.job_of(made.pk, "round")
    assert job.claim("test:0")
    run_round._snapshot(JobContext(job.pk, job.attempts, lambda *a: None), made)
    return made


def test_training_windows_are_those_of_the_segments_that_train() -> None:
    scene = stage(minutes=0.7)
    made = launch(scene.view.pk, None)
    spec = load(scene.deployed.version).window
    segments = list(Segment.objects.filter(recording=scene.recording).order_by("-n_poses"))
    everything = {s.pk for s in segments}

    def windows(trains: set[int]) -> Any:
        return training_set.training_windows([made.slice], spec, trains, seed=made.seed)

    full = windows(everything)
    one = windows({segments[0].pk})
    rest = windows(everything - {segments[0].pk})
    assert len(windows(set())) == 0
    assert 0 < len(one) < len(full) and len(one) + len(rest) == len(full)
    assert {w.tobytes() for w in one} | {w.tobytes() for w in rest} == {w.tobytes() for w in full}
    assert not {w.tobytes() for w in one} & {w.tobytes() for w in rest}


@pytest.mark.parametrize("methodology", ["offline", "active_learning", "continual"])
def test_no_manifest_trains_a_validation_track_or_one_beside_it(methodology: str) -> None:
    """From the manifest's own columns and the members of the set alone: nothing of the code that decided."""
    view = world.camera(val_min=3, review_budget=24, detector="memory", methodology=methodology)
    cast = world.people(view)
    for part in range(2):
        world.scored(view, seed=30 + part, minutes=1.2, anomaly_share=0.1, slice_ordinal=part)
    for n, event in enumerate(Event.objects.filter(camera=view, lane=Lane.WARMUP).order_by("place")[:8]):
        world.answer(cast.alice, event, Answer.ANOMALY if n % 2 else Answer.NORMAL)
    world.run_all(view)
    made = run_launched(launch(view.pk, None))
    members = ValidationMember.objects.filter(validation_set__camera=view).select_related("segment__track")
    held = {m.segment.track_id: m.segment for m in members}
    assert len(held) >= 3
    spans = [
        (s.recording_id, s.track.start_pts, s.track.end_pts)
        for s in Segment.objects.filter(pk__in=[s.pk for s in held.values()]).select_related("track")
    ]
    table = pq.read_table(artifacts().path(made.manifest)).to_pylist()
    trained = [row for row in table if row["trains"]]
    life: dict[int, tuple[float, float]] = {}
    for row in table:  # a track lives from its first segment to its last
        first, last = life.get(row["track"], (row["start_pts"], row["end_pts"]))
        life[row["track"]] = (min(first, row["start_pts"]), max(last, row["end_pts"]))
    assert trained
    beside = 0
    for row in table:
        start, end = life[row["track"]]
        overlaps = any(
            recording == row["recording"] and start <= last and end >= first for recording, first, last in spans
        )
        beside += overlaps
        assert not (row["trains"] and (row["track"] in held or overlaps)), row
    assert beside > len(held) or methodology != "offline"
    # and no window of them reached the detector: its windows are those of the segments that train
    spec = load(made.base.version).window
    parts = [*training_set.slices_of(made), *training_set.late_slices(made)]
    windows = training_set.training_windows(parts, spec, {row["segment"] for row in trained}, seed=made.seed)
    assert made.version is not None and made.version.card["windows"] == len(windows)
