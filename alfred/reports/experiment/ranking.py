"""The paper's Tables 4 and 2: how well each trained version ranks the validation set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from alfred.core.methodologies import Methodology
from alfred.reports.experiment.pooled import CSC, FROZEN, WORDS, Part, Run, Scope
from alfred.reports.experiment.table import Record, Table
from alfred.reports.experiment.words import NA, percent, stored

OFFLINE = str(Methodology.OFFLINE)
SHOWN = ("auc_roc", "auc_pr")
KEPT = ("auc_roc", "auc_pr", "average_precision", "eer", "fpr", "fnr", "theta", "coverage")
Figures = dict[str, Any]


def versions(part: Part, arm: str) -> list[tuple[int, Figures]]:
    """(k, figures): the version after k slices on the validation set. 0 are the source weights.

    A step's figures are of the version that decided its slice, so the last version's stand apart. A slice whose
    training failed made no version. The frozen arm has version 0 alone, the offline one what it ended with.
    """
    steps, after = part.steps(arm), part.after(arm)
    if arm == OFFLINE or not steps:
        return [(len(steps), after)] if after else []
    if arm == FROZEN:
        return [(0, steps[0]["validation"])]
    figures = [step["validation"] for step in steps] + [after]
    return [(k, found) for k, found in enumerate(figures) if found and (k == 0 or "failed" not in steps[k - 1])]


def trained(part: Part, arm: str) -> list[tuple[int, Figures]]:
    """Without the source weights, but for the frozen arm, which has nothing else."""
    found = versions(part, arm)
    return found if arm in (FROZEN, OFFLINE) else [(k, figures) for k, figures in found if k > 0]


def best(found: list[tuple[int, Figures]], name: str) -> tuple[int, float] | None:
    """The first version with the largest figure (of EER the smallest), and the figure."""
    known = [(k, float(figures[name])) for k, figures in found if figures.get(name) is not None]
    if not known:
        return None
    return min(known, key=lambda row: row[1]) if name == "eer" else max(known, key=lambda row: row[1])


def rankings(run: Run) -> list[Table]:
    """Table 4 over the cameras, Table 2 for a camera named CSC, and a CSV of every version."""
    usual = [camera for camera in run.cameras if camera != CSC]
    made = []
    if usual:
        made.append(_table(run, usual, "table-4", "Table 4: AUC-ROC and AUC-PR per camera"))
    if CSC in run.cameras:
        made.append(_table(run, [CSC], "table-2", "Table 2: AUC-ROC and AUC-PR of CSC"))
    return made


def _arms(run: Run) -> list[str]:
    return [arm for arm in WORDS if any(versions(part, arm) for part in run.parts)]


def _table(run: Run, cameras: list[str], stem: str, title: str) -> Table:
    cells = {(cell.detector, cell.where): cell for cell in run.cells() if cell.where in cameras}
    rows = [
        [detector, WORDS[arm], *(value for camera in cameras for value in _shown(cells.get((detector, camera)), arm))]
        for detector in run.detectors
        for arm in _arms(run)
    ]
    columns = ["AUC-ROC best of K", "last", "AUC-PR best of K", "last"]
    notes = [
        f"Best of K: selected on the validation set, which these figures are of too, so it flatters; each figure has "
        f"its own best. K counts the trained versions ({_k_words(cells.values(), run)}). “Last” is the version after "
        "the last slice. Frozen and Offline have one version each: both columns show it.",
        "AUC-PR here is the area by trapezoids; average precision (steps) and EER are in the CSV. In percent, "
        f"{_of_first(run)}.",
    ]
    head = [("", ["detector", "methodology"]), *((camera, columns) for camera in cameras)]
    return Table(stem, title, run.unit, head, rows, list(_records(run, cameras)), notes=notes)


def _of_first(run: Run) -> str:
    return f"of seed {run.seeds[0]}; the CSV has all seeds" if len(run.seeds) > 1 else "of the only seed"


def _k_words(cells: Any, run: Run) -> str:
    counted = {len(trained(part, arm)) for cell in cells for part in cell.parts for arm in run.arms if arm != FROZEN}
    if not counted:
        return "none here"
    return str(min(counted)) if len(counted) == 1 else f"{min(counted)} to {max(counted)}"


def _shown(cell: Scope | None, arm: str) -> list[str]:
    found = trained(cell.of_seed()[0], arm) if cell else []
    values = []
    for name in SHOWN:
        top = best(found, name)
        values += [percent(top[1] if top else None), percent(found[-1][1].get(name) if found else None)]
    return values


def _records(run: Run, cameras: list[str]) -> Iterator[Record]:
    for camera in cameras:
        for part in (p for p in run.parts if p.camera == camera):
            for arm in _arms(run):
                yield _record(part, arm)


def _record(part: Part, arm: str) -> Record:
    found = trained(part, arm)
    record: Record = {"detector": part.detector, "camera": part.camera, "methodology": arm, "seed": part.seed}
    record["versions"] = len(found)
    for name in ("auc_roc", "auc_pr", "average_precision", "eer"):
        top = best(found, name)
        record[f"{name}_best_percent"] = stored(top[1] if top else None)
        record[f"{name}_best_after_slices"] = top[0] if top and arm != OFFLINE else NA
        record[f"{name}_last_percent"] = stored(found[-1][1].get(name) if found else None)
    return record


def steps_table(run: Run) -> Table:
    """The CSV of every version's figures on the validation set; nothing of it is shown."""
    records: list[Record] = [
        {"detector": part.detector, "camera": part.camera, "methodology": arm, "seed": part.seed}
        | {"after_slices": NA if arm == OFFLINE else k}
        | {name: NA if figures.get(name) is None else figures[name] for name in KEPT}
        for part in run.parts
        for arm in _arms(run)
        for k, figures in versions(part, arm)
    ]
    return Table("validation-by-version", "Every version on the validation set", run.unit, [], [], records)
