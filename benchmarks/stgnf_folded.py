"""STG-NF scoring: the folded form against the layers as they stand, in windows a second."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import torch
from torch import Tensor

from alfred.detectors.stg_nf.folded import FoldedScorer
from alfred.detectors.stg_nf.model import FlowSettings, StgNfModel, seeded_model

BUDGET = "folded at least 10 x our general form, each at its best batch of 64, 256, 1024, 1 and 2 threads"
WANTED = 10.0
BATCHES = (64, 256, 1024)
WINDOWS = 4096
REPEATS = 5


def run() -> tuple[dict[str, float | str], bool]:
    """Measure both; the second value says whether the budget is met."""
    before = torch.get_num_threads()
    try:
        return _run()
    finally:
        torch.set_num_threads(before)


def _run() -> tuple[dict[str, float | str], bool]:
    model, windows = _model_and_windows()
    scorer = FoldedScorer(model)
    with torch.inference_mode():
        apart = float((scorer.nll(windows[:512]) - model.nll(windows[:512])).abs().max())
    if apart > 2e-4:
        return {"error": f"scores differ by {apart:.1e}"}, False
    figures: dict[str, float | str] = {"largest score difference": apart}
    passed = True
    for threads in (1, 2):
        torch.set_num_threads(threads)
        general = _best(lambda batch: _by_layers(model, windows, batch))
        fast = _best(lambda batch: _by_folding(scorer, windows, batch))
        ratio = fast[0] / general[0]
        passed &= ratio >= WANTED
        figures |= {
            f"general, windows/s, {threads} threads": round(general[0]),
            f"general, best batch, {threads} threads": general[1],
            f"folded, windows/s, {threads} threads": round(fast[0]),
            f"folded, best batch, {threads} threads": fast[1],
            f"ratio, {threads} threads": round(ratio, 1),
        }
    return figures, passed


def _model_and_windows() -> tuple[StgNfModel, Tensor]:
    model = seeded_model(FlowSettings(), seed=0).train()
    windows = torch.randn(WINDOWS, 2, 24, 18, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for _ in range(3):  # BatchNorm statistics that are not 0 and 1
            model.nll(windows[:256])
    return model.eval(), windows


@torch.inference_mode()
def _by_layers(model: StgNfModel, windows: Tensor, batch: int) -> None:
    for at in range(0, WINDOWS, batch):
        model.nll(windows[at : at + batch])


def _by_folding(scorer: FoldedScorer, windows: Tensor, batch: int) -> None:
    scorer.nll(windows, batch)


def _best(score: Callable[[int], None]) -> tuple[float, int]:
    """Windows a second of the fastest of some runs, and the batch it had. Runs of the batches take turns."""
    seconds = dict.fromkeys(BATCHES, float("inf"))
    for _ in range(REPEATS):
        for batch in BATCHES:
            start = perf_counter()
            score(batch)
            seconds[batch] = min(seconds[batch], perf_counter() - start)
    best = min(BATCHES, key=lambda batch: seconds[batch])
    return WINDOWS / seconds[best], best


if __name__ == "__main__":
    print(BUDGET, *run(), sep="\n")
