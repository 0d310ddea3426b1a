"""What a candidate must pass to be promoted without a reason (Design §3.6)."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from alfred.core.intervals import PairedDifference
from alfred.core.phrases import phrase

LOST_SHARE = 0.1
"""Share of the confirmed anomalies that may no longer be flagged: an equally good model loses as many by chance."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """Confirmed anomalies of the replayed slices: how many, and how many are not flagged any more or newly are."""

    confirmed: int
    lost: int
    found: int

    @property
    def allowed(self) -> float:
        """How many more may be lost than found."""
        return max(1.0, LOST_SHARE * self.confirmed)

    @property
    def holds(self) -> bool:
        return self.lost - self.found <= self.allowed


def anomalies(places: Mapping[int, tuple[int, int]], together: Iterable[Sequence[int]] = ()) -> list[list[int]]:
    """Confirmed anomalous segments → anomalies: consecutive segments of one track, or of one event, are one.

    `places` says the (track, ordinal) of each segment; `together` lists the segments of each event. An anomaly is lost
    when none of its segments is flagged any more, so one that lasts three segments can't be lost three times.
    """
    first = {segment: segment for segment in places}

    def of(segment: int) -> int:
        while first[segment] != segment:
            first[segment] = first[first[segment]]
            segment = first[segment]
        return segment

    def join(a: int, b: int) -> None:
        low, high = sorted((of(a), of(b)))
        first[high] = low

    at = {place: segment for segment, place in places.items()}
    for segment, (track, ordinal) in places.items():
        if (track, ordinal + 1) in at:
            join(segment, at[(track, ordinal + 1)])
    for shown in together:
        for other in shown[1:]:
            join(shown[0], other)
    groups: dict[int, list[int]] = defaultdict(list)
    for segment in sorted(places):
        groups[of(segment)].append(segment)
    return list(groups.values())


def lost_and_found(
    then: Mapping[int, bool], now: Mapping[int, bool], groups: Iterable[Sequence[int]]
) -> tuple[list[list[int]], list[list[int]]]:
    """(lost, found): the anomalies of `groups` that were flagged and are not any more, and those that newly are.

    `then` and `now` say whether a segment was and is flagged; an anomaly is flagged when one of its segments is.
    """
    lost: list[list[int]] = []
    found: list[list[int]] = []
    for group in groups:
        was, is_now = (any(flags[segment] for segment in group) for flags in (then, now))
        if was != is_now:
            (lost if was else found).append(list(group))
    return lost, found


def check(
    auc: float | None, difference: PairedDifference, theta: float, replayed: Replayed | None = None
) -> list[dict[str, Any]]:
    """One row a gate: name, whether it holds, and the sentence shown.

    `auc` is the candidate's on the validation set; `difference` the candidate's EBI less the deployed version's there,
    paired; `replayed` what a replay over stored slices found.
    """
    rows = [
        _row(
            "finite",
            math.isfinite(theta),
            phrase("Weights and threshold are finite numbers."),
            phrase("θ is not a finite number."),
        ),
        _row("not worse", difference.verdict != "worse", *_comparison(difference)),
        _row(
            "better than chance",
            auc is None or auc >= 0.5,
            phrase("The scores rank this camera's validation set."),
            f"AUC-ROC {auc or 0:.2f}: on this camera the scores rank anomalies below normals.",
        ),
    ]
    if replayed is not None:
        rows.append(_row("replay", replayed.holds, *_replay_words(replayed)))
    return rows


def _row(name: str, holds: bool, good: str, bad: str) -> dict[str, Any]:
    return {"name": name, "holds": holds, "words": good if holds else bad}


def _comparison(difference: PairedDifference) -> tuple[str, str]:
    good = phrase("Not worse than the deployed version beyond the paired interval.")
    if difference.low is None:
        good = phrase(
            "Too little data for a paired comparison with the deployed version; nothing shows that it is worse."
        )
    return good, phrase("Worse than the deployed version beyond the paired interval.")


def _replay_words(replayed: Replayed) -> tuple[str, str]:
    if not replayed.confirmed:
        return phrase("No confirmed anomaly in the replayed slices: nothing could be lost."), ""
    said = (
        f"On replay {replayed.lost} of {replayed.confirmed} confirmed anomalies are no longer flagged and "
        f"{replayed.found} newly are; a net loss of up to {replayed.allowed:g} passes."
    )
    return said, said
