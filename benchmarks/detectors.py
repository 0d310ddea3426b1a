"""Every detector: windows scored a second on one and two threads, and how long STG-NF takes to fine-tune."""

from __future__ import annotations

from time import perf_counter

import numpy as np
import numpy.typing as npt
import torch

from alfred.detectors import registry
from alfred.detectors.base import Detector

BUDGET = (
    "fine-tuning STG-NF on 4 000 windows for one epoch in under 10 s on two cores; the others are measured beside it"
)
WANTED_S = 10.0
SECONDS = 3.0
EPOCH = 4000
BATCH = 256


def run() -> tuple[dict[str, float | str], bool]:
    """Measure all that can be made with shipped weights; the second value says whether the budget is met."""
    before = torch.get_num_threads()
    figures: dict[str, float | str] = {}
    try:
        for name in registry.names():
            shipped = registry.source_versions(name)
            if not shipped:
                continue
            detector = registry.create(name)
            detector.load(shipped[0][0])
            for threads in (1, 2):
                torch.set_num_threads(threads)
                rate, size = _rate(detector)
                figures[f"{name}: windows/s, {threads} threads"] = round(rate)
            figures[f"{name}: windows a call"] = size
        torch.set_num_threads(2)
        seconds = _fine_tuning()
    finally:
        torch.set_num_threads(before)
    figures["stg_nf: fine-tuning, s"] = round(seconds, 2)
    return figures, seconds < WANTED_S


def _windows(detector: Detector, n: int) -> npt.NDArray[np.float32]:
    """Smooth random movement of the detector's own shape."""
    rng = np.random.default_rng(0)
    steps = rng.normal(size=(n, detector.window.channels, detector.window.length, 18)).cumsum(axis=2)
    return (0.2 * steps).astype(np.float32)


def _rate(detector: Detector) -> tuple[float, int]:
    """Windows a second at the detector's best of some sizes of a call, which is given beside it."""
    best = (0.0, 0)
    for size in (64, 256, 1024):
        windows = _windows(detector, size)
        detector.score(windows)
        calls, start = 0, perf_counter()
        while (spent := perf_counter() - start) < SECONDS / 3 or not calls:
            detector.score(windows)
            calls += 1
        best = max(best, (calls * size / max(spent, perf_counter() - start), size))
    return best


def _fine_tuning() -> float:
    detector = registry.create("stg_nf")
    detector.load(registry.source_for("stg_nf", 30)[0])
    start = perf_counter()
    # An epoch is every window and its mirror image once.
    detector.fine_tune(_windows(detector, EPOCH), seed=0, steps=2 * EPOCH // BATCH + 1)
    return perf_counter() - start


if __name__ == "__main__":
    print(BUDGET, *run(), sep="\n")
