"""What was run, and its counts: read once from `results`, added over any choice of cameras and detectors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from alfred.core.intervals import RateIntervals, rate_intervals
from alfred.core.methodologies import Methodology
from alfred.core.rates import Counts

Row = dict[str, Any]
Floats = npt.NDArray[np.float64]
Place = tuple[str, int, int]
"""Camera, slice, block: what is resampled as one."""

Key = tuple[str, Place]
"""Detector and place."""

FROZEN = "frozen"
"""The arm beside the five: the source weights with θ calibrated once, never trained."""

CSC = "CSC"
ALL = "all detectors"
TRAINED = tuple(str(m) for m in Methodology if m is not Methodology.OFFLINE)
STREAMED = (FROZEN, *TRAINED)
WORDS = {
    FROZEN: "Frozen",
    "offline": "Offline",
    "continual": "Continual",
    "pseudo_continual": "Pseudo-Continual",
    "active_learning": "Active Learning",
    "al_light": "AL-Light",
}
DICE = 0
"""Seeds the resampling of every interval: it has nothing to do with the seeds of training."""


@dataclass(frozen=True)
class Part:
    """One detector on one camera with one seed."""

    detector: str
    camera: str
    seed: int
    row: Row

    def steps(self, arm: str) -> list[Row]:
        """One row a slice; none where the arm was not run, or has no stream."""
        found: list[Row] = self.row["arms"].get(arm, {}).get("steps", [])
        return found

    def after(self, arm: str) -> Row | None:
        """Figures on the validation set of the last version, where there is one."""
        found: Row | None = self.row["arms"].get(arm, {}).get("after")
        return found


@dataclass(frozen=True)
class Scope:
    """Parts whose counts are added. `detector` and `where` name them on the page."""

    detector: str
    where: str
    parts: tuple[Part, ...]

    @property
    def title(self) -> str:
        return f"{self.detector}, {self.where}"

    @cached_property
    def seeds(self) -> list[int]:
        """Seeds that cover the same cells as the first of the most complete ones: others can't be compared."""
        cells: dict[int, set[tuple[str, str]]] = {}
        for part in self.parts:
            cells.setdefault(part.seed, set()).add((part.detector, part.camera))
        most = max(cells.values(), key=len, default=set())
        return [seed for seed, found in cells.items() if found == most]

    def of_seed(self, seed: int | None = None) -> list[Part]:
        """The parts of one seed, by default the first: intervals are of one seed."""
        wanted = self.seeds[0] if seed is None else seed
        return [part for part in self.parts if part.seed == wanted]

    def has(self, arm: str) -> bool:
        return any(part.steps(arm) for part in self.of_seed())

    def _by_key(self, arm: str, seed: int | None) -> dict[Key, Floats]:
        return {
            (part.detector, (part.camera, step["slice"], block)): np.asarray(counts, np.float64)
            for part in self.of_seed(seed)
            for step in part.steps(arm)
            for block, *counts in step["blocks"]
        }

    def blocks(self, arm: str, seed: int | None = None) -> Floats:
        """(b, 4) tp, fp, tn, fn: a row for each camera, slice and block."""
        return _over_detectors(self._by_key(arm, seed))

    def paired_blocks(self, a: str, b: str, seed: int | None = None) -> tuple[Floats, Floats]:
        """The blocks (n, 4) that both arms have, in one order."""
        left, right = self._by_key(a, seed), self._by_key(b, seed)
        both = sorted(left.keys() & right.keys())
        return _over_detectors({k: left[k] for k in both}), _over_detectors({k: right[k] for k in both})

    def counts(self, arm: str, seed: int | None = None) -> Counts:
        """All blocks added: rates are divided last."""
        return Counts(*self.blocks(arm, seed).sum(axis=0).tolist())

    def ebi(self, arm: str, seed: int | None = None) -> float | None:
        return self.counts(arm, seed).ebi


def _over_detectors(found: dict[Key, Floats]) -> Floats:
    """Detectors that saw the same minute saw the same people: their counts are one block."""
    added: dict[Place, Floats] = {}
    for (_, place), counts in sorted(found.items(), key=lambda item: item[0]):
        added[place] = added.get(place, np.zeros(4)) + counts
    return np.asarray([added[place] for place in sorted(added)], np.float64).reshape(-1, 4)


