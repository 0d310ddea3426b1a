"""Drift from stored rows: a quiet month, a camera that is pushed aside, what is compared with what."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from django.utils import timezone

from alfred.models import Camera, Drift, Segment, Slice
from alfred.services import drift, drift_reference, slices
from tests import crowd

pytestmark = pytest.mark.django_db


def passers_by(view: Camera, row: Slice, rng: np.random.Generator, people: int = 120, **where: Any) -> list[Segment]:
    """People on a path through the picture, two segments each; `where` moves the path."""
    aside, closer, louder = where.pop("aside", 0.0), where.pop("closer", 1.0), where.pop("louder", 0.0)
    blurred = where.pop("blurred", 0.0)
    along = rng.normal(0, 1, people)
    return crowd.seen(
        view,
        row,
        (rng.normal(0.3 + louder, 0.2, people)).tolist(),
        each=2,
        x=600 + 150 * along + aside,
        y=400 + 60 * along + rng.normal(0, 15, people),
        height=closer * rng.normal(160, 15, people),
        confidence=rng.normal(0.8 - blurred, 0.05, people),
        **where,
    )


def closed(view: Camera, ordinal: int, rng: np.random.Generator, **what: Any) -> dict[str, Any]:
    row = Slice.objects.create(camera=view, ordinal=ordinal)
    passers_by(view, row, rng, **what)
    slices.close(row.pk)
    measured = Drift.objects.filter(slice=row).first()
    return measured.values if measured else {}


def warmed_up(rng: np.random.Generator, people: int = 200, **what: Any) -> Camera:
    """A camera whose validation set was drawn from slice 0."""
    view = crowd.camera()
    first = Slice.objects.create(camera=view, ordinal=0)
    found = passers_by(view, first, rng, people, **what)
    crowd.validated(view, found[:20])
    slices.close(first.pk)
    assert not Drift.objects.exists()  # it is the validation period itself
    return view


def test_thirty_quiet_days_give_no_alarm_and_a_camera_pushed_aside_is_found_within_a_day() -> None:
    rng = np.random.default_rng(5)
    view = warmed_up(rng)
    for day in range(1, 31):
        values = closed(view, day, rng)
        assert None not in values.values() and set(values) == {"score", "height", "x", "y", "confidence"}
        assert drift.stands(view.pk) is None, f"day {day}: {values}"
    # One day of two slices after the push.
    morning = closed(view, 31, rng, aside=250)
    assert morning["x"] > 0.25 and morning["height"] < 0.25
    assert drift.stands(view.pk) is None  # one slice may be chance
    closed(view, 32, rng, aside=250)
    found = drift.stands(view.pk)
    assert found is not None and set(found.quantities) == {"x"} and found.quantities["x"] > 0.25
    assert drift.sentence(found) == (
        f"Drift in place against the validation period, on 2 slices in a row (PSI {found.quantities['x']:.2f})."
        " Has the camera moved?"
    )
    assert [ordinal for ordinal, _ in drift.newest(view.pk, 3)] == [32, 31, 30]
    # A new validation set is a new validation period: nothing stands against it yet.
    crowd.validated(view, list(Segment.objects.filter(slice__ordinal=32)[:20]))
    assert drift.stands(view.pk) is None and drift.newest(view.pk) == []


def test_scores_are_compared_only_where_one_version_gave_both() -> None:
    rng = np.random.default_rng(6)
    view = warmed_up(rng)
    louder = closed(view, 1, rng, louder=0.4)
    assert louder["score"] > 0.25 > max(louder[name] for name in ("height", "x", "y"))
    crowd.deployed(view, label="v1")
    promoted = closed(view, 2, rng, louder=0.4, closer=1.4)
    assert promoted["score"] is None and promoted["height"] > 0.25


def test_a_version_that_came_later_is_compared_with_its_own_scores_of_the_period() -> None:
    rng = np.random.default_rng(12)
    view = warmed_up(rng)
    later = crowd.deployed(view, label="v1")
    sample = drift_reference.to_score(view, later)
    assert len(sample) == len({s.track_id for s in sample}) == drift_reference.TRACKS
    drift_reference.store(view, later, {s.pk: float(v) for s, v in zip(sample, rng.normal(0.3, 0.2, 150), strict=True)})
    assert drift_reference.to_score(view, later) == []
    quiet, louder = closed(view, 1, rng), closed(view, 2, rng, louder=0.4)
    assert quiet["score"] is not None and quiet["score"] < 0.25 < (louder["score"] or 0)


def test_poses_that_grow_unsure_are_drift() -> None:
    rng = np.random.default_rng(13)
    view = warmed_up(rng)
    fogged = closed(view, 1, rng, blurred=0.25)
    assert (fogged["confidence"] or 0) > 0.25 > max(fogged[name] or 0 for name in ("height", "x", "y", "score"))


def test_an_imported_set_is_compared_with_the_first_slices_after_it() -> None:
    rng = np.random.default_rng(7)
    view = crowd.camera()
    closed(view, 0, rng, closer=2)  # before the set: no part of its period
    crowd.validated(view, crowd.seen(view, None, [0.1, 2.0], purpose="validation"), "ground_truth")
    assert closed(view, 1, rng, people=90) == {}
    assert closed(view, 2, rng, people=90) == {}  # 180 people are enough to compare with
    quiet = closed(view, 3, rng)
    assert max(value for value in quiet.values() if value is not None) < 0.25
    assert closed(view, 4, rng, closer=1.5)["height"] > 0.25


def test_few_people_are_measured_together_and_no_slice_twice() -> None:
    rng = np.random.default_rng(8)
    view = warmed_up(rng, 400)
    moved = [closed(view, ordinal, rng, people=25, aside=300) for ordinal in range(1, 5)]
    assert moved[0] == dict.fromkeys(("confidence", "height", "score", "x", "y"))
    figures = [values["x"] is not None for values in moved]
    assert figures == [False, True, False, True] and drift.stands(view.pk) is not None


def test_hours_and_weekends_that_warm_up_never_saw_say_nothing() -> None:
    rng = np.random.default_rng(9)
    monday = datetime(2024, 5, 6, 10, tzinfo=crowd.START.tzinfo)
    view = warmed_up(rng, 250, at=monday, clock_known=True)
    night = closed(view, 1, rng, aside=400, at=monday + timedelta(hours=14), clock_known=True)
    assert set(night.values()) == {None}
    same = closed(view, 2, rng, aside=400, at=monday + timedelta(days=1), clock_known=True)
    assert same["x"] > 0.25
    # Without a clock there are no hours to compare by.
    assert closed(view, 3, rng, aside=400, at=timezone.now())["x"] > 0.25


def test_the_sample_of_the_period_holds_any_segment_of_a_person_not_the_first_alone() -> None:
    view = crowd.camera()
    seen = crowd.seen(view, crowd.piece(view, 0), [0.5] * 200, each=5)
    crowd.validated(view, seen[:10])
    sample = drift_reference.to_score(view, crowd.deployed(view, label="v1"))
    assert len({segment.track_id for segment in sample}) == len(sample) == drift_reference.TRACKS
    shares = [sum(segment.ordinal == k for segment in sample) / len(sample) for k in range(5)]
    assert all(0.03 < share < 0.4 for share in shares)  # a fifth each, 5 standard deviations of chance
