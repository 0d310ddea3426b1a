"""The review budget: shared among a slice's recordings, released over the day, never ahead of what was released."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from django.utils import timezone

from alfred.core import sampling
from alfred.models import Camera, Candidate, Lane
from alfred.services import budget, count_slice
from tests import world
from tests.services.test_open_review import with_theta

pytestmark = pytest.mark.django_db


def drawn_of(recording: Any) -> tuple[int, int, set[float]]:
    """(candidates, asked, the π that occur) of a recording in the review lane."""
    rows = Candidate.objects.filter(segment__recording=recording, lane=Lane.REVIEW)
    return rows.count(), rows.filter(asked=True).count(), set(rows.values_list("probability", flat=True))


def test_recordings_that_wait_together_share_the_budget() -> None:
    view = world.camera(review_budget=12)
    with_theta(view, -1000.0)
    recordings = [world.stream(view, seed=n, minutes=1) for n in (1, 2, 3)]
    world.run_all(view)
    found = [drawn_of(recording) for recording in recordings]
    assert [asked for _, asked, _ in found] == [4, 4, 4]
    for n, _, chances in found:
        assert list(chances) == [pytest.approx(4 / n)]


def test_a_spent_budget_is_told_by_a_chance_of_zero() -> None:
    view = world.camera(review_budget=3)
    with_theta(view, -1000.0)
    world.scored(view, seed=1)
    late = world.scored(view, seed=2)
    _, asked, chances = drawn_of(late)
    assert asked == 0 and chances == {0.0}


@pytest.mark.parametrize("hour, share", [(0, 0.0), (6, 0.5), (12, 0.5**0.5), (24, 1.0), (40, 1.0)])
def test_a_day_releases_its_budget_as_it_goes_on(monkeypatch: pytest.MonkeyPatch, hour: int, share: float) -> None:
    view = world.camera(review_budget=100, slice_by=Camera.SliceBy.DAY, time_zone="Asia/Tokyo")
    recording = world.stream(view, slice_ordinal=None)
    day = recording.slice.day if recording.slice else None
    assert day is not None
    midnight = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo("Asia/Tokyo"))
    now = datetime.fromtimestamp(midnight.timestamp() + 3600 * hour, UTC)
    monkeypatch.setattr(timezone, "now", lambda: now)
    assert budget.allowance(view, recording, Lane.REVIEW) == pytest.approx(100 * share)
    assert budget.allowance(view, recording, Lane.WARMUP) == pytest.approx(100 * share)


def test_a_day_on_which_clocks_change_is_released_by_true_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    zone = ZoneInfo("Europe/Berlin")
    view = world.camera(review_budget=100, slice_by=Camera.SliceBy.DAY, time_zone="Europe/Berlin")
    recording = world.stream(view, slice_ordinal=None)
    assert recording.slice is not None
    recording.slice.day = date(2026, 3, 29)  # 23 hours long
    monkeypatch.setattr(timezone, "now", lambda: datetime(2026, 3, 29, 12, tzinfo=zone).astimezone(UTC))
    assert budget.allowance(view, recording, Lane.REVIEW) == pytest.approx(100 * (11 / 23) ** 0.5)


def test_many_files_of_a_warm_up_have_the_same_chance_each() -> None:
    rng = np.random.default_rng(0)
    strata = np.repeat([0, 1, 2, 3, 4], [2, 8, 10, 10, 10])
    drawn = [sampling.draw_stratified(strata, 2.1, rng) for _ in range(3000)]
    assert {float(p) for _, chance in drawn for p in chance} == {2.1 / 40}
    weights = sum((chosen / chance) for chosen, chance in drawn) / len(drawn)
    assert np.bincount(strata, weights) == pytest.approx([2, 8, 10, 10, 10], rel=0.1)
    chosen, chance = sampling.draw_stratified(strata, 5.0, rng)
    assert set(strata[chosen]) == {0, 1, 2, 3, 4} and chance.min() > 0


def test_every_recording_of_a_busy_day_has_a_chance(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    view = world.camera(review_budget=6, slice_by=Camera.SliceBy.DAY)
    with_theta(view, -1000.0)
    first = world.stream(view, seed=1, slice_ordinal=None)
    day = first.slice.day if first.slice else None
    assert day is not None
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
    chances: list[float] = []
    for hour in (1, 5, 9, 14, 20):
        monkeypatch.setattr(timezone, "now", lambda at=midnight + 3600 * hour: datetime.fromtimestamp(at, UTC))
        recording = first if hour == 1 else world.stream(view, seed=hour, slice_ordinal=None)
        world.run_all(view)
        _, _, found = drawn_of(recording)
        chances += found
    assert len(chances) == 5 and min(chances) > 0
    spent = sum(Candidate.objects.filter(lane=Lane.REVIEW).values_list("probability", flat=True))
    assert spent == pytest.approx(6 * (20 / 24) ** 0.5)


def test_whole_numbers_are_right_on_average() -> None:
    rng = np.random.default_rng(5)
    drawn = [sampling.whole(2.3, rng) for _ in range(4000)]
    assert set(drawn) == {2, 3} and np.mean(drawn) == pytest.approx(2.3, abs=0.04)
    assert sampling.whole(4.0, rng) == 4 and sampling.whole(0.0, rng) == 0
    asked = [sampling.thin(4, 0.5, rng) for _ in range(2000)]
    assert np.mean([chosen.sum() for chosen, _ in asked]) == pytest.approx(0.5, abs=0.05)
    assert {float(p) for _, chance in asked for p in chance} == {0.125}


def test_a_slice_that_outlived_its_warm_up_is_not_estimated_from_it() -> None:
    view = world.camera(review_budget=500)
    cast = world.people(view)
    first = world.scored(view, seed=1, minutes=3)
    world.judge_all(view, cast.alice)
    assert first.slice is not None
    estimated = count_slice.from_verdicts([first.slice])[first.slice.pk].estimated
    assert estimated is not None
    with_theta(view, -1000.0)  # a frozen set: from here on review, and no draw over the whole score range
    world.scored(view, seed=2)
    assert count_slice.from_verdicts([first.slice])[first.slice.pk].estimated is None
