"""Numbers as people read them: percent with two decimals, and "n/a" for what is not defined."""

from __future__ import annotations

from collections.abc import Iterable

from alfred.core.intervals import TOO_FEW, Interval

NA = "n/a"


def percent(value: float | None) -> str:
    """0.5123 → "51.23"."""
    return NA if value is None else f"{100 * value + 0.0:.2f}"


def points(value: float | None) -> str:
    """A difference in percentage points, with its sign; 0 has none."""
    if value is None:
        return NA
    rounded = round(100 * value, 2)
    return "0.00" if rounded == 0 else f"{rounded:+.2f}".replace("-", "−")


def interval(found: Interval | None, value: float | None) -> str:
    """Both ends in percent, or why there is none."""
    if value is None:
        return NA
    return TOO_FEW if found is None else f"{percent(found.low)}–{percent(found.high)}"


def span(found: tuple[float, float] | None) -> str:
    """Lowest and highest over the seeds."""
    return NA if found is None else f"{percent(found[0])}–{percent(found[1])}"


def with_unit(value: float | None) -> str:
    """The same within a sentence, never parted from its sign."""
    return NA if value is None else f"{percent(value)}\u00a0%"


def whole(value: int | float | None) -> str:
    """12345 → "12,345"."""
    return NA if value is None else f"{value:,.0f}"


def sign(value: float | None) -> str:
    if value is None:
        return NA
    return "0" if abs(value) < 1e-12 else "+" if value > 0 else "−"


def listed(items: Iterable[str]) -> str:
    """Joined with commas and a last "and"."""
    *rest, last = items
    return f"{', '.join(rest)} and {last}" if rest else last


def stored(value: float | None) -> float | str:
    """A share as the CSV keeps it: percent, four decimals."""
    return NA if value is None else round(100 * value + 0.0, 4)
