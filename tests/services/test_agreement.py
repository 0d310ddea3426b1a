"""A second look: who gets one, blind; what becomes of two answers; the ruling; κ by pair."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from alfred.core.methodologies import Label
from alfred.models import Answer, AuditEntry, Camera, Event, EventSegment, Lane, Segment, Verdict
from alfred.services import agreement, alerts, batches, effort, labels, lease, pose_window, record_verdict
from alfred.services.record_verdict import Details
from tests import crowd, world

pytestmark = pytest.mark.django_db


@pytest.fixture
def view() -> Camera:
    return crowd.camera()


def opened(view: Camera, n: int = 1, lane: Lane = Lane.REVIEW) -> list[Event]:
    segments = crowd.seen(view, crowd.piece(view, 0), [2.0] * n)
    return [crowd.asked(segment, lane) for segment in segments]


def state(event: Event) -> str:
    event.refresh_from_db()
    return event.state


def label(event: Event) -> Label:
    segment = Segment.objects.get(events=event)
    return labels.of_slice(segment.slice_id or 0)[segment.pk]


@pytest.mark.parametrize(
    ("first", "second", "ends", "means"),
    [
        (Answer.UNSURE, Answer.NORMAL, "decided", Label.NORMAL),
        (Answer.UNSURE, Answer.ANOMALY, "decided", Label.ANOMALY),
        (Answer.UNSURE, Answer.UNSURE, "disputed", Label.UNRESOLVED),
        (Answer.UNSURE, Answer.SKIP, "second", Label.UNRESOLVED),
    ],
)
def test_unsure_goes_to_a_second_person(view: Camera, first: Answer, second: Answer, ends: str, means: Label) -> None:
    cast, (event,) = world.people(view), opened(view)
    world.answer(cast.alice, event, first)
    assert state(event) == "second"
    assert lease.next_event(cast.alice) is None, "one's own event never comes back as a second look"
    assert lease.next_event(cast.bob) == event
    world.answer(cast.bob, event, second)
    assert (state(event), label(event)) == (ends, means)


def test_a_share_goes_to_a_second_person_whatever_the_first_said(view: Camera) -> None:
    Camera.objects.update(second_share=0.3)
    cast, events = world.people(view), opened(view, 60)
    for event in events:
        world.answer(cast.alice, event)
    chosen = [event for event in events if state(event) == "second"]
    assert chosen == [event for event in events if event.pk.int % 10_000 < 3000]
    assert lease.waiting(cast.bob) == len(chosen) > 0 and lease.waiting(cast.alice) == 0
    for event in chosen:
        world.answer(cast.bob, event)
        assert state(event) == "decided"
    assert set(Verdict.objects.filter(user=cast.bob).values_list("second", flat=True)) == {True}


def test_the_validation_set_is_judged_by_two_and_not_waited_for(view: Camera) -> None:
    Camera.objects.update(second_in_warm_up=True, second_share=0.0)
    cast, (event,) = world.people(view), opened(view, lane=Lane.WARMUP)
    world.answer(cast.alice, event, Answer.ANOMALY)
    assert state(event) == "second" and labels.of_warm_up(view.pk)[Segment.objects.get().pk] == Label.ANOMALY
    world.answer(cast.bob, event, Answer.NORMAL)
    assert state(event) == "disputed" and labels.of_warm_up(view.pk)[Segment.objects.get().pk] == Label.UNRESOLVED


def test_the_second_person_may_take_back_and_the_first_may_not(view: Camera) -> None:
    cast, (event,) = world.people(view), opened(view)
    world.answer(cast.alice, event, Answer.UNSURE)
    world.answer(cast.bob, event, Answer.ANOMALY)
    with pytest.raises(batches.NothingToUndo, match="Another person has answered"):
        record_verdict.undo(cast.alice)
    assert record_verdict.undo(cast.bob) == event and state(event) == "second"
    assert label(event) == Label.UNRESOLVED
    world.answer(cast.bob, event, Answer.NORMAL)
    assert (state(event), label(event)) == ("decided", Label.NORMAL)


def test_a_supervisor_sees_both_answers_and_rules(view: Camera) -> None:
    cast, (event,) = world.people(view), opened(view)
    world.answer(cast.alice, event, Answer.UNSURE)
    event_row = Event.objects.get()
    record_verdict.record(cast.bob, event_row.pk, Answer.UNSURE, uuid4())
    assert lease.next_event(cast.sue) is None, "no queue hands it out: who rules has seen the answers"
    assert agreement.answers(event) == [("alice", "unsure", ""), ("bob", "unsure", "")]
    key = uuid4()
    for _ in range(2):  # the same key writes once
        agreement.adjudicate(cast.sue, event.pk, Answer.ANOMALY, key, "he falls")
    assert (state(event), label(event)) == ("decided", Label.ANOMALY)
    assert Verdict.objects.filter(adjudicates=True).count() == 1 and Verdict.objects.count() == 3
    assert AuditEntry.objects.filter(action="adjudicate", by=cast.sue).count() == 1


def test_a_ruling_stands_above_the_answers_that_differed(view: Camera) -> None:
    Camera.objects.update(second_share=1.0)
    cast, (event,) = world.people(view), opened(view)
    world.answer(cast.alice, event, Answer.NORMAL)
    world.answer(cast.bob, event, Answer.ANOMALY)
    assert (state(event), label(event)) == ("disputed", Label.UNRESOLVED)
    agreement.adjudicate(cast.sue, event.pk, Answer.NORMAL, uuid4())
    assert label(event) == Label.NORMAL
    assert labels.standing().count() == 1


@pytest.mark.parametrize("who", ["alice", "bob", "charlie"])
def test_only_the_cameras_supervisor_rules(view: Camera, who: str) -> None:
    Camera.objects.update(second_share=1.0)
    cast, (event,) = world.people(view), opened(view)
    world.answer(cast.alice, event, Answer.NORMAL)
    world.answer(cast.bob, event, Answer.ANOMALY)
    client = Client()
    client.force_login(getattr(cast, who))
    assert client.get(reverse("adjudication-event", args=[event.pk])).status_code == 404
    data = {"answer": "normal", "key": uuid4()}
    assert client.post(reverse("adjudication-rule", args=[event.pk]), data).status_code == 404
    assert state(event) == "disputed"


def test_the_page_shows_the_dispute_and_takes_the_ruling(view: Camera) -> None:
    Camera.objects.update(second_share=1.0)
    cast, (event,) = world.people(view), opened(view)
    client = Client()
    client.force_login(cast.sue)
    assert "No answers differ" in client.get(reverse("adjudication")).content.decode()
    world.answer(cast.alice, event, Answer.NORMAL)
    world.answer(cast.bob, event, Answer.ANOMALY)
    page = client.get(reverse("adjudication")).content.decode()
    assert "1 waiting" in page and "<dt>alice</dt><dd>normal</dd>" in page and "<dt>bob</dt><dd>anomaly</dd>" in page
    url = reverse("adjudication-rule", args=[event.pk])
    assert client.post(url, {"answer": "maybe", "key": uuid4()}).status_code == 302 and state(event) == "disputed"
    assert client.post(url, {"answer": "anomaly", "key": uuid4(), "comment": "clear"}).status_code == 302
    assert (state(event), label(event)) == ("decided", Label.ANOMALY)


def test_pairs_of_people_with_what_they_agree_on(view: Camera) -> None:
    Camera.objects.update(second_share=1.0)
    cast, events = world.people(view), opened(view, 10)
    for n, event in enumerate(events):
        world.answer(cast.alice, event, Answer.ANOMALY if n < 4 else Answer.NORMAL)
        world.answer(cast.bob, event, Answer.ANOMALY if n < 5 else Answer.NORMAL)
    agreement.adjudicate(cast.sue, events[4].pk, Answer.ANOMALY, uuid4())  # a ruling is no opinion
    (pair,) = agreement.pairs(view)
    assert (pair.people, pair.segments, pair.agreed) == (("alice", "bob"), 10, 9)
    assert pair.kappa == pytest.approx((0.9 - 0.5) / 0.5)


def test_what_somebody_chose_to_judge_is_in_no_pair(view: Camera) -> None:
    Camera.objects.update(second_share=1.0)
    cast = world.people(view)
    high, low = crowd.seen(view, crowd.piece(view, 0), [3.0, 2.5])
    for segment in (high, low):
        crowd.asked(segment)
    chosen = alerts.judge(cast.alice, high.pk)
    for event in (chosen, low.events.get()):
        world.answer(cast.alice, event, Answer.ANOMALY)
        world.answer(cast.bob, event, Answer.ANOMALY)
    (pair,) = agreement.pairs(view)
    assert (pair.segments, pair.agreed) == (1, 1)


def two_asked(view: Camera) -> tuple[Event, Segment, Segment]:
    """One event about two people."""
    first, second = crowd.seen(view, crowd.piece(view, 0), [2.0, 2.0])
    event = crowd.asked(first)
    EventSegment.objects.create(event=event, segment=second, lane=Lane.REVIEW)
    return event, first, second


def test_a_ruling_leaves_alone_what_all_agree_on(view: Camera, monkeypatch: pytest.MonkeyPatch) -> None:
    Camera.objects.update(second_share=1.0)
    cast, (event, first, second) = world.people(view), two_asked(view)
    letters = {"A": first.track.number, "B": second.track.number}
    monkeypatch.setattr(pose_window, "letters", lambda event: letters)
    world.answer(cast.alice, event, Answer.ANOMALY, details=Details(people={"B": Answer.NORMAL}))
    world.answer(cast.bob, event, Answer.ANOMALY)
    assert state(event) == "disputed"
    agreement.adjudicate(cast.sue, event.pk, Answer.NORMAL, uuid4())
    assert labels.of_slice(first.slice_id or 0) == {first.pk: Label.ANOMALY, second.pk: Label.NORMAL}


def test_a_supervisor_who_rules_on_their_own_dispute_still_disagreed(view: Camera) -> None:
    Camera.objects.update(second_share=1.0)
    cast, events = world.people(view), opened(view, 4)
    for n, event in enumerate(events):
        world.answer(cast.alice, event, Answer.NORMAL if n else Answer.ANOMALY)
        world.answer(cast.sue, event, Answer.ANOMALY if n < 2 else Answer.NORMAL)
    before = agreement.pairs(view)
    agreement.adjudicate(cast.sue, events[1].pk, Answer.ANOMALY, uuid4())
    assert agreement.pairs(view) == before and label(events[1]) == Label.ANOMALY
    assert record_verdict.last_own(cast.sue) == Verdict.objects.filter(user=cast.sue, adjudicates=False).latest("id")


def test_what_one_answers_after_ones_own_ruling_does_not_undo_it(view: Camera) -> None:
    Camera.objects.update(second_share=1.0)
    cast, (event,) = world.people(view), opened(view)
    world.answer(cast.alice, event, Answer.NORMAL)
    world.answer(cast.bob, event, Answer.ANOMALY)
    agreement.adjudicate(cast.sue, event.pk, Answer.ANOMALY, uuid4())
    for said in (Answer.NORMAL, Answer.SKIP):
        world.answer(cast.sue, event, said)
        assert (state(event), label(event)) == ("decided", Label.ANOMALY)
    world.answer(cast.bob, event, Answer.SKIP)
    assert (state(event), label(event)) == ("decided", Label.ANOMALY)


def test_what_nobody_has_seen_comes_before_second_looks(view: Camera) -> None:
    Camera.objects.update(second_in_warm_up=True)
    cast, events = world.people(view), opened(view, 40, Lane.WARMUP)
    for n, event in enumerate(events):
        Event.objects.filter(pk=event.pk).update(place=n / 40)
    for _ in range(20):
        event = lease.next_event(cast.alice)
        assert event is not None
        world.answer(cast.alice, event)
    seconds = dict(Event.objects.filter(state=Event.State.SECOND).values_list("pk", "place"))
    assert len(seconds) == 20 and all(seconds[event.pk] >= n / 40 for n, event in enumerate(events[:20]))
    # Spread evenly over what lay behind each: 14 of them behind all that alice has seen, give or take chance.
    assert sum(place > 0.5 for place in seconds.values()) > 4


def test_a_ruling_keeps_the_time_looked_and_the_warm_up_label(view: Camera) -> None:
    Camera.objects.update(second_share=1.0)
    cast, (event,) = world.people(view), opened(view, 1, Lane.WARMUP)
    world.answer(cast.alice, event, Answer.NORMAL, active_ms=60_000)
    world.answer(cast.bob, event, Answer.ANOMALY, active_ms=60_000)
    agreement.adjudicate(cast.sue, event.pk, Answer.NORMAL, uuid4())
    assert sum(effort.minutes(view).values()) == 2
    assert labels.of_warm_up(view.pk) == {Segment.objects.get(events=event).pk: Label.NORMAL}
