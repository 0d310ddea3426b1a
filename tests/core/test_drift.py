import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alfred.core.drift import Drift, drift, over, psi, psi_noise, same_hours, standing

values = st.lists(st.integers(0, 30), min_size=1, max_size=60)


def test_psi_by_hand() -> None:
    # Quarters of the reference at 2, 4, 6: two in each bin. Current: 1, 0, 0, 3. Half an item more in each.
    found = psi([1, 2, 3, 4, 5, 6, 7, 8], [2, 7, 9, 8], bins=4)
    r = np.full(4, 2.5 / 10)
    c = np.array([1.5, 0.5, 0.5, 3.5]) / 6
    assert found == pytest.approx(np.sum((c - r) * np.log(c / r)))


def test_psi_of_two_normals_is_the_square_of_their_distance() -> None:
    # The symmetric Kullback-Leibler divergence of N(0, 1) and N(δ, 1) is δ²; ten bins lose a little of it.
    rng = np.random.default_rng(0)
    assert psi(rng.normal(size=50_000), rng.normal(0.5, 1, size=50_000)) == pytest.approx(0.25, abs=0.03)


def test_a_value_of_its_own_is_seen_on_both_sides() -> None:
    same = [1.0] * 500
    assert psi(same, same) == pytest.approx(0, abs=0.01)
    assert psi(same, [0.9] * 500) > 2
    assert psi(same, [1.1] * 500) > 2


