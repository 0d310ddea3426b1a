"""A day's figures: one answer a key press, nothing of two people's that gives the other away."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from alfred.models import AnomalyKind, Answer, AuditEntry, Event, LabelSnapshot, Round, SnapshotLabel, User
from alfred.models.detectors import in_force
from alfred.services import anomaly_kinds, my_work, record_verdict
from tests import crowd, world

pytestmark = pytest.mark.django_db

LONG_AGO = timezone.now() - timedelta(days=1)


def test_answers_seconds_and_what_can_be_taken_back() -> None:
    view = crowd.camera()
    cast = world.people(view)
    events = [crowd.asked(s) for s in crowd.seen(view, crowd.piece(view, 0), [2.0] * 5)]
    for ms, event in zip((1000, 2000, 9000), events, strict=False):
        world.answer(cast.alice, event, active_ms=ms)
    world.answer(cast.alice, events[3], Answer.SKIP, active_ms=500)
    found = my_work.today(cast.alice, LONG_AGO)
    assert found["mine"] == my_work.Day(3, 1, 2.0)
    assert found["team"] is None and found["people"] == 1
    assert [one.answer for one in found["answers"]] == ["skip", "normal", "normal", "normal"]
    record_verdict.undo(cast.alice)
    again = my_work.today(cast.alice, LONG_AGO)["answers"]
    assert [one.taken_back for one in again] == [True, False, False, False] and all(one.in_time for one in again)


def test_an_answer_names_the_round_that_used_it(tmp_path: Path) -> None:
    view = world.camera("Gate")
    world.ingest_poses(view, world.npz(tmp_path / "gate.npz", world.walkers(people_seen=1, seconds=4)), slice_ordinal=0)
    world.run_all(view)
    cast, base = world.people(view), in_force(view.pk)
    event = Event.objects.select_related("slice").first()
    assert base is not None and event is not None and event.slice is not None
    world.answer(cast.alice, event)
    made = Round.objects.create(camera=view, ordinal=7, slice=event.slice, methodology="active_learning", base=base)
    snapshot = LabelSnapshot.objects.create(round=made, digest="0" * 64)
    SnapshotLabel.objects.create(snapshot=snapshot, segment=event.segments.get(), label=0)
    world.answer(cast.bob, event)  # after the snapshot
    for state, used in (("candidate", None), ("promoted", 7)):
        Round.objects.update(state=state)
        assert [one.round for one in my_work.today(cast.alice, LONG_AGO)["answers"]] == [used]
        assert [one.round for one in my_work.today(cast.bob, LONG_AGO)["answers"]] == [None]


def test_a_team_is_three_people_or_more() -> None:
    view = crowd.camera()
    cast = world.people(view)
    events = [crowd.asked(s) for s in crowd.seen(view, crowd.piece(view, 0), [2.0] * 3)]
    for person, event in zip((cast.alice, cast.bob), events, strict=False):
        world.answer(person, event, active_ms=1000)
    assert my_work.today(cast.alice, LONG_AGO)["team"] is None
    world.answer(cast.sue, events[2], active_ms=4000)
    assert my_work.today(cast.alice, LONG_AGO)["team"] == my_work.Day(3, 0, 1.0)
    assert my_work.today(world.person("stranger"), LONG_AGO)["people"] == 0


def test_kinds_are_replaced_in_order_and_answers_keep_their_words() -> None:
    admin = User.objects.create_superuser("root")
    anomaly_kinds.replace(["throwing", "lying"], by=admin)
    anomaly_kinds.replace(["climbing", "lying", "climbing"], by=admin)
    assert anomaly_kinds.in_use() == ["climbing", "lying"]
    assert AnomalyKind.objects.filter(name="throwing", in_use=False).exists()
    noted = AuditEntry.objects.order_by("id").last()
    assert noted is not None and noted.details == {"before": ["throwing", "lying"], "after": ["climbing", "lying"]}
