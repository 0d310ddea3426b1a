"""What people were asked, what AL-Light saved of it, and what the asking brought."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from alfred.core.al_light import Why
from alfred.core.methodologies import Methodology
from alfred.reports.experiment.pooled import CSC, FROZEN, WORDS, Part, Row, Run, Scope, lowest_highest
from alfred.reports.experiment.table import Record, Table
from alfred.reports.experiment.words import NA, percent, points, span, stored, whole

LIGHT = str(Methodology.AL_LIGHT)
ACTIVE = str(Methodology.ACTIVE_LEARNING)
ASKING = (ACTIVE, LIGHT)
PAPER_CAMERA = "C0"
SEGMENTS = "segments"
PAPER = (
    "The paper reports at least 24.35 % saved at each step with the rolling band, and 34.22 % on C0 with TSGAD and "
    "the midpoint, on HuVAD in poses. A median of the items themselves would save about half by construction, so saved "
    "work says nothing without the EBI beside it."
)


@dataclass(frozen=True)
class Effort:
    """Sums of an arm over a scope in one unit. `least` is the smallest share that a step saved, of steps that flagged;
    `least_banded` the same of steps that ended with a band.

    flagged: what full active learning by the same model would ask. wanted: what the methodology would. asked: what
    was left of that by a budget.
    """

    flagged: int
    wanted: int
    asked: int
    least: float | None
    least_banded: float | None

    @property
    def saved(self) -> float | None:
        """The share of the flagged that the methodology did not ask for; what a budget cut is not counted."""
        return 1 - self.wanted / self.flagged if self.flagged else None


def _column(name: str, unit: str) -> str:
    return f"{name}_segments" if unit == SEGMENTS else name


def effort(parts: Iterable[Part], arm: str, unit: str) -> Effort:
    """Added over the slices of these parts; `unit` "segments" or whatever was counted."""
    rows = [step for part in parts for step in part.steps(arm)]
    flagged, wanted, asked = ([int(row[_column(n, unit)]) for row in rows] for n in ("flagged", "wanted", "asked"))
    shares = [(1 - w / f, row) for f, w, row in zip(flagged, wanted, rows, strict=True) if f]
    banded = [share for share, row in shares if row.get("theta_med") is not None]
    least = min((share for share, _ in shares), default=None)
    return Effort(sum(flagged), sum(wanted), sum(asked), least, min(banded, default=None))


def saved_over_seeds(scope: Scope, arm: str, unit: str) -> tuple[float, float] | None:
    """Lowest and highest share saved; None with one seed, or where a seed flagged nothing."""
    return lowest_highest([effort(scope.of_seed(seed), arm, unit).saved for seed in scope.seeds])


def gained_per_100(scope: Scope, arm: str) -> float | None:
    """EBI over the frozen weights' for every 100 segments asked, a fraction; None where nothing was asked."""
    asked = effort(scope.of_seed(), arm, SEGMENTS).asked
    ebi, frozen = scope.ebi(arm), scope.ebi(FROZEN) if scope.has(FROZEN) else None
    return None if not asked or ebi is None or frozen is None else 100 * (ebi - frozen) / asked


def scopes(run: Run) -> list[Scope]:
    """All cameras together, then C0, which the paper has a figure of, and CSC."""
    return [*run.scopes, *run.alone(PAPER_CAMERA), *run.alone(CSC)]


def efforts(run: Run) -> list[Table]:
    """A table in the unit that was counted, and one in segments, which is what people judge."""
    units = [run.unit, *([SEGMENTS] if run.unit != SEGMENTS else [])]
    return [_effort_table(run, unit) for unit in units]


def _effort_table(run: Run, unit: str) -> Table:
    lines = [(scope, arm) for scope in scopes(run) for arm in ASKING if scope.has(arm)]
    gains = unit == SEGMENTS
    head = ["detector", "cameras", "methodology", "flagged", "asked for", "asked", "saved %"]
    head += [*(["saved, seeds"] if len(run.seeds) > 1 else []), "least of a step %", "least with a band %"]
    notes = [
        "Flagged: what full active learning by the same model would ask. Asked for: what the methodology would. Asked: "
        "what a budget left of that. Saved: 1 − asked for / flagged. Least: the smallest share saved in a step, of all "
        f"that flagged any, and of those that ended with a band. {_of_first(run)}".rstrip(),
        PAPER,
    ]
    if gains:
        notes.insert(1, f"EBI, and its gain over the frozen weights, are of {run.unit}: points per 100 segments asked.")
        if run.unit != SEGMENTS:
            notes.insert(1, "A segment counts as flagged, asked for or asked when any of its poses is.")
    extra = [f"EBI points ({run.unit}) per 100 asked"] if gains else [f"EBI % of {run.unit}"]
    if gains and run.unit == SEGMENTS:
        extra = ["EBI % of segments", *extra]
    return Table(
        f"effort-{unit}",
        f"Effort in {unit}",
        unit,
        [("", [*head, *extra])],
        [_row(run, scope, arm, unit) for scope, arm in lines],
        [_record(scope, arm, unit) for scope, arm in lines],
        labels=3,
        notes=notes,
    )