def test_nothing_to_compare_is_unknown() -> None:
    assert psi([], [1.0]) is None
    assert psi([1.0], [np.nan]) is None
    assert psi([1.0, 2.0], [1.0], current_weights=[0.0]) is None


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"bins": 1}, "bins"),
        ({"reference_weights": [1.0]}, "weight"),
        ({"current_weights": [1.0, -1.0]}, "weight"),
    ],
)
def test_psi_refuses_nonsense(arguments: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        psi([1.0, 2.0], [1.0, 2.0], **arguments)


@given(values, values, st.integers(2, 12))
def test_psi_is_never_negative_and_reads_ranks_only(old: list[int], new: list[int], bins: int) -> None:
    found = psi(old, new, bins)
    assert found >= 0
    assert psi(old[::-1], sorted(new), bins) == pytest.approx(found)
    stretched = psi(np.exp(np.array(old) / 5), np.exp(np.array(new) / 5), bins)
    assert stretched == pytest.approx(found)
    assert psi(old, old, bins) == pytest.approx(0, abs=1e-12)


@given(values, values, st.data())
def test_whole_weights_are_repetitions(old: list[int], new: list[int], data: st.DataObject) -> None:
    times = data.draw(st.lists(st.integers(0, 3), min_size=len(old), max_size=len(old)))
    repeated = psi(np.repeat(old, times), new, reference_n=40, current_n=30)
    weighted = psi(old, new, reference_weights=times, reference_n=40, current_n=30)
    assert (weighted is None) == (repeated is None) == (sum(times) == 0)
    if weighted is not None:
        assert weighted == pytest.approx(repeated)


def test_the_noise_of_small_samples_is_as_large_as_said() -> None:
    rng = np.random.default_rng(1)
    drawn = [psi(rng.normal(size=400), rng.normal(size=150)) for _ in range(400)]
    mean, deviation = psi_noise(10, 400, 150)
    assert np.mean(drawn) == pytest.approx(mean, rel=0.1)
    assert np.std(drawn) == pytest.approx(deviation, rel=0.15)


def test_drift_takes_the_noise_off_and_counts_tracks_not_segments() -> None:
    rng = np.random.default_rng(2)
    old, new = rng.normal(size=300), rng.normal(size=100)
    tracks_old, tracks_new = np.repeat(np.arange(300), 6), np.repeat(np.arange(100), 6)
    reference, current = {"score": np.repeat(old, 6)}, {"score": np.repeat(new, 6)}
    raw = psi(old, new)
    found = drift(reference, current, reference_tracks=tracks_old, current_tracks=tracks_new)["score"]
    assert found == pytest.approx(max(0, raw - psi_noise(10, 300, 100)[0]))
    assert found < 0.25


def test_few_people_are_no_drift_but_unknown() -> None:
    rng = np.random.default_rng(3)
    reference = {"height": rng.normal(size=2000), "gone": np.zeros(2000)}
    assert drift(reference, {"height": rng.normal(9, 1, 25), "new": np.ones(25)}) == {"height": None}
    # With fifty it is measured, in fewer bins.
    assert drift(reference, {"height": rng.normal(9, 1, 50)})["height"] > 1
    assert drift(reference, {"height": np.full(500, np.nan)}) == {"height": None}
    assert drift(reference, {"height": []}) == {"height": None}


PROFILE = {False: (6, 9, 12, 15, 18), True: (11, 13, 20)}
"""Busy hours of working days and of weekends."""


def a_day(rng: np.random.Generator, weekday: int, people: int, shift: float = 0.0) -> dict[str, np.ndarray]:
    """A day's segments: 1 to 7 a track, alike within a track; nights are taller, weekends elsewhere."""
    segments = rng.integers(1, 8, people)
    weekend = weekday >= 5
    hours = rng.choice(PROFILE[weekend], people) + rng.integers(0, 2, people)
    late = hours >= 18
    track = np.repeat(np.arange(people), segments)
    inside = rng.normal(size=(4, len(track)))

    def quantity(row: int, centre: np.ndarray, own: float, within: float) -> np.ndarray:
        return (centre + own * rng.normal(size=people))[track] + within * inside[row]

    return {
        "score": quantity(0, np.full(people, 1.0 + 0.4 * shift) + 0.3 * late, 0.5, 0.4),
        "height": quantity(1, 0.4 + 0.1 * late + 0.08 * shift, 0.06, 0.02),
        "x": quantity(2, np.full(people, 0.3 + 0.4 * weekend + 0.1 * shift), 0.12, 0.08),
        "confidence": np.clip(quantity(3, np.full(people, 0.8) - 0.15 * late, 0.08, 0.05), 0, 1),
        "track": track,
        "hour": np.repeat(hours, segments),
        "weekday": np.full(len(track), weekday),
    }


def joined(days: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    whole = {name: np.concatenate([day[name] for day in days]) for name in days[0]}
    whole["track"] = np.concatenate([1000 * i + day["track"] for i, day in enumerate(days)])
    return whole


def against(reference: dict[str, np.ndarray], day: dict[str, np.ndarray], by_hour: bool = True) -> dict:
    names = ("score", "height", "x", "confidence")
    old, new = (None, None)
    if by_hour:
        old, new = same_hours(reference["hour"], reference["weekday"], day["hour"], day["weekday"])
    return drift(
        {name: reference[name] for name in names},
        {name: day[name] for name in names},
        reference_tracks=reference["track"],
        current_tracks=day["track"],
        reference_weights=old,
        current_weights=new,
    )


@pytest.mark.parametrize("people", [60, 450])
def test_thirty_quiet_days_raise_no_alarm_and_a_moved_camera_does_within_a_day(people: int) -> None:
    rng = np.random.default_rng(people)
    for _ in range(5):
        reference = joined([a_day(rng, i % 7, people) for i in range(14)])
        quiet = [against(reference, a_day(rng, i % 7, people)) for i in range(30)]
        assert all(standing(quiet[: i + 1]) is None for i in range(30))
        assert sum(len(over(day)) for day in quiet) <= 1, "days over the limit are rare even one by one"
        assert sum(value is not None for day in quiet for value in day.values()) >= 100, "and they are measured"
        moved = [against(reference, a_day(rng, i % 7, people, shift=1.0)) for i in range(30, 32)]
        assert {"height", "x"} & over(moved[0]).keys()
        assert standing([*quiet, moved[0]]) is None
        assert standing([*quiet, *moved]) is not None


def test_a_weekend_is_not_drift() -> None:
    rng = np.random.default_rng(5)
    reference = joined([a_day(rng, i % 7, 200) for i in range(14)])
    sunday = a_day(rng, 6, 200)
    assert "x" in over(against(reference, sunday, by_hour=False))
    assert over(against(reference, sunday)) == {}


def test_a_night_is_not_drift() -> None:
    rng = np.random.default_rng(6)
    reference = joined([a_day(rng, i % 7, 400) for i in range(14)])
    day = a_day(rng, 2, 1200)
    night = {name: rows[day["hour"] >= 18] for name, rows in day.items()}
    assert "height" in over(against(reference, night, by_hour=False))
    assert over(against(reference, night)) == {}


def test_a_reference_without_weekends_says_nothing_about_one() -> None:
    rng = np.random.default_rng(7)
    reference = joined([a_day(rng, i % 5, 300) for i in range(5)])
    assert set(against(reference, a_day(rng, 5, 300)).values()) == {None}


def test_same_hours_by_hand() -> None:
    # Monday 8 h is there twice; Tuesday 8 h is not, so working days stand in; Saturday has nothing to stand in for it.
    old, new = same_hours([8, 8, 9, 8], [0, 0, 0, 2], [8, 8, 8, 8], [0, 0, 1, 5], weekday_min=2, class_min=2)
    assert list(new) == [1, 1, 1, 0]
    assert old == pytest.approx([1 + 1 / 3, 1 + 1 / 3, 0, 1 / 3])
    with pytest.raises(ValueError, match="hours"):
        same_hours([24], [0], [1], [1])


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(3, 6)), max_size=40),
    st.integers(1, 5),
    st.integers(1, 9),
    st.data(),
)
def test_same_hours_gives_the_reference_the_current_mix(
    rows: list, class_min: int, weekday_min: int, data: st.DataObject
) -> None:
    current = data.draw(st.lists(st.tuples(st.integers(0, 3), st.integers(3, 6)), max_size=40))
    hours, days = np.array(rows, int).reshape(-1, 2).T
    now_hours, now_days = np.array(current, int).reshape(-1, 2).T
    old, new = same_hours(hours, days, now_hours, now_days, weekday_min=weekday_min, class_min=class_min)
    assert set(new) <= {0.0, 1.0}
    for hour in range(4):
        for weekend in (False, True):
            mine = old[(hours == hour) & ((days >= 5) == weekend)].sum()
            assert mine == pytest.approx(new[(now_hours == hour) & ((now_days >= 5) == weekend)].sum())


def test_drift_stands_after_two_measured_days_of_one_quantity() -> None:
    high, low, unknown = {"x": 0.3}, {"x": 0.1}, {"x": None}
    assert standing([]) is None
    assert standing([high]) is None
    assert standing([high, {"x": 0.4}]) == Drift({"x": 0.4}, 2)
    assert standing([high, None, unknown, {}, high]) == Drift({"x": 0.3}, 2)
    assert standing([high, high, low]) is None
    assert standing([high, low, high]) is None
    assert standing([{"x": 0.3, "y": 0.1}, {"x": 0.1, "y": 0.3}]) is None, "noise moves about"
    assert standing([{"x": 0.25}, {"x": 0.25}]) is None, "the limit itself is not over it"
    assert standing([high], days=1) == Drift({"x": 0.3}, 1)
    with pytest.raises(ValueError, match="day"):
        standing([high], days=0)
