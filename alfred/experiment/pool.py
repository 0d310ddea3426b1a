"""Many cameras and detectors at once: one process each, parts kept as they end, one `results.json` at the end."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from alfred.experiment.camera_run import Plan, run_camera
from alfred.pose.formats.continual import ContinualCamera

EVERY_S = 1.0

Row = dict[str, Any]
Tell = Callable[[str, int, int], None]
"""Called with a part's name, slices done, slices in all."""


@dataclass(frozen=True, slots=True)
class Part:
    """One camera with one plan. `digest` names the data and everything that was asked: a part kept of another run is
    not taken for this one's.
    """

    camera: ContinualCamera
    plan: Plan
    data: str

    @property
    def name(self) -> str:
        return f"{self.plan.detector}-{self.camera.name}-seed{self.plan.seed}"

    @property
    def digest(self) -> str:
        asked = json.dumps(
            asdict(self.plan) | {"weights": self._weights(), "data": self.data, "meaning": EXPERIMENT},
            sort_keys=True,
            default=str,
        )
        return hashlib.sha256(asked.encode()).hexdigest()[:16]

    def _weights(self) -> str:
        return hashlib.sha256(self.plan.weights.read_bytes()).hexdigest()


EXPERIMENT = 3
"""Raised when what a part holds changes its meaning: parts of an earlier one are then run anew."""


def digest_of(camera: ContinualCamera) -> str:
    """Names a camera's files by their names and contents, and how they are cut."""
    described = [(piece.name, [_described(part) for part in piece.parts]) for piece in (*camera.slices, camera.test)]
    return hashlib.sha256(repr((camera.width, camera.height, camera.fps, described)).encode()).hexdigest()[:16]


def _described(part: Any) -> str:
    """A part of a slice without the folder it lies in."""
    found = {key: value for key, value in asdict(part).items() if not isinstance(value, Path)}
    files = [(value.name, _contents(value)) for value in asdict(part).values() if isinstance(value, Path)]
    return repr((files, found))


@cache
def _contents(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def run_all(parts: Iterable[Part], out: Path, workers: int, tell: Tell) -> tuple[list[Row], dict[str, str]]:
    """Run what is not kept from before; (rows in the order given, reasons of the parts that failed).

    The largest order of work first is the caller's; `tell` hears of every slice.
    """
    parts = list(parts)
    found: dict[str, Row] = {}
    failed: dict[str, str] = {}
    waiting = []
    for part in parts:
        kept = _kept(part, out)
        if kept is None:
            waiting.append(part)
        else:
            found[part.name] = kept
            tell(part.name, 1, 1)
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(workers, context, _one_thread) as pool:
        lines = manager.Queue()
        running: dict[Future[Row], Part] = {pool.submit(_run, part, out, lines): part for part in waiting}
        while running:
            ended, _ = wait(running, timeout=EVERY_S, return_when=FIRST_COMPLETED)
            while not lines.empty():
                tell(*lines.get())
            for future in ended:
                part = running.pop(future)
                try:
                    found[part.name] = future.result()
                except Exception as error:  # one part that fails must not take the others' results with it
                    failed[part.name] = str(error) or type(error).__name__
    return [found[part.name] for part in parts if part.name in found], failed


def _one_thread() -> None:
    """Processes share the cores: more threads in each would only wait for one another, and change sums."""
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch  # here, in the child, after the variable is set

    torch.set_num_threads(1)


def _run(part: Part, out: Path, lines: Any) -> Row:
    state = out / "state" / f"{part.name}-{part.digest}"
    parent = os.getppid()

    def report(done: int, total: int) -> None:
        if os.getppid() != parent:  # killed: whoever runs the command again works in the same folder
            os._exit(1)
        lines.put((part.name, done, total))

    row = run_camera(part.camera, part.plan, state, report)
    path = _path(part, out)
    path.parent.mkdir(parents=True, exist_ok=True)
    made = path.with_suffix(".writing")
    made.write_text(json.dumps({"digest": part.digest, "row": row}), encoding="utf-8")
    made.replace(path)
    shutil.rmtree(state, ignore_errors=True)
    return row


def _path(part: Part, out: Path) -> Path:
    return out / "parts" / f"{part.name}.json"


def _kept(part: Part, out: Path) -> Row | None:
    try:
        stored = json.loads(_path(part, out).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if stored.get("digest") != part.digest:
        return None
    row: Row = stored["row"]
    return row
