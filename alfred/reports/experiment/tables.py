"""The paper's Tables 3, 6 and 7, and the quartiles behind its Figure 3."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from alfred.core.intervals import Interval
from alfred.reports.experiment.pooled import CSC, TRAINED, WORDS, Pooled, Run, Scope, pooled
from alfred.reports.experiment.table import Record, Table
from alfred.reports.experiment.words import NA, interval, percent, span, stored

RATES = ("fnr", "fpr", "ebi")
PAPER_QUARTILES = {
    "continual": (51.51, 60.57, 63.91),
    "pseudo_continual": (56.64, 60.73, 66.13),
    "active_learning": (58.98, 60.75, 69.91),
    "al_light": (59.76, 64.21, 68.91),
}
"""Q1, median, Q3 in percent, over 3 detectors × 7 cameras of HuVAD."""


def table_3(run: Run) -> Table:
    """FNR, FPR and EBI over all cameras: counts added, then divided."""
    several = len(run.seeds) > 1
    found = [(scope, pooled(scope, arm)) for scope in run.scopes for arm in run.arms if scope.has(arm)]
    columns = ["%", "95 % interval", *(["seeds"] if several else [])]
    notes = [
        "Counts are added over cameras and slices and divided last. Intervals: bootstrap over blocks (camera, slice, "
        f"block) with {_seed_words(run)}." + (" “seeds”: lowest to highest over all seeds." if several else ""),
    ]
    if len(run.detectors) > 1:
        notes.append("All detectors: their counts are added; what they made of one block is resampled together.")
    return Table(
        "table-3",
        "Table 3: FNR, FPR and EBI of cumulative counts",
        run.unit,
        [("", ["detector", "cameras", "methodology"]), *((name.upper(), columns) for name in RATES)],
        [_row_3(scope, line, several) for scope, line in found],
        [_record_3(scope, line) for scope, line in found],
        labels=3,
        notes=notes,
    )


def _seed_words(run: Run) -> str:
    return f"seed {run.seeds[0]}" if len(run.seeds) > 1 else "the only seed"


def _row_3(scope: Scope, line: Pooled, several: bool) -> list[str]:
    row = [scope.detector, scope.where, WORDS[line.arm]]
    for name in RATES:
        value = getattr(line.counts, name)
        row += [percent(value), interval(getattr(line.intervals, name), value)]
        row += [span(line.over_seeds[name])] if several else []
    return row


def _record_3(scope: Scope, line: Pooled) -> Record:
    record: Record = {"detector": scope.detector, "cameras": scope.where, "methodology": line.arm}
    record |= {"first_seed": scope.seeds[0], "blocks": line.blocks}
    record |= {name: int(getattr(line.counts, name)) for name in ("tp", "fp", "tn", "fn")}
    for name in RATES:
        found: Interval | None = getattr(line.intervals, name)
        record[f"{name}_percent"] = stored(getattr(line.counts, name))
        record[f"{name}_low_percent"] = stored(found.low if found else None)
        record[f"{name}_high_percent"] = stored(found.high if found else None)
        low, high = line.over_seeds[name] or (None, None)
        record[f"{name}_seeds_min_percent"], record[f"{name}_seeds_max_percent"] = stored(low), stored(high)
    return record


def by_camera(run: Run) -> list[Table]:
    """Table 6, and Table 7 for a camera named CSC."""
    usual = [camera for camera in run.cameras if camera != CSC]
    made = []
    if usual:
        made.append(_rates_of(run, usual, "table-6", "Table 6: FNR, FPR and EBI per camera"))
    if CSC in run.cameras:
        made.append(_rates_of(run, [CSC], "table-7", "Table 7: FNR, FPR and EBI of CSC"))
    return made


def _rates_of(run: Run, cameras: list[str], stem: str, title: str) -> Table:
    cells = {(cell.detector, cell.where): cell for cell in run.cells() if cell.where in cameras}
    rows = [
        [detector, WORDS[arm], *(value for camera in cameras for value in _rates(cells.get((detector, camera)), arm))]
        for detector in run.detectors
        for arm in run.arms
    ]
    note = f"Of each camera's first seed ({_seed_words(run)}); the CSV has all seeds and the counts."
    head = [("", ["detector", "methodology"]), *((camera, ["FNR %", "FPR %", "EBI %"]) for camera in cameras)]
    return Table(stem, title, run.unit, head, rows, _records_6(cells.values(), run.arms), notes=[note])


def _rates(cell: Scope | None, arm: str) -> list[str]:
    if cell is None or not cell.has(arm):
        return [NA] * 3
    counts = cell.counts(arm)
    return [percent(getattr(counts, name)) for name in RATES]


def _records_6(cells: Iterable[Scope], arms: list[str]) -> list[Record]:
    records: list[Record] = []
    for cell in cells:
        for arm in arms:
            for seed in cell.seeds if cell.has(arm) else []:
                counts = cell.counts(arm, seed)
                record: Record = {"detector": cell.detector, "camera": cell.where, "methodology": arm, "seed": seed}
                record |= {name: int(getattr(counts, name)) for name in ("tp", "fp", "tn", "fn")}
                records.append(record | {f"{name}_percent": stored(getattr(counts, name)) for name in RATES})
    return records


def ebi_of_cells(run: Run, arm: str) -> list[tuple[Scope, float]]:
    """EBI of every detector on every camera, first seed; cells without one are left out."""
    found = [(cell, cell.ebi(arm)) for cell in run.cells() if cell.has(arm)]
    return [(cell, value) for cell, value in found if value is not None]


def quartiles(run: Run) -> Table:
    """Minimum, quartiles and maximum of EBI over detector × camera, numpy's linear percentiles."""
    rows, records = [], []
    for arm in run.arms:
        values = [value for _, value in ebi_of_cells(run, arm)]
        found = np.percentile(values, [0, 25, 50, 75, 100]).tolist() if values else [None] * 5
        paper = PAPER_QUARTILES.get(arm)
        rows.append(
            [WORDS[arm], str(len(values)), *(percent(v) for v in found)]
            + [f"{v:.2f}" if paper else NA for v in paper or (0.0,) * 3]
        )
        record: Record = {"methodology": arm, "n": len(values)}
        names = ("min", "q1", "median", "q3", "max")
        record |= {f"{name}_percent": stored(value) for name, value in zip(names, found, strict=True)}
        records.append(record | _paper_record(arm))
    return Table(
        "quartiles",
        "Quartiles of EBI over detector × camera",
        run.unit,
        [
            ("", ["methodology", "n"]),
            ("this run, EBI %", ["min", "Q1", "median", "Q3", "max"]),
            ("paper, EBI %", ["Q1", "median", "Q3"]),
        ],
        rows,
        records,
        labels=1,
        notes=[
            "Linear percentiles over cells of a detector and a camera with both classes (n), first seed. The paper's "
            "are of HuVAD, with n = 21: other people, cameras and detectors, so they stand here for orientation and "
            "are not comparable.",
        ],
    )


def _paper_record(arm: str) -> Record:
    paper = PAPER_QUARTILES.get(arm, (None,) * 3) if arm in TRAINED else (None,) * 3
    names = ("q1", "median", "q3")
    return {f"paper_{n}_percent": NA if v is None else v for n, v in zip(names, paper, strict=True)}
