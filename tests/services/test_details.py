"""Judging a part of an event: who, from when until when, what kind, why; what is left out stays unlabelled."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from alfred.core.methodologies import Label
from alfred.models import Answer, Event, EventSegment, Lane, Segment, Verdict
from alfred.services import labels, pose_window, record_verdict
from alfred.services.record_verdict import Details, NothingLeft
from tests import world

pytestmark = pytest.mark.django_db


@pytest.fixture
def asked(tmp_path: Path) -> tuple[Event, world.People]:
    """An event that asks about two people for 11 s, three segments each (4, 4 and 3 s)."""
    view = world.camera(review_budget=1)
    cast = world.people(view)
    path = world.npz(tmp_path / "two.npz", world.walkers(people_seen=2, seconds=11.0))
    recording = world.ingest_poses(view, path, slice_ordinal=0).recording
    world.run_all(view)
    segments = list(Segment.objects.filter(recording=recording).order_by("track__number", "ordinal"))
    assert len(segments) == 6
    event = Event.objects.create(
        camera=view, recording=recording, slice=recording.slice, lane=Lane.REVIEW, place=0.0,
        start_pts=0.0, end_pts=11.0, peak_pts=1.0,
    )  # fmt: skip
    for segment in segments:
        EventSegment.objects.create(event=event, segment=segment, lane=Lane.REVIEW)
    return event, cast


def said(event: Event) -> dict[tuple[int, int], str]:
    rows = Verdict.objects.filter(event=event).values_list("segment__track__number", "segment__ordinal", "answer")
    return {(number, ordinal): answer for number, ordinal, answer in rows}


def test_one_person_is_anomalous_and_the_other_normal(asked: tuple[Event, world.People]) -> None:
    event, cast = asked
    letters = pose_window.letters(event)
    assert sorted(letters) == ["A", "B"]
    record_verdict.record(
        cast.alice, event.pk, Answer.NORMAL, uuid4(), details=Details({"B": Answer.ANOMALY}, kind="falling")
    )
    assert set(said(event).values()) == {"normal", "anomaly"} and len(said(event)) == 6
    for (number, _), answer in said(event).items():
        assert answer == ("anomaly" if number == letters["B"] else "normal")
    assert set(Verdict.objects.filter(answer="anomaly").values_list("kind", flat=True)) == {"falling"}
    assert set(Verdict.objects.filter(answer="normal").values_list("kind", flat=True)) == {""}


def test_who_is_left_out_has_no_verdict_and_no_label(asked: tuple[Event, world.People]) -> None:
    event, cast = asked
    letters = pose_window.letters(event)
    record_verdict.record(cast.alice, event.pk, Answer.ANOMALY, uuid4(), details=Details({"A": None}))
    assert {number for number, _ in said(event)} == {letters["B"]}
    given = labels.of_slice(event.slice_id or 0)
    left_out = Segment.objects.filter(events=event, track__number=letters["A"]).values_list("pk", flat=True)
    assert not set(left_out) & set(given) and set(given.values()) == {Label.ANOMALY}
    event.refresh_from_db()
    assert event.state == Event.State.DECIDED


@pytest.mark.parametrize(
    ("begin", "end", "kept"),
    [(None, None, {0, 1, 2}), (4.5, None, {1, 2}), (None, 4.9, {0}), (None, 5.1, {0, 1}), (7.5, 8.4, set())],
)
def test_a_range_keeps_the_segments_it_holds_a_second_of(
    asked: tuple[Event, world.People], begin: float | None, end: float | None, kept: set[int]
) -> None:
    event, cast = asked
    trimmed = Details(from_pts=begin, until_pts=end)
    if not kept:
        with pytest.raises(NothingLeft):
            record_verdict.record(cast.alice, event.pk, Answer.ANOMALY, uuid4(), details=trimmed)
        assert not Verdict.objects.exists()
        return
    record_verdict.record(cast.alice, event.pk, Answer.ANOMALY, uuid4(), details=trimmed)
    assert {ordinal for _, ordinal in said(event)} == kept
    row = Verdict.objects.first()
    assert row is not None and (row.from_pts, row.until_pts) == (begin, end)


def test_answering_again_with_somebody_left_out_takes_back_what_was_said_of_them(
    asked: tuple[Event, world.People],
) -> None:
    event, cast = asked
    letters = pose_window.letters(event)
    record_verdict.record(cast.alice, event.pk, Answer.NORMAL, uuid4())
    record_verdict.record(cast.alice, event.pk, Answer.ANOMALY, uuid4(), details=Details({"A": None}))
    standing = labels.standing().values_list("segment__track__number", "answer")
    assert set(standing) == {(letters["B"], "anomaly")}
    record_verdict.undo(cast.alice)
    assert not labels.standing().exists()


def test_undo_takes_all_of_it_back(asked: tuple[Event, world.People]) -> None:
    event, cast = asked
    details = Details({"A": Answer.ANOMALY}, comment="on the left", reason="benign")
    record_verdict.record(cast.alice, event.pk, Answer.NORMAL, uuid4(), details=details)
    assert set(Verdict.objects.values_list("comment", flat=True)) == {"on the left"}
    assert record_verdict.undo(cast.alice) == event
    assert not labels.standing().exists()
