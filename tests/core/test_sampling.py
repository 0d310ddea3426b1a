import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alfred.core.eer import EqualErrorRate, eer_threshold
from alfred.core.sampling import (
    WARM_UP_SHARES,
    allocate,
    draw,
    draw_stratified,
    effective_sample_size,
    strata_bounds,
    stratify,
    thin,
)

sizes_lists = st.lists(st.integers(0, 60), min_size=1, max_size=5)


def test_strata_by_hand() -> None:
    # Eight below θ make four bands of two; the nearest is 1.
    scores = np.array([9.0, 10.0, 1, 2, 3, 4, 5, 6, 7, 8])
    assert list(stratify(scores, 9.0)) == [0, 0, 4, 4, 3, 3, 2, 2, 1, 1]
    assert list(strata_bounds(scores, 9.0)) == [6.25, 4.5, 2.75]


def test_bounds_can_be_kept() -> None:
    bounds = strata_bounds(np.arange(100.0), 80.0)
    assert list(stratify([79.0, 1.0, 81.0], 80.0, bounds=bounds)) == [1, 4, 0]


def test_nothing_below_theta() -> None:
    assert list(stratify([5.0, 6.0], 1.0)) == [0, 0]
    assert list(stratify([], 1.0)) == []


def test_unscored_segments_have_no_stratum() -> None:
    with pytest.raises(ValueError, match="unscored"):
        stratify([np.nan, 1.0], 0.5)


@given(st.lists(st.integers(0, 20), max_size=50), st.integers(-1, 21))
def test_a_higher_score_is_never_in_a_lower_stratum(values: list[int], theta: int) -> None:
    scores = np.array(values, float)
    strata = stratify(scores, theta)
    assert ((strata == 0) == (scores >= theta)).all()
    assert (np.diff(strata[np.argsort(-scores, kind="stable")]) >= 0).all()


def test_allocation_follows_the_shares() -> None:
    assert list(allocate([1000] * 5, 100)) == [50, 20, 14, 10, 6]
    assert list(allocate([10, 1000, 1000, 1000, 1000], 100)) == [10, 36, 25, 18, 11]
    assert list(allocate([1000] * 5, 3)) == [1, 1, 1, 0, 0]
    assert list(allocate([0, 5, 0, 2, 0], 100)) == [0, 5, 0, 2, 0]
    assert list(allocate([50, 50], 10, shares=[1.0, 0.0])) == [9, 1]


@given(sizes_lists, st.integers(0, 150))
def test_allocation_keeps_its_promises(sizes: list[int], total: int) -> None:
    given_out = allocate(sizes, total)
    assert given_out.sum() == min(total, sum(sizes))
    assert (given_out <= sizes).all()
    non_empty = np.array(sizes) > 0
    if total >= non_empty.sum():
        assert (given_out[non_empty] >= 1).all()
    assert (allocate(sizes, total + 1) >= given_out).all(), "more to give takes from nobody"


@given(sizes_lists, st.integers(0, 100), st.integers(0, 1000))
def test_draw_takes_the_allocation_with_its_probability(sizes: list[int], total: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    strata = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    allocation = allocate(sizes, total)
    chosen, probability = draw(strata, allocation, rng)
    assert list(np.bincount(strata[chosen], minlength=len(sizes))) == list(allocation)
    assert probability == pytest.approx(allocation[strata] / np.array(sizes)[strata])


def test_weighted_by_the_inverse_probability_the_sample_speaks_for_the_stream() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=3000)
    truth = scores + rng.normal(size=3000) > 1.5
    strata = stratify(scores, 1.0)
    allocation = allocate(np.bincount(strata), 400)
    estimates, naive = [], []
    for _ in range(200):
        chosen, probability = draw(strata, allocation, rng)
        estimates.append((truth[chosen] / probability[chosen]).sum() / 3000)
        naive.append(truth[chosen].mean())
    assert np.mean(estimates) == pytest.approx(truth.mean(), abs=0.004)
    assert np.mean(naive) > 1.5 * truth.mean()


def test_every_candidate_is_as_likely() -> None:
    rng = np.random.default_rng(1)
    times = np.zeros(6)
    for _ in range(3000):
        chosen, _ = draw(np.array([0, 1, 0, 1, 1, 0]), np.array([1, 2]), rng)
        times += chosen
    # Six standard errors of 3000 draws.
    assert times / 3000 == pytest.approx([1 / 3, 2 / 3, 1 / 3, 2 / 3, 2 / 3, 1 / 3], abs=0.052)


def test_draw_refuses_more_than_there_is() -> None:
    with pytest.raises(ValueError, match="allocation"):
        draw(np.array([0, 0]), np.array([3]), np.random.default_rng(0))
    with pytest.raises(ValueError, match="allocation"):
        draw(np.array([0, 1]), np.array([1]), np.random.default_rng(0))


def test_thin_to_a_budget() -> None:
    rng = np.random.default_rng(0)
    chosen, probability = thin(1000, 300, rng)
    assert chosen.sum() == 300 and (probability == 0.3).all()
    chosen, probability = thin(5, 300, rng)
    assert chosen.all() and (probability == 1).all()
    chosen, probability = thin(5, 0, rng)
    assert not chosen.any() and (probability == 0).all()
    assert len(thin(0, 10, rng)[0]) == 0


def test_effective_sample_size() -> None:
    assert effective_sample_size([2.0] * 50) == pytest.approx(50)
    assert effective_sample_size([1, 1, 10]) == pytest.approx(144 / 102)
    assert effective_sample_size([]) == 0.0
    assert sum(WARM_UP_SHARES) == pytest.approx(1)


def test_a_weighted_threshold_is_the_streams_and_an_unweighted_one_the_queues() -> None:
    """A stream with known labels; a warm-up sample of 400; θ by bootstrap within strata, with and without 1/π."""
    rng = np.random.default_rng(11)
    label = rng.random(20_000) < 0.05
    score = rng.normal(0, 1, 20_000) + 1.3 * label
    of_stream = eer_threshold(score, label)
    assert isinstance(of_stream, EqualErrorRate)
    strata = stratify(score, theta=1.0)
    chosen, probability = draw_stratified(strata, 400, rng)
    rows = np.flatnonzero(chosen)

    def interval(*, weighted: bool) -> tuple[float, float]:
        values = []
        for _ in range(300):
            drawn = np.concatenate([rng.choice(r, len(r)) for r in (rows[strata[rows] == h] for h in range(5))])
            found = eer_threshold(score[drawn], label[drawn], 1 / probability[drawn] if weighted else None)
            assert isinstance(found, EqualErrorRate)
            values.append(found.value)
        return float(np.quantile(values, 0.025)), float(np.quantile(values, 0.975))

    low, high = interval(weighted=True)
    assert low <= of_stream.value <= high
    low, high = interval(weighted=False)
    assert of_stream.value < low  # asked mostly about what scores high: the queue's θ lies above the stream's
