import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alfred.core.al_light import Band, Decisions, Mode, Why, band, decide
from alfred.core.methodologies import Methodology, who_is_asked

# Few distinct values, so that ties with θ and θ_med are common; None becomes NaN, 99 infinity.
marks = st.lists(st.one_of(st.none(), st.integers(0, 12), st.just(99)), max_size=60)
modes = st.sampled_from([Mode.ROLLING_MEDIAN_MAX, Mode.ROLLING_MIDPOINT])


def as_scores(found: list[int | None]) -> np.ndarray:
    return np.array([np.nan if v is None else np.inf if v == 99 else v for v in found], float)


def test_the_default_mode_and_names() -> None:
    assert [*Mode] == ["rolling_median_max", "midpoint", "rolling_midpoint"]
    assert all(why.sentence.endswith(".") for why in Why)
    assert [why.code for why in Why] == [0, 1, 2, 3]


def test_bands_by_hand() -> None:
    recent = [9.0, 5.0, 3.0, 8.0, 4.0]
    assert band(Mode.ROLLING_MEDIAN_MAX, 2.0, recent, band_min=5) == Band(2.0, 5.0, Why.BAND, 5)
    assert band(Mode.ROLLING_MEDIAN_MAX, 2.0, recent, n=4, band_min=4) == Band(2.0, 4.5, Why.BAND, 4)
    assert band(Mode.ROLLING_MIDPOINT, 2.0, recent, n=4, band_min=4) == Band(2.0, 5.0, Why.BAND, 4)
    assert band(Mode.ROLLING_MIDPOINT, 2.0, recent, band_min=5) == Band(2.0, 5.5, Why.BAND, 5)
    assert band(Mode.MIDPOINT, 2.0, recent, step_max=10.0) == Band(2.0, 6.0, Why.BAND, 20)
    assert band("rolling_midpoint", 2.0, recent, band_min=5).theta_med == 5.5


def test_no_band_asks_everything_flagged_and_says_why() -> None:
    few = band(Mode.ROLLING_MEDIAN_MAX, 1.0, [2.0] * 19)
    assert few == Band(1.0, None, Why.TOO_FEW, 19)
    assert list(few.asks([0.9, 1.0, 50.0, np.nan, np.inf])) == [False, True, True, False, True]
    assert not few.above([50.0, np.inf]).any()
    # The buffer was re-scored by a new version: its middle may lie below the new θ.
    assert band(Mode.ROLLING_MEDIAN_MAX, 3.0, [2.0] * 20).reason is Why.BELOW_THETA
    assert band(Mode.ROLLING_MIDPOINT, 3.0, [2.0] * 20).theta_med is None
    assert band(Mode.ROLLING_MEDIAN_MAX, 2.0, [2.0] * 20) == Band(2.0, 2.0, Why.BAND, 20)
    for nothing in (None, np.nan, np.inf):
        assert band(Mode.MIDPOINT, 1.0, [], step_max=nothing).reason is Why.TOO_FEW
    assert band(Mode.MIDPOINT, 1.0, [], step_max=9.0, step_items=19).reason is Why.TOO_FEW
    assert band(Mode.MIDPOINT, 1.0, [], step_max=0.5).reason is Why.BELOW_THETA


def test_both_ends_are_asked() -> None:
    found = Band(1.0, 2.0, Why.BAND, 20)
    scores = [np.nextafter(1, 0), 1.0, 1.5, 2.0, np.nextafter(2, 3)]
    assert list(found.asks(scores)) == [False, True, True, True, False]
    assert list(found.above(scores)) == [False, False, False, False, True]


def test_an_item_joins_after_its_own_decision() -> None:
    found = decide(Mode.ROLLING_MEDIAN_MAX, 1.0, [5.0, 0.0, 3.0, 4.0, 9.0], n=2, band_min=1)
    assert list(found.flagged) == [True, False, True, True, True]
    assert found.theta_med == pytest.approx([np.nan, np.nan, 5.0, 4.0, 3.5], nan_ok=True)
    assert list(found.asked) == [True, False, True, True, False]
    assert list(found.size) == [0, 1, 1, 2, 2]
    assert found.reasons() == [Why.TOO_FEW, Why.UNFLAGGED, Why.BAND, Why.BAND, Why.BAND]
    assert list(found.recent) == [4.0, 9.0]
    assert found.saved == 0.25


