"""Handing out events and writing what people say: never one to two people, nothing lost, nothing twice."""

from __future__ import annotations

import threading
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
from django.db import connection, transaction
from django.utils import timezone

from alfred.core.methodologies import Label
from alfred.models import Answer, Camera, Event, LabelSnapshot, Lease, Role, Round, SnapshotLabel, User, Verdict
from alfred.models.detectors import in_force
from alfred.services import add_camera, build_validation, labels, lease, record_verdict
from alfred.services.record_verdict import NothingToUndo, record, undo
from tests import world

pytestmark = pytest.mark.django_db


def queue_of(folder: Path, name: str = "Gate", people_seen: int = 3, **policies: object) -> tuple[Camera, world.People]:
    """A camera in warm-up whose queue holds one event for each of `people_seen` people."""
    view = world.camera(name, **policies)
    path = world.npz(folder / f"{name}.npz", world.walkers(people_seen=people_seen, seconds=4))
    world.ingest_poses(view, path, slice_ordinal=0)
    world.run_all(view)
    assert Event.objects.filter(camera=view).count() == people_seen
    return view, world.people(view)


OPEN = '"alfred_event"."state" = %s'
"""The condition in whose place a test lets PostgreSQL wait."""


def age(event: Event, user: User, **past: float) -> None:
    """Make the person's verdicts on the event older by so many seconds."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL alfred.erasing = 'on'")
        Verdict.objects.filter(event=event, user=user).update(created_at=timezone.now() - timedelta(**past))
        cursor.execute("SET LOCAL alfred.erasing = 'off'")


def expire(user: User) -> None:
    Lease.objects.filter(user=user, released_at=None).update(expires_at=timezone.now() - timedelta(seconds=1))


def next_of(user: User) -> Event:
    event = lease.next_event(user)
    assert event is not None
    return event


@pytest.mark.django_db(transaction=True)
def test_many_at_once_never_get_the_same_event(tmp_path: Path) -> None:
    people_seen, crew = 60, 6
    view, _ = queue_of(tmp_path, people_seen=people_seen)
    annotators = [world.person(f"annotator-{n}") for n in range(crew)]
    for person in annotators:
        add_camera.allow(person, view, Role.ANNOTATOR)
    start, given, faults = threading.Barrier(crew), list[UUID](), list[BaseException]()

    def work(person: User) -> None:
        try:
            start.wait()
            while event := lease.next_event(person):
                given.append(event.pk)
                assert not record(person, event.pk, Answer.NORMAL, uuid4()).second
        except BaseException as fault:
            faults.append(fault)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(person,)) for person in annotators]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults, faults
    assert [pk for pk, n in Counter(given).items() if n > 1] == []
    assert len(given) == Verdict.objects.count() == people_seen
    assert not Verdict.objects.filter(second=True).exists()
    assert not Event.objects.exclude(state="decided").exists()


@pytest.mark.django_db(transaction=True)
def test_tabs_of_one_person_hold_together_no_more_than_one_would(tmp_path: Path) -> None:
    _, cast = queue_of(tmp_path, people_seen=20)
    start, held = threading.Barrier(4), list[set[UUID]]()

    def tab() -> None:
        start.wait()
        held.append({event.pk for event in lease.hold(cast.alice)})
        connection.close()

    tabs = [threading.Thread(target=tab) for _ in range(4)]
    for one in tabs:
        one.start()
    for one in tabs:
        one.join()
    assert len(set.union(*held)) == lease.MOST_HELD == Lease.objects.filter(released_at=None).count()


@pytest.mark.django_db(transaction=True)
def test_a_lease_given_between_looking_and_locking_is_respected(tmp_path: Path) -> None:
    """A query that began before alice's lease was committed may lock her event right after: it must look again."""
    view, cast = queue_of(tmp_path, people_seen=1)
    event = Event.objects.get()
    found: list[Event | None] = []

    def paused(execute: Any, statement: str, params: Any, many: bool, context: Any) -> Any:
        """PostgreSQL stops inside this statement, its snapshot taken, until the lock below is given up."""
        if "SKIP LOCKED" in statement:
            statement = statement.replace(OPEN, f"pg_advisory_lock_shared(4711) IS NOT NULL AND {OPEN}")
        return execute(statement, params, many, context)

    def bob() -> None:
        try:
            with connection.execute_wrapper(paused):
                found.append(lease.next_event(cast.bob, view.slug))
        finally:
            connection.close()

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(4711)")
        thread = threading.Thread(target=bob)
        thread.start()
        for _ in range(200):
            cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
            if cursor.fetchone() == (1,):
                break
            time.sleep(0.05)
        else:
            pytest.fail("bob's query never began")
        assert lease.next_event(cast.alice, view.slug) == event
        cursor.execute("SELECT pg_advisory_unlock(4711)")
        thread.join()
    assert found == [None]
    assert Lease.objects.get(released_at=None).user == cast.alice


