"""AL-Light in production: what is asked, stored and carried over; and the queue's fairness between cameras."""

from __future__ import annotations

import statistics

import numpy as np
import pytest

from alfred.models import BandStart, Candidate, Event, EventSegment, SegmentScore, Threshold
from alfred.models.detectors import in_force
from alfred.services import deploy, queue_place
from alfred.services.load_detector import load
from alfred.services.rescore import segment_values
from tests import world
from tests.services.test_open_review import with_theta

pytestmark = pytest.mark.django_db


def by_time() -> list[Candidate]:
    rows = Candidate.objects.filter(lane="review").select_related("segment__score")
    return sorted(rows, key=lambda c: (c.segment.recording_id, c.segment.start_pts, c.segment_id))


def test_the_band_is_the_median_of_the_flagged_before_and_all_of_it_is_stored() -> None:
    view = world.camera(methodology="al_light", review_budget=10_000)
    with_theta(view, -1000.0)
    world.scored(view, minutes=2)
    rows = by_time()
    assert len(rows) == SegmentScore.objects.count() > 40
    values = [c.segment.score.value for c in rows]
    for i, row in enumerate(rows):
        if i < 20:
            assert (row.asked, row.theta_med, row.band) == (True, None, "too few")
        else:
            middle = statistics.median(values[:i])
            assert row.theta_med == pytest.approx(middle) and row.band == "band"
            assert row.asked is (values[i] <= middle)
            assert row.probability == (1.0 if row.asked else 0.0)
    asked = {c.segment_id for c in rows if c.asked}
    assert set(EventSegment.objects.values_list("segment_id", flat=True)) == asked
    assert len(rows) - len(asked) > 0  # work was saved, and it can be counted


def test_a_new_deployment_scores_the_buffer_anew_and_drops_what_it_does_not_flag() -> None:
    view = world.camera(methodology="al_light", review_budget=10_000)
    with_theta(view, -1000.0)
    world.scored(view, seed=1, minutes=2)
    before = list(
        SegmentScore.objects.select_related("segment__track", "segment__recording").order_by("segment__start_at", "id")
    )
    now = in_force(view.pk)
    assert now is not None
    anew = segment_values(load(now.version), [row.segment for row in before])
    theta = float(np.median(list(anew.values())))
    found = Threshold.objects.create(camera=view, version=now.version, policy="eer", value=theta)
    later = deploy.append(view, now.version, found, "a test", None)
    world.scored(view, seed=2, minutes=0.5)
    carried = BandStart.objects.get(deployment=later)
    assert carried.values == pytest.approx([anew[row.segment_id] for row in before])
    first = next(c for c in by_time() if c.deployment_id == later.pk)
    kept = [v for v in carried.values if v >= theta]
    assert len(kept) < len(before) and first.theta_med == pytest.approx(statistics.median(kept))
    world.scored(view, seed=3, minutes=0.5)
    assert BandStart.objects.count() == 1  # made once


def test_the_budget_thins_what_is_in_the_band_only() -> None:
    view = world.camera(methodology="al_light", review_budget=5)
    with_theta(view, -1000.0)
    world.scored(view, minutes=2)
    inside = [c for c in by_time() if c.theta_med is None or (c.segment.score.value or 0) <= c.theta_med]
    assert [c.probability for c in inside] == pytest.approx([5 / len(inside)] * len(inside))
    assert sum(c.asked for c in by_time()) == sum(c.asked for c in inside) == 5


def test_a_flood_of_one_camera_does_not_keep_another_waiting() -> None:
    busy, quiet = world.camera("Busy", review_budget=10_000), world.camera("Quiet", review_budget=10_000)
    for view in (busy, quiet):
        with_theta(view, -1000.0)
    world.scored(busy, minutes=2)
    world.scored(quiet, seed=2, minutes=0.2)
    queue = list(Event.objects.order_by("place").values_list("camera__name", flat=True))
    quiet_ones = queue.count("Quiet")
    assert 0 < quiet_ones < queue.count("Busy") / 3
    assert set(queue[: 2 * quiet_ones]) == {"Busy", "Quiet"}
    assert queue[: 2 * quiet_ones].count("Quiet") >= quiet_ones - 1  # in turns, one each
    # What comes later never goes before the head of the queue, so whatever waits is reached.
    head = Event.objects.order_by("place").first()
    assert head is not None and min(queue_place.places(quiet, 3, np.random.default_rng(0))) > head.place


def test_a_camera_of_double_weight_gets_two_turns() -> None:
    view = world.camera(queue_weight=2.0)
    assert sorted(queue_place.places(view, 4, np.random.default_rng(0))) == [0.5, 1.0, 1.5, 2.0]
