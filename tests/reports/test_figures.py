"""Rates of a report against counts worked by hand: series, intervals, what is left out, and the words around them."""

from __future__ import annotations

import pytest

from alfred.core.intervals import rate_intervals
from alfred.core.rates import Counts
from alfred.reports.camera_report import SliceFigures
from alfred.reports.figures import BasisCounts
from tests.reports.worked import figures, one

MANY = [[2, 1, 7, 1], [1, 2, 6, 0], [3, 0, 8, 1]] * 5
"""Fifteen blocks that hold both classes."""


def test_counts_are_added_before_they_are_divided() -> None:
    line = figures().cumulative[0]
    assert (line.unit, line.counts.tp, line.counts.fp, line.counts.tn, line.counts.fn) == ("segment", 3, 2, 14, 1)
    assert (line.fpr.value, line.fnr.value) == pytest.approx((2 / 16, 1 / 4))
    # not the mean of the slices' rates: (2/8 + 0/8) / 2 and (1/3 + 0) / 2
    a, b = 1 - 2 / 16, 1 - 1 / 4
    assert line.ebi.value == pytest.approx(2 * a * b / (a + b))
    assert (line.fpr.low, line.fpr.high) == (None, None) and "too few" in line.fpr.reason


def test_pose_and_segment_figures_share_no_line() -> None:
    report = figures()
    assert [(n, line.unit, line.counts.n) for n, line in report.slice_lines] == [
        (0, "segment", 11),
        (0, "pose", 600),
        (1, "segment", 9),
    ]
    assert [(line.unit, line.counts.n) for line in report.cumulative] == [("segment", 20), ("pose", 600)]
    assert "segments" in report.summary and "poses" not in report.summary


def test_an_open_slices_ground_truth_is_not_in_the_cumulative_figures() -> None:
    report = figures(slices=[one(0, [[1, 0, 8, 0]]), one(2, [[0, 5, 0, 0]], closed=False)])
    assert report.cumulative[0].counts.fp == 0
    assert report.chart["rates"]["slice"] == [0]  # nor in a curve


def test_slices_of_an_older_validation_set_stand_on_their_own() -> None:
    earlier = SliceFigures(
        0, True, 9, 1, [("v0", 0.9, 5), ("v0", 1.5, 4)], False,
        [BasisCounts("segment", "ground_truth", [[1, 5, 3, 0]])],
        series="stg_nf, validation set 1",
    )  # fmt: skip
    other = one(1, [[0, 1, 4, 2]], current=False, series="stg_nf, validation set 2")
    report = figures(slices=[earlier, other, one(2, [[1, 0, 8, 0]], series="stg_nf, validation set 3")])
    assert [(s.title, s.slices, s.lines[0].counts.fp) for s in report.earlier] == [
        ("stg_nf, validation set 2", [1], 1),
        ("stg_nf, validation set 1", [0], 5),
    ]
    assert report.cumulative[0].counts == Counts(1, 0, 8, 0)
    assert (earlier.version, earlier.theta, earlier.theta_words) == ("v0", None, "0.900 to 1.500")
    # Each series begins its curve anew, with a gap before it.
    assert report.chart["rates"]["slice"] == [0, 0.5, 1, 1.5, 2]
    fpr = report.chart["rates"]["fpr"]
    assert fpr == [pytest.approx(500 / 8), None, pytest.approx(20.0), None, 0.0]


def test_the_last_28_days_and_the_deployed_version_stand_beside_the_cumulative_figures() -> None:
    report = figures(
        slices=[
            one(0, [[1, 1, 1, 1]], recent=False, deployed=False),
            one(1, [[2, 0, 5, 0]], deployed=False),
            one(2, [[0, 3, 4, 1]], deployed=True),
        ],
        deployed="v3",
    )
    found = {series.scope: (series.slices, series.lines[0].counts) for series in report.series}
    assert found == {
        "cumulative": ([0, 1, 2], Counts(3, 4, 10, 2)),
        "last_28_days": ([1, 2], Counts(2, 3, 9, 1)),
        "deployed_version": ([2], Counts(0, 3, 4, 1)),
    }
    assert report.series[2].title == "deployed version alone (v3)"


