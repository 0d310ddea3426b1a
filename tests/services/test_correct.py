"""Corrections: an answer that undo can't reach any more goes to a supervisor, and stands until ruled on."""

from __future__ import annotations

from uuid import uuid4

import pytest

from alfred.core.methodologies import Label
from alfred.models import Answer, Camera, Event, Lane, Segment
from alfred.services import agreement, correct, labels, my_work
from tests import crowd, world

pytestmark = pytest.mark.django_db


@pytest.fixture
def view() -> Camera:
    return crowd.camera()


def answered(view: Camera, cast: world.People, lane: Lane = Lane.REVIEW) -> tuple[Segment, Event]:
    segment = crowd.seen(view, crowd.piece(view, 0), [2.0])[0]
    event = crowd.asked(segment, lane)
    world.answer(cast.alice, event, Answer.NORMAL)
    return segment, event


def label(segment: Segment) -> Label:
    return labels.of_slice(segment.slice_id or 0)[segment.pk]


def test_the_answer_stands_until_a_supervisor_rules() -> None:
    view = crowd.camera()
    cast = world.people(view)
    segment, event = answered(view, cast)
    correct.ask(cast.alice, event.pk, Answer.ANOMALY, "he fell")
    assert label(segment) == Label.NORMAL
    assert [e.pk for e in agreement.disputed(cast.sue)] == [event.pk] and not agreement.disputed(cast.alice).exists()
    assert correct.pending_of(event) == [("alice", "asks to change it to anomaly", "he fell")]
    assert my_work.today(cast.alice, my_work.midnight())["answers"][0].corrected
    agreement.adjudicate(cast.sue, event.pk, Answer.ANOMALY, uuid4())
    assert label(segment) == Label.ANOMALY and correct.pending_of(event) == []
    assert not my_work.today(cast.alice, my_work.midnight())["answers"][0].corrected


def test_after_a_ruling_it_can_be_asked_again_and_ruled_again() -> None:
    view = crowd.camera()
    cast = world.people(view)
    segment, event = answered(view, cast)
    for wanted, ruling in ((Answer.ANOMALY, Answer.NORMAL), (Answer.UNSURE, Answer.ANOMALY)):
        correct.ask(cast.alice, event.pk, wanted)
        assert len(correct.pending_of(event)) == 1
        agreement.adjudicate(cast.sue, event.pk, ruling, uuid4())
        assert label(segment) == (Label.ANOMALY if ruling == Answer.ANOMALY else Label.NORMAL)


@pytest.mark.parametrize(
    ("who", "wanted", "words"),
    [("bob", Answer.ANOMALY, "no answer"), ("alice", Answer.NORMAL, "normal already")],
)
def test_refused_with_the_reason(view: Camera, who: str, wanted: Answer, words: str) -> None:
    cast = world.people(view)
    _, event = answered(view, cast)
    with pytest.raises(correct.CantCorrect, match=words):
        correct.ask(getattr(cast, who), event.pk, wanted)
    with pytest.raises(Event.DoesNotExist):
        correct.ask(cast.charlie, event.pk, wanted)
    event.refresh_from_db()
    assert event.state == Event.State.DECIDED


def test_twice_is_refused_and_a_known_item_disputes_nothing(view: Camera) -> None:
    cast = world.people(view)
    _, event = answered(view, cast)
    correct.ask(cast.alice, event.pk, Answer.ANOMALY)
    with pytest.raises(correct.CantCorrect, match="already and will rule"):
        correct.ask(cast.alice, event.pk, Answer.ANOMALY)
    known = crowd.asked(crowd.seen(view, crowd.piece(view, 1), [2.0])[0], Lane.KNOWN)
    world.answer(cast.alice, known, Answer.NORMAL)
    correct.ask(cast.alice, known.pk, Answer.ANOMALY)
    known.refresh_from_db()
    assert known.state == Event.State.DECIDED
