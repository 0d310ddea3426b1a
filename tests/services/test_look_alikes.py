"""Look-alikes confirmed together: after a check, without counting, undone together."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.core import signing
from django.db import connection
from django.test.utils import CaptureQueriesContext
from scipy.stats import hypergeom

from alfred.core.methodologies import Label
from alfred.models import Answer, Batch, Event, Lane, Segment, Verdict
from alfred.services import batches, count_slice, effort, labels, lease, look_alikes, record_verdict, slices
from tests import world
from tests.services import round_stage
from tests.services.round_stage import Stage

pytestmark = pytest.mark.django_db


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A camera with many flagged people in an open slice, all of them alike."""
    monkeypatch.setattr(look_alikes, "ALIKE", 99.0)
    stage = round_stage.stage(minutes=3, review_budget=10_000)
    monkeypatch.setattr(look_alikes, "LEAST", 3)
    return stage


def seek(found: Stage) -> tuple[Event, look_alikes.Found]:
    rows = Event.objects.filter(camera=found.view, lane=Lane.REVIEW, state=Event.State.OPEN)
    like = next(event for event in rows if event.segments.values("track").distinct().count() == 1)
    world.answer(found.cast.alice, like, Answer.NORMAL)
    return like, look_alikes.find(found.cast.alice, like.pk)


def all_normal(alike: look_alikes.Found) -> dict[object, Answer]:
    return {event.pk: Answer.NORMAL for event in alike.checked}


def slice_of(found: Stage) -> int:
    return found.recording.slice_id or 0