def test_midpoint_is_of_the_step_itself() -> None:
    found = decide(Mode.MIDPOINT, 1.0, [5.0, 0.0, 3.0, 3.1, 1.0], band_min=4)
    assert found.theta_med == pytest.approx([3.0, np.nan, 3.0, 3.0, 3.0], nan_ok=True)
    assert list(found.asked) == [False, False, True, False, True]
    assert found.saved == 0.5
    # Four flagged items are fewer than five.
    assert decide(Mode.MIDPOINT, 1.0, [5.0, 0.0, 3.0, 3.1, 1.0], band_min=5).saved == 0.0
    assert decide(Mode.MIDPOINT, 1.0, [5.0, 3.0], band_min=2, step_max=11.0).theta_med[0] == 6.0


def test_a_track_is_one_item_by_its_maximum_once_it_is_complete() -> None:
    # Track 7 peaks at 6 and ends at row 2, track 8 at 4 and row 3; 9 has nothing flagged.
    scores, tracks = [6.0, 2.0, 5.0, 4.0, 0.0, 5.5, 5.0], [7, 8, 7, 8, 9, 3, 3]
    found = decide(Mode.ROLLING_MEDIAN_MAX, 1.0, scores, group=tracks, band_min=1)
    assert list(found.size) == [0, 0, 0, 1, 2, 2, 2]
    assert found.theta_med == pytest.approx([np.nan, np.nan, np.nan, 6.0, np.nan, 5.0, 5.0], nan_ok=True)
    assert list(found.asked) == [True, True, True, True, False, False, True]
    assert list(found.recent) == [6.0, 4.0, 5.5]
    # Three tracks: poses are not what the minimum counts.
    assert decide(Mode.MIDPOINT, 1.0, scores, group=tracks, band_min=4).saved == 0.0


def test_nothing_flagged_saves_nothing_known() -> None:
    for mode in Mode:
        found = decide(mode, 5.0, [1.0, np.nan])
        assert found.saved is None
        assert not found.asked.any()
        assert decide(mode, 5.0, []).saved is None


def test_infinity_is_flagged_but_never_in_the_buffer() -> None:
    found = decide(Mode.ROLLING_MIDPOINT, 1.0, [np.inf, 3.0, np.inf], [np.nan, np.inf, 2.0], band_min=1)
    assert list(found.recent) == [2.0, 3.0]
    assert list(found.asked) == [False, False, False]
    assert list(found.flagged) == [True, True, True]


def one_by_one(mode: Mode, theta: float, scores: np.ndarray, recent: list[float], **limits: int) -> list[Band]:
    """What `band` says before each item, and the buffer afterwards filled by hand."""
    bands, buffer = [], list(recent)
    for score in scores:
        bands.append(band(mode, theta, buffer, **limits))
        if score >= theta and np.isfinite(score):
            buffer.append(score)
    return bands


@given(modes, marks, marks, st.integers(1, 8), st.integers(0, 8))
def test_the_walk_is_the_band_taken_anew_each_time(
    mode: Mode, before: list[int | None], found: list[int | None], band_min: int, more: int
) -> None:
    scores, recent, n = as_scores(found), list(as_scores(before)), band_min + more
    walked = decide(mode, 4.0, scores, recent, n=n, band_min=band_min)
    bands = one_by_one(mode, 4.0, scores, recent, n=n, band_min=band_min)
    assert list(walked.asked) == [bool(b.asks([s])[0]) for b, s in zip(bands, scores, strict=True)]
    flagged = scores >= 4.0
    assert list(walked.flagged) == list(flagged)
    assert list(walked.size) == [b.size for b in bands]
    reasons = walked.reasons()
    for i, b in enumerate(bands):
        assert reasons[i] == (b.reason if flagged[i] else Why.UNFLAGGED)
        expected = b.theta_med if flagged[i] and b.theta_med is not None else np.nan
        assert walked.theta_med[i] == pytest.approx(expected, nan_ok=True)