@dataclass(frozen=True)
class Pooled:
    """An arm in a scope: counts and intervals of the first seed, lowest and highest rate over all seeds."""

    arm: str
    counts: Counts
    blocks: int
    intervals: RateIntervals
    over_seeds: dict[str, tuple[float, float] | None] = field(default_factory=dict)


def pooled(scope: Scope, arm: str) -> Pooled:
    """Counts added, then divided. `over_seeds` is None with one seed, or where a seed has no such rate."""
    blocks = scope.blocks(arm)
    found = rate_intervals(blocks, seed=DICE)
    counts = [scope.counts(arm, seed) for seed in scope.seeds]
    over_seeds = {name: lowest_highest([getattr(c, name) for c in counts]) for name in ("fnr", "fpr", "ebi")}
    return Pooled(arm, counts[0], len(blocks), found, over_seeds)


def lowest_highest(values: list[float | None]) -> tuple[float, float] | None:
    """Of one value a seed; None with a single one, or where one is missing."""
    known = [value for value in values if value is not None]
    return (min(known), max(known)) if len(known) == len(values) > 1 else None


@dataclass(frozen=True)
class Run:
    """A benchmark's results, in the order that was asked for."""

    config: Row
    failed: dict[str, str]
    parts: tuple[Part, ...]

    @classmethod
    def of(cls, results: Row) -> Run:
        """Raises ValueError where there is no part."""
        config = results.get("config", {})
        rows = [Part(row["detector"], row["camera"], int(row["seed"]), row) for row in results["parts"]]
        if not rows:
            raise ValueError("a report needs at least one part that was run")
        orders = (config.get("detectors", []), config.get("cameras", []), config.get("seed", []))
        ranked = sorted(
            rows, key=lambda p: tuple(map(_place, orders, (p.detector, p.camera, p.seed)))
        )  # what no list names comes last, in the order found
        return cls(config, dict(results.get("failed", {})), tuple(ranked))

    @property
    def unit(self) -> str:
        """What was counted: poses or segments."""
        return f"{self.config.get('unit', 'pose')}s"

    @cached_property
    def detectors(self) -> list[str]:
        return list(dict.fromkeys(part.detector for part in self.parts))

    @cached_property
    def cameras(self) -> list[str]:
        order = self.config.get("cameras", [])
        found = dict.fromkeys(part.camera for part in self.parts)
        return sorted(found, key=lambda name: _place(order, name))

    @cached_property
    def seeds(self) -> list[int]:
        order = self.config.get("seed", [])
        found = dict.fromkeys(part.seed for part in self.parts)
        return sorted(found, key=lambda seed: _place(order, seed))

    @cached_property
    def arms(self) -> list[str]:
        """Those with a stream, the baseline first."""
        return [arm for arm in STREAMED if any(part.steps(arm) for part in self.parts)]

    @cached_property
    def scopes(self) -> list[Scope]:
        """Each detector over all cameras, then all detectors where there are several."""
        return self.on(None)

    def on(self, camera: str | None) -> list[Scope]:
        """The same on one camera; detectors without it are left out. None: over all cameras."""
        chosen = [part for part in self.parts if camera in (None, part.camera)]
        where = camera or (self.cameras[0] if len(self.cameras) == 1 else f"{len(self.cameras)} cameras")
        names = list(dict.fromkeys(part.detector for part in chosen))
        made = [Scope(name, where, tuple(p for p in chosen if p.detector == name)) for name in names]
        return [*made, Scope(ALL, where, tuple(chosen))] if len(made) > 1 else made

    def alone(self, camera: str) -> list[Scope]:
        """One camera's scopes; none where it is the only camera, and all scopes are on it anyway."""
        return self.on(camera) if camera in self.cameras and len(self.cameras) > 1 else []

    def cells(self) -> Iterator[Scope]:
        """Every detector on every camera that was run."""
        for detector in self.detectors:
            for camera in self.cameras:
                parts = tuple(p for p in self.parts if (p.detector, p.camera) == (detector, camera))
                if parts:
                    yield Scope(detector, camera, parts)


def _place(order: list[Any], value: Any) -> int:
    return order.index(value) if value in order else len(order)
