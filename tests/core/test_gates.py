"""What counts as one anomaly on replay, which are lost and found, and what the gate makes of it."""

from __future__ import annotations

import pytest

from alfred.core import gates


@pytest.mark.parametrize(
    ("places", "together", "expected"),
    [
        ({1: (7, 0), 2: (7, 1), 3: (7, 3)}, [], [[1, 2], [3]]),  # a gap of one segment parts them
        ({1: (7, 0), 2: (8, 0), 3: (9, 5)}, [[1, 2]], [[1, 2], [3]]),  # two people, one event
        ({1: (7, 0), 2: (7, 1), 3: (8, 1), 4: (8, 2)}, [[2, 3]], [[1, 2, 3, 4]]),  # both, in a chain
        ({5: (7, 1), 9: (7, 0)}, [[5], [9]], [[5, 9]]),  # whatever the order of ids
        ({}, [], []),
    ],
)
def test_segments_of_one_anomaly(
    places: dict[int, tuple[int, int]], together: list[list[int]], expected: list[list[int]]
) -> None:
    assert gates.anomalies(places, together) == expected


def test_an_anomaly_is_flagged_when_one_of_its_segments_is() -> None:
    then = {1: True, 2: False, 3: True, 4: False, 5: False}
    now = {1: False, 2: True, 3: False, 4: False, 5: True}
    assert gates.lost_and_found(then, now, [[1, 2], [3, 4], [5]]) == ([[3, 4]], [[5]])


@pytest.mark.parametrize(("confirmed", "lost", "found", "holds"), [(5, 1, 0, True), (5, 2, 0, False), (40, 6, 2, True)])
def test_a_tenth_of_the_anomalies_may_be_lost_net(confirmed: int, lost: int, found: int, holds: bool) -> None:
    assert gates.Replayed(confirmed, lost, found).holds is holds
