import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alfred.core.thresholds import budget_threshold, weighted_quantile

rows = st.lists(st.tuples(st.integers(0, 8), st.integers(1, 4)), min_size=1, max_size=20)


@given(rows, st.floats(0, 1))
def test_quantile_is_the_first_value_that_reaches_the_share(pairs: list[tuple[int, int]], q: float) -> None:
    values, weights = np.array(pairs, float).T
    found = weighted_quantile(values, q, weights)
    assert found in values
    assert weights[values <= found].sum() >= q * weights.sum() - 1e-9
    assert weights[values < found].sum() <= q * weights.sum() + 1e-9


def test_quantile_by_hand() -> None:
    assert weighted_quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert weighted_quantile([3.0, 1.0, 2.0], 0.5, [1, 10, 1]) == 1.0
    assert weighted_quantile([], 0.5) is None
    assert weighted_quantile([1.0], 0.5, [0]) is None


def test_budget_by_hand() -> None:
    scores = [0.1, 0.2, 0.3, 0.4, 0.5]
    assert budget_threshold(scores, None, 0.4) == 0.4
    assert budget_threshold(scores, None, 0.39) == 0.5
    assert budget_threshold(scores, None, 1.0) == 0.1
    assert budget_threshold(scores, None, 0.0) > 0.5
    # The one at 0.5 stands for six of ten: not even it fits into a half.
    assert budget_threshold(scores, [1, 1, 1, 1, 6], 0.5) > 0.5
    assert budget_threshold([], None, 0.1) is None


@given(rows, st.floats(0, 1))
def test_budget_is_kept_and_no_smaller_score_would_keep_it(pairs: list[tuple[int, int]], share: float) -> None:
    scores, weights = np.array(pairs, float).T
    theta = budget_threshold(scores, weights, share)
    assert weights[scores >= theta].sum() <= share * weights.sum() + 1e-9
    for smaller in scores[scores < theta]:
        assert weights[scores >= smaller].sum() > share * weights.sum() - 1e-9


def test_budget_refuses_a_share_that_is_none() -> None:
    with pytest.raises(ValueError, match="share"):
        budget_threshold([1.0], None, 1.5)
