"""`manage.py benchmark` from files to report: real processes, resumed parts, the same figures twice."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from alfred.detectors import registry
from alfred.experiment.slices import Unit, footage_of, prepare
from tests import world
from tests.experiment import scenes


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cameras of the mocap-cctv layout, two slices each."""
    folder = tmp_path_factory.mktemp("data")
    for number, name in enumerate(("C0", "CSC")):
        view = scenes.camera(slices=2, name=name)
        for file, piece in (("train_0", view.slices[0]), ("train_1", view.slices[1]), ("test", view.test)):
            footage = footage_of(piece.load())
            poses = footage.poses
            world.npz(folder / f"{name}_{file}.npz", poses, footage.labels, scene=footage.blocks + 10 * number)
        meta = {"fps": 30, "resolution": [640, 480]}
        (folder / f"{name}_meta.json").write_text(json.dumps(meta))
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    detector = registry.create("memory", capacity=64, density_rank=5)
    seen = prepare(footage_of([scenes.clip("s", 77, people=3, shaking=0)]), detector.window, Unit.POSE, stride=6)
    detector.fit(seen.windows.values, seed=0)
    detector.describe(version="memory-30fps-test", theta=1.0)
    detector.save(folder / "memory.safetensors")
    (folder / "memory.json").write_text(json.dumps(detector.info()))
    return folder


def run(data: Path, weights: Path, out: Path, *more: str) -> str:
    said = StringIO()
    call_command(
        "benchmark", "--data", str(data), "--weights", str(weights), "--out", str(out), "--stride", "3",
        "--workers", "2", *more, stdout=said, stderr=said,
    )  # fmt: skip
    return said.getvalue()


def timeless(out: Path) -> Any:
    found = json.loads((out / "results.json").read_text())
    for part in found["parts"]:
        assert part.pop("wall_s") > 0
    return found


def test_two_runs_give_the_same_results_and_a_third_finds_them_done(data: Path, weights: Path, tmp_path: Path) -> None:
    said = run(data, weights, tmp_path / "a")
    assert "memory-C0-seed0: slice 3 of 3" in said and "100% of all" in said
    run(data, weights, tmp_path / "b")
    assert timeless(tmp_path / "a") == timeless(tmp_path / "b")
    found = timeless(tmp_path / "a")
    assert [part["camera"] for part in found["parts"]] == ["C0", "CSC"]
    assert set(found["parts"][0]["arms"]) == {
        "frozen", "offline", "continual", "pseudo_continual", "active_learning", "al_light",
    }  # fmt: skip
    assert not list((tmp_path / "a" / "state").iterdir())
    report = (tmp_path / "a" / "report.html").read_text()
    assert "Table 3" in report and ("no difference" in report or "too few" in report)
    part = tmp_path / "a" / "parts" / "memory-C0-seed0.json"
    before = part.stat().st_mtime_ns
    run(data, weights, tmp_path / "a")
    assert part.stat().st_mtime_ns == before  # not run again
    run(data, weights, tmp_path / "a", "--oracle-noise", "0.1", "--cameras", "C0")
    assert part.stat().st_mtime_ns != before  # other options, another run


def test_what_cannot_be_run_is_said_in_a_sentence(data: Path, weights: Path, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="there is no methodology 'al_lite'; there are: offline"):
        run(data, weights, tmp_path, "--methodologies", "al_lite")
    with pytest.raises(CommandError, match="C9"):
        run(data, weights, tmp_path, "--cameras", "C9")
    with pytest.raises(CommandError, match=r"noise lies in 0\.\.1"):
        run(data, weights, tmp_path, "--oracle-noise", "2")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(CommandError, match="empty"):
        run(empty, weights, tmp_path)


def test_a_camera_that_cannot_be_calibrated_is_left_out_and_named(data: Path, weights: Path, tmp_path: Path) -> None:
    broken = tmp_path / "data"
    broken.mkdir()
    for path in data.iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    with np.load(broken / "CSC_test.npz") as arrays:
        kept = dict(arrays)
    kept["label"] = np.zeros_like(kept["label"])
    np.savez(broken / "CSC_test.npz", **kept)
    said = run(broken, weights, tmp_path / "out", "--methodologies", "continual")
    assert "memory-CSC-seed0: the validation set gives no threshold: Both classes are needed" in said
    found = timeless(tmp_path / "out")
    assert list(found["failed"]) == ["memory-CSC-seed0"] and len(found["parts"]) == 1
