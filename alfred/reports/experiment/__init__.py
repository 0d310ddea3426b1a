"""The report of a benchmark: the paper's tables and figures over our own run, and what they say in plain words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alfred.reports.experiment import conduct, effort, figures, paired, ranking, sentences, tables
from alfred.reports.experiment.page import Section, page
from alfred.reports.experiment.pooled import CSC, Run

__all__ = ["write_report"]

TITLE = "ALFred experiment"


def write_report(results: dict[str, Any], out: Path) -> list[Path]:
    """Write report.html, a CSV for each table and both figures (SVG, PNG) into `out`; returns their paths.

    `results` is what `manage.py benchmark` keeps as results.json. The same results give the same bytes. Raises
    ValueError where no part was run.
    """
    run = Run.of(results)
    out.mkdir(parents=True, exist_ok=True)
    drawn = figures.figures(run)
    sections = _sections(run, drawn)
    report = out / "report.html"
    report.write_text(page(f"{TITLE}: {run.config.get('data', 'results')}", sections), encoding="utf-8", newline="")
    shown = [table for section in sections for table in section.tables]
    written = [table.write(out) for table in (*shown, ranking.steps_table(run), effort.by_slice(run))]
    return [report, *written, *(path for figure in drawn for path in figure.write(out))]


def _sections(run: Run, drawn: list[figures.Drawn]) -> list[Section]:
    found = paired.comparisons([*run.scopes, *run.alone(CSC)])
    of_figure = {figure.stem: figure for figure in drawn}
    box, scores = ([of_figure[stem]] if stem in of_figure else [] for stem in ("figure-3", "figure-2"))
    failed = conduct.failures(run)
    return [
        Section("Verdict", sentences.opening(run, found), sentences.verdicts(run, found)),
        Section("All cameras together", tables=[tables.table_3(run)]),
        Section("Paired differences", tables=[paired.differences(run, found)]),
        Section("Camera by camera", tables=tables.by_camera(run)),
        Section("Ranking of the validation set", tables=ranking.rankings(run)),
        Section("Spread over detectors and cameras", figures=box, tables=[tables.quartiles(run)]),
        Section("Effort", figures=scores, tables=[*effort.efforts(run), effort.bands(run)]),
        Section("Gates", tables=[conduct.gates(run)]),
        Section(
            "How it was run",
            terms=conduct.settings(run),
            tables=[conduct.coverage(run), *([failed] if failed else [])],
        ),
    ]