def test_some_are_drawn_to_be_checked_and_the_rest_is_confirmed_with_them(found: Stage) -> None:
    like, alike = seek(found)
    n, k = len(alike.events), len(alike.checked)
    assert like.pk not in alike.events and 4 <= k < n and k == max(4, -(-n // 3))
    key = uuid4()
    done = look_alikes.confirm(found.cast.alice, alike.token, all_normal(alike), key)
    assert done.batch is not None and (done.together, done.gone) == (n - k, 0)
    assert (done.batch.events, done.batch.checked) == (n, k)
    rows = Verdict.objects.filter(batch=done.batch)
    assert rows.values("event").distinct().count() == n - k and not rows.exclude(answer=Answer.NORMAL).exists()
    assert not Event.objects.filter(pk__in=alike.events).exclude(state=Event.State.DECIDED).exists()
    # the same request again writes nothing
    count = Verdict.objects.count()
    again = look_alikes.confirm(found.cast.alice, alike.token, all_normal(alike), key)
    assert again.batch == done.batch and Verdict.objects.count() == count


def test_what_was_confirmed_together_trains_and_counts_nowhere(found: Stage) -> None:
    _, alike = seek(found)
    before = count_slice.from_verdicts([found.recording.slice])[slice_of(found)]  # type: ignore[list-item]
    done = look_alikes.confirm(found.cast.alice, alike.token, all_normal(alike), uuid4())
    together = set(Segment.objects.filter(verdicts__batch=done.batch).values_list("pk", flat=True))
    training = labels.of_slices([slice_of(found)], together=True)[slice_of(found)]
    counting = labels.of_slices([slice_of(found)])[slice_of(found)]
    assert together and all(training[s] == Label.NORMAL for s in together)
    assert all(counting[s] == Label.UNRESOLVED for s in together)
    after = count_slice.from_verdicts([found.recording.slice])[slice_of(found)]  # type: ignore[list-item]
    assert after.judged == before.judged  # the checked ones were chosen, the others not looked at
    assert sum(after.judged_unresolved.values()) == len(together)
    assert effort.minutes(found.view)[slice_of(found)] == 0
    # the audit of the slice draws from them as from what nobody was asked about
    for event in Event.objects.filter(camera=found.view, state=Event.State.OPEN):
        world.answer(found.cast.bob, event)
    slices.close(slice_of(found))
    drawn = Segment.objects.filter(candidacies__lane=Lane.AUDIT, pk__in=together)
    assert drawn.exists()
    asked_again = Event.objects.filter(lane=Lane.AUDIT, segments__in=drawn).first()
    assert asked_again is not None
    world.answer(found.cast.bob, asked_again, Answer.ANOMALY)
    (segment,) = asked_again.segments.all()
    for together in (False, True):  # who has looked has the word
        said = labels.of_slices([slice_of(found)], together=together)
        assert said[slice_of(found)][segment.pk] == Label.ANOMALY


def test_one_that_is_not_normal_stops_it_and_the_answers_are_kept(found: Stage) -> None:
    _, alike = seek(found)
    answers = all_normal(alike)
    answers[alike.checked[0].pk] = Answer.ANOMALY
    done = look_alikes.confirm(found.cast.alice, alike.token, answers, uuid4())
    assert done.batch is None and not Batch.objects.exists()
    assert Verdict.objects.filter(event__in=[e.pk for e in alike.checked], batch=None).exists()
    assert set(Event.objects.filter(pk__in=[e.pk for e in alike.checked]).values_list("lane", flat=True)) == {"alert"}


def test_what_others_took_meanwhile_is_left_to_them(found: Stage) -> None:
    _, alike = seek(found)
    unseen = [pk for pk in alike.events if pk not in {event.pk for event in alike.checked}]
    world.answer(found.cast.bob, Event.objects.get(pk=unseen[0]), Answer.ANOMALY)
    lease.take_ahead(Event.objects.get(pk=unseen[1]), found.cast.bob)
    done = look_alikes.confirm(found.cast.alice, alike.token, all_normal(alike), uuid4())
    assert (done.together, done.gone) == (len(unseen) - 2, 2)
    assert not Verdict.objects.filter(event__in=unseen[:2], batch__isnull=False).exists()


def test_overlapping_look_alikes_of_two_people_wait_for_each_other(found: Stage) -> None:
    """All are locked first, in one order, whatever order the sample was drawn in: no deadlock."""
    _, alike = seek(found)
    with CaptureQueriesContext(connection) as seen:
        look_alikes.confirm(found.cast.alice, alike.token, all_normal(alike), uuid4())
    locks = [q["sql"] for q in seen.captured_queries if "FOR UPDATE" in q["sql"] and '"alfred_event"' in q["sql"]]
    assert all(pk.hex in locks[0].replace("-", "") for pk in alike.events)
    assert " ORDER BY 1 ASC FOR UPDATE" in locks[0] and locks[0].startswith('SELECT "alfred_event"."id" AS "pk" FROM')


def test_undo_takes_the_group_back_and_then_it_is_gone(found: Stage) -> None:
    _, alike = seek(found)
    done = look_alikes.confirm(found.cast.alice, alike.token, all_normal(alike), uuid4())
    assert done.batch is not None
    event = record_verdict.undo(found.cast.alice)
    mine = Event.objects.filter(verdicts__batch=done.batch).distinct()
    assert event in mine and not mine.exclude(state=Event.State.OPEN).exists()
    assert not labels.standing(Verdict.objects.filter(batch=done.batch), together=True).exists()
    with pytest.raises(batches.NothingToUndo, match="already"):
        batches.take_back(found.cast.alice, done.batch.pk)
    with pytest.raises(Batch.DoesNotExist):
        batches.take_back(found.cast.bob, done.batch.pk)


def test_only_what_the_page_showed_to_this_person_is_taken(found: Stage) -> None:
    _, alike = seek(found)
    for user, token, answers in (
        (found.cast.bob, alike.token, all_normal(alike)),
        (found.cast.alice, alike.token, {alike.checked[0].pk: Answer.NORMAL}),
        (found.cast.alice, alike.token[:-2] + "aa", all_normal(alike)),
        (found.cast.alice, signing.dumps({"user": 1}), all_normal(alike)),
    ):
        with pytest.raises(look_alikes.NotAlike):
            look_alikes.confirm(user, token, answers, uuid4())
    assert not Batch.objects.exists()


def test_why_there_is_nothing_to_confirm_is_said(found: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    like, _ = seek(found)
    with pytest.raises(look_alikes.NotAlike, match="that you have called normal"):
        look_alikes.find(found.cast.bob, like.pk)
    with pytest.raises(Event.DoesNotExist):
        look_alikes.find(found.cast.charlie, like.pk)
    with monkeypatch.context() as patch:
        patch.setattr(look_alikes, "LEAST", 1000)
        with pytest.raises(look_alikes.NotAlike, match="too few look like it"):
            look_alikes.find(found.cast.alice, like.pk)
    slices.close(slice_of(found))
    with pytest.raises(look_alikes.NotAlike, match="Nothing looks like it"):
        look_alikes.find(found.cast.alice, like.pk)


@pytest.mark.parametrize(("checked", "events"), [(4, 6), (4, 12), (8, 24)])
def test_the_bound_is_exact(checked: int, events: int) -> None:
    """The largest number of anomalies that would still leave 5 % chance of seeing none among the checked."""
    most = max(bad for bad in range(events + 1) if hypergeom(events, bad, checked).cdf(0) > 0.05)
    assert look_alikes.bound(checked, events) == most
