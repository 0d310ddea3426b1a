"""The paper's Figures 2 and 3. Figure objects only: no window, no state that outlives a call, same bytes each time."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from alfred.reports.experiment.effort import LIGHT, PAPER_CAMERA
from alfred.reports.experiment.pooled import WORDS, Row, Run
from alfred.reports.experiment.tables import ebi_of_cells

INK, GROUND = "#1a2129", "#ffffff"
"""On the page both give way to the page's own."""

LINE, BOX = "#7b8794", "#5b8fc9"
MARKS = ("o", "s", "^", "D", "v", "P")
COLOURS = ("#2b7fd0", "#c2571a", "#2f8a5b", "#8d55b5", "#a88200", "#b8405e")
LEGEND_MAX = 12
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10.0,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": LINE,
    "axes.titlesize": 11.0,
    "axes.titlelocation": "left",
    "axes.facecolor": GROUND,
    "figure.facecolor": GROUND,
    "savefig.facecolor": GROUND,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": LINE,
    "grid.alpha": 0.3,
    "axes.axisbelow": True,
    "path.simplify": False,
}


@dataclass(frozen=True)
class Drawn:
    """A figure's files, its picture for the page, and the words beside it."""

    stem: str
    title: str
    svg: str
    png: bytes
    words: str

    def write(self, folder: Path) -> list[Path]:
        vector, raster = folder / f"{self.stem}.svg", folder / f"{self.stem}.png"
        vector.write_text(self.svg, encoding="utf-8", newline="")
        raster.write_bytes(self.png)
        return [vector, raster]

    @property
    def inline(self) -> str:
        """The SVG element alone, sized by the page, in the page's colours, with no ids but those referred to."""
        svg = self.svg[self.svg.index("<svg") :]
        svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg))
        svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
        used = set(re.findall(r"#([\w-]+)", svg))
        svg = re.sub(r' id="([^"]*)"', lambda found: found.group(0) if found.group(1) in used else "", svg)
        return svg.replace(INK, "currentColor").replace(GROUND, "none").strip()


def figures(run: Run) -> list[Drawn]:
    """Those that there is something to draw of."""
    return [drawn for drawn in (figure_2(run), figure_3(run)) if drawn]


def _draw(stem: str, title: str, words: str, size: tuple[float, float], paint: Callable[[Figure], None]) -> Drawn:
    """Paint once, keep as SVG and PNG without dates or names of programs."""
    # The salt makes ids from what they name; one a figure, so that two on a page never share one.
    with mpl.rc_context():
        mpl.rcdefaults()  # a matplotlibrc of this machine changes nothing
        mpl.rcParams.update({**STYLE, "svg.hashsalt": stem})
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        paint(figure)
        vector, raster = io.StringIO(), io.BytesIO()
        figure.savefig(vector, format="svg", metadata={"Date": None, "Creator": None, "Title": title})
        figure.savefig(raster, format="png", dpi=150, metadata={"Software": None})
    return Drawn(stem, title, vector.getvalue(), raster.getvalue(), words)


def figure_2(run: Run) -> Drawn | None:
    """How AL-Light's flagged scores are distributed on one camera, slice by slice, and where its band ended."""
    camera = PAPER_CAMERA if PAPER_CAMERA in run.cameras else run.cameras[0]
    panels = []
    for scope in (s for s in run.on(camera) if s.detector in run.detectors):
        part = scope.of_seed()[0]
        steps = [step for step in part.steps(LIGHT) if step.get("flagged_quantiles")]
        if steps:
            panels.append((scope.detector, steps))
    if not panels:
        return None
    mode = str(run.config.get("al_light", "")).replace("_", " ")
    words = (
        f"Scores that AL-Light flagged on {camera} ({run.unit}), a line for each slice, from 21 quantiles of each. The "
        f"dot is θ_med at the end of the slice{f' ({mode})' if mode else ''}: what lay to its right was no longer "
        "asked for. A line without a dot had no band, and all of it was asked for."
    )

    def paint(figure: Figure) -> None:
        axes = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
        for axis, (detector, steps) in zip(axes, panels, strict=True):
            axis.set_title(f"{detector}, {camera}")
            _cumulative(axis, steps)

    title = f"Figure 2: cumulative distribution of flagged scores on {camera}"
    return _draw("figure-2", title, words, (6.4, 3.0 * len(panels) + 0.2), paint)