@given(marks, st.integers(1, 8))
def test_the_median_is_numpys(found: list[int | None], n: int) -> None:
    scores = as_scores(found)
    used = scores[np.isfinite(scores)][-n:]
    middle = band(Mode.ROLLING_MEDIAN_MAX, -1.0, scores, n=n, band_min=1).theta_med
    assert middle == (np.median(used) if len(used) else None)


@given(st.sampled_from(list(Mode)), marks, st.integers(1, 8), st.data())
def test_what_holds_in_every_mode(mode: Mode, found: list[int | None], band_min: int, data: st.DataObject) -> None:
    scores = as_scores(found)
    groups = data.draw(st.one_of(st.none(), st.lists(st.integers(0, 9), min_size=len(found), max_size=len(found))))
    walked = decide(mode, 4.0, scores, group=groups, band_min=band_min)
    assert not (walked.asked & ~walked.flagged).any()
    no_band = walked.flagged & np.isnan(walked.theta_med)
    assert walked.asked[no_band].all()
    banded = walked.flagged & ~no_band
    assert (walked.asked[banded] == (scores[banded] <= walked.theta_med[banded])).all()
    assert walked.saved is None or 0 <= walked.saved <= 1
    # The same rule as the methodology's, for whoever stores the band.
    assert list(
        who_is_asked(Methodology.AL_LIGHT, walked.flagged, ~no_band & (scores <= walked.theta_med) | no_band)
    ) == (list(walked.asked))


@given(modes, marks, st.integers(0, 60), st.integers(1, 5))
def test_a_walk_goes_on_where_it_stopped(mode: Mode, found: list[int | None], cut: int, band_min: int) -> None:
    scores = as_scores(found)
    whole = decide(mode, 4.0, scores, n=7, band_min=band_min)
    first = decide(mode, 4.0, scores[:cut], n=7, band_min=band_min)
    second = decide(mode, 4.0, scores[cut:], first.recent, n=7, band_min=band_min)
    assert list(whole.asked) == [*first.asked, *second.asked]
    assert list(whole.recent) == list(second.recent)


@given(modes, marks)
def test_groups_of_one_are_no_groups(mode: Mode, found: list[int | None]) -> None:
    plain = decide(mode, 4.0, as_scores(found), band_min=2)
    grouped = decide(mode, 4.0, as_scores(found), group=np.arange(len(found))[::-1], band_min=2)
    assert list(plain.asked) == list(grouped.asked)
    assert list(plain.recent) == list(grouped.recent)


def test_saved_work_on_known_tails() -> None:
    # A uniform tail: each mode cuts half. An exponential one: the median still does, the midpoint hardly anything.
    rng = np.random.default_rng(0)

    def saved(mode: Mode, scores: np.ndarray) -> float:
        found: Decisions = decide(mode, 1.0, scores)
        assert found.saved is not None
        return found.saved

    flat, heavy = 1 + rng.random(20_000), 1 + rng.exponential(size=20_000)
    assert [saved(mode, flat) for mode in Mode] == pytest.approx([0.5, 0.5, 0.5], abs=0.02)
    assert saved(Mode.ROLLING_MEDIAN_MAX, heavy) == pytest.approx(0.5, abs=0.02)
    assert saved(Mode.MIDPOINT, heavy) < 0.02
    # The maxima of tracks are higher than their poses, so less is cut.
    tracks = decide(Mode.ROLLING_MEDIAN_MAX, 1.0, flat, group=np.arange(20_000) // 5)
    assert tracks.saved < 0.2


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: band(Mode.MIDPOINT, np.nan, []), "finite"),
        (lambda: band(Mode.ROLLING_MEDIAN_MAX, 1.0, [], n=10, band_min=20), "never holds"),
        (lambda: band(Mode.ROLLING_MEDIAN_MAX, 1.0, [], band_min=0), "never holds"),
        (lambda: decide(Mode.ROLLING_MEDIAN_MAX, 1.0, [1.0], group=[1, 2]), "groups"),
        (lambda: band("median", 1.0, []), "not a valid"),
    ],
)
def test_nonsense_is_refused(call, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()
