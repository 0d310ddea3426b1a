"""The five methodologies: who is asked, and what trains.

Reads no clock, row or file: arrays in, arrays out, so that the experiment and production decide by the same
code.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum

import numpy as np
import numpy.typing as npt

from alfred.core.phrases import phrase

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.uint8]

BESIDE_SECONDS = 5.0
"""How near in time to a judged anomaly nothing trains, in the same place."""

SAME_PLACE = 0.1
"""How near in space, as a share of the picture's diagonal; large people have a larger place of their own."""


class Methodology(StrEnum):
    OFFLINE = "offline"
    CONTINUAL = "continual"
    PSEUDO_CONTINUAL = "pseudo_continual"
    ACTIVE_LEARNING = "active_learning"
    AL_LIGHT = "al_light"

    @property
    def asks(self) -> bool:
        """Whether people are asked at all."""
        return self in (Methodology.ACTIVE_LEARNING, Methodology.AL_LIGHT)

    @property
    def filters(self) -> bool:
        """Whether flagged data are kept out of training."""
        return self not in (Methodology.OFFLINE, Methodology.CONTINUAL)


class Label(IntEnum):
    """What people say of a segment; UNRESOLVED = unsure, skipped or conflicting.

    ONE_VOICE = normal, but too much of a round would rest on this one person: it waits for a second.
    """

    NONE = -1
    NORMAL = 0
    ANOMALY = 1
    UNRESOLVED = 2
    ONE_VOICE = 3


class Reason(IntEnum):
    """Why a segment trains (below 10) or does not; stored in the manifest of a round."""

    UNFILTERED = 0
    PSEUDO_NORMAL = 1
    CONFIRMED_FP = 2
    UNSCORED = 10
    UNASKED = 11
    CONFIRMED_ANOMALY = 12
    UNRESOLVED = 13
    BESIDE_ANOMALY = 14
    VALIDATION = 15
    BESIDE_VALIDATION = 16
    ONE_VOICE = 17

    @property
    def trains(self) -> bool:
        return self < Reason.UNSCORED

    @property
    def words(self) -> str:
        return _WORDS[self]


_WORDS = {
    Reason.UNFILTERED: phrase("unfiltered"),
    Reason.PSEUDO_NORMAL: phrase("pseudo-normal"),
    Reason.CONFIRMED_FP: phrase("confirmed FP"),
    Reason.UNSCORED: phrase("unscored"),
    Reason.UNASKED: phrase("flagged, not judged"),
    Reason.CONFIRMED_ANOMALY: phrase("confirmed anomaly"),
    Reason.UNRESOLVED: phrase("unresolved"),
    Reason.BESIDE_ANOMALY: phrase("beside an anomaly"),
    Reason.VALIDATION: phrase("in a validation set"),
    Reason.BESIDE_VALIDATION: phrase("beside a validation track"),
    Reason.ONE_VOICE: phrase("waits for a second person"),
}


@dataclass(frozen=True, slots=True)
class SegmentFacts:
    """What decides about n segments of one camera; all arrays (n,).

    flagged        bool   s ≥ θ by the version and θ in force when it was scored
    scored         bool
    label          int8   `Label`
    track          int    unique over all rows
    track_start, track_end, start, end   float  absolute seconds, of the whole track and of the segment
    x, y           float  mean centre of the person, as shares 0..1 of the picture's width and height
    radius         float  half the person's height, as a share of the picture's height; 0 where unknown
    in_validation  bool   its track is in a validation set of the camera

    Rows from outside the slice may be passed along so that their neighbours see them (an anomaly just before
    midnight, a validation track that runs into the slice); the caller drops their answers.
    """

    flagged: Bools
    scored: Bools
    label: npt.NDArray[np.int8]
    track: npt.NDArray[np.integer]
    track_start: Floats
    track_end: Floats
    start: Floats
    end: Floats
    x: Floats
    y: Floats
    radius: Floats
    in_validation: Bools

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name).shape != self.flagged.shape:
                raise ValueError(f"segment facts: {name} has shape {getattr(self, name).shape}")


def who_is_asked(methodology: Methodology, flagged: Bools, in_band: Bools | None = None) -> Bools:
    """Which segments (n,) people are asked about, before any budget.

    `in_band` (θ ≤ s ≤ θ_med) is read by `al_light` only; None = there is no band yet, all flagged are asked.
    """
    if not methodology.asks:
        return np.zeros_like(flagged, dtype=bool)
    if methodology is Methodology.AL_LIGHT and in_band is not None:
        return flagged & in_band
    return flagged.copy()


