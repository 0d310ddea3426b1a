"""Rounds by policy: what starts one, what holds it back, what is noted, and two sweeps at once."""

from __future__ import annotations

import threading

import pytest
from django.db import connection

from alfred.models import Answer, AuditEntry, Camera, Drift, Job, Recording, Round
from alfred.services import auto_rounds
from tests import crowd, world

EVERY, FALSE_ALARMS = Camera.RoundPolicy.EVERY_SLICE, Camera.RoundPolicy.FALSE_ALARMS
database = pytest.mark.django_db


def notes(view: Camera) -> list[str]:
    rows = AuditEntry.objects.filter(camera=view, action=auto_rounds.NOT_STARTED).order_by("id")
    return [row.details["reason"] for row in rows]


@database
def test_every_slice_once_its_reviews_are_in() -> None:
    view = crowd.camera(round_policy=EVERY)
    by_hand = crowd.camera("Yard")
    cast = world.people(view)
    for each in (view, by_hand):
        row = crowd.piece(each, 0, closed_h=1)
        segment = crowd.seen(each, row, [2.0])[0]
        if each == view:
            event = crowd.asked(segment)
            crowd.seen(view, crowd.piece(view, 1), [2.0])  # open: never closed before its time
    assert auto_rounds.look() == 0
    crowd.said(cast.alice, event.segments.get(), Answer.NORMAL)
    assert auto_rounds.look() == 1
    made = Round.objects.get()
    assert (made.camera, made.slice.ordinal, made.by) == (view, 0, None)
    assert view.slices.get(ordinal=1).closed_at is None
    assert Job.objects.filter(kind="round", subject=made.pk).exists()
    assert auto_rounds.look() == 0  # one is live
    Round.objects.update(state="failed")
    assert auto_rounds.look() == 0 and Round.objects.count() == 1  # people decide whether to try again


@database
def test_enough_false_alarms_in_slices_that_no_round_has_used() -> None:
    view = crowd.camera(round_policy=FALSE_ALARMS, round_min_fp=3)
    alice = world.people(view).alice
    used, older, newer = (crowd.piece(view, k, closed_h=40 - k) for k in range(3))
    for row, n in ((used, 5), (older, 1), (newer, 1)):
        for segment in crowd.seen(view, row, [2.0] * n):
            crowd.said(alice, segment)
    crowd.rounded(used, {})
    anomaly, unflagged, one_more = crowd.seen(view, newer, [2.0, 0.5, 2.0])
    crowd.said(alice, anomaly, Answer.ANOMALY)
    crowd.said(alice, unflagged)
    assert auto_rounds.new_false_alarms(view) == 2 and auto_rounds.look() == 0
    crowd.said(alice, one_more)
    assert auto_rounds.look() == 1
    assert Round.objects.get(state="queued").slice == newer


@database
def test_drift_holds_it_back_and_says_so_once() -> None:
    view = crowd.camera(round_policy=EVERY)
    member = crowd.seen(view, crowd.piece(view, 0, closed_h=90), [0.1])
    present = crowd.validated(view, member)
    for ordinal in (1, 2):
        row = crowd.piece(view, ordinal, closed_h=60 - ordinal)
        crowd.seen(view, row, [2.0])
        Drift.objects.create(slice=row, validation_set=present, values={"x": 0.9, "score": 0.5, "y": None})
    for _ in range(2):
        assert auto_rounds.look() == 0
    assert notes(view) == [
        "Drift in scores and place against the validation period, on 2 slices in a row (PSI 0.90)."
        " Has the camera moved?"
    ]
    quiet = crowd.piece(view, 3, closed_h=50)
    crowd.seen(view, quiet, [2.0])
    Drift.objects.create(slice=quiet, validation_set=present, values={"x": 0.1, "score": 0.1, "y": 0.1})
    assert auto_rounds.look() == 1 and Round.objects.get().slice.ordinal == 0  # each slice has its turn


@database
def test_a_refusal_is_noted_once_and_is_no_error() -> None:
    view = crowd.camera(round_policy=EVERY)
    stuck, ready = crowd.piece(view, 0), crowd.piece(view, 1, closed_h=30)
    crowd.seen(view, stuck), crowd.seen(view, ready)
    waiting = Recording.objects.create(
        camera=view, slice=stuck, origin="poses", name="w", sha256="w", size=1, start_at=crowd.START
    )
    for _ in range(3):
        assert auto_rounds.look() == 0
    assert notes(view) == ["1 recordings of slice 0 are still being worked on; try again later."]
    assert not Round.objects.exists() and view.slices.get(ordinal=0).closed_at is None
    Recording.objects.filter(pk=waiting.pk).update(quarantined="given up")
    assert auto_rounds.look() == 1


@pytest.mark.django_db(transaction=True)
def test_two_sweeps_at_once_start_one_round() -> None:
    view = crowd.camera(round_policy=EVERY)
    crowd.seen(view, crowd.piece(view, 0, closed_h=30), [2.0])
    begin, started = threading.Barrier(2), []

    def sweep() -> None:
        try:
            begin.wait()
            started.append(auto_rounds.look())
        finally:
            connection.close()

    threads = [threading.Thread(target=sweep) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(started) == [0, 1] and Round.objects.count() == 1
    assert notes(view) == []
