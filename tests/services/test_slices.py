"""Slices by day and by count: who joins which, what the sweep closes, when reviews are done. Rows only."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from alfred.models import Answer, AuditStratum, Camera, Drift, Recording, Slice, SliceCounts
from alfred.services import slices
from tests import crowd, world

pytestmark = pytest.mark.django_db
DAY, COUNT = Camera.SliceBy.DAY, Camera.SliceBy.COUNT


def test_by_count_a_full_slice_takes_no_more_and_the_sweep_closes_it() -> None:
    view = crowd.camera(slice_by=COUNT, slice_segments=4)
    first = slices.join(view, timezone.now(), None)
    assert (first.ordinal, first.day) == (0, None)
    crowd.seen(view, first, [0.1, 0.2, 0.3, None])  # what has no score does not count
    assert slices.scored_segments(first) == 3
    assert slices.join(view, timezone.now(), None) == first
    assert slices.close_full_and_ended() == 0
    crowd.seen(view, first, [0.4])
    second = slices.join(view, timezone.now(), None)
    assert (second.ordinal, second.closed_at) == (1, None)
    late = Recording.objects.filter(slice=first).latest("id")
    late.extractions.get().scorings.get()  # scored
    waiting = Recording.objects.create(
        camera=view, slice=first, origin="poses", name="w", sha256="w", size=1, start_at=timezone.now()
    )
    assert slices.close_full_and_ended() == 0  # full, and not drained
    Recording.objects.filter(pk=waiting.pk).update(quarantined="given up")
    assert slices.close_full_and_ended() == 1
    first.refresh_from_db()
    assert first.closed_at is not None and Slice.objects.filter(closed_at=None).get() == second
    # With the full one closed and the next one filling, one more still joins that one.
    assert slices.join(view, timezone.now(), None) == second


def test_a_recording_that_slips_in_keeps_its_slice_open_and_the_sweep_going(monkeypatch: pytest.MonkeyPatch) -> None:
    view = crowd.camera(slice_by=COUNT, slice_segments=1)
    other = crowd.camera("Yard", slice_by=COUNT, slice_segments=1)
    for each in (view, other):
        crowd.seen(each, slices.join(each, timezone.now(), None), [0.1])
    slipped = Slice.objects.get(camera=view)
    looked_at: list[int] = []

    def in_work(row: Slice) -> int:
        looked_at.append(row.pk)
        return int(row.pk == slipped.pk and looked_at.count(row.pk) > 1)

    monkeypatch.setattr(slices, "in_work", in_work)
    assert slices.close_full_and_ended() == 1
    assert Slice.objects.get(closed_at=None) == slipped


def test_a_clock_that_jumps_back_joins_the_open_slice_and_one_ahead_is_todays() -> None:
    view = crowd.camera(slice_by=DAY, time_zone="Asia/Tokyo")
    now = timezone.now()
    ahead = slices.join(view, now + timedelta(days=900), None)
    today = now.astimezone(timezone.get_fixed_timezone(9 * 60)).date()
    assert ahead.day == today  # or it would stay open for 900 days
    assert slices.join(view, now, None) == ahead
    assert slices.join(view, now - timedelta(days=400), None) == ahead
    counted = crowd.camera("Yard", slice_by=COUNT)
    row = slices.join(counted, now, None)
    assert slices.join(counted, now - timedelta(days=400), None) == row
    slices.close(ahead.pk)
    later = slices.join(view, now - timedelta(days=400), None)
    assert later.ordinal == 1 and Slice.objects.get(pk=ahead.pk).closed_at is not None


def test_the_sweep_closes_days_that_are_over_also_where_the_policy_has_changed() -> None:
    view = crowd.camera(slice_by=DAY)
    row = slices.join(view, timezone.now() - timedelta(days=3), None)
    crowd.seen(view, row, [0.1])
    assert slices.close_full_and_ended() == 1
    opened_by_count = Slice.objects.create(camera=view, ordinal=5)
    assert slices.join(view, timezone.now(), None) == opened_by_count
    Slice.objects.filter(pk=opened_by_count.pk).update(opened_at=timezone.now() - timedelta(days=2))
    fresh = slices.join(view, timezone.now(), None)
    assert fresh.ordinal == 6 and fresh.day is not None
    assert slices.close_full_and_ended() == 1
    assert Slice.objects.get(closed_at=None) == fresh


def test_a_slice_with_nobody_closes_and_is_never_trained_on() -> None:
    view = crowd.camera()
    crowd.validated(view, crowd.seen(view, crowd.piece(view, 0, closed_h=50), [0.1, 0.2]))
    row = crowd.piece(view, 1)
    crowd.seen(view, row, [])
    slices.close(row.pk)
    assert not SliceCounts.objects.filter(slice=row).exists() and not Drift.objects.filter(slice=row).exists()
    assert not AuditStratum.objects.filter(slice=row, population__gt=0).exists()
    assert row not in slices.untrained(view)


def test_reviews_are_done_when_the_queue_is_empty_or_the_deadline_has_passed() -> None:
    view = crowd.camera(review_deadline_h=24)
    cast = world.people(view)
    row, overdue = crowd.piece(view, 0), crowd.piece(view, 1, closed_h=25)
    segment = crowd.seen(view, row, [2.0])[0]
    crowd.asked(segment)
    crowd.asked(crowd.seen(view, overdue, [2.0])[0])
    assert not slices.reviews_done(row)  # it is open
    Slice.objects.filter(pk=row.pk).update(closed_at=timezone.now() - timedelta(hours=23))
    row.refresh_from_db()
    assert not slices.reviews_done(row) and slices.reviews_done(overdue)
    crowd.said(cast.alice, segment, Answer.SKIP)
    crowd.said(cast.bob, segment, Answer.SKIP)  # held for a supervisor: still waited for
    assert not slices.reviews_done(row)
    crowd.said(cast.sue, segment, Answer.ANOMALY)
    assert slices.reviews_done(row)


def test_a_policy_trains_on_what_is_reviewed_and_cuts_no_day_short() -> None:
    view = crowd.camera(round_policy=Camera.RoundPolicy.EVERY_SLICE)
    reviewed, waiting, still_open = (
        crowd.piece(view, 0, closed_h=30),
        crowd.piece(view, 1, closed_h=3),
        crowd.piece(view, 2),
    )
    crowd.seen(view, reviewed), crowd.asked(crowd.seen(view, waiting)[0]), crowd.seen(view, still_open)
    assert slices.to_train(view) == reviewed
    view.round_policy = Camera.RoundPolicy.BY_HAND
    assert slices.to_train(view) == still_open
    crowd.rounded(reviewed, {}, "rejected")
    view.round_policy = Camera.RoundPolicy.EVERY_SLICE
    assert slices.to_train(view) == still_open  # nothing is ready: what a person launches takes the newest
    crowd.rounded(still_open, {}, "failed")
    assert slices.to_train(view) == still_open
