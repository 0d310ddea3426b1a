"""The annotator of the experiment: ground truth, with mistakes and a budget where they are asked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from alfred.core.methodologies import Label
from alfred.core.sampling import thin
from alfred.experiment.slices import Slice

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Oracle:
    """`noise` is the share of segments judged wrongly; `budget` the most segments judged a slice (0: no limit).

    People judge segments, so both are by segment whatever the unit: all asked poses of a segment are right or wrong
    together. The same segments are misjudged whoever asks.
    """

    noise: float = 0.0
    budget: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.noise <= 1 or self.budget < 0:
            raise ValueError(f"{self}: noise lies in 0..1, a budget is not negative")

    def within_budget(self, slice_: Slice, wanted: Bools, seed: int) -> Bools:
        """Which of the items (m,) that should be asked are: those of a random draw of segments."""
        segments = np.unique(slice_.segment[wanted])
        if not self.budget or len(segments) <= self.budget:
            return wanted
        chosen, _ = thin(len(segments), self.budget, np.random.default_rng([seed, 1]))
        return wanted & np.isin(slice_.segment, segments[chosen])

    def answers(self, slice_: Slice, asked: Bools, seed: int) -> npt.NDArray[np.int8]:
        """`Label` of each item (m,); NONE where nobody was asked."""
        wrong = np.random.default_rng([seed, 2]).random(len(slice_.cut)) < self.noise
        truth = slice_.label.astype(bool) ^ wrong[slice_.segment]
        said = np.where(truth, np.int8(Label.ANOMALY), np.int8(Label.NORMAL))
        return np.where(asked, said, np.int8(Label.NONE)).astype(np.int8)