def who_trains_by_verdict(methodology: Methodology, flagged: Bools, scored: Bools, label: npt.ArrayLike) -> Codes:
    """`Reason` of each item (n,) from its own decision and verdict alone: all the experiment asks for.

    - `offline`, `continual`: all that is scored. Neither flags nor verdicts are read.
    - `pseudo_continual`: what is unflagged. Verdicts are not read even where audits made some, or the
      comparison with active learning would no longer show what people add.
    - `active_learning`, `al_light`: unflagged or judged normal; never what was judged anomaly or is
      unresolved, flagged or not; never what was flagged and not judged. They differ in who is asked, not
      here.
    """
    flags, said = np.asarray(flagged, bool), np.asarray(label)
    reason = np.full(flags.shape, Reason.UNFILTERED, np.uint8)
    if methodology.filters:
        reason[:] = np.where(flags, Reason.UNASKED, Reason.PSEUDO_NORMAL)
    if methodology.asks:
        reason[flags & (said == Label.NORMAL)] = Reason.CONFIRMED_FP
        reason[said == Label.ANOMALY] = Reason.CONFIRMED_ANOMALY
        reason[said == Label.UNRESOLVED] = Reason.UNRESOLVED
        reason[said == Label.ONE_VOICE] = Reason.ONE_VOICE
    reason[~np.asarray(scored, bool)] = Reason.UNSCORED
    return reason


def who_trains(
    methodology: Methodology,
    facts: SegmentFacts,
    *,
    aspect: float = 16 / 9,
    beside_seconds: float = BESIDE_SECONDS,
    same_place: float = SAME_PLACE,
) -> tuple[Bools, Codes]:
    """Membership of the training set (Design §3, "Who trains, precisely").

    Returns trains (n,) bool and `Reason` (n,) uint8. On top of `who_trains_by_verdict`:
    - a validation track never trains, nor does a track that overlaps one in time (all five methodologies:
      otherwise θ is calibrated on what was trained on);
    - nothing within 5 s of a segment judged anomaly in the same place (only the two that ask). Same place:
      the centres are at most 0.1 of the picture's diagonal apart, or the two radii overlap (`aspect` =
      width/height).
    The first reason that excludes is kept, in the order unscored, validation, verdict, beside validation,
    beside anomaly. O(n log n) for few anomalies.
    """
    reason = who_trains_by_verdict(methodology, facts.flagged, facts.scored, facts.label)
    scored = facts.scored
    validation = np.isin(facts.track, facts.track[facts.in_validation])
    reason[scored & validation] = Reason.VALIDATION
    open_rows = reason < Reason.UNSCORED
    reason[open_rows & _overlaps_validation(facts, validation)] = Reason.BESIDE_VALIDATION
    if methodology.asks:
        open_rows = reason < Reason.UNSCORED
        reason[open_rows & _beside_anomaly(facts, aspect, beside_seconds, same_place)] = Reason.BESIDE_ANOMALY
    return reason < Reason.UNSCORED, reason


def _overlaps_validation(facts: SegmentFacts, validation: Bools) -> Bools:
    """Rows whose track shares a moment with a validation track (ends included)."""
    if not validation.any():
        return np.zeros(len(validation), bool)
    order = np.argsort(facts.track_start[validation])
    starts = facts.track_start[validation][order]
    latest_end = np.maximum.accumulate(facts.track_end[validation][order])
    started = np.searchsorted(starts, facts.track_end, side="right")
    overlaps: Bools = (started > 0) & (latest_end[np.maximum(started, 1) - 1] >= facts.track_start)
    return overlaps


def _beside_anomaly(facts: SegmentFacts, aspect: float, seconds: float, same_place: float) -> Bools:
    """Rows within `seconds` of a judged anomaly, in the same place. An anomaly is beside itself."""
    diagonal = np.hypot(aspect, 1.0)
    x, y, radius = facts.x * aspect / diagonal, facts.y / diagonal, facts.radius / diagonal
    order = np.argsort(facts.start)
    starts = facts.start[order]
    longest = float(np.max(facts.end - facts.start, initial=0.0))
    beside = np.zeros(len(order), bool)
    for row in np.flatnonzero(facts.label == Label.ANOMALY):
        first = np.searchsorted(starts, facts.start[row] - seconds - longest, side="left")
        last = np.searchsorted(starts, facts.end[row] + seconds, side="right")
        near = order[first:last]
        near = near[facts.end[near] >= facts.start[row] - seconds]
        distance = np.hypot(x[near] - x[row], y[near] - y[row])
        beside[near[distance <= np.maximum(same_place, radius[near] + radius[row])]] = True
    return beside
