"""One methodology on one camera: decide on a slice, ask the oracle, count, train, calibrate. In that order."""

from __future__ import annotations

import copy
import zlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from alfred.core import al_light, gates
from alfred.core.eer import EqualErrorRate, eer_threshold
from alfred.core.intervals import paired_difference
from alfred.core.methodologies import Label, Methodology, Reason, who_is_asked, who_trains_by_verdict
from alfred.core.rates import Counts
from alfred.core.roc import auc_pr, auc_roc, average_precision
from alfred.detectors.base import Detector, Remembers
from alfred.experiment.oracle import Oracle
from alfred.experiment.slices import Slice, standing_windows
from alfred.reports.experiment.pooled import FROZEN

QUANTILES = np.linspace(0, 1, 21)
"""At which shares the distribution of the flagged scores is kept, for the paper's figure 2."""

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for all arms of a run."""

    oracle: Oracle = field(default_factory=Oracle)
    mode: al_light.Mode = al_light.Mode.ROLLING_MEDIAN_MAX
    alert_judged: bool = False
    steps: int | None = None
    learning_rate: float | None = None


@dataclass(frozen=True, slots=True)
class Validated:
    """A version on the validation set: θ, figures as they are stored, and counts (blocks, 4) for comparisons."""

    theta: float
    figures: Row
    blocks: Floats


def validate(slice_: Slice, detector: Detector) -> Validated:
    """θ at the equal error rate with the present weights, and what they reach. ValueError where there is no θ."""
    scores = slice_.scores(slice_.score(detector))
    kept = np.isfinite(scores)
    found = eer_threshold(scores[kept], slice_.label[kept])
    if not isinstance(found, EqualErrorRate):
        raise ValueError(f"the validation set gives no threshold: {found.sentence}")
    s, y = scores[kept], slice_.label[kept]
    figures = {
        "theta": found.value,
        "fpr": found.fpr,
        "fnr": found.fnr,
        "eer": found.eer,
        "auc_roc": auc_roc(s, y),
        "average_precision": average_precision(s, y),
        "auc_pr": auc_pr(s, y),
        "coverage": float(kept.mean()),
    }
    counted = block_counts(s >= found.value, y, slice_.block[kept], np.unique(slice_.block))
    return Validated(found.value, figures, counted)


def block_counts(flagged: Bools, label: npt.NDArray[np.uint8], block: npt.ArrayLike, blocks: npt.ArrayLike) -> Floats:
    """(blocks, 4) tp, fp, tn, fn of the decisions in each of the sorted `blocks`."""
    at = np.searchsorted(np.asarray(blocks), np.asarray(block))
    cell = np.where(label > 0, np.where(flagged, 0, 3), np.where(flagged, 1, 2))
    counts = np.zeros((len(np.asarray(blocks)), 4))
    np.add.at(counts, (at, cell), 1)
    return counts


@dataclass(slots=True)
class Arm:
    """State between slices. `recent` are the windows that stand for the last flagged groups, oldest first; they belong
    to the version in force and are scored anew by the next one.
    """

    name: str
    detector: Detector
    rules: Rules
    camera: str
    seed: int
    in_force: Validated
    steps: list[Row] = field(default_factory=list)
    recent: npt.NDArray[np.float32] | None = None
    lineage: str = ""
    """Names the weights: arms of one lineage have the same, so that a slice is scored once for all of them."""

    def step(self, k: int, slice_: Slice, of_windows: npt.NDArray[np.float32], validation: Slice) -> None:
        """Slice k: test, then train. Appends one row to `steps`."""
        theta = self.in_force.theta
        scores = slice_.scores(of_windows)
        scored = np.isfinite(scores)
        flagged = scored & (scores >= theta)
        row: Row = {"slice": k, "theta": theta, "validation": self.in_force.figures}
        row |= self._counted(slice_, flagged, scored)
        if self.name != FROZEN:
            wanted, band = self._wanted(slice_, scores, flagged)
            seed = self._seed(k)
            asked = self.rules.oracle.within_budget(slice_, wanted, seed)
            said = self.rules.oracle.answers(slice_, asked | self._alerts(flagged, wanted), seed)
            row |= band | _effort(slice_, flagged, wanted, asked)
            row |= self._train(k, slice_, flagged, scored, said, validation)
            self._remember_band(slice_, of_windows, flagged)
        self.steps.append(row)

    def _seed(self, k: int) -> int:
        """The same for all arms: what differs between them is not the dice."""
        return zlib.crc32(repr((self.seed, self.camera, k)).encode())

    def _counted(self, slice_: Slice, flagged: Bools, scored: Bools) -> Row:
        """Counts are taken before anything trains on the slice."""
        blocks = np.unique(slice_.block)
        counts = block_counts(flagged[scored], slice_.label[scored], slice_.block[scored], blocks)
        total = Counts(*counts.sum(axis=0).tolist())
        return {
            "counts": [int(n) for n in (total.tp, total.fp, total.tn, total.fn)],
            "blocks": [[int(b), *(int(n) for n in row)] for b, row in zip(blocks, counts, strict=True)],
            "items": len(slice_),
            "scored": int(scored.sum()),
        }

    def _wanted(self, slice_: Slice, scores: Floats, flagged: Bools) -> tuple[Bools, Row]:
        """Who would be asked without a budget, and what the band was."""
        methodology = Methodology(self.name)
        if methodology is not Methodology.AL_LIGHT:
            return who_is_asked(methodology, flagged), {}
        order = slice_.order
        group = slice_.track if slice_.unit == "pose" else slice_.segment
        decided = al_light.decide(
            self.rules.mode,
            self.in_force.theta,
            scores[order],
            self._recent_scores(),
            group=group[order],
        )
        in_band = np.zeros(len(flagged), bool)
        in_band[order] = decided.asked
        bounds = decided.theta_med[np.isfinite(decided.theta_med)]
        positive = scores[flagged]
        why = Counter(
            str(why) for why, is_flagged in zip(decided.reasons(), decided.flagged, strict=True) if is_flagged
        )
        return who_is_asked(methodology, flagged, in_band), {
            "theta_med": float(bounds[-1]) if len(bounds) else None,
            "band": dict(sorted(why.items())),
            "flagged_quantiles": np.quantile(positive, QUANTILES).tolist() if len(positive) else [],
        }

    def _alerts(self, flagged: Bools, wanted: Bools) -> Bools:
        """Above the band: judged where the oracle also looks at alerts."""
        above = flagged & ~wanted if self.name == Methodology.AL_LIGHT and self.rules.alert_judged else None
        return np.zeros_like(flagged) if above is None else above

    def _train(
        self, k: int, slice_: Slice, flagged: Bools, scored: Bools, said: npt.NDArray[np.int8], validation: Slice
    ) -> Row:
        reason = who_trains_by_verdict(Methodology(self.name), flagged, scored, said)
        rows = slice_.training[reason[slice_.window_item[slice_.training]] < Reason.UNSCORED]
        confirmed = reason[slice_.window_item[rows]] == Reason.CONFIRMED_FP
        counted = Counter(reason.tolist())
        found: Row = {
            "left_out": {Reason(code).words: n for code, n in sorted(counted.items())},
            "windows": len(rows),
            "confirmed_windows": int(confirmed.sum()),
        }
        deployed = copy.deepcopy(self.detector)
        try:
            self._learn(slice_, rows, confirmed, self._seed(k))
            validated = validate(validation, self.detector)
        except ValueError as error:  # nothing to train on, a diverged loss, no θ: the deployed version goes on
            self.detector = deployed
            return found | {"failed": str(error)}
        self.lineage += f"/{self.name}-{k}"
        before, self.in_force = self.in_force, validated
        difference = paired_difference(before.blocks, self.in_force.blocks, seed=self.seed)
        seen = replayed(slice_, said, flagged, self.detector, self.in_force.theta)
        checks = gates.check(self.in_force.figures["auc_roc"], difference, self.in_force.theta, seen)
        return found | {"gates": {gate["name"]: gate["holds"] for gate in checks}}

    def _learn(self, slice_: Slice, rows: npt.NDArray[np.intp], confirmed: Bools, seed: int) -> None:
        """As a round does: what can be remembered as called normal is not mixed into what was merely seen."""
        values = slice_.windows.values
        remembers = isinstance(self.detector, Remembers)
        seen = rows[~confirmed] if remembers else rows
        if not len(rows):
            raise ValueError("there is nothing to train on")
        if len(seen):
            self.detector.fine_tune(
                values[seen], seed=seed, steps=self.rules.steps, learning_rate=self.rules.learning_rate
            )
        if isinstance(self.detector, Remembers) and confirmed.any():
            self.detector.remember(values[rows[confirmed]])

    def _recent_scores(self) -> Floats:
        if self.recent is None or not len(self.recent):
            return np.zeros(0)
        scores = self.detector.score(self.recent).astype(np.float64)
        return scores[scores >= self.in_force.theta]  # the buffer is of what the version in force flags

    def _remember_band(self, slice_: Slice, of_windows: npt.NDArray[np.float32], flagged: Bools) -> None:
        if self.name != Methodology.AL_LIGHT:
            return
        new = slice_.windows.values[standing_windows(slice_, of_windows, flagged)]
        old = new[:0] if self.recent is None else self.recent
        self.recent = np.concatenate([old, new])[-al_light.BUFFER :]


def _effort(slice_: Slice, flagged: Bools, wanted: Bools, asked: Bools) -> Row:
    """How many items and segments were flagged, in the band, and asked."""
    found = {}
    for name, items in (("flagged", flagged), ("wanted", wanted), ("asked", asked)):
        found[name] = int(items.sum())
        found[f"{name}_segments"] = len(np.unique(slice_.segment[items]))
    return found


def replayed(
    slice_: Slice, said: npt.NDArray[np.int8], flagged: Bools, detector: Detector, theta: float
) -> gates.Replayed:
    """Which anomalies judged so would no longer be flagged, and which newly. Scores their tracks only."""
    judged = np.unique(slice_.segment[said == Label.ANOMALY])
    if not len(judged):
        return gates.Replayed(0, 0, 0)
    tracks = np.unique(slice_.track[np.isin(slice_.segment, judged)])
    rows = np.flatnonzero(np.isin(slice_.windows.track, tracks))
    of_windows = np.full(len(slice_.windows), -np.inf, np.float32)
    of_windows[rows] = detector.score(slice_.windows.values[rows])
    now = slice_.scores(of_windows) >= theta
    rows = judged.tolist()
    groups = gates.anomalies({row: (int(slice_.cut.track[row]), int(slice_.cut.ordinal[row])) for row in rows})
    then, after = (
        dict(zip(rows, np.isin(judged, slice_.segment[flags]).tolist(), strict=True)) for flags in (flagged, now)
    )
    lost, found = gates.lost_and_found(then, after, groups)
    return gates.Replayed(len(groups), len(lost), len(found))
