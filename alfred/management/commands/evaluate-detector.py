"""`manage.py evaluate-detector`: a detector's figures on labelled clips, as a table and as JSON."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from alfred.core.intervals import CAVEAT
from alfred.detectors import evaluation, registry
from alfred.detectors.base import Detector
from alfred.detectors.evaluation import Evaluation, Figures
from alfred.pose.formats.benchmark import read_clips


class Command(BaseCommand):
    help = "Measure a detector on labelled clips: AUC-ROC, AP, AUC-PR, EER, coverage, latency; by pose and by frame."
    requires_system_checks = ()  # needs no page and no database

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--detector", required=True, help="which detector")
        parser.add_argument("--data", type=Path, required=True, help="labelled file, or a folder of them")
        parser.add_argument("--masks", type=Path, help="folder of frame masks (.npy) for AlphaPose files")
        parser.add_argument("--weights", type=Path, help=".safetensors; default: what is shipped for the data's rate")
        parser.add_argument("--checkpoint", type=Path, help="a checkpoint published by the detector's authors")
        parser.add_argument("--published", action="store_true", help="the published protocol (smoothed, looking ahead)")
        parser.add_argument("--fps", type=float, help="frame rate of files that name none (30)")
        parser.add_argument("--blocks", choices=["clip", "track"], default="clip", help="resampled for intervals")
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument("--resamples", type=int, default=1000, help="0: no intervals")
        parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self._run(options)
        except (ValueError, OSError) as error:
            raise CommandError(str(error)) from None

    def _run(self, options: dict[str, Any]) -> None:
        clips = read_clips(options["data"], options["masks"], fps=options["fps"])
        detector = self._detector(options, clips[0].fps)
        settings = {"seed": options["seed"], "resamples": options["resamples"]}
        if options["published"]:
            found = evaluation.evaluate_published(detector, clips, **settings)
        else:
            found = evaluation.evaluate(detector, clips, blocks=options["blocks"], **settings)
        for line in table(found):
            self.stdout.write(line)
        if options["json"]:
            text = json.dumps(found.as_dict() | {"card": detector.info()}, indent=1, ensure_ascii=False)
            options["json"].write_text(text + "\n", encoding="utf-8")

    def _detector(self, options: dict[str, Any], fps: float) -> Detector:
        name = options["detector"]
        detector = registry.create(name, device=settings.DEVICE)
        if options["checkpoint"]:
            if not hasattr(detector, "load_published"):
                raise ValueError(f"{name}: its authors published no checkpoints; use --weights.")
            detector.load_published(options["checkpoint"])
        else:
            detector.load(options["weights"] or registry.source_for(name, fps)[0])
        return detector


def table(found: Evaluation) -> list[str]:
    """The figures as lines of text, and what the intervals say."""
    lines = [
        f"{found.detector}, {found.protocol} protocol; 95 % intervals over {found.blocks}s, frames always over clips",
        f"({CAVEAT})",
        "camera  unit   n       anomalous  coverage  AUC-ROC  95 %            AP     AUC-PR  EER",
    ]
    lines += [_line(row) for row in found.rows]
    lines += [f"mean AUC-ROC over cameras, by {unit}: {value:.3f}" for unit, value in found.mean_auc.items()]
    if found.ms_per_1000_windows is not None:
        lines.append(f"1 000 windows take {found.ms_per_1000_windows:g} ms")
    return lines


def _line(row: Figures) -> str:
    interval = f"{row.interval.low:.3f} to {row.interval.high:.3f}" if row.interval else "too few blocks"
    return (
        f"{row.camera:6}  {row.unit:5}  {row.n:<6}  {row.anomalous / max(row.n, 1):9.1%}  {row.coverage:8.3f}  "
        f"{_three(row.auc_roc):7}  {interval:14}  {_three(row.average_precision):5}  {_three(row.auc_pr):6}  "
        f"{_three(row.eer)}"
    )


def _three(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.3f}"
