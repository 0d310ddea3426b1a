"""How the run went: gates, coverage, time, settings, and what failed."""

from __future__ import annotations

from collections import Counter

from alfred.reports.experiment.pooled import FROZEN, STREAMED, WORDS, Part, Row, Run
from alfred.reports.experiment.table import Record, Table
from alfred.reports.experiment.words import NA, percent, stored, whole

SETTINGS = {
    "data": "data",
    "detectors": "detectors",
    "methodologies": "methodologies",
    "cameras": "cameras",
    "seed": "seeds",
    "unit": "unit that is decided on and counted",
    "stride": "stream scored at stride",
    "validation_stride": "validation set scored at stride",
    "steps": "training steps a slice",
    "learning_rate": "learning rate",
    "al_light": "AL-Light's band",
    "oracle_noise": "share of segments the oracle misjudges",
    "oracle_alert": "oracle also judges what lies above the band",
    "budget": "review budget, segments a slice",
}
UNSET = {"steps": "the detector's own", "learning_rate": "the detector's own", "budget": "no limit"}


def gates(run: Run) -> Table:
    """How many candidates each gate would have refused, all seeds and cameras added."""
    names = list(
        dict.fromkeys(name for part in run.parts for row in _steps(part, run) for name in row.get("gates", {}))
    )
    rows, records = [], []
    for detector in run.detectors:
        for arm in run.arms:
            steps = [s for p in run.parts if p.detector == detector for s in p.steps(arm)] if arm != FROZEN else []
            if not steps:
                continue
            judged = [step["gates"] for step in steps if "gates" in step]
            refused = Counter(name for row in judged for name, holds in row.items() if not holds)
            any_of = sum(not all(row.values()) for row in judged)
            failed = sum("failed" in step for step in steps)
            shown = [len(judged), *(refused[name] for name in names), any_of, failed]
            rows.append([detector, WORDS[arm], *map(whole, shown)])
            record: Record = {"detector": detector, "methodology": arm, "candidates": len(judged)}
            record |= {f"refused_by_{name.replace(' ', '_')}": refused[name] for name in names}
            records.append(record | {"refused_by_any": any_of, "failed_rounds": failed})
    return Table(
        "gates",
        "Candidates that a gate would have refused",
        run.unit,
        [("", ["detector", "methodology", "candidates"]), ("refused by", [*names, "any"]), ("", ["failed rounds"])],
        rows,
        records,
        notes=[
            "All cameras, slices and seeds. The experiment promotes every candidate, as the paper does. A failed round "
            "makes no candidate: the deployed version goes on."
        ],
    )


def _steps(part: Part, run: Run) -> list[Row]:
    return [step for arm in run.arms for step in part.steps(arm)]


def coverage(run: Run) -> Table:
    """How much of the stream and of the validation set has a score, and how long each part took."""
    rows, records = [], []
    for part in run.parts:
        steps = next((part.steps(arm) for arm in STREAMED if part.steps(arm)), [])
        items, scored = sum(step["items"] for step in steps), sum(step["scored"] for step in steps)
        stream = scored / items if items else None
        held = steps[0]["validation"].get("coverage") if steps else None
        validation, wall = part.row.get("validation_items"), part.row.get("wall_s")
        shown = [part.detector, part.camera, str(part.seed), str(part.row.get("weights", NA)), whole(len(steps))]
        shown += [
            whole(items),
            percent(stream),
            whole(validation),
            percent(held),
            NA if wall is None else f"{wall:.1f}",
        ]
        rows.append(shown)
        record: Record = {"detector": part.detector, "camera": part.camera, "seed": part.seed}
        record |= {"weights": part.row.get("weights", NA), "slices": len(steps), "items": items, "scored": scored}
        record |= {"coverage_percent": stored(stream), "validation_items": NA if validation is None else validation}
        records.append(record | {"validation_coverage_percent": stored(held), "wall_s": NA if wall is None else wall})
    return Table(
        "coverage",
        "Coverage and time",
        run.unit,
        [
            ("", ["detector", "camera", "seed", "source weights", "slices"]),
            ("stream", [run.unit, "scored %"]),
            ("validation set", [run.unit, "scored %"]),
            ("", ["seconds"]),
        ],
        rows,
        records,
        texts=("source weights",),
        notes=[
            "What has no score, for want of poses around it, is in no count. Seconds: one process, all methodologies, "
            "on a machine that may have done other things beside."
        ],
    )


def settings(run: Run) -> list[tuple[str, str]]:
    """Name and value of each setting, in words."""
    return [(words, _setting(key, run.config[key])) for key, words in SETTINGS.items() if key in run.config]


def _setting(key: str, value: object) -> str:
    if not value and key in UNSET:
        return UNSET[key]
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value).replace("_", " ") if key == "al_light" else str(value)


def failures(run: Run) -> Table | None:
    """Parts that gave nothing, and rounds and baselines that failed inside the others."""
    rows = [[name, NA, NA, NA, NA, why] for name, why in run.failed.items()]
    for part in run.parts:
        for arm, found in part.row["arms"].items():
            place = [part.detector, part.camera, str(part.seed), WORDS.get(arm, arm)]
            rows += [[*place, str(s["slice"]), str(s["failed"])] for s in found.get("steps", []) if "failed" in s]
            rows += [[*place, NA, str(found["failed"])]] if "failed" in found else []
    if not rows:
        return None
    columns = ["detector or part", "camera", "seed", "methodology", "slice", "why"]
    records: list[Record] = [dict(zip(columns, row, strict=True)) for row in rows]
    return Table("failed", "What failed", run.unit, [("", columns)], rows, records, labels=1, texts=tuple(columns[1:]))