def _cumulative(axis: Axes, steps: list[Row]) -> None:
    shares = np.linspace(0, 100, 21)
    for index, step in enumerate(steps):
        values = np.asarray(step["flagged_quantiles"], np.float64)
        colour = mpl.colormaps["plasma"](0.3 + 0.45 * index / max(1, len(steps) - 1))
        named = len(steps) <= LEGEND_MAX or index in (0, len(steps) // 2, len(steps) - 1)
        axis.plot(values, shares, color=colour, lw=1.3, label=f"slice {step['slice']}" if named else None)
        if step.get("theta_med") is not None:
            axis.plot(step["theta_med"], np.interp(step["theta_med"], values, shares), "o", color=colour, ms=5)
    axis.set_xlabel("score")
    axis.set_ylabel("flagged up to it, %")
    axis.set_ylim(0, 102)
    axis.grid(visible=True)
    axis.legend(frameon=False, fontsize=8, loc="lower right", ncols=2 if len(steps) > 5 else 1)


def figure_3(run: Run) -> Drawn | None:
    """EBI by methodology: a box over the cells of detector and camera, and each cell as a point."""
    found = [(arm, cells) for arm in run.arms if (cells := ebi_of_cells(run, arm))]
    if not found:
        return None
    words = (
        f"EBI of {run.unit}, one point for each detector and camera, first seed. Box: quartiles; line: median; "
        "whiskers: lowest and highest. Numbers under the names: how many cells had both classes."
    )

    def paint(figure: Figure) -> None:
        axis = figure.subplots()
        _boxes(axis, [[100 * value for _, value in cells] for _, cells in found])
        for column, (_, cells) in enumerate(found, 1):
            for index, (cell, value) in enumerate(cells):
                which = run.detectors.index(cell.detector)
                shift = 0.3 * ((index + 0.5) / len(cells) - 0.5)
                colour, mark = COLOURS[which % len(COLOURS)], MARKS[which % len(MARKS)]
                axis.plot(column + shift, 100 * value, mark, color=colour, ms=4.5, alpha=0.9, ls="none")
        axis.set_xticks(range(1, len(found) + 1), [_column_name(arm, len(cells)) for arm, cells in found])
        axis.set_ylabel("EBI, %")
        axis.grid(visible=True, axis="y")
        figure.legend(handles=_legend(run, axis), loc="outside upper left", ncols=5, frameon=False, fontsize=9)

    return _draw("figure-3", "Figure 3: EBI by methodology over detectors and cameras", words, (6.4, 4.2), paint)


def _column_name(arm: str, n: int) -> str:
    name = WORDS[arm].replace(" ", "\n").replace("-C", "-\nC")
    return f"{name}\nn = {n}"


def _legend(run: Run, axis: Axes) -> list[Any]:
    return [
        axis.plot([], [], MARKS[i % len(MARKS)], color=COLOURS[i % len(COLOURS)], ms=4.5, label=name)[0]
        for i, name in enumerate(run.detectors)
    ]


def _boxes(axis: Axes, values: list[list[float]]) -> None:
    drawn = axis.boxplot(values, whis=(0, 100), widths=0.55, patch_artist=True, showfliers=False)
    for box in drawn["boxes"]:
        box.set(facecolor=BOX, alpha=0.3, edgecolor=LINE)
    for name in ("whiskers", "caps"):
        for line in drawn[name]:
            line.set(color=LINE)
    for line in drawn["medians"]:
        line.set(color=INK, lw=1.6)
