"""Alerts: above the band, grouped by minute, judged by choice and kept out of the queue and of estimates."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from alfred.models import Answer, Camera, Candidate, Event, Lane, Segment, Verdict
from alfred.services import alerts, lease, record_verdict, slices
from tests import crowd, world

pytestmark = pytest.mark.django_db


@pytest.fixture
def view() -> Camera:
    """θ = 1; of five people four are flagged, two of them above AL-Light's band."""
    view = crowd.camera(methodology="al_light")
    piece = crowd.piece(view, 0)
    found = crowd.seen(view, piece, [0.4, 1.2, 1.4, 2.6, 3.0], each=1)
    for segment in found[1:]:
        Candidate.objects.create(
            segment=segment, slice=piece, deployment=segment.score.deployment, lane=Lane.REVIEW, probability=1.0,
            asked=segment.score.value < 2, theta_med=2.0, band="band", seed=1,
        )  # fmt: skip
    return view


def test_above_the_band_is_shown_as_one_line_a_minute_and_the_band_is_not(view: Camera) -> None:
    cast = world.people(view)
    rows = list(alerts.newest(cast.alice))
    assert sorted(row.value or 0 for row in rows) == [2.6, 3.0]
    (group,) = alerts.groups(rows)
    assert (group.people, len(group.segments), group.judged) == (2, 2, 0)
    assert group.peak.score.value == 3.0
    stranger = world.person("stranger")
    assert not alerts.newest(stranger).exists()


def test_recordings_stand_as_they_come_in_and_their_minutes_with_the_latest_first() -> None:
    view = crowd.camera(methodology="continual")
    piece = crowd.piece(view, 0)
    older, newer = (crowd.seen(view, piece, [2.0], each=each)[0].recording_id for each in (20, 35))
    rows = alerts.newest(world.people(view).alice).order_by("-segment__recording", "id")  # as people come and go
    found = [(group.peak.recording_id, group.minute.minute) for group in alerts.groups(rows)]
    assert found == [(newer, 2), (newer, 1), (newer, 0), (older, 1), (older, 0)]


def test_without_a_band_all_that_is_flagged_is_an_alert() -> None:
    view = crowd.camera(methodology="continual")
    crowd.seen(view, crowd.piece(view, 0), [0.4, 1.2, 3.0])
    assert alerts.newest(world.people(view).alice).count() == 2


def test_judging_puts_it_on_the_own_stage_only_and_the_answer_counts_for_the_segment(view: Camera) -> None:
    cast = world.people(view)
    segment = Segment.objects.get(score__value=3.0)
    event = alerts.judge(cast.alice, segment.pk)
    assert event.lane == Lane.ALERT and lease.next_event(cast.alice) == event
    assert event not in lease.open_events(cast.bob)
    with pytest.raises(alerts.AlreadyJudged, match="looking"):
        alerts.judge(cast.bob, segment.pk)
    world.answer(cast.alice, event, Answer.ANOMALY)
    assert Verdict.objects.get(segment=segment).answer == Answer.ANOMALY
    with pytest.raises(alerts.AlreadyJudged, match="answered"):
        alerts.judge(cast.bob, segment.pk)
    assert Event.objects.filter(lane=Lane.ALERT).count() == 1
    (group,) = alerts.groups(alerts.newest(cast.bob))
    assert group.judged == 1


def test_an_alert_left_unanswered_never_enters_the_queue(view: Camera) -> None:
    cast = world.people(view)
    alerts.judge(cast.alice, Segment.objects.get(score__value=2.6).pk)
    lease.release(cast.alice)
    assert lease.next_event(cast.alice) is None and lease.waiting(cast.bob) == 0


def test_what_was_not_flagged_or_is_not_theirs_is_not_found(view: Camera) -> None:
    cast = world.people(view)
    for user, value in ((cast.alice, 0.4), (world.person("stranger"), 3.0)):
        with pytest.raises(Segment.DoesNotExist):
            alerts.judge(user, Segment.objects.get(score__value=value).pk)


