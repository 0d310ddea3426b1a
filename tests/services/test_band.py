"""AL-Light in production: what is asked, stored and carried over; and the queue's fairness between cameras."""

from __future__ import annotations

import statistics

import numpy as np
import pytest

from alfred.models import BandStart, Candidate, Event, EventSegment, SegmentScore, Threshold, User
from alfred.models.detectors import in_force
from alfred.services import deploy, lease
from alfred.services.load_detector import load
from alfred.services.rescore import segment_values
from tests import world
from tests.annotator import stage
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


def turns(user: User, n: int) -> list[str]:
    """The cameras of the next `n` events handed out, each answered at once."""
    names = []
    for _ in range(n):
        event = lease.next_event(user)
        assert event is not None
        names.append(event.camera.name)
        Event.objects.filter(pk=event.pk).update(state=Event.State.DECIDED)
        lease.release(user)
    return names


def test_a_flood_of_one_camera_or_an_event_nobody_answers_keeps_no_other_waiting() -> None:
    busy, quiet = stage.scene("Busy", events=120).camera, stage.scene("Quiet", events=60, queue_weight=2.0).camera
    held = stage.scene("Held").camera
    cast = world.people(busy, quiet, held)
    Event.objects.filter(camera=held).update(state=Event.State.HELD)  # waits for a supervisor for ever
    names = turns(cast.alice, 60)
    # Two in three for the camera of double weight; 60 draws lie within 5 standard deviations of it.
    assert abs(names.count("Quiet") - 40) < 5 * (60 * 2 / 9) ** 0.5 and set(names) == {"Busy", "Quiet"}


def test_within_a_camera_the_order_is_random_over_all_that_waits() -> None:
    """What waits from earlier and what comes later mix: an audit after a day's reviews can't be told by its place."""
    view = world.camera(review_budget=10_000)
    with_theta(view, -1000.0)
    for seed in (1, 2):
        world.scored(view, seed=seed, minutes=4)
    order = list(Event.objects.order_by("place").values_list("recording_id", flat=True))
    of_later, half = order.count(max(order)), len(order) // 2
    in_front = order[:half].count(max(order))
    # Draws without putting back: within 5 standard deviations of the hypergeometric law, yet far from all or none.
    share = of_later / len(order)
    deviation = (half * share * (1 - share) * (len(order) - half) / (len(order) - 1)) ** 0.5
    assert abs(in_front - half * share) < 5 * deviation < half * share