def test_two_people_get_different_events_and_each_keeps_theirs(tmp_path: Path) -> None:
    view, cast = queue_of(tmp_path, people_seen=2)
    hers, his = next_of(cast.alice), next_of(cast.bob)
    assert hers != his
    assert next_of(cast.alice) == hers and next_of(cast.bob) == his  # a reload shows the same
    assert lease.next_event(cast.sue, view.slug) is None
    waiting, seconds = lease.held_by_others(cast.sue, view.slug)
    assert waiting == 2 and seconds is not None and 80 < seconds <= 90


def test_only_ones_own_cameras_are_handed_out(tmp_path: Path) -> None:
    view, cast = queue_of(tmp_path)
    assert lease.next_event(cast.charlie) is None
    assert lease.next_event(cast.charlie, view.slug) is None
    assert lease.next_event(cast.admin, view.slug) is not None


def test_an_expired_lease_is_taken_over(tmp_path: Path) -> None:
    _, cast = queue_of(tmp_path, people_seen=1)
    event = next_of(cast.alice)
    assert lease.next_event(cast.bob) is None
    expire(cast.alice)
    assert next_of(cast.bob) == event
    assert lease.next_event(cast.alice) is None
    assert lease.renew(cast.alice) == [] and lease.renew(cast.bob) == [event.pk]
    lease.release(cast.bob)
    assert next_of(cast.alice) == event


def test_a_heartbeat_renews_the_lease(tmp_path: Path) -> None:
    _, cast = queue_of(tmp_path, people_seen=1)
    next_of(cast.alice)
    Lease.objects.update(expires_at=timezone.now() + timedelta(seconds=3))
    assert len(lease.renew(cast.alice)) == 1
    assert Lease.objects.get().expires_at > timezone.now() + timedelta(seconds=80)


def test_a_late_answer_without_another_decides(tmp_path: Path) -> None:
    _, cast = queue_of(tmp_path, people_seen=1)
    event = next_of(cast.alice)
    expire(cast.alice)
    said = world.answer(cast.alice, event, Answer.ANOMALY)
    assert (said.is_new, said.second) == (True, False)
    event.refresh_from_db()
    assert event.state == "decided"


def test_a_late_answer_to_what_another_decided_is_stored_as_second(tmp_path: Path) -> None:
    _, cast = queue_of(tmp_path, people_seen=1)
    event = next_of(cast.alice)
    expire(cast.alice)
    next_of(cast.bob)
    world.answer(cast.bob, event, Answer.NORMAL)
    event.refresh_from_db()
    decided_at = event.decided_at
    said = world.answer(cast.alice, event, Answer.ANOMALY)
    assert (said.is_new, said.second) == (True, True)
    rows = Verdict.objects.order_by("id").values_list("user__username", "answer", "second")
    assert list(rows) == [("bob", "normal", False), ("alice", "anomaly", True)]
    event.refresh_from_db()
    assert (event.state, event.decided_at) == ("disputed", decided_at)
    # two who disagree: unlabelled until somebody resolves it
    assert labels.of_slice(event.slice_id) == {event.segments.get().pk: Label.UNRESOLVED}  # type: ignore[arg-type]


def test_the_same_key_twice_writes_once(tmp_path: Path) -> None:
    _, cast = queue_of(tmp_path, people_seen=1)
    event, key = next_of(cast.alice), uuid4()
    assert record(cast.alice, event.pk, Answer.NORMAL, key, active_ms=900).is_new
    again = record(cast.alice, event.pk, Answer.ANOMALY, key)
    assert (again.is_new, again.second) == (False, False)
    row = Verdict.objects.get()
    assert (row.answer, row.active_ms) == ("normal", 900)


