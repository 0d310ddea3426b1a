"""Which detectors there are, and the weights that come with them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from alfred.detectors import registry
from alfred.detectors.stg_nf.detector import StgNf


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
def test_shipped_weights_load_and_carry_their_card(source_fps: float, fps: float) -> None:
    path, card = registry.source_for("stg_nf", source_fps)
    detector = registry.create("stg_nf")
    detector.load(path)
    assert detector.info() == card
    assert card["fps"] == detector.window.fps == fps
    assert card["version"] == path.stem == f"stg_nf-{fps:g}fps-1"
    assert np.isfinite(card["theta"]) and card["evaluation"]["auc"] > 0.7
    assert "NSF EIA-0196217" in card["licence"] and len(card["data"]["sha256"]) == 64
