"""`manage.py benchmark`: the paper's experiment on labelled slices, with ground truth in place of people."""

from __future__ import annotations

import json
import os
from argparse import ArgumentParser
from pathlib import Path
from time import monotonic
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from alfred.core.al_light import Mode
from alfred.core.methodologies import Methodology
from alfred.detectors import registry
from alfred.experiment import pool
from alfred.experiment.arm import Rules
from alfred.experiment.camera_run import Plan
from alfred.experiment.oracle import Oracle
from alfred.experiment.slices import Unit
from alfred.pose.formats.continual import ContinualCamera, read_cameras
from alfred.reports.experiment import write_report

SLOWEST_FIRST = ("tsgad", "gepc", "sparta")


class Command(BaseCommand):
    """Goes on where it was when it is run again with the same options; ended parts are not run twice."""

    help = "Run detectors x methodologies x cameras over labelled slices; writes results.json, tables and figures."
    requires_system_checks = ()  # needs no page and no database

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--data", type=Path, required=True, help="folder: mocap-cctv, HuVAD, CHAD, or AlphaPose JSON"
        )
        parser.add_argument("--detectors", nargs="+", default=["memory"], metavar="NAME", help="(memory)")
        parser.add_argument("--methodologies", nargs="+", default=["all"], metavar="NAME", help="(all five)")
        parser.add_argument("--cameras", nargs="+", default=["all"], metavar="NAME", help="(all there are)")
        parser.add_argument("--seed", nargs="+", type=int, default=[0], help="one or several; each is a run (0)")
        parser.add_argument("--out", type=Path, required=True, help="folder for results.json, the report and figures")
        parser.add_argument("--unit", choices=[str(u) for u in Unit], default="pose", help="what is counted (pose)")
        parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes of one thread each")
        parser.add_argument("--budget", type=int, default=0, help="most segments asked a slice (0: no limit)")
        parser.add_argument("--oracle-noise", type=float, default=0.0, help="share of segments judged wrongly (0)")
        parser.add_argument("--oracle-alert", action="store_true", help="what lies above AL-Light's band is judged too")
        parser.add_argument("--al-light", choices=[str(m) for m in Mode], default=str(Mode.ROLLING_MEDIAN_MAX))
        parser.add_argument("--steps", type=int, help="training steps a slice; default: the detector's")
        parser.add_argument("--learning-rate", type=float, help="default: the detector's")
        parser.add_argument("--stride", type=int, default=1, help="samples between windows of the stream (1)")
        parser.add_argument("--validation-stride", type=int, default=4, help="the same of the validation set (4)")
        parser.add_argument("--weights", type=Path, help="folder of source weights; default: those shipped")
        parser.add_argument("--masks", type=Path, help="folder of frame labels (.npy), where they lie elsewhere")
        parser.add_argument("--fps", type=float, help="frame rate of files that name none (30)")
        parser.add_argument("--resolution", type=int, nargs=2, metavar=("W", "H"), help="picture size, where unknown")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self._run(options)
        except (ValueError, OSError) as error:
            raise CommandError(str(error)) from None

    def _run(self, options: dict[str, Any]) -> None:
        names = None if options["cameras"] == ["all"] else options["cameras"]
        resolution = tuple(options["resolution"]) if options["resolution"] else None
        cameras = read_cameras(options["data"], names, options["masks"], fps=options["fps"], resolution=resolution)
        parts = [
            pool.Part(camera, plan, data)
            for plan in _plans(options, cameras[0].fps)
            for camera, data in [(camera, pool.digest_of(camera)) for camera in cameras]
        ]
        out: Path = options["out"]
        out.mkdir(parents=True, exist_ok=True)
        self.stdout.write(f"{len(parts)} parts (camera x detector x seed), {options['workers']} at once")
        rows, failed = pool.run_all(parts, out, options["workers"], self._progress(parts))
        for name, why in failed.items():
            self.stderr.write(f"{name}: {why}")
        if not rows:
            raise ValueError("nothing could be run; the reasons stand above")
        results = {"config": _config(options, cameras), "failed": failed, "parts": rows}
        text = json.dumps(results, indent=1, sort_keys=True, ensure_ascii=False)
        (out / "results.json").write_text(text + "\n", encoding="utf-8")
        for path in write_report(results, out):
            self.stdout.write(f"wrote {path}")

    def _progress(self, parts: list[pool.Part]) -> pool.Tell:
        begun, done, totals = monotonic(), dict.fromkeys((p.name for p in parts), 0.0), len(parts)

        def tell(name: str, slices: int, total: int) -> None:
            done[name] = slices / total
            share, took = sum(done.values()) / totals, monotonic() - begun
            left = f", about {took / share * (1 - share):.0f} s left" if 0 < share < 1 else ""
            self.stdout.write(f"{name}: slice {slices} of {total}; {share:.0%} of all, {took:.0f} s{left}")
            self.stdout.flush()

        return tell


def _plans(options: dict[str, Any], fps: float) -> list[Plan]:
    """One for each detector and seed, the slowest detectors first."""
    chosen = [str(m) for m in Methodology] if options["methodologies"] == ["all"] else options["methodologies"]
    unknown = [name for name in chosen if name not in list(Methodology)]
    if unknown:
        raise ValueError(f"there is no methodology {unknown[0]!r}; there are: {', '.join(Methodology)}")
    rules = Rules(
        oracle=Oracle(options["oracle_noise"], options["budget"]),
        mode=Mode(options["al_light"]),
        alert_judged=options["oracle_alert"],
        steps=options["steps"],
        learning_rate=options["learning_rate"],
    )
    folder = options["weights"] or registry.SOURCE
    detectors = sorted(options["detectors"], key=lambda name: (name not in SLOWEST_FIRST, name))
    return [
        Plan(
            detector,
            registry.source_for(detector, fps, folder)[0],
            tuple(chosen),
            Unit(options["unit"]),
            seed,
            options["stride"],
            options["validation_stride"],
            rules,
            settings.DEVICE,
        )
        for detector in detectors
        for seed in options["seed"]
    ]


def _config(options: dict[str, Any], cameras: list[ContinualCamera]) -> dict[str, Any]:
    keys = (
        "detectors", "methodologies", "seed", "unit", "budget", "oracle_noise", "oracle_alert", "al_light", "steps",
        "learning_rate", "stride", "validation_stride",
    )  # fmt: skip
    return {key: options[key] for key in keys} | {
        "data": options["data"].resolve().name,
        "cameras": [camera.name for camera in cameras],
    }