@pytest.mark.django_db(transaction=True)
def test_the_same_key_twice_at_once_writes_once(tmp_path: Path) -> None:
    _, cast = queue_of(tmp_path, people_seen=1)
    event, key, start = next_of(cast.alice), uuid4(), threading.Barrier(4)
    news: list[bool] = []

    def press() -> None:
        try:
            start.wait()
            news.append(record(cast.alice, event.pk, Answer.NORMAL, key).is_new)
        finally:
            connection.close()

    threads = [threading.Thread(target=press) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(news) == [False, False, False, True] and Verdict.objects.count() == 1


def test_one_answer_is_one_row_for_each_segment_shown(tmp_path: Path) -> None:
    from alfred.models import Threshold, ValidationSet
    from alfred.services import deploy

    view = world.camera()
    cast = world.people(view)
    first = deploy.deploy_source(view.pk, world.FPS)
    low = Threshold.objects.create(camera=view, version=first.version, policy="eer", value=-1000.0)
    deploy.append(view, first.version, low, "everything is flagged", None)
    ValidationSet.objects.create(camera=view, number=1, frozen_at=timezone.now())
    path = world.npz(tmp_path / "a.npz", world.walkers(people_seen=1, seconds=12))
    world.ingest_poses(view, path, slice_ordinal=0)
    world.run_all(view)
    event = next_of(cast.alice)
    world.answer(cast.alice, event, Answer.NORMAL, active_ms=5_000_000)
    rows = list(Verdict.objects.all())
    assert len(rows) == 3 and {r.segment_id for r in rows} == set(event.segments.values_list("pk", flat=True))
    assert len({r.key for r in rows}) == 1
    assert {r.active_ms for r in rows} == {3_600_000}  # a page left open over night is no work
    undo(cast.alice)
    assert Verdict.objects.filter(answer="undo").count() == 3 and labels.standing().count() == 0


def test_a_new_answer_supersedes_ones_own(tmp_path: Path) -> None:
    _, cast = queue_of(tmp_path, people_seen=1)
    event = next_of(cast.alice)
    world.answer(cast.alice, event, Answer.NORMAL)
    world.answer(cast.alice, event, Answer.ANOMALY)
    old, new = Verdict.objects.order_by("id")
    assert new.supersedes == old and not new.second
    assert [v.answer for v in labels.standing()] == ["anomaly"]


def test_skipped_goes_to_others_and_twice_skipped_to_a_supervisor(tmp_path: Path) -> None:
    view, cast = queue_of(tmp_path, people_seen=1)
    event = next_of(cast.alice)
    world.answer(cast.alice, event, Answer.SKIP)
    event.refresh_from_db()
    assert event.state == "open" and lease.next_event(cast.alice, view.slug) is None
    assert next_of(cast.bob) == event
    world.answer(cast.bob, event, Answer.SKIP)
    event.refresh_from_db()
    assert event.state == "held"
    assert lease.next_event(cast.bob, view.slug) is None and lease.waiting(cast.bob) == 0
    assert labels.of_slice(event.slice_id) == {event.segments.get().pk: Label.UNRESOLVED}  # type: ignore[arg-type]

    assert next_of(cast.sue) == event and lease.waiting(cast.sue) == 1  # the camera's supervisor
    world.answer(cast.sue, event, Answer.NORMAL)
    event.refresh_from_db()
    assert event.state == "decided" and lease.next_event(cast.sue, view.slug) is None
    record_verdict.undo(cast.sue)
    event.refresh_from_db()
    assert event.state == "held"  # the two skips still stand
    lease.release(cast.sue)
    assert lease.next_event(cast.alice, view.slug) is None and next_of(cast.admin) == event


def test_skipping_twice_oneself_counts_once(tmp_path: Path) -> None:
    _, cast = queue_of(tmp_path, people_seen=1)
    event = next_of(cast.alice)
    world.answer(cast.alice, event, Answer.SKIP)
    world.answer(cast.alice, event, Answer.SKIP)
    event.refresh_from_db()
    assert event.state == "open"
    assert next_of(cast.bob) == event
    assert not world.answer(cast.bob, event, Answer.NORMAL).second  # a skip decides nothing
    event.refresh_from_db()
    assert event.state == "decided"
    assert list(labels.of_slice(event.slice_id).values()) == [Label.NORMAL]  # type: ignore[arg-type]


def test_undo_takes_the_newest_back_and_brings_its_event_first(tmp_path: Path) -> None:
    _, cast = queue_of(tmp_path)
    first = next_of(cast.alice)
    world.answer(cast.alice, first, Answer.ANOMALY)
    second = next_of(cast.alice)
    world.answer(cast.alice, second, Answer.NORMAL)
    third = next_of(cast.alice)
    assert undo(cast.alice) == second
    second.refresh_from_db()
    assert (second.state, second.decided_at) == ("open", None)
    assert lease.hold(cast.alice)[:2] == [second, third]  # what was on the stage comes right after it
    assert undo(cast.alice) == first  # one further back
    assert labels.standing().count() == 0 and Verdict.objects.count() == 4
    with pytest.raises(NothingToUndo, match="nothing of yours"):
        undo(cast.alice)
    world.answer(cast.alice, first, Answer.NORMAL)
    assert [v.answer for v in labels.standing()] == ["normal"]


def test_undo_reaches_back_thirty_minutes(tmp_path: Path) -> None:
    _, cast = queue_of(tmp_path)
    event = next_of(cast.alice)
    world.answer(cast.alice, event, Answer.ANOMALY)
    age(event, cast.alice, minutes=30, seconds=5)
    assert record_verdict.last_own(cast.alice) is None
    with pytest.raises(NothingToUndo, match="last 30 minutes"):
        undo(cast.alice)
    age(event, cast.alice, minutes=29, seconds=50)
    assert undo(cast.alice) == event


def test_undo_only_ones_own_and_not_what_another_answered_or_looks_at(tmp_path: Path) -> None:
    _, cast = queue_of(tmp_path)
    event = next_of(cast.alice)
    world.answer(cast.alice, event, Answer.ANOMALY)
    with pytest.raises(NothingToUndo, match="nothing of yours"):
        undo(cast.bob)
    late = world.answer(cast.bob, event, Answer.NORMAL)
    assert late.second
    with pytest.raises(NothingToUndo, match="Another person has answered"):
        undo(cast.alice)
    assert labels.standing().count() == 2
    other = next_of(cast.sue)
    world.answer(cast.sue, other, Answer.SKIP)
    assert next_of(cast.alice) == other or next_of(cast.bob) == other
    with pytest.raises(NothingToUndo, match="Another person is looking"):
        undo(cast.sue)


def test_undo_ends_where_a_round_has_used_the_answer(tmp_path: Path) -> None:
    view, cast = queue_of(tmp_path)
    event = next_of(cast.alice)
    world.answer(cast.alice, event, Answer.ANOMALY)
    base = in_force(view.pk)
    assert base is not None and event.slice is not None
    made = Round.objects.create(camera=view, ordinal=1, slice=event.slice, methodology="active_learning", base=base)
    snapshot = LabelSnapshot.objects.create(round=made, digest="0" * 64)
    SnapshotLabel.objects.create(snapshot=snapshot, segment=event.segments.get(), label=1)
    with pytest.raises(NothingToUndo, match="A round has already used this answer"):
        undo(cast.alice)
    assert [v.answer for v in labels.standing()] == ["anomaly"]


def test_undo_ends_where_the_validation_set_is_frozen(tmp_path: Path) -> None:
    view, cast = queue_of(tmp_path, val_min=1)
    for said in (Answer.ANOMALY, Answer.NORMAL):
        world.answer(cast.alice, next_of(cast.alice), said)
    assert build_validation.frozen_set(view.pk) is not None
    with pytest.raises(NothingToUndo):
        undo(cast.alice)


@pytest.mark.parametrize(
    ("answers", "label"),
    [
        (["normal"], Label.NORMAL),
        (["anomaly", "anomaly"], Label.ANOMALY),
        (["normal", "anomaly"], Label.UNRESOLVED),
        (["unsure"], Label.UNRESOLVED),
        (["normal", "unsure"], Label.NORMAL),
        (["skip"], Label.UNRESOLVED),
        (["skip", "normal"], Label.NORMAL),
        (["skip", "skip"], Label.UNRESOLVED),
        ([], None),
    ],
)
def test_what_answers_make_of_a_segment(answers: list[str], label: Label | None) -> None:
    found = labels.of_verdicts([(7, answer) for answer in answers] + [(8, "normal")])
    assert found.pop(8) == Label.NORMAL
    assert found == ({} if label is None else {7: label})


def test_the_order_of_the_queue_is_that_of_its_places(tmp_path: Path) -> None:
    view, cast = queue_of(tmp_path, people_seen=5)
    shown = []
    while event := lease.next_event(cast.alice, view.slug):
        shown.append(event.place)
        world.answer(cast.alice, event)
    assert len(shown) == 5 and np.all(np.diff(shown) > 0)