def test_who_has_seen_it_is_said_to_all_and_can_be_taken_back(view: Camera) -> None:
    cast = world.people(view)
    segment = Segment.objects.get(score__value=3.0)
    alerts.acknowledge(cast.alice, segment.pk)
    alerts.acknowledge(cast.bob, segment.pk)  # the first one stays
    (group,) = alerts.groups(alerts.newest(cast.sue))
    assert group.seen_by == "alice" and group.judged == 0
    alerts.acknowledge(cast.bob, segment.pk, seen=False)
    (group,) = alerts.groups(alerts.newest(cast.sue))
    assert group.seen_by == ""
    with pytest.raises(Segment.DoesNotExist):
        alerts.acknowledge(world.person("stranger"), segment.pk)
    with pytest.raises(Segment.DoesNotExist):
        alerts.acknowledge(cast.alice, Segment.objects.get(score__value=0.4).pk)


def test_the_last_hour_by_minute() -> None:
    view, other = crowd.camera("Gate"), crowd.camera("Yard")
    now = timezone.now()
    for ago, people in ((0, 1), (59, 2), (61, 4)):
        crowd.seen(view, crowd.piece(view, ago), [2.0] * people, at=now - timedelta(minutes=ago, seconds=30))
    crowd.seen(other, crowd.piece(other, 0), [0.1], at=now)
    ((name, minutes),) = alerts.last_hour(world.people(view, other).alice)
    assert (name, len(minutes)) == ("Gate", 60)
    assert minutes[59] == 1 and minutes[0] == 2 and sum(minutes) == 3


def queued(lane: Lane) -> tuple[world.People, Segment, Event]:
    view = crowd.camera()
    segment = crowd.seen(view, crowd.piece(view, 0, closed_h=1), [3.0])[0]
    return world.people(view), segment, crowd.asked(segment, lane)


def test_what_the_queue_asks_is_taken_out_of_turn_and_counts_as_chosen() -> None:
    cast, segment, event = queued(Lane.REVIEW)
    assert alerts.judge(cast.alice, segment.pk) == event and lease.next_event(cast.bob) is None
    world.answer(cast.alice, event, Answer.ANOMALY)
    event.refresh_from_db()
    assert event.lane == Lane.ALERT and Event.objects.count() == 1
    record_verdict.undo(cast.alice)
    event.refresh_from_db()
    assert event.lane == Lane.REVIEW
    lease.release(cast.alice)
    held = lease.next_event(cast.bob)
    assert held == event
    world.answer(cast.bob, event, Answer.ANOMALY)
    event.refresh_from_db()
    assert event.lane == Lane.REVIEW  # it came to bob in its turn


@pytest.mark.parametrize("lane", [Lane.WARMUP, Lane.AUDIT])
def test_what_a_sample_waits_for_can_not_be_chosen(lane: Lane) -> None:
    cast, segment, event = queued(lane)
    with pytest.raises(alerts.AlreadyJudged, match="in its turn"):
        alerts.judge(cast.alice, segment.pk)
    assert lease.next_event(cast.bob) == event


def test_an_alert_opened_and_left_keeps_no_slice_waiting() -> None:
    view = crowd.camera(methodology="continual")
    piece = crowd.piece(view, 0, closed_h=1)
    segment = crowd.seen(view, piece, [3.0])[0]
    cast = world.people(view)
    alerts.judge(cast.alice, segment.pk)
    lease.release(cast.alice)
    assert slices.reviews_done(piece) and alerts.judge(cast.bob, segment.pk)


def test_a_card_offers_what_is_not_judged_yet(view: Camera) -> None:
    cast = world.people(view)
    highest = Segment.objects.get(score__value=3.0)
    world.answer(cast.alice, alerts.judge(cast.alice, highest.pk), Answer.NORMAL)
    (group,) = alerts.groups(alerts.newest(cast.bob))
    assert group.peak.score.value == 2.6 and alerts.judge(cast.bob, group.peak.pk)
