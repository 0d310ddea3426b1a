import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alfred.core.ebi import ebi
from alfred.core.rates import Counts

# FNR %, FPR %, EBI %: the published table of cumulative rates (003, Table 3). One cell is a misprint there:
# 62.56, where its own rates give 62.41.
TABLE_3 = [
    (32.77, 45.92, 59.94),
    (37.74, 28.01, 66.77),
    (35.24, 39.85, 62.36),
    (37.67, 37.50, 62.41),
    (38.68, 38.20, 61.56),
    (29.84, 47.82, 59.85),
    (41.29, 31.29, 63.31),
    (39.33, 31.73, 64.24),
    (24.25, 41.55, 65.98),
    (25.67, 40.61, 66.02),
    (24.96, 39.46, 67.01),
    (24.86, 39.78, 66.85),
]

# FNR %, FPR % of AL-Light, three models by seven cameras (003, Tables 6 and 7).
AL_LIGHT = """
    44.52 21.39  31.05 39.41  29.77 39.28  42.69 13.61  41.70 80.68  38.94 68.39  31.11 17.13
    19.07 46.78  48.34 12.60  46.12 26.68  47.90 29.93  40.70 51.15  29.34 28.02  15.62 33.45
    28.32 46.67  23.97 50.00  22.37 47.78  27.74 15.27  31.02 58.94  17.06 61.89  23.59 29.36
"""

shares = st.floats(0, 1)


@pytest.mark.parametrize("fnr, fpr, published", TABLE_3)
def test_ebi_of_published_rates(fnr: float, fpr: float, published: float) -> None:
    assert 100 * ebi(fpr / 100, fnr / 100) == pytest.approx(published, abs=0.011)


def test_ebi_quartiles_of_al_light_are_the_published_ones() -> None:
    cells = np.array(AL_LIGHT.split(), float).reshape(21, 2) / 100
    values = [ebi(fpr, fnr) for fnr, fpr in cells]
    assert 100 * np.percentile(values, [50, 75]) == pytest.approx([64.21, 68.91], abs=0.006)


def test_ebi_without_a_class_is_unknown_and_of_nothing_right_is_zero() -> None:
    assert ebi(None, 0.1) is None
    assert ebi(0.1, None) is None
    assert ebi(1.0, 1.0) == 0.0
    assert ebi(1.0, 0.0) == 0.0
    assert ebi(0.0, 0.0) == 1.0


@given(shares, shares)
def test_ebi_is_symmetric_and_at_most_the_mean(a: float, b: float) -> None:
    value = ebi(a, b)
    assert value == ebi(b, a)
    assert 0 <= value <= 1 - (a + b) / 2 + 1e-12


def test_counts_from_decisions() -> None:
    counts = Counts.from_decisions([1, 1, 0, 0, 0, 1], [1, 0, 0, 1, 0, 1])
    assert counts == Counts(tp=2, fp=1, tn=2, fn=1)
    assert isinstance(counts.tp, int)
    assert counts.n == 6
    assert counts.fpr == pytest.approx(1 / 3)
    assert counts.fnr == pytest.approx(1 / 3)
    weighted = Counts.from_decisions([1, 0], [0, 0], weights=[2.5, 7.5])
    assert weighted == Counts(fp=2.5, tn=7.5)
    assert weighted.fpr == 0.25


def test_a_missing_class_has_no_rate() -> None:
    only_normal = Counts(fp=1, tn=3)
    assert only_normal.fpr == 0.25
    assert only_normal.fnr is None
    assert only_normal.ebi is None
    assert Counts().fpr is None


def test_counts_add_up_before_rates_are_taken() -> None:
    slices = [Counts(fp=1, tn=1, tp=1), Counts(tn=98, fn=3)]
    assert sum(slices) == sum(slices, Counts()) == Counts(tp=1, fp=1, tn=99, fn=3)
    assert sum(slices).fpr == 0.01
    assert sum(slices).fnr == 0.75


def test_counts_refuse_nonsense() -> None:
    with pytest.raises(ValueError, match="negative"):
        Counts(tp=-1)
    with pytest.raises(ValueError, match="labels"):
        Counts.from_decisions([1], [2])
    with pytest.raises(ValueError, match="labels"):
        Counts.from_decisions([1, 0], [1])
    with pytest.raises(TypeError):
        sum([Counts()], 5)
