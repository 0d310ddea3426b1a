"""Known items: drawn from what is true already, like any event to see, counting in the team's miss rate alone."""

from __future__ import annotations

from uuid import uuid4

import numpy as np
import pytest
from scipy.stats import binomtest

from alfred.models import Answer, Camera, Event, EventSegment, Lane, Segment, Slice, TrialAnswer
from alfred.services import add_camera, agreement, known_items, labels, lease, slices
from tests import world

pytestmark = pytest.mark.django_db


def knowing(**policies: object) -> Camera:
    """A camera with an imported validation set, past its warm-up."""
    view = world.camera(**{"val_min": 1, "review_budget": 10_000, **policies})
    world.scored(view, seed=3, minutes=2, anomaly_share=0.4, as_validation=True)
    return view


def known_events(view: Camera) -> list[Event]:
    return list(Event.objects.filter(camera=view, lane=Lane.KNOWN))


def test_a_share_of_new_events_is_known_and_each_item_is_asked_once() -> None:
    view = knowing(known_share=0.5)
    truths = known_items.truths(view.pk)
    world.scored(view, seed=1, minutes=4, anomaly_share=0.5)
    mixed = known_events(view)
    asked = list(EventSegment.objects.filter(event__in=mixed).values_list("segment_id", flat=True))
    others = Event.objects.filter(camera=view).exclude(lane=Lane.KNOWN).count()
    assert mixed and len(set(asked)) == len(asked) and set(asked) <= truths.keys()
    expected = min(len(truths), others / 2)
    assert abs(len(mixed) - expected) <= 5 * (others / 4) ** 0.5
    assert all(event.slice_id is None for event in mixed)


def test_without_a_share_or_a_known_truth_nothing_is_mixed_in() -> None:
    off, ignorant = knowing(known_share=0.0), world.camera("Yard", known_share=0.5)
    for view in (off, ignorant):
        world.scored(view, seed=1, minutes=1, anomaly_share=0.5)
        assert not known_events(view)


def test_both_classes_are_drawn_alike_while_there_are_both() -> None:
    view = knowing(known_share=0.5)
    truths = known_items.truths(view.pk)
    few = min(sum(truths.values()), len(truths) - sum(truths.values()))
    drawn = known_items.drawn(view, 4 * few, np.random.default_rng(1))
    anomalous = sum(truths[row.segment_id] for row in drawn)
    # A coin for each, so both kinds turn up, however rare one is among all.
    assert 0 < anomalous < len(drawn)


def test_what_is_said_of_them_is_no_label_no_second_look_and_waits_in_no_slice() -> None:
    view = knowing(known_share=0.5, second_share=1.0)
    cast = world.people(view)
    world.scored(view, seed=1, minutes=3, anomaly_share=0.5)
    (event, *_) = known_events(view)
    world.answer(cast.alice, event, Answer.UNSURE)
    event.refresh_from_db()
    assert event.state == Event.State.DECIDED
    segment = Segment.objects.get(events=event)
    assert not labels.standing().filter(segment=segment).exists()
    assert not agreement.pairs(view)
    for other in Event.objects.filter(camera=view).exclude(lane=Lane.KNOWN):
        world.answer(cast.bob, other, Answer.NORMAL)
    slices.close(Slice.objects.get(camera=view).pk)
    waiting = Event.objects.filter(camera=view, state__in=Event.WAITING)
    assert set(waiting.values_list("lane", flat=True)) <= {Lane.KNOWN, Lane.AUDIT}


def test_the_teams_misses_are_counted_with_an_exact_interval_and_only_of_three_people() -> None:
    view = knowing(known_share=0.5)
    cast = world.people(view)
    world.scored(view, seed=1, minutes=4, anomaly_share=0.5)
    truths = known_items.truths(view.pk)
    people = [cast.alice, cast.bob, cast.sue]
    missed = anomalies = 0
    for number, event in enumerate(known_events(view)):
        anomalies += truths[Segment.objects.get(events=event).pk]
        missed += truths[Segment.objects.get(events=event).pk]
        world.answer(people[number % 3], event, Answer.NORMAL)
        found = known_items.team(view)
        assert (found.missed, found.anomalies) == (missed, anomalies)
        assert found.can_be_shown is (number >= 2)
    exact = binomtest(missed, anomalies).proportion_ci(0.95, "exact")
    assert found.miss_rate is not None
    assert found.miss_rate == pytest.approx((1.0, exact.low, exact.high), abs=1e-6)
    assert (found.alarmed, found.unsure) == (0, 0)


def test_who_has_been_told_the_truth_of_an_item_does_not_count() -> None:
    """Newcomers judge the same items first, and see how it went."""
    view = knowing(known_share=0.5)
    world.scored(view, seed=1, minutes=4, anomaly_share=0.5)
    (event, *_), cast = known_events(view), world.people(view)
    segment = event.segments.get()
    TrialAnswer.objects.create(user=cast.alice, segment=segment, anomalous=True, answer=Answer.NORMAL)
    world.answer(cast.alice, event, Answer.NORMAL)
    assert known_items.team(view).people == 0
    world.answer(cast.bob, event, Answer.NORMAL)
    assert known_items.team(view).people == 1


def test_who_has_judged_the_segment_elsewhere_does_not_count() -> None:
    """A ruling makes its segment a known item; the two who had answered it know it."""
    view = world.camera(known_share=0.0, second_share=1.0)
    cast = world.people(view)
    world.scored(view, seed=1, minutes=1)
    event = Event.objects.filter(camera=view)[0]
    world.answer(cast.alice, event, Answer.NORMAL)
    world.answer(cast.bob, event, Answer.ANOMALY)
    agreement.adjudicate(cast.sue, event.pk, Answer.ANOMALY, uuid4())
    (segment, *_) = Segment.objects.filter(events=event)
    assert known_items.truths(view.pk)[segment.pk] is True
    add_camera.change(view, by=None, known_share=0.5)
    for seed in range(2, 9):
        world.scored(view, seed=seed, minutes=1)
        if known_events(view):
            break
    (again, *_) = known_events(view)
    world.answer(cast.alice, again, Answer.NORMAL)
    assert known_items.team(view).people == 0
    assert lease.open_events(cast.bob).exists()
