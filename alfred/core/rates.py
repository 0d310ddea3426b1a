"""Counts of right and wrong decisions, and the rates derived from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from alfred.core.ebi import ebi


@dataclass(frozen=True, slots=True)
class Counts:
    """How many were flagged rightly (tp), wrongly (fp), passed rightly (tn), wrongly (fn).

    Whole numbers, or floats where they are estimates. Counts are what is stored and added up; rates are
    derived at the end: the mean of slices' rates is not the rate of the slices. `sum(counts, Counts())` or
    plain `sum` adds.
    """

    tp: float = 0
    fp: float = 0
    tn: float = 0
    fn: float = 0

    def __post_init__(self) -> None:
        if not min(self.tp, self.fp, self.tn, self.fn) >= 0:
            raise ValueError(f"counts must not be negative: {self}")

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.tp + other.tp, self.fp + other.fp, self.tn + other.tn, self.fn + other.fn)

    def __radd__(self, zero: int) -> Counts:
        # sum() starts at 0.
        return self if zero == 0 else NotImplemented

    @property
    def n(self) -> float:
        """All decisions."""
        return self.tp + self.fp + self.tn + self.fn

    @property
    def fpr(self) -> float | None:
        """Share of the normal ones that were flagged; None without normal ones."""
        normal = self.fp + self.tn
        return self.fp / normal if normal > 0 else None

    @property
    def fnr(self) -> float | None:
        """Share of the anomalous ones that were passed; None without anomalous ones."""
        anomalous = self.fn + self.tp
        return self.fn / anomalous if anomalous > 0 else None

    @property
    def ebi(self) -> float | None:
        """The Error Balance Index; None when either class is missing."""
        return ebi(self.fpr, self.fnr)

    @classmethod
    def from_decisions(
        cls, flagged: npt.ArrayLike, labels: npt.ArrayLike, weights: npt.ArrayLike | None = None
    ) -> Counts:
        """Count `flagged` (n,) bool against `labels` (n,), 0 normal, 1 anomalous.

        Weighted when `weights` (n,) are given. Raises ValueError when the shapes differ or a label is
        neither 0 nor 1.
        """
        decided, truth = np.asarray(flagged, bool), np.asarray(labels)
        if decided.shape != truth.shape or not np.isin(truth, (0, 1)).all():
            raise ValueError("counts: labels must be 0 or 1, one for each decision")
        cell = 2 * truth.astype(np.int64) + decided
        w = None if weights is None else np.asarray(weights, np.float64)
        tn, fp, fn, tp = np.bincount(cell, w, minlength=4).tolist()
        return cls(tp=tp, fp=fp, tn=tn, fn=fn)