def test_a_missing_class_is_not_available_and_never_zero() -> None:
    report = figures(slices=[one(0, [[0, 1, 7, 0]])])
    line = report.cumulative[0]
    assert line.fpr.value == 1 / 8 and line.fnr.value is None and line.ebi.value is None
    assert line.fnr.reason
    assert "no EBI yet" in report.summary
    assert report.chart["rates"]["ebi"] == [None] and report.chart["rates"]["fnr"] == [None]


def test_the_first_sentence_says_when_there_are_too_few_for_an_interval() -> None:
    said = figures().summary
    assert "EBI of 80.8 % (no interval: too few minutes with normal and with anomalous segments;" in said
    thin = [[0, 1, 5, 0]] * 12 + [[2, 0, 5, 1]]
    assert "no interval: too few minutes with anomalous segments;" in figures(slices=[one(0, thin)]).summary


def test_the_first_sentence_gives_the_interval_where_there_is_one() -> None:
    report = figures(slices=[one(0, MANY)], seed=5)
    expected = rate_intervals(MANY, seed=5).ebi
    assert expected is not None
    assert f"(95 % interval {expected.low * 100:.1f}–{expected.high * 100:.1f} %;" in report.summary
    assert "too few" not in report.summary


def test_what_is_unscored_is_said_beside_the_counts_that_leave_it_out() -> None:
    report = figures(slices=[one(0, [[1, 0, 8, 0]], unscored=2), one(1, [[1, 0, 8, 0]], unscored=1)])
    assert [series.lines[0].unscored for series in report.series] == [3, 3, 3]
    assert [line.unscored for _, line in report.slice_lines] == [2, 1]


def estimated(answered: int, unresolved: int) -> SliceFigures:
    """90 normal and 10 anomalous, 18 and 2 of them wrong; the unresolved would add 10 flagged ones."""
    counts = BasisCounts(
        "segment", "estimated", [[8, 18, 72, 2]], answered=answered, unresolved=unresolved,
        best=Counts(18, 18, 72, 2), worst=Counts(8, 28, 72, 2),
    )  # fmt: skip
    return SliceFigures(0, True, 100, 26, [("v0", 1.5, 100)], True, [counts])


def test_over_2_percent_unresolved_the_best_and_the_worst_case_are_said() -> None:
    report = figures(slices=[estimated(95, 5)])
    line = report.cumulative[0]
    assert line.ebi.value == pytest.approx(0.8)
    best = 2 * 0.8 * 0.9 / 1.7  # FPR 18/90, FNR 2/20
    worst = 2 * 0.72 * 0.8 / 1.52  # FPR 28/100, FNR 2/10
    assert (line.ebi_best, line.ebi_worst) == pytest.approx((best, worst))
    assert "5.0 % of the answers are unresolved" in report.summary
    assert "between 75.8 and 84.7 %" in report.summary


def test_up_to_2_percent_unresolved_is_passed_over() -> None:
    report = figures(slices=[estimated(98, 2)])
    assert (report.cumulative[0].ebi_best, report.cumulative[0].unresolved) == (None, 2)
    assert "unresolved" not in report.summary


@pytest.mark.parametrize(
    ("slices", "by_day", "words"),
    [
        ([], True, "there is no recording. A slice closes at local midnight"),
        (
            [one(0, [[1, 0, 8, 0]], closed=False)],
            False,
            "9 scored segments wait in the open one. A slice closes when a",
        ),
        ([one(0, [[1, 0, 0, 0]], closed=False)], True, "1 scored segment waits in the open one"),
    ],
)
def test_without_a_closed_slice_it_says_so(slices: list[SliceFigures], by_day: bool, words: str) -> None:
    report = figures(slices=slices, closes_by_day=by_day)
    assert report.pending.startswith("No slice is closed yet; ") and words in report.pending
    assert report.summary == "Gate has no figures yet." and not report.chart["rows"]
    assert not figures().pending


def test_a_curve_of_judged_slices_alone_has_no_rates() -> None:
    report = figures(slices=[one(0, [[1, 2, 0, 0]], basis="judged", partial=True)])
    assert report.chart["has_rates"] is False
    assert figures().chart["has_rates"] is True
