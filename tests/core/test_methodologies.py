from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alfred.core.methodologies import (
    Label,
    Methodology,
    Reason,
    SegmentFacts,
    who_is_asked,
    who_trains,
    who_trains_by_verdict,
)

OFFLINE, CONTINUAL, PSEUDO, ACTIVE, LIGHT = Methodology
ASKING = [ACTIVE, LIGHT]


def facts(n: int = 1, **given_values: Any) -> SegmentFacts:
    """Unflagged segments a minute apart, each a track of its own in the middle of the picture."""
    start = 60.0 * np.arange(n)
    values: dict[str, Any] = {
        "flagged": np.zeros(n, bool),
        "scored": np.ones(n, bool),
        "label": np.full(n, -1, np.int8),
        "track": np.arange(n),
        "start": start,
        "end": start + 4,
        "x": np.full(n, 0.5),
        "y": np.full(n, 0.5),
        "radius": np.zeros(n),
        "in_validation": np.zeros(n, bool),
    } | {name: np.asarray(value) for name, value in given_values.items()}
    values.setdefault("track_start", values["start"])
    values.setdefault("track_end", values["end"])
    return SegmentFacts(**values)


def reasons(methodology: Methodology, **given_values: Any) -> list[Reason]:
    n = len(next(iter(given_values.values())))
    trains, codes = who_trains(methodology, facts(n, **given_values))
    assert [Reason(c).trains for c in codes] == list(trains)
    return [Reason(c) for c in codes]


def test_who_is_asked() -> None:
    flagged, band = np.array([True, True, False]), np.array([True, False, True])
    for nobody in (OFFLINE, CONTINUAL, PSEUDO):
        assert not who_is_asked(nobody, flagged).any()
    assert list(who_is_asked(ACTIVE, flagged, band)) == [True, True, False]
    assert list(who_is_asked(LIGHT, flagged, band)) == [True, False, False]
    assert list(who_is_asked(LIGHT, flagged)) == [True, True, False]


@pytest.mark.parametrize("methodology", ASKING)
def test_membership_with_people_by_hand(methodology: Methodology) -> None:
    found = reasons(
        methodology,
        flagged=[False, False, False, False, True, True, True, True, False],
        label=[-1, 0, 1, 2, -1, 0, 1, 2, -1],
        scored=[True] * 8 + [False],
    )
    assert found == [
        Reason.PSEUDO_NORMAL,
        Reason.PSEUDO_NORMAL,
        Reason.CONFIRMED_ANOMALY,
        Reason.UNRESOLVED,
        Reason.UNASKED,
        Reason.CONFIRMED_FP,
        Reason.CONFIRMED_ANOMALY,
        Reason.UNRESOLVED,
        Reason.UNSCORED,
    ]


def test_membership_without_people_reads_no_verdict() -> None:
    columns = {"flagged": [False, True, False, True, True], "label": [1, 0, 2, 1, -1]}
    assert reasons(PSEUDO, **columns) == [
        Reason.PSEUDO_NORMAL,
        Reason.UNASKED,
        Reason.PSEUDO_NORMAL,
        Reason.UNASKED,
        Reason.UNASKED,
    ]
    for everything in (OFFLINE, CONTINUAL):
        assert reasons(everything, **columns) == [Reason.UNFILTERED] * 5


@pytest.mark.parametrize("methodology", list(Methodology))
def test_unscored_never_trains(methodology: Methodology) -> None:
    assert reasons(methodology, scored=[False], label=[0]) == [Reason.UNSCORED]


@pytest.mark.parametrize("methodology", list(Methodology))
def test_validation_tracks_and_those_beside_them_never_train(methodology: Methodology) -> None:
    found = reasons(
        methodology,
        track=[1, 1, 2, 3, 4],
        in_validation=[True, False, False, False, False],
        start=[0.0, 4.0, 7.0, 8.1, 8.0],
        end=[4.0, 8.0, 9.0, 9.0, 9.0],
        track_start=[0.0, 0.0, 7.0, 8.1, 8.0],
        track_end=[8.0, 8.0, 9.0, 9.0, 9.0],
    )
    assert found[:3] == [Reason.VALIDATION, Reason.VALIDATION, Reason.BESIDE_VALIDATION]
    assert found[3].trains
    assert found[4] is Reason.BESIDE_VALIDATION, "ends that touch share a moment"


