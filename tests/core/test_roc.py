import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from alfred.core.roc import auc_pr, auc_roc, average_precision, roc_curve

seeds = st.integers(0, 100_000)


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    n = rng.integers(3, 60)
    labels = np.r_[0, 1, rng.integers(0, 2, n)]
    scores = rng.integers(0, rng.integers(2, 30), n + 2).astype(float)
    return scores, labels, rng.uniform(0.1, 5, n + 2)


@settings(max_examples=50)
@given(seeds, st.booleans())
def test_areas_agree_with_scikit_learn(seed: int, weighted: bool) -> None:
    scores, labels, w = drawn(seed)
    weights = w if weighted else None
    assert auc_roc(scores, labels, weights) == pytest.approx(
        metrics.roc_auc_score(labels, scores, sample_weight=weights)
    )
    assert average_precision(scores, labels, weights) == pytest.approx(
        metrics.average_precision_score(labels, scores, sample_weight=weights)
    )
    precision, recall, _ = metrics.precision_recall_curve(labels, scores, sample_weight=weights)
    assert auc_pr(scores, labels, weights) == pytest.approx(metrics.auc(recall, precision))


@settings(max_examples=30)
@given(seeds)
def test_roc_curve_keeps_every_point(seed: int) -> None:
    scores, labels, _ = drawn(seed)
    fpr, tpr, thresholds = metrics.roc_curve(labels, scores, drop_intermediate=False)
    ours = roc_curve(scores, labels)
    assert ours is not None
    assert ours.theta[1:] == pytest.approx(thresholds[1:])
    assert ours.theta[0] > scores.max()
    assert ours.fpr == pytest.approx(fpr)
    assert ours.fnr == pytest.approx(1 - tpr)


def test_ties_get_half_credit_and_the_two_pr_areas_differ() -> None:
    scores, labels = [1.0] * 4, [0, 0, 1, 1]
    assert auc_roc(scores, labels) == 0.5
    assert average_precision(scores, labels) == 0.5
    assert auc_pr(scores, labels) == 0.75


@pytest.mark.parametrize("labels", [[0, 0], [1, 1]])
def test_a_missing_class_is_no_number(labels: list[int]) -> None:
    for area in (auc_roc, average_precision, auc_pr, roc_curve):
        assert area([1.0, 2.0], labels) is None
        assert area([], []) is None


def test_above_the_maximum_means_so_in_the_scores_own_precision() -> None:
    scores = np.array([0.1, 0.3], np.float32)
    found = roc_curve(scores, [0, 1])
    assert not (scores >= np.float32(found.theta[0])).any()
    assert list(found.fnr) == [1, 0, 0]
