"""Which detectors there are, and the weights that come with them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from alfred.detectors import registry
from alfred.detectors.stg_nf.detector import StgNf
from alfred.pose.simulate import simulate
from alfred.pose.windows import WindowSpec, iter_windows


def test_the_registry_and_the_cards_need_no_torch() -> None:
    code = (
        "import sys; from alfred.detectors import registry, scoring; registry.names();"
        "registry.source_versions('stg_nf'); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_create() -> None:
    assert "stg_nf" in registry.names()
    detector = registry.create("stg_nf", length=16, fps=10)
    assert isinstance(detector, StgNf) and detector.window.length == 16
    with pytest.raises(ValueError, match="stg_nf"):
        registry.create("nonsense")


def test_every_built_in_detector_can_be_created() -> None:
    for name in registry.BUILT_IN:
        assert registry.create(name).name == name


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for version, fps in (("a", 30.0), ("b", 10.0), ("c", 15.0)):
        (tmp_path / f"{version}.json").write_text(json.dumps({"name": "stg_nf", "fps": fps, "version": version}))
        (tmp_path / f"{version}.safetensors").touch()
    (tmp_path / "other.json").write_text(json.dumps({"name": "other", "fps": 60, "version": "x"}))
    (tmp_path / "other.safetensors").touch()
    (tmp_path / "lost.json").write_text(json.dumps({"name": "stg_nf", "fps": 60, "version": "lost"}))
    return tmp_path


@pytest.mark.parametrize(
    ("source_fps", "version"),
    [(60, "a"), (15, "a"), (14.985, "a"), (14, "c"), (7.5, "c"), (7, "b"), (5, "b")],
)
def test_the_fastest_version_that_twice_the_rate_reaches(folder: Path, source_fps: float, version: str) -> None:
    path, card = registry.source_for("stg_nf", source_fps, folder)
    assert (path.stem, card["version"]) == (version, version)


def test_footage_that_is_too_slow_is_told_what_to_do(folder: Path) -> None:
    with pytest.raises(ValueError, match="train-source --detector stg_nf --data FOLDER --fps 2"):
        registry.source_for("stg_nf", 2, folder)
    with pytest.raises(ValueError, match="none"):
        registry.source_for("gepc", 30, folder)


@pytest.mark.parametrize(("source_fps", "fps"), [(30, 30.0), (10, 10.0)])
def test_shipped_weights_suit_the_footage(source_fps: float, fps: float) -> None:
    for name in ("memory", "stg_nf"):
        path, card = registry.source_for(name, source_fps)
        assert card["fps"] == fps and card["version"] == path.stem == f"{name}-{fps:g}fps-1"


def test_every_detector_comes_with_weights() -> None:
    assert registry.with_source_weights() == sorted(registry.BUILT_IN)


SHIPPED = [
    pytest.param(name, path, id=path.stem) for name in registry.BUILT_IN for path, _ in registry.source_versions(name)
]


@pytest.mark.parametrize(("name", "path"), SHIPPED)
def test_shipped_weights_load_and_score_any_batch_alike(name: str, path: Path) -> None:
    detector, card = registry.create(name), json.loads(path.with_suffix(".json").read_text("utf-8"))
    detector.load(path)
    assert detector.info() == card
    assert detector.window.fps == card["fps"] and detector.window.length == card["length"]
    assert np.isfinite(card["theta"]) and card["evaluation"]["auc"] > 0.55
    assert "NSF EIA-0196217" in card["licence"] and len(card["data"]["sha256"]) == 64
    assert path.stat().st_size < 15 << 20
    windows = walking(detector.window, 60)
    scores = detector.score(windows)
    assert scores.shape == (60,) and np.isfinite(scores).all() and len(np.unique(scores)) > 1
    for size in (1, 7):
        parts = [detector.score(windows[at : at + size]) for at in range(0, 60, size)]
        np.testing.assert_allclose(np.concatenate(parts), scores, rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="expected"):
        detector.score(windows[:, :, 1:])
    with pytest.raises(ValueError, match="not finite"):
        detector.score(np.where(np.arange(60)[:, None, None, None] == 9, np.nan, windows).astype(np.float32))
    assert detector.score(windows[:0]).shape == (0,)


def walking(spec: WindowSpec, n: int) -> npt.NDArray[np.float32]:
    """Windows of the simulated people, who walk, sit and fall."""
    found = simulate(seed=4, minutes=0.6, fps=30.0, anomaly_share=0.3)
    parts = iter_windows(found.poses, width=1280, height=720, spec=spec)
    values = np.concatenate([part.values for part in parts])
    return values[:: len(values) // n][:n]
