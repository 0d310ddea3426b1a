"""The Error Balance Index."""

from __future__ import annotations


def ebi(fpr: float | None, fnr: float | None) -> float | None:
    """EBI = 2 (1 − FPR) (1 − FNR) / ((1 − FPR) + (1 − FNR)), in 0..1; higher is better.

    The harmonic mean of specificity and recall: it is high only where both are. 0 where both are 0.
    None where either rate is None, because a class was missing: an unknown is never shown as a number.
    Source: ALFred paper (`003`), the definition of the Error Balance Index.
    """
    if fpr is None or fnr is None:
        return None
    specificity, recall = 1.0 - fpr, 1.0 - fnr
    total = specificity + recall
    return 2.0 * specificity * recall / total if total > 0 else 0.0