@pytest.mark.parametrize("methodology", ASKING)
def test_beside_an_anomaly_in_time_and_place(methodology: Methodology) -> None:
    found = reasons(
        methodology,
        flagged=[True, True, False, False, False],
        label=[1, 0, -1, -1, -1],
        start=[100.0, 104.0, 109.0, 109.1, 92.0],
        end=[104.0, 108.0, 113.0, 113.1, 95.0],
        x=[0.5, 0.5, 0.55, 0.5, 0.7],
    )
    assert found == [
        Reason.CONFIRMED_ANOMALY,
        Reason.BESIDE_ANOMALY,
        Reason.BESIDE_ANOMALY,
        Reason.PSEUDO_NORMAL,
        Reason.PSEUDO_NORMAL,
    ]
    for silent in (PSEUDO, CONTINUAL):
        assert Reason.BESIDE_ANOMALY not in reasons(silent, label=[1, -1], start=[0.0, 4.0], end=[4.0, 8.0])


def test_same_place_is_measured_in_the_picture_and_grows_with_the_person() -> None:
    # 16:9: a tenth of the diagonal is .1147 of the width and .2040 of the height.
    near = {"label": [1, -1, -1, -1, -1], "start": np.zeros(5), "end": np.full(5, 4.0)}
    x, y = [0.5, 0.613, 0.617, 0.5, 0.5], [0.5, 0.5, 0.5, 0.702, 0.706]
    beside = [r is Reason.BESIDE_ANOMALY for r in reasons(ACTIVE, **near, x=x, y=y)]
    assert beside == [False, True, False, True, False]
    tall = reasons(ACTIVE, **near, x=x, y=y, radius=np.full(5, 0.3))
    assert tall[1:] == [Reason.BESIDE_ANOMALY] * 4


@settings(max_examples=60)
@given(st.integers(0, 100_000))
def test_neighbours_agree_with_all_pairs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 25
    start = rng.uniform(0, 60, n).round()
    end = start + rng.integers(1, 6, n)
    f = facts(
        n,
        start=start,
        end=end,
        track_start=start - rng.integers(0, 3, n),
        track_end=end + rng.integers(0, 3, n),
        label=rng.choice([-1, -1, -1, 0, 1], n).astype(np.int8),
        x=rng.uniform(size=n),
        y=rng.uniform(size=n),
        radius=rng.uniform(0, 0.2, n),
        in_validation=rng.uniform(size=n) < 0.1,
    )
    _, codes = who_trains(ACTIVE, f)
    for i in range(n):
        overlap = any(
            f.in_validation[j] and f.track_start[j] <= f.track_end[i] and f.track_start[i] <= f.track_end[j]
            for j in range(n)
        )
        gaps = np.maximum(f.start - end[i], start[i] - f.end)
        apart = np.hypot((f.x - f.x[i]) * 16, (f.y - f.y[i]) * 9) / np.hypot(16, 9)
        reach = np.maximum(0.1, (f.radius + f.radius[i]) * 9 / np.hypot(16, 9))
        beside = ((f.label == Label.ANOMALY) & (gaps <= 5) & (apart <= reach)).any()
        if f.in_validation[i]:
            expected = Reason.VALIDATION
        elif f.label[i] == Label.ANOMALY:
            expected = Reason.CONFIRMED_ANOMALY
        elif overlap:
            expected = Reason.BESIDE_VALIDATION
        else:
            expected = Reason.BESIDE_ANOMALY if beside else Reason.PSEUDO_NORMAL
        assert codes[i] == expected


def test_the_experiment_takes_the_verdict_rule_alone() -> None:
    codes = who_trains_by_verdict(ACTIVE, np.array([True, True]), np.array([True, True]), [0, -1])
    assert list(codes) == [Reason.CONFIRMED_FP, Reason.UNASKED]


def test_words_and_shapes() -> None:
    assert all(reason.words for reason in Reason)
    assert len(who_trains(ACTIVE, facts(0))[0]) == 0
    with pytest.raises(ValueError, match="radius"):
        facts(2, radius=[0.0])
