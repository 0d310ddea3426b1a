"""Two arms on the same blocks: whose EBI is higher, and whether that is more than chance."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from alfred.core.intervals import CAVEAT, TOO_FEW, PairedDifference, paired_difference
from alfred.reports.experiment.pooled import DICE, FROZEN, TRAINED, WORDS, Run, Scope
from alfred.reports.experiment.table import Record, Table
from alfred.reports.experiment.words import NA, percent, points, sign, stored

BETWEEN = (
    ("continual", "active_learning"),
    ("pseudo_continual", "active_learning"),
    ("active_learning", "al_light"),
    ("continual", "al_light"),
)
"""(a, b): the difference is b − a."""

ADAPTED = tuple((FROZEN, arm) for arm in TRAINED)
CLEAR = {"better": "above", "worse": "below"}


@dataclass(frozen=True)
class Comparison:
    """EBI of b less that of a in a scope. `by_seed` are the plain differences; `found` is of the first seed."""

    scope: Scope
    a: str
    b: str
    blocks: int
    found: PairedDifference
    by_seed: list[float | None]

    @property
    def estimate(self) -> float | None:
        """Also where there are too few blocks for an interval; None where a class is missing."""
        return self.by_seed[0]

    @property
    def verdict(self) -> str:
        """Of b: "above", "below", "no difference" or "too few"."""
        return CLEAR.get(self.found.verdict, self.found.verdict)

    @property
    def signs(self) -> str:
        return " ".join(sign(value) for value in self.by_seed)

    @property
    def unsteady(self) -> bool:
        """Whether a clear difference of the first seed has another sign with another one."""
        return self.found.verdict in CLEAR and len({sign(value) for value in self.by_seed}) > 1

    @property
    def verdict_words(self) -> str:
        return f"{self.verdict}, but not with every seed" if self.unsteady else self.verdict

    @property
    def interval_words(self) -> str:
        """In percentage points, or why there is none."""
        if self.estimate is None:
            return NA
        if self.found.low is None or self.found.high is None:
            return TOO_FEW
        return f"{points(self.found.low)} to {points(self.found.high)}"


def compare(scope: Scope, a: str, b: str) -> Comparison | None:
    """None where one of the arms was not run."""
    if not (scope.has(a) and scope.has(b)):
        return None
    left, right = scope.paired_blocks(a, b)
    found = paired_difference(left, right, seed=DICE)
    by_seed = [_less(scope.ebi(b, seed), scope.ebi(a, seed)) for seed in scope.seeds]
    return Comparison(scope, a, b, len(left), found, by_seed)


def _less(b: float | None, a: float | None) -> float | None:
    return None if a is None or b is None else b - a


def comparisons(scopes: Iterable[Scope]) -> list[Comparison]:
    """All pairs of all scopes, methodologies among themselves first."""
    made = [compare(scope, a, b) for scope in scopes for a, b in (*BETWEEN, *ADAPTED)]
    return [comparison for comparison in made if comparison is not None]


def differences(run: Run, found: list[Comparison]) -> Table:
    """One row a comparison."""
    several = len(run.seeds) > 1
    head = [
        "difference",
        "EBI %",
        "less EBI %",
        "points",
        "95 % interval",
        "blocks",
        "verdict",
        *(["seeds"] if several else []),
    ]
    return Table(
        "paired-differences",
        "Paired differences of EBI",
        run.unit,
        [("", ["detector", "cameras", *head])],
        [_row(comparison, several) for comparison in found],
        [_record(comparison) for comparison in found],
        labels=3,
        texts=("verdict",),
        notes=[
            "The first named less the second, in percentage points; their EBI stand in that order. Both are resampled "
            "on the same blocks (camera, slice, block). “above” and “below” speak of the first, and only where 0 lies "
            f"outside the interval. What the interval covers is {CAVEAT}. "
            + ("“seeds”: the sign of the difference with each." if several else "This run has one seed."),
        ],
    )


def _row(c: Comparison, several: bool) -> list[str]:
    row = [c.scope.detector, c.scope.where, f"{WORDS[c.b]} − {WORDS[c.a]}"]
    row += [percent(c.scope.ebi(c.b)), percent(c.scope.ebi(c.a)), points(c.estimate), c.interval_words]
    return [*row, str(c.blocks), c.verdict_words, *([c.signs] if several else [])]


def _record(c: Comparison) -> Record:
    return {
        "detector": c.scope.detector,
        "cameras": c.scope.where,
        "methodology": c.b,
        "against": c.a,
        "difference_points": stored(c.estimate),
        "low_points": stored(c.found.low),
        "high_points": stored(c.found.high),
        "blocks": c.blocks,
        "verdict": c.verdict,
        # A cell that begins with a sign is a formula to a spreadsheet.
        "signs": ", ".join(f"seed {s}: {sign(v)}" for s, v in zip(c.scope.seeds, c.by_seed, strict=True)),
        "first_seed": c.scope.seeds[0],
    }
