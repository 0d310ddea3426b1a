"""Who is asked: strata and π in warm-up, flagged only afterwards, within the budget, the same way every time."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alfred.models import Camera, Candidate, Event, EventSegment, Recording, SegmentScore, Threshold, ValidationSet
from alfred.models.detectors import in_force
from alfred.pose.tracks import Poses, concatenate
from alfred.services import deploy
from alfred.services.deploy import deploy_source
from tests import world

pytestmark = pytest.mark.django_db


def with_theta(view: Camera, theta: float, *, warmed_up: bool = True) -> None:
    """Put θ in force before anything is scored; `warmed_up`: the camera has its validation set."""
    first = deploy_source(view.pk, world.FPS)
    row = Threshold.objects.create(camera=view, version=first.version, policy="eer", value=theta)
    deploy.append(view, first.version, row, "a test", None)
    if warmed_up:
        ValidationSet.objects.create(camera=view, number=1, frozen_at=first.since)


def scores_of(recording: Recording) -> dict[int, SegmentScore]:
    return {row.segment_id: row for row in SegmentScore.objects.filter(segment__recording=recording)}


def test_warm_up_asks_over_the_whole_range_and_stores_every_chance() -> None:
    view = world.camera(review_budget=20)
    recording = world.scored(view, minutes=2)
    scores = scores_of(recording)
    drawn = list(Candidate.objects.filter(slice=recording.slice, lane="warmup"))
    assert len(scores) > 40 and {c.segment_id for c in drawn} == set(scores)  # all candidates, asked or not
    asked = [c for c in drawn if c.asked]
    assert len(asked) == 20
    # Horvitz–Thompson: 1/π of the asked adds up to the stream, stratum by stratum and in all.
    sizes = Counter(c.stratum for c in drawn)
    weights: dict[int, float] = defaultdict(float)
    for c in asked:
        weights[c.stratum] += 1 / c.probability
    assert len(sizes) == 5 and dict(weights) == pytest.approx(dict(sizes))
    assert sum(1 / c.probability for c in asked) == pytest.approx(len(scores))
    # Strata go by score: 0 is what is flagged, then down, the nearest to θ first.
    assert all(scores[c.segment_id].flagged == (c.stratum == 0) for c in drawn)
    ranges = [[scores[c.segment_id].value or 0.0 for c in drawn if c.stratum == h] for h in range(5)]
    assert all(min(above) >= max(below) for above, below in pairwise(ranges))
    # One segment an event, so that each keeps its own chance.
    assert Event.objects.filter(lane="warmup").count() == EventSegment.objects.count() == 20
    assert {e.segment_id for e in EventSegment.objects.all()} == {c.segment_id for c in asked}


def test_the_budget_holds_over_all_files_of_a_slice() -> None:
    view = world.camera(review_budget=12)
    world.scored(view, seed=1, minutes=0.5)
    first = Candidate.objects.filter(asked=True).count()
    assert 0 < first <= 12
    world.scored(view, seed=2, minutes=1)
    world.scored(view, seed=3, minutes=0.5)
    assert Candidate.objects.filter(slice__ordinal=0, asked=True).count() == 12
    last = Candidate.objects.filter(segment__recording=Recording.objects.latest("id"))
    assert last.exists() and set(last.values_list("asked", "probability")) == {(False, 0.0)}
    world.scored(view, seed=4, minutes=0.5, slice_ordinal=1)  # a new slice, a new budget
    assert 0 < Candidate.objects.filter(slice__ordinal=1, asked=True).count() <= 12


def test_a_budget_of_nothing_asks_nobody() -> None:
    view = world.camera(review_budget=0)
    recording = world.scored(view, minutes=0.5)
    assert not Event.objects.exists()
    assert Candidate.objects.filter(probability=0, asked=False).count() == len(scores_of(recording))


def test_review_asks_only_about_what_is_flagged() -> None:
    view = world.camera(review_budget=500)
    with_theta(view, 1.35)
    recording = world.scored(view, minutes=2)
    scores = scores_of(recording)
    flagged = {s for s, row in scores.items() if row.flagged}
    assert 0 < len(flagged) < len(scores)
    assert set(Event.objects.values_list("lane", flat=True)) == {"review"}
    assert {e.segment_id for e in EventSegment.objects.all()} == flagged
    assert set(Candidate.objects.values_list("lane", "asked", "probability")) == {("review", True, 1.0)}
    assert {c.segment_id for c in Candidate.objects.all()} == flagged


def test_review_thins_at_random_to_the_budget() -> None:
    view = world.camera(review_budget=5)
    with_theta(view, -1000.0)
    recording = world.scored(view, minutes=1)
    n = len(scores_of(recording))
    drawn = Candidate.objects.filter(lane="review")
    assert drawn.count() == n and drawn.filter(asked=True).count() == 5
    assert list(drawn.values_list("probability", flat=True)) == pytest.approx([5 / n] * n)
    asked = [c.segment_id for c in drawn.filter(asked=True)]
    highest = sorted(scores_of(recording), key=lambda s: -(scores_of(recording)[s].value or 0))[:5]
    assert set(asked) != set(highest)  # not simply the top of the list


@pytest.mark.parametrize("methodology", ["continual", "pseudo_continual", "offline"])
def test_methodologies_that_ask_nobody_open_no_review(methodology: str) -> None:
    view = world.camera(methodology=methodology)
    with_theta(view, -1000.0)
    world.scored(view, minutes=0.3)
    assert not Event.objects.exists() and not Candidate.objects.exists()


def test_nothing_above_theta_opens_nothing() -> None:
    view = world.camera()
    with_theta(view, 1e6)
    world.scored(view, minutes=0.3)
    assert not Event.objects.exists() and not Candidate.objects.exists()


def test_the_same_recording_is_drawn_the_same_way() -> None:
    view = world.camera(review_budget=15)
    recording = world.stream(view, minutes=2)
    world.run(world.job_of(recording.pk, "extract"))

    def drawn() -> list[Any]:
        from django.db import transaction

        with transaction.atomic():
            world.run(world.job_of(recording.pk, "score"))
            rows = Candidate.objects.order_by("segment__track__number", "segment__ordinal")
            found = list(rows.values_list("segment_id", "asked", "probability", "stratum", "seed"))
            places = Event.objects.order_by("place").values_list("place", "segments__id")
            result = [*found, *places]
            transaction.set_rollback(True)
        return result

    first = drawn()
    assert first == drawn() and len([r for r in first if len(r) == 5 and r[1]]) == 15


def moved(poses: Poses, track: int, x: float) -> Poses:
    """The same person under another number, x px further right."""
    keypoints, bbox = poses.keypoints.copy(), poses.bbox.copy()
    keypoints[..., 0] += x
    bbox[:, 0] += x
    return Poses(poses.track + track, poses.frame, poses.pts, keypoints, bbox, poses.score)


def grouped(tmp_path: Path, poses: Poses) -> list[list[tuple[int, int]]]:
    """The events opened when everything is flagged: (track, ordinal) of their segments."""
    view = world.camera(review_budget=500)
    with_theta(view, -1000.0)
    world.ingest_poses(view, world.npz(tmp_path / "a.npz", poses), slice_ordinal=0)
    world.run_all(view)
    return sorted(
        sorted(event.segments.values_list("track__number", "ordinal")) for event in Event.objects.filter(camera=view)
    )


def test_up_to_three_segments_in_a_row_share_a_screen(tmp_path: Path) -> None:
    # 7 segments of one person: 3 + 3 + 1
    found = grouped(tmp_path, world.walkers(people_seen=1, seconds=28))
    assert found == [[(0, 0), (0, 1), (0, 2)], [(0, 3), (0, 4), (0, 5)], [(0, 6)]]
    for event in Event.objects.all():
        inside = list(event.segments.values_list("start_pts", "end_pts"))
        assert (event.start_pts, event.end_pts) == (min(s for s, _ in inside), max(e for _, e in inside))
        assert event.start_pts <= event.peak_pts <= event.end_pts


def test_people_in_contact_share_a_screen_up_to_four(tmp_path: Path) -> None:
    """160 px tall, 50 px apart: the neighbours of the first are within 96 px; no chaining along the row."""
    one = world.walkers(people_seen=1, seconds=4)
    crowd = concatenate([moved(one, n, 10.0 * n) for n in range(6)])
    found = grouped(tmp_path, crowd)
    assert sorted(len(event) for event in found) == [2, 4]
    assert sorted(pair for event in found for pair in event) == [(n, 0) for n in range(6)]


def test_contact_does_not_chain_and_apart_stays_apart(tmp_path: Path) -> None:
    one = world.walkers(people_seen=1, seconds=4)
    row = concatenate([moved(one, n, 80.0 * n) for n in range(3)] + [moved(one, 9, 900.0)])
    found = grouped(tmp_path, row)
    assert [(3, 0)] in found  # tracks are numbered anew
    # 0–1 and 1–2 touch (80 < 96), 0–2 do not (160): one of the ends may share the middle's screen unless the
    # middle leads, which takes both.
    leads = {event.segments.count(): event for event in Event.objects.all()}
    if 3 in leads:
        best = SegmentScore.objects.filter(segment__track__number__lt=3).order_by("-value").first()
        assert best is not None and best.segment.track.number == 1
    else:
        assert sorted(len(e) for e in found) == [1, 1, 2]


def test_one_after_another_in_the_same_place_is_no_contact(tmp_path: Path) -> None:
    first = world.walkers(people_seen=1, seconds=4)
    later = world.walkers(people_seen=1, seconds=4, start=10)
    assert grouped(tmp_path, concatenate([first, moved(later, 1, 0.0)])) == [[(0, 0)], [(1, 0)]]


def test_places_in_the_queue_say_nothing_of_the_score() -> None:
    view = world.camera(review_budget=500)
    with_theta(view, -1000.0)
    world.scored(view, minutes=12)
    rows = [
        (e.place, max(s.value or 0.0 for s in SegmentScore.objects.filter(segment__events=e)))
        for e in Event.objects.all()
    ]
    rank = np.argsort(np.argsort(np.array(rows), axis=0), axis=0)
    # Places are random: their rank correlation with scores has a standard deviation of 1 / sqrt(n - 1).
    chance = 5 / np.sqrt(len(rows) - 1)
    assert chance < 0.6
    assert abs(np.asarray(np.corrcoef(rank.T))[0, 1]) < chance
    assert in_force(view.pk) is not None