def _of_first(run: Run) -> str:
    return f"Of seed {run.seeds[0]}; every slice and seed is in effort-by-slice.csv." if len(run.seeds) > 1 else ""


def _row(run: Run, scope: Scope, arm: str, unit: str) -> list[str]:
    found = effort(scope.of_seed(), arm, unit)
    row = [scope.detector, scope.where, WORDS[arm], whole(found.flagged), whole(found.wanted), whole(found.asked)]
    row += [percent(found.saved), *([span(saved_over_seeds(scope, arm, unit))] if len(run.seeds) > 1 else [])]
    row += [percent(found.least), percent(found.least_banded)]
    if unit == run.unit:
        row.append(percent(scope.ebi(arm)))
    return [*row, points(gained_per_100(scope, arm))] if unit == SEGMENTS else row


def _record(scope: Scope, arm: str, unit: str) -> Record:
    found = effort(scope.of_seed(), arm, unit)
    record: Record = {"detector": scope.detector, "cameras": scope.where, "methodology": arm, "unit": unit}
    record |= {"seed": scope.seeds[0], "flagged": found.flagged, "asked_for": found.wanted, "asked": found.asked}
    record |= {"saved_percent": stored(found.saved), "least_saved_of_a_step_percent": stored(found.least)}
    record["least_saved_with_a_band_percent"] = stored(found.least_banded)
    low, high = saved_over_seeds(scope, arm, unit) or (None, None)
    record |= {"saved_seeds_min_percent": stored(low), "saved_seeds_max_percent": stored(high)}
    if unit == SEGMENTS:
        return record | {"ebi_points_gained_per_100_asked": stored(gained_per_100(scope, arm))}
    return record | {"ebi_percent": stored(scope.ebi(arm))}


def by_slice(run: Run) -> Table:
    """The CSV of every slice, in both units; nothing of it is shown."""
    records = [
        _slice_record(part, arm, step, unit)
        for part in run.parts
        for arm in run.arms
        if arm != FROZEN
        for step in part.steps(arm)
        for unit in dict.fromkeys((run.unit, SEGMENTS))
    ]
    return Table("effort-by-slice", "Effort of every slice", "both", [], [], records)


def _slice_record(part: Part, arm: str, step: Row, unit: str) -> Record:
    record: Record = {"detector": part.detector, "camera": part.camera, "methodology": arm, "seed": part.seed}
    record |= {"slice": step["slice"], "unit": unit, "theta": step["theta"]}
    record["theta_med"] = NA if step.get("theta_med") is None else step["theta_med"]
    flagged, wanted, asked = (step[_column(name, unit)] for name in ("flagged", "wanted", "asked"))
    record |= {"flagged": flagged, "asked_for": wanted, "asked": asked}
    return record | {"saved_percent": stored(1 - wanted / flagged if flagged else None)}


def bands(run: Run) -> Table:
    """How often AL-Light had a band, and why not where it had none."""
    chosen = [scope for scope in scopes(run) if scope.has(LIGHT)]
    reasons = (Why.BAND, Why.TOO_FEW, Why.BELOW_THETA)
    rows, records = [], []
    for scope in chosen:
        counted: Counter[str] = Counter()
        for part in scope.of_seed():
            for step in part.steps(LIGHT):
                counted.update(step.get("band", {}))
        total = counted.total()
        without = (total - counted[Why.BAND]) / total if total else None
        rows.append([scope.detector, scope.where, *(whole(counted[why]) for why in reasons), percent(without)])
        record: Record = {"detector": scope.detector, "cameras": scope.where, "seed": scope.seeds[0]}
        record |= {str(why).replace(" ", "_"): counted[why] for why in reasons}
        records.append(record | {"without_a_band_percent": stored(without)})
    return Table(
        "bands",
        "AL-Light: flagged with and without a band",
        run.unit,
        [("", ["detector", "cameras", *map(str, reasons), "without a band %"])],
        rows,
        records,
        notes=[f"{Why.TOO_FEW.sentence} {Why.BELOW_THETA.sentence} {_of_first(run)}".rstrip()],
    )
