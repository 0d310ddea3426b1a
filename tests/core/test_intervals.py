from statistics import NormalDist

import numpy as np
import pytest
import scipy.stats

from alfred.core.intervals import clopper_pearson, paired_difference, rate_intervals, score_interval
from alfred.core.rates import Counts
from alfred.core.roc import auc_roc


def blocks_of(rng: np.random.Generator, n: int, fpr: float, fnr: float, spread: float = 8.0) -> np.ndarray:
    """Counts (n, 4) of blocks with their own rates around the given ones."""
    p_fp = rng.beta(fpr * spread, (1 - fpr) * spread, n)
    p_fn = rng.beta(fnr * spread, (1 - fnr) * spread, n)
    normal, anomalous = rng.integers(5, 25, n), rng.integers(0, 8, n)
    fp, fn = rng.binomial(normal, p_fp), rng.binomial(anomalous, p_fn)
    return np.stack([anomalous - fn, fp, normal - fp, fn], axis=1)


@pytest.mark.parametrize("errors, trials", [(0, 10), (3, 10), (10, 10), (1, 500), (250, 500), (0, 5000)])
@pytest.mark.parametrize("level", [0.95, 0.8])
def test_clopper_pearson_agrees_with_scipy(errors: int, trials: int, level: float) -> None:
    expected = scipy.stats.binomtest(errors, trials).proportion_ci(level, method="exact")
    assert clopper_pearson(errors, trials, level) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_clopper_pearson_refuses_nonsense() -> None:
    with pytest.raises(ValueError, match="5 errors in 4"):
        clopper_pearson(5, 4)


def test_bca_agrees_with_scipy() -> None:
    blocks = blocks_of(np.random.default_rng(1), 60, 0.2, 0.35)

    def ratio(wrong: int, right: int):
        return lambda i: blocks[i, wrong].sum(-1) / (blocks[i, wrong] + blocks[i, right]).sum(-1)

    ours = rate_intervals(blocks, seed=3, resamples=20_000)
    for interval, statistic in ((ours.fpr, ratio(1, 2)), (ours.fnr, ratio(3, 0))):
        theirs = scipy.stats.bootstrap(
            (np.arange(60),), lambda i, axis=-1, f=statistic: f(i), n_resamples=20_000, method="BCa",
            rng=np.random.default_rng(0),
        ).confidence_interval  # fmt: skip
        assert (interval.low, interval.high) == pytest.approx((theirs.low, theirs.high), abs=0.006)
        assert interval.method == "BCa"


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(5)
    hits = np.zeros(3)
    for seed in range(150):
        found = rate_intervals(blocks_of(rng, 60, 0.2, 0.3), seed=seed, resamples=400)
        for i, (interval, truth) in enumerate(
            zip((found.fpr, found.fnr, found.ebi), (0.2, 0.3, 2 * 0.8 * 0.7 / 1.5), strict=True)
        ):
            hits[i] += interval.low <= truth <= interval.high
    # 95 % of 150, ± 3 standard errors of 0.018.
    assert (hits / 150 > 0.89).all()
    assert (hits / 150 < 1.0).all()


def test_the_estimate_lies_inside_and_the_seed_decides() -> None:
    blocks = blocks_of(np.random.default_rng(2), 40, 0.1, 0.4)
    counts = Counts(*blocks.sum(axis=0))
    first = rate_intervals(blocks, seed=1)
    assert first == rate_intervals(blocks, seed=1)
    assert first != rate_intervals(blocks, seed=2)
    assert first.fpr.low < counts.fpr < first.fpr.high
    assert first.fnr.low < counts.fnr < first.fnr.high
    assert first.ebi.low < counts.ebi < first.ebi.high


def test_blocks_not_segments_decide_the_width() -> None:
    # The same rates from blocks that are all wrong or all right, and from blocks that share the errors out.
    lumpy = np.array([[0, 20, 0, 0]] * 10 + [[0, 0, 20, 0]] * 30)
    even = np.array([[0, 5, 15, 0]] * 39 + [[0, 4, 16, 0], [0, 6, 14, 0]])
    wide, narrow = rate_intervals(lumpy, seed=0).fpr, rate_intervals(even, seed=0).fpr
    assert wide.high - wide.low > 10 * (narrow.high - narrow.low)


