"""`manage.py train-source`: train the weights a camera starts from, and write them with their card."""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
from argparse import ArgumentParser
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

from django.conf import settings as conf
from django.core.management.base import BaseCommand, CommandError

from alfred.detectors import presets, registry, resume, source_training
from alfred.pose.formats import mocap


class Command(BaseCommand):
    """Deterministic on a CPU: same data, settings, seed and thread count give the same weights. Killed, it goes on."""

    help = "Train source weights of a detector on a folder of normal poses; writes .safetensors and a card."
    requires_system_checks = ()  # needs no page and no database

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--detector", default="stg_nf", help="which detector (%(default)s)")
        parser.add_argument("--data", type=Path, required=True, help="folder of *_train*.npz and *_test.npz")
        parser.add_argument("--seed", type=int, required=True)
        parser.add_argument("--preset", default=presets.TUNED, help="a named way to build and train it (%(default)s)")
        parser.add_argument("--fps", type=float, help="frame rate to train for; default: the detector's")
        parser.add_argument("--length", type=int, help="samples a window; default: the detector's")
        parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the detector")
        parser.add_argument("--steps", type=int, help="training steps; default: the detector's")
        parser.add_argument("--learning-rate", type=float, help="default: the detector's")
        parser.add_argument("--stride", type=int, help="samples between training windows; default: the preset's")
        parser.add_argument("--revision", type=int, default=1, help="number in the version's name (%(default)s)")
        parser.add_argument("--data-name", help="name of the data in the card; default: the folder's")
        parser.add_argument("--out", type=Path, default=registry.SOURCE, help="folder to write to")
        parser.add_argument("--evaluate", type=Path, help="also print a table over the *_test.npz here")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self._train(options)
        except ValueError as error:
            raise CommandError(str(error)) from None

    def _train(self, options: dict[str, Any]) -> None:
        folder: Path = options["data"]
        settings: dict[str, Any] = {"device": conf.DEVICE} | ({"fps": options["fps"]} if options["fps"] else {})
        settings |= dict(_setting(text) for text in options["set"])
        if options["length"]:
            settings["length"] = options["length"]
        preset = presets.preset(options["detector"], options["preset"])
        detector = registry.create(options["detector"], preset=options["preset"], **settings)
        window = detector.window
        data = source_training.read_source_data(folder, window.fps)
        spec = replace(window, stride=options["stride"] or preset.stride)
        windows = source_training.normal_windows(data.train, spec)
        self.stdout.write(f"{len(windows)} windows of {window.length} samples at {window.fps:g} fps")
        chosen = {k: v for k in ("steps", "learning_rate") if (v := options[k]) is not None}
        kept = conf.STATE_DIR / "training" / f"{detector.name}-{_digest(options)}"
        with resume.resumable(kept):
            log = detector.fit(windows, seed=options["seed"], progress=self._progress(), **chosen)
        name = options["data_name"] or folder.resolve().name
        card = source_training.source_card(
            detector, data, data_name=name, revision=options["revision"], command=_command(options, name)
        )
        if log.losses:
            card["final_loss"] = round(sum(log.losses[-50:]) / len(log.losses[-50:]), 4)
        self._write(options["out"], detector, card)
        shutil.rmtree(kept, ignore_errors=True)
        if options["evaluate"]:
            self._table(detector, options["evaluate"])

    def _progress(self) -> Any:
        start = monotonic()

        def show(done: int, total: int, text: str) -> None:
            if done % 100 == 0 or done == total:
                self.stdout.write(f"step {done}/{total}  {text}  {monotonic() - start:.0f} s")
                self.stdout.flush()

        return show

    def _write(self, out: Path, detector: Any, card: dict[str, Any]) -> None:
        out.mkdir(parents=True, exist_ok=True)
        detector.describe(**card)
        path = out / f"{card['version']}.safetensors"
        detector.save(path)
        text = json.dumps(detector.info(), indent=1, sort_keys=True, ensure_ascii=False)
        path.with_suffix(".json").write_text(text + "\n", encoding="utf-8")
        figures, basis = card["evaluation"], card["theta_basis"]
        self.stdout.write(f"wrote {path.name}: {path.stat().st_size} bytes, and its card")
        self.stdout.write(f"poses: AUC {figures['auc']:.3f}, EER {figures['eer']:.3f}")
        self.stdout.write(f"segments: theta {card['theta']:.4f}, EER {basis['eer']:.3f}")

    def _table(self, detector: Any, folder: Path) -> None:
        self.stdout.write("camera  AUC    EER    coverage")
        for path in sorted(folder.glob("*_test.npz")):
            test = source_training.at_rate(mocap.read(path), detector.window.fps)
            quality = source_training.pose_quality(source_training.score_all(detector, [test]), [test])
            camera = path.name.removesuffix("_test.npz")
            self.stdout.write(f"{camera:6}  {quality.auc:.3f}  {quality.eer:.3f}  {quality.coverage:.3f}")


def _digest(options: dict[str, Any]) -> str:
    """Names a training by everything that was asked of it: what was kept of another is not gone on with."""
    keys = ("preset", "set", "seed", "fps", "length", "steps", "learning_rate", "stride", "revision")
    asked = {key: str(options[key]) for key in keys}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]


def _setting(text: str) -> tuple[str, Any]:
    """KEY=VALUE; a value that is no JSON (a number, true, null) is a word."""
    key, equals, value = text.partition("=")
    if not equals or not key.isidentifier():
        raise ValueError(f"--set {text}: write KEY=VALUE, such as latent=4")
    try:
        return key, json.loads(value)
    except json.JSONDecodeError:
        return key, value


def _command(options: dict[str, Any], data_name: str) -> str:
    """The command that makes these weights again, with the data's name in place of its path."""
    words = [
        "manage.py train-source",
        f"--detector {options['detector']}",
        f"--data {shlex.quote(data_name)}",
    ]
    if options["preset"] != presets.TUNED:
        words.append(f"--preset {options['preset']}")
    words += [f"--set {shlex.quote(text)}" for text in options["set"]]
    for key in ("seed", "fps", "length", "steps", "learning_rate", "stride", "revision"):
        if options[key] is not None:
            number = options[key]
            words.append(f"--{key.replace('_', '-')} {number:g}" if number else f"--{key} 0")
    return " ".join(words)
