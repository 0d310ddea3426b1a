import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from alfred.core.eer import EqualErrorRate, NoThreshold, NoThresholdReason, eer_threshold
from alfred.core.rates import Counts

# Few distinct values, so that ties within and across classes are common.
samples = st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=2, max_size=40)


def test_the_worked_example() -> None:
    found = eer_threshold([0.1, 0.2, 0.3, 0.35, 0.8, 0.3, 0.7, 0.9], [0, 0, 0, 0, 0, 1, 1, 1])
    assert isinstance(found, EqualErrorRate)
    assert found.value == 0.35
    assert found.fpr == pytest.approx(0.40)
    assert found.fnr == pytest.approx(1 / 3)
    assert found.eer == pytest.approx(0.36667, abs=1e-5)
    assert found.eer_interpolated == pytest.approx(1 / 3)
    assert (found.n_normal, found.n_anomalous) == (5, 3)
    assert (found.effective_normal, found.effective_anomalous) == (5, 3)


def brute_force(scores: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """|FPR − FNR| and the mean error of the best candidate, by trying each."""
    best = []
    for theta in [*np.unique(scores), scores.max() + 1]:
        fpr = np.mean(scores[labels == 0] >= theta)
        fnr = np.mean(scores[labels == 1] < theta)
        best.append((round(abs(fpr - fnr), 9), round(fpr + fnr, 9), round(fpr, 9), -theta))
    return min(best)


@given(samples)
def test_it_is_the_best_of_all_candidates(rows: list[tuple[int, bool]]) -> None:
    scores = np.array([s for s, _ in rows], float)
    labels = np.array([y for _, y in rows], int)
    found = eer_threshold(scores, labels)
    if isinstance(found, NoThreshold):
        assert len(set(labels)) == 1 or len(set(scores)) == 1
        return
    at_theta = Counts.from_decisions(scores >= found.value, labels)
    assert at_theta.fpr == pytest.approx(found.fpr)
    assert at_theta.fnr == pytest.approx(found.fnr)
    gap, error, fpr, minus_theta = brute_force(scores, labels)
    assert abs(found.fpr - found.fnr) == pytest.approx(gap, abs=1e-8)
    assert found.eer * 2 == pytest.approx(error, abs=1e-8)
    assert found.fpr == pytest.approx(fpr, abs=1e-8)
    if found.eer > 0 and found.value <= scores.max():
        assert found.value == -minus_theta


@given(samples, st.data())
def test_whole_weights_are_repetitions(rows: list[tuple[int, bool]], data: st.DataObject) -> None:
    scores = np.array([s for s, _ in rows], float)
    labels = np.array([y for _, y in rows], int)
    times = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(rows), max_size=len(rows))))
    weighted = eer_threshold(scores, labels, times)
    repeated = eer_threshold(np.repeat(scores, times), np.repeat(labels, times))
    if isinstance(repeated, NoThreshold):
        assert weighted == repeated or "Both" in repeated.sentence
        assert isinstance(weighted, NoThreshold)
        return
    assert isinstance(weighted, EqualErrorRate)
    assert weighted.value == repeated.value
    assert weighted.eer == pytest.approx(repeated.eer)
    assert weighted.eer_interpolated == pytest.approx(repeated.eer_interpolated)


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_interpolated_rate_is_where_the_roc_polygon_meets_the_diagonal(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.r_[0, 1, rng.integers(0, 2, 30)]
    scores = np.r_[0, 9, rng.integers(0, 10, 30)].astype(float)
    found = eer_threshold(scores, labels)
    fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    # Along the polygon fpr + tpr − 1 rises, so the crossing is an interpolation of fpr at 0.
    expected = np.interp(0, fpr + tpr - 1, fpr)
    assert found.eer_interpolated == pytest.approx(expected)


def test_weights_put_the_threshold_where_the_stream_is_balanced() -> None:
    # Two of ten normals were drawn from below and stand for ten each: they hardly ever score high.
    scores, labels = [1.0, 2.0, 4.0, 5.0, 3.0, 6.0], [0, 0, 0, 0, 1, 1]
    weights = [10.0, 10.0, 1.0, 1.0, 1.0, 1.0]
    found = eer_threshold(scores, labels, weights)
    assert isinstance(found, EqualErrorRate)
    assert found.value == 3.0
    assert found.fpr == pytest.approx(2 / 22)
    assert found.effective_normal == pytest.approx(22**2 / 202)
    assert eer_threshold(scores, labels).value == 4.0


def test_ties_prefer_the_smaller_mean_error_then_the_smaller_fpr() -> None:
    # θ = 2: FPR ½, FNR 0. θ = 3: FPR 0, FNR ½. Equal gaps and means: the quieter one.
    found = eer_threshold([1.0, 2.0, 2.0, 3.0], [0, 0, 1, 1])
    assert (found.value, found.fpr, found.fnr) == (3.0, 0.0, 0.5)


def test_worse_than_chance_is_found_and_not_turned_round() -> None:
    found = eer_threshold([4.0, 3.0, 2.0, 1.0], [0, 0, 1, 1])
    assert found.eer == 1.0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_perfect_separation_takes_the_middle_of_the_gap(dtype: type) -> None:
    found = eer_threshold(np.array([1, 2, 5, 7], dtype), [0, 0, 1, 1])
    assert (found.value, found.eer, found.eer_interpolated) == (3.5, 0.0, 0.0)
    top = dtype(0.1)
    neighbours = np.array([top, np.nextafter(top, dtype(1))], dtype)
    found = eer_threshold(neighbours, [0, 1])
    assert list(neighbours >= found.value) == [False, True]


def test_no_threshold_says_why() -> None:
    one_class = eer_threshold([1.0, 2.0], [0, 0])
    assert isinstance(one_class, NoThreshold)
    assert one_class.reason is NoThresholdReason.ONE_CLASS
    assert "2 normal and 0 anomalous" in one_class.sentence
    assert eer_threshold([], []).reason is NoThresholdReason.ONE_CLASS
    assert eer_threshold([1.0, 1.0], [0, 1]).reason is NoThresholdReason.CONSTANT
    too_few = eer_threshold([1.0, 2.0, 3.0], [0, 0, 1], per_class_min=2)
    assert too_few.reason is NoThresholdReason.TOO_FEW
    assert eer_threshold([1.0, 2.0], [0, 1], weights=[1, 0]).reason is NoThresholdReason.ONE_CLASS


@pytest.mark.parametrize(
    "scores, labels, weights, words",
    [
        ([np.nan, 1.0], [0, 1], None, "finite"),
        ([np.inf, 1.0], [0, 1], None, "finite"),
        ([0.0, 1.0], [0, 2], None, "0 .normal"),
        ([0.0, 1.0], [0, 1, 1], None, "equal length"),
        ([0.0, 1.0], [0, 1], [1, -1], "weights"),
        ([0.0, 1.0], [0, 1], [1], "weights"),
    ],
)
def test_bad_input_is_refused(scores: list, labels: list, weights: list | None, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        eer_threshold(scores, labels, weights)
