"""All methodologies on one camera with one detector, slice after slice; goes on after a kill where it was."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from alfred.core.methodologies import Methodology
from alfred.detectors import registry
from alfred.detectors.base import Detector
from alfred.experiment.arm import Arm, Rules, Validated, validate
from alfred.experiment.slices import Slice, Unit, footage_of, prepare
from alfred.pose.formats.continual import ContinualCamera
from alfred.reports.experiment.pooled import FROZEN

Row = dict[str, Any]

MAX_WINDOWS = 30_000
"""The offline baseline trains on at most so many windows, drawn at random."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is run: `detector` by name with `weights` (a safetensors file), arms by name, units, strides, seed."""

    detector: str
    weights: Path
    methodologies: tuple[str, ...]
    unit: Unit = Unit.POSE
    seed: int = 0
    stride: int = 1
    validation_stride: int = 4
    rules: Rules = field(default_factory=Rules)
    device: str = "cpu"


def run_camera(camera: ContinualCamera, plan: Plan, folder: Path, report: Callable[[int, int], None]) -> Row:
    """The part of `results.json` for one camera and detector. `folder` keeps the state between slices.

    `report(done, total)` counts slices. Raises ValueError where the validation set gives no threshold.
    """
    begun = perf_counter()
    source = _read(plan)
    validation = prepare(footage_of(camera.test.load()), source.window, plan.unit, stride=plan.validation_stride)
    arms, done = _restored(camera, plan, folder) or (_fresh_arms(camera, plan, validation), 0)
    total = len(camera.slices) + (Methodology.OFFLINE in plan.methodologies)
    report(done, total)
    for k in range(done, len(camera.slices)):
        slice_ = prepare(footage_of(camera.slices[k].load()), source.window, plan.unit, stride=plan.stride)
        scored: dict[str, Any] = {}
        for arm in arms:
            if arm.lineage not in scored:
                scored[arm.lineage] = slice_.score(arm.detector)
            arm.step(k, slice_, scored[arm.lineage], validation)
        _keep(arms, k + 1, folder)
        report(k + 1, total)
    row: Row = {
        "detector": plan.detector,
        "camera": camera.name,
        "seed": plan.seed,
        "weights": str(source.info().get("version", plan.weights.stem)),
        "slices": len(camera.slices),
        "validation_items": len(validation),
        "arms": {arm.name: {"steps": arm.steps, "after": arm.in_force.figures} for arm in arms},
    }
    if Methodology.OFFLINE in plan.methodologies:
        row["arms"][str(Methodology.OFFLINE)] = _offline(camera, plan, source, validation)
        report(total, total)
    row["wall_s"] = round(perf_counter() - begun, 1)
    return row


def _read(plan: Plan, path: Path | None = None) -> Detector:
    detector = registry.create(plan.detector, device=plan.device)
    detector.load(path or plan.weights)
    return detector


def _fresh_arms(camera: ContinualCamera, plan: Plan, validation: Slice) -> list[Arm]:
    first = validate(validation, _read(plan))
    names = [FROZEN, *(name for name in plan.methodologies if name != Methodology.OFFLINE)]
    return [Arm(name, _read(plan), plan.rules, camera.name, plan.seed, first) for name in names]


def _offline(camera: ContinualCamera, plan: Plan, detector: Detector, validation: Slice) -> Row:
    """Everything of all slices, once, from the source weights: an AUC to compare with, no stream."""
    rng = np.random.default_rng([plan.seed, 3])
    kept, keys = None, np.zeros(0)
    for part in camera.slices:
        slice_ = prepare(footage_of(part.load()), detector.window, plan.unit, stride=plan.stride)
        values = slice_.windows.values[slice_.training]
        kept = values if kept is None else np.concatenate([kept, values])
        keys = np.concatenate([keys, rng.random(len(values))])
        if len(keys) > MAX_WINDOWS:
            smallest = np.sort(np.argpartition(keys, MAX_WINDOWS)[:MAX_WINDOWS])
            kept, keys = kept[smallest], keys[smallest]
    if kept is None or not len(kept):
        return {"steps": [], "failed": "there is nothing to train on"}
    own = detector.info().get("fine_tuning", {}).get("steps")
    steps = (plan.rules.steps or own or 0) * len(camera.slices) or None  # as many as the other arms take in all
    try:
        detector.fine_tune(kept, seed=plan.seed, steps=steps, learning_rate=plan.rules.learning_rate)
        return {"steps": [], "windows": len(kept), "after": validate(validation, detector).figures}
    except ValueError as error:
        return {"steps": [], "failed": str(error)}


def _keep(arms: list[Arm], done: int, folder: Path) -> None:
    """Write all arms' state beside the last one, then let it take its place: a kill leaves one of them whole."""
    place, made = folder / f"after-{done}", folder / "writing"
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    for arm in arms:
        arm.detector.save(made / f"{arm.name}.safetensors")
        if arm.recent is not None:
            np.save(made / f"{arm.name}.npy", arm.recent, allow_pickle=False)
        np.save(made / f"{arm.name}-blocks.npy", arm.in_force.blocks, allow_pickle=False)
        stored = {"steps": arm.steps, "lineage": arm.lineage, "figures": arm.in_force.figures}
        (made / f"{arm.name}.json").write_text(json.dumps(stored), encoding="utf-8")
    made.rename(place)
    shutil.rmtree(folder / f"after-{done - 1}", ignore_errors=True)


def _restored(camera: ContinualCamera, plan: Plan, folder: Path) -> tuple[list[Arm], int] | None:
    places = sorted(folder.glob("after-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    if not places:
        return None
    arms = []
    for name in [FROZEN, *(name for name in plan.methodologies if name != Methodology.OFFLINE)]:
        stored = json.loads((places[-1] / f"{name}.json").read_text(encoding="utf-8"))
        recent = places[-1] / f"{name}.npy"
        blocks = np.load(places[-1] / f"{name}-blocks.npy", allow_pickle=False)
        arms.append(
            Arm(
                name,
                _read(plan, places[-1] / f"{name}.safetensors"),
                plan.rules,
                camera.name,
                plan.seed,
                Validated(stored["figures"]["theta"], stored["figures"], blocks),
                stored["steps"],
                np.load(recent, allow_pickle=False) if recent.is_file() else None,
                stored["lineage"],
            )
        )
    return arms, int(places[-1].name.rpartition("-")[2])
