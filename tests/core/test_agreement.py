"""Cohen's κ against scikit-learn and a hand-worked case."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from alfred.core.agreement import cohen_kappa


def test_a_case_worked_by_hand() -> None:
    """20 both yes, 5 and 10 apart, 15 both no: p_o = .7, p_e = .5, κ = .4 (the textbook's table of 50 grants)."""
    pairs = [(1, 1)] * 20 + [(1, 0)] * 5 + [(0, 1)] * 10 + [(0, 0)] * 15
    assert cohen_kappa(pairs) == pytest.approx(0.4)


@pytest.mark.parametrize("pairs", [[], [(0, 0)] * 7, [(1, 1)]])
def test_what_chance_alone_explains_has_no_kappa(pairs: list[tuple[int, int]]) -> None:
    assert cohen_kappa(pairs) is None


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=60))
def test_it_is_what_scikit_learn_says(pairs: list[tuple[int, int]]) -> None:
    found = cohen_kappa(pairs)
    if len({label for pair in pairs for label in pair}) == 1:
        assert found is None
        return
    assert found == pytest.approx(float(cohen_kappa_score(*zip(*pairs, strict=True))))
