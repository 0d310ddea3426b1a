"""Series for the page's curves: closed slices only, rates in percent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from alfred.core.rates import Counts
from alfred.reports.figures import BASIS_WORDS, Line

Chart = dict[str, Any]


class Plotted(Protocol):
    """What a curve needs of a slice."""

    @property
    def ordinal(self) -> int: ...

    @property
    def series(self) -> str: ...

    @property
    def theta(self) -> float | None: ...

    @property
    def theta_words(self) -> str: ...

    @property
    def share(self) -> float | None: ...

    @property
    def version(self) -> str: ...


def chart_of(slices: Sequence[Plotted], lines: list[tuple[int, Line]]) -> Chart:
    """EBI of each slice alone; EBI, FPR and FNR of all so far, begun anew with each series; θ and share flagged.

    All rates 0..100. `rows` says the same as a table. `has_rates` is false where no slice has any.
    """
    basis = _basis(lines)
    rows: list[dict[str, Any]] = []
    running, series = Counts(), None
    for row in slices:
        if row.series != series:
            running, series = Counts(), row.series
        own = [line.counts for at, line in lines if at == row.ordinal and _is(line, basis)]
        alone = sum(own, Counts())
        running = running + alone
        rows.append(
            {
                "slice": row.ordinal,
                "series": row.series,
                "alone": _percent(alone.ebi),
                "ebi": _percent(running.ebi),
                "fpr": _percent(running.fpr),
                "fnr": _percent(running.fnr),
                "theta": row.theta,
                "theta_words": row.theta_words,
                "share": _percent(row.share),
                "version": row.version,
            }
        )
    rates = ("alone", "ebi", "fpr", "fnr")
    return {
        "rates": {name: _with_breaks(rows, name) for name in ("slice", *rates)} | {"exact": basis == "ground_truth"},
        "theta": {name: _with_breaks(rows, name) for name in ("slice", "theta", "share")},
        "basis": BASIS_WORDS[basis] if basis else "",
        "has_rates": any(row[name] is not None for row in rows for name in rates),
        "rows": rows,
    }


def _basis(lines: list[tuple[int, Line]]) -> str | None:
    """The best basis that knows all four counts; one curve never mixes two."""
    found = {line.basis for _, line in lines if line.unit == "segment" and not line.partial}
    return next((basis for basis in BASIS_WORDS if basis in found), None)


def _is(line: Line, basis: str | None) -> bool:
    return line.unit == "segment" and line.basis == basis


def _percent(value: float | None) -> float | None:
    return None if value is None else round(value * 100, 4)


def _with_breaks(rows: list[dict[str, Any]], name: str) -> list[Any]:
    """The column, with an empty point halfway wherever a new series begins, so that no line joins the two."""
    column: list[Any] = []
    for before, row in zip([None, *rows], rows, strict=False):
        if before is not None and before["series"] != row["series"]:
            column.append((before["slice"] + row["slice"]) / 2 if name == "slice" else None)
        column.append(row[name])
    return column
