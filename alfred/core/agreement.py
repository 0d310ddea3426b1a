"""How far two people agree beyond chance."""

from __future__ import annotations

from collections.abc import Sequence


def cohen_kappa(pairs: Sequence[tuple[int, int]]) -> float | None:
    """Cohen's κ (Educational and Psychological Measurement 20, 1960) of two raters' labels 0/1 of the same items.

    κ = (p_o − p_e) / (1 − p_e): p_o the share they agree on, p_e what their own shares of 1 give by chance. 1 is full
    agreement, 0 no more than chance. None where there are no items, or where both gave one and the same label to all,
    since chance alone explains that.
    """
    n = len(pairs)
    if not n:
        return None
    agreed = sum(a == b for a, b in pairs) / n
    first, second = sum(a for a, _ in pairs) / n, sum(b for _, b in pairs) / n
    chance = first * second + (1 - first) * (1 - second)
    return None if chance == 1 else (agreed - chance) / (1 - chance)
