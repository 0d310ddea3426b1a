"""The CSV says what the page says, for any spreadsheet, and runs nothing in it."""

from __future__ import annotations

import csv
import io

import pytest

from alfred.reports.as_csv import COLUMNS, thetas_to_csv, to_csv
from alfred.reports.camera_report import CameraReport, SliceFigures, ThetaStep
from alfred.reports.figures import BasisCounts
from tests.reports.test_figures import MANY, estimated
from tests.reports.worked import figures, one


def rows_of(report: CameraReport) -> list[dict[str, str]]:
    """The CSV's rows, by column."""
    return list(csv.DictReader(io.StringIO(to_csv(report), newline="")))


def test_one_row_a_unit_basis_and_slice_and_the_sums_first() -> None:
    report = figures()
    table = rows_of(report)
    sums = [
        (scope, unit) for scope in ("cumulative", "last_28_days", "deployed_version") for unit in ("segment", "pose")
    ]
    assert [(r["scope"], r["unit"]) for r in table[:6]] == sums
    assert [(r["slice"], r["unit"]) for r in table[6:]] == [("0", "segment"), ("0", "pose"), ("1", "segment")]
    lines = [*(line for s in report.series for line in s.lines), *(line for _, line in report.slice_lines)]
    for row, line in zip(table, lines, strict=True):
        assert [row[n] for n in ("tp", "fp", "tn", "fn")] == [
            f"{v:.0f}" for v in (line.counts.tp, line.counts.fp, line.counts.tn, line.counts.fn)
        ]
        assert float(row["ebi"]) == line.ebi.value


def test_every_column_is_documented_and_every_row_has_all() -> None:
    read = list(csv.reader(io.StringIO(to_csv(figures()), newline="")))
    assert read[0] == list(COLUMNS) and all(COLUMNS.values())
    assert {len(row) for row in read} == {len(COLUMNS)}


def test_intervals_are_those_of_the_page() -> None:
    report = figures(slices=[one(0, MANY)])
    line, row = report.cumulative[0], rows_of(report)[0]
    assert line.ebi.low is not None
    for name in ("ebi", "fpr", "fnr"):
        rate = getattr(line, name)
        assert [float(row[name + end]) for end in ("", "_low", "_high")] == [rate.value, rate.low, rate.high]
        assert 0 <= float(row[f"{name}_low"]) <= float(row[name]) <= float(row[f"{name}_high"]) <= 1
    assert row["blocks"] == "15"


def test_unknown_rates_are_empty_and_never_zero() -> None:
    row = rows_of(figures(slices=[one(0, [[0, 1, 7, 0]])]))[0]
    assert (row["fnr"], row["ebi"], row["fpr"]) == ("", "", "0.125")


def test_judged_lines_leave_what_is_unknown_empty() -> None:
    row = rows_of(figures(slices=[one(0, [[1, 2, 0, 0]], basis="judged", partial=True)]))[0]
    assert (row["tp"], row["fp"], row["tn"], row["fn"]) == ("1", "2", "", "")
    assert (row["fpr"], row["fnr"], row["ebi"]) == ("", "", "")


def test_estimated_counts_keep_their_fractions_and_their_doubt() -> None:
    part = BasisCounts("segment", "estimated", [[8.25, 18.5, 72, 2]], answered=99)
    row = rows_of(figures(slices=[SliceFigures(0, True, 100, 26, [("v0", 1.5, 100)], True, [part])]))[0]
    assert (row["tp"], row["fp"], row["answered"], row["ebi_best"]) == ("8.25", "18.5", "99", "")
    row = rows_of(figures(slices=[estimated(95, 5)]))[0]
    assert float(row["ebi_worst"]) < float(row["ebi"]) < float(row["ebi_best"])
    assert (row["answered"], row["unresolved"]) == ("95", "5")


def test_a_slice_nobody_counted_still_has_its_row() -> None:
    rows = rows_of(figures(slices=[SliceFigures(4, False, 7, 2, [("v0", 1.5, 7)], True, [], unscored=3)]))
    assert [(r["scope"], r["slice"], r["closed"], r["segments"], r["unscored"], r["basis"]) for r in rows] == [
        ("slice", "4", "0", "7", "3", "")
    ]


RUNS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "Ｇate;=1", "＝1+1", "Gate\n@x", 'Gate";+1']


@pytest.mark.parametrize("name", RUNS)
def test_text_that_a_spreadsheet_would_run_is_quoted(name: str) -> None:
    """Cut at commas or, as in other countries, at semicolons, tabs and lines: no piece begins a formula."""
    step = ThetaStep(0, "2026-01-01", "v0", -1.5, "source", name)
    report = figures(camera=name, theta=[step], slices=[one(0, [[1, 1, 1, 1]], series=name)])
    for text in (to_csv(report), thetas_to_csv(report)):
        cells = [cell for row in csv.reader(io.StringIO(text, newline="")) for cell in row]
        assert any("'" in cell and cell.replace("'", "") == name for cell in cells)
        for cut in (",", ";", "\t", "\n", "\r"):
            pieces = [piece.strip(' "') for cell in cells for piece in cell.split(cut)]
            assert not [piece for piece in pieces if piece[:1] in tuple("=+@＝＋－＠")], cut
    assert "-1.5" in thetas_to_csv(report)  # a number may keep its sign


def test_a_plain_name_is_left_alone() -> None:
    name = "Gate 2 - north; a=b, e-mail@site"
    assert rows_of(figures(camera=name))[0]["camera"] == name
