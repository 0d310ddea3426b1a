"""A report worked by hand, for the tests of figures and of the CSV."""

from __future__ import annotations

from alfred.reports.camera_report import CameraReport, SliceFigures, ThetaStep, build
from alfred.reports.figures import BasisCounts, Rows


def one(ordinal: int, blocks: Rows, *, current: bool = True, closed: bool = True, **more: object) -> SliceFigures:
    """A slice with these segment counts; `deployed` and other keywords of its counts are taken out of `more`."""
    of_counts = {name: more.pop(name) for name in ("deployed", "unscored", "basis", "partial") if name in more}
    counts = BasisCounts("segment", str(of_counts.pop("basis", "ground_truth")), blocks, **of_counts)  # type: ignore[arg-type]  # keywords of the test
    size = int(sum(map(sum, blocks)))
    flagged = int(sum(block[0] + block[1] for block in blocks))
    return SliceFigures(ordinal, closed, size, flagged, [("v0", 1.5, size)], current, [counts], **more)  # type: ignore[arg-type]  # as above


def figures(**changes: object) -> CameraReport:
    """A report of two closed slices: 2/2/6/1 and 1/0/8/0 in segments, poses apart."""
    given: dict[str, object] = {
        "camera": "Gate",
        "kind": "real",
        "slices": [
            SliceFigures(0, True, 11, 4, [("v0", 1.5, 11)], True, [
                BasisCounts("segment", "ground_truth", [[2, 2, 6, 1]]),
                BasisCounts("pose", "ground_truth", [[90, 60, 400, 50]]),
            ]),
            one(1, [[1, 0, 8, 0]]),
        ],
        "theta": [ThetaStep(0, "2026-01-01T00:00:00", "v0", 1.5, "source", "first")],
        "validation": None,
        "warm_up": None,
        "coverage": 0.9,
        "work": {},
        "seed": 1,
    }  # fmt: skip
    return build(**{**given, **changes})  # type: ignore[arg-type]  # the test's own keywords