def test_no_error_is_not_certainty() -> None:
    blocks = np.array([[3, 0, 20, 1]] * 15 + [[2, 0, 20, 2]] * 5 + [[0, 0, 20, 0]] * 10)
    found = rate_intervals(blocks, seed=0)
    assert found.fpr.method == "Clopper-Pearson"
    expected = scipy.stats.binomtest(0, 30).proportion_ci(method="exact")
    assert (found.fpr.low, found.fpr.high) == pytest.approx((0.0, expected.high))
    assert found.fnr.method == "BCa"
    assert found.ebi.method == "corners"
    assert found.ebi.low < Counts(*blocks.sum(axis=0)).ebi < found.ebi.high
    all_wrong = rate_intervals(blocks[:, [3, 2, 1, 0]], seed=0)
    assert all_wrong.fpr.high == 1.0
    assert all_wrong.fpr.low == pytest.approx(1 - expected.high)


def test_too_few_blocks_with_a_class() -> None:
    blocks = np.array([[0, 2, 8, 0]] * 20 + [[1, 1, 9, 1]] * 9)
    found = rate_intervals(blocks, seed=0)
    assert found.fpr is not None and found.fpr_reason is None
    assert found.fnr is None and found.fnr_reason == "too few"
    assert found.ebi is None and found.ebi_reason == "too few"
    assert rate_intervals(np.zeros((0, 4)), seed=0).fpr is None


def test_empty_minutes_change_little_and_a_month_of_them_is_cheap() -> None:
    busy = blocks_of(np.random.default_rng(4), 50, 0.2, 0.3)
    alone = rate_intervals(busy, seed=0).fpr
    padded = rate_intervals(np.vstack([busy, np.zeros((40_000, 4))]), seed=0, resamples=1000).fpr
    assert (padded.low, padded.high) == pytest.approx((alone.low, alone.high), abs=0.02)


def test_paired_difference_sees_what_separate_intervals_do_not() -> None:
    a = blocks_of(np.random.default_rng(6), 80, 0.3, 0.3, spread=2.0)
    b = a.copy()
    b[:, 1] -= b[:, 1] // 4
    b[:, 2] = a[:, 1] + a[:, 2] - b[:, 1]
    found = paired_difference(a, b, seed=0)
    assert found.verdict == "better"
    assert found.low > 0
    assert found.estimate == pytest.approx(Counts(*b.sum(axis=0)).ebi - Counts(*a.sum(axis=0)).ebi)
    apart = [rate_intervals(x, seed=0).ebi for x in (a, b)]
    assert apart[0].high > apart[1].low, "the separate intervals overlap"
    assert paired_difference(b, a, seed=0).verdict == "worse"
    fewer_alarms = paired_difference(a, b, seed=0, metric="fpr")
    assert fewer_alarms.verdict == "better" and fewer_alarms.high < 0
    assert paired_difference(a, b, seed=0, metric="fnr").verdict == "no difference"


def test_equal_models_do_not_differ() -> None:
    a = blocks_of(np.random.default_rng(7), 40, 0.3, 0.3)
    found = paired_difference(a, a, seed=0)
    assert (found.estimate, found.low, found.high, found.verdict) == (0, 0, 0, "no difference")
    few = paired_difference(a[:5], a[:5], seed=0)
    assert (few.estimate, few.verdict) == (None, "too few")
    with pytest.raises(ValueError, match="same blocks"):
        paired_difference(a, a[:-1], seed=0)


@pytest.mark.parametrize("bad", [[[1, 2, 3]], [[1, 2, 3, -1]], [[1, 2, 3, np.nan]]])
def test_bad_counts_are_refused(bad: list) -> None:
    with pytest.raises(ValueError, match="tp, fp, tn, fn"):
        rate_intervals(bad, seed=0)


def test_an_interval_of_auc_covers_as_often_as_it_says() -> None:
    """200 samples of 40 blocks with a shift each: the AUC of the population lies inside about 95 times of 100."""
    rng = np.random.default_rng(8)
    blocks, size = 40, 12
    inside = 0
    for _ in range(200):
        shift = rng.normal(0, 0.7, blocks)
        block = np.repeat(np.arange(blocks), size)
        labels = block % 2 == 0
        scores = rng.normal(0, 1, blocks * size) + shift[block] + labels
        found = score_interval(scores, labels, block, auc_roc, seed=1, resamples=200)
        assert found is not None and found.low < found.high
        inside += found.low <= TRUE_AUC <= found.high
    assert 178 <= inside <= 200


TRUE_AUC = NormalDist().cdf(1 / np.sqrt(2 * (1 + 0.7**2)))
"""P(a > b) of normals one apart, each of variance 1 + 0.7²."""


def test_few_blocks_give_no_interval_of_auc() -> None:
    labels = np.tile([0, 1], 9)
    assert score_interval(np.arange(18.0), labels, np.arange(18) // 2, auc_roc, seed=0) is None
    assert score_interval(np.arange(18.0), labels, np.arange(18) // 2, auc_roc, seed=0, ci_min=9) is not None
