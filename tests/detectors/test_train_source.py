"""`manage.py train-source`, as a person would run it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from alfred.detectors.stg_nf.detector import StgNf

ROOT = Path(__file__).resolve().parents[2]


def write_camera(folder: Path, kind: str, tracks: int, strange: int) -> None:
    """People who sway for 3 s; the last `strange` of them jump about."""
    rng = np.random.default_rng(0)  # the same people in both files
    frames = np.arange(90)
    body = rng.uniform(0, 200, (17, 2))
    keypoints, label = [], []
    for track in range(tracks):
        odd = track >= tracks - strange
        moved = body + 100 + (rng.normal(0, 60, (90, 17, 2)) if odd else np.sin(frames / 9 + track)[:, None, None] * 9)
        keypoints.append(np.concatenate([moved, np.ones((90, 17, 1))], axis=2))
        label.append(np.full(90, odd))
    np.savez_compressed(
        folder / f"S9_{kind}.npz",
        scene=np.zeros(90 * tracks, np.int16),
        frame_index=np.tile(frames, tracks).astype(np.int32),
        track_id=np.repeat(np.arange(tracks), 90).astype(np.int32),
        keypoints=np.concatenate(keypoints).astype(np.float32),
        label=np.concatenate(label).astype(np.uint8),
    )
    (folder / "S9_meta.json").write_text('{"fps": 30, "resolution": [856, 480]}')


def train_source(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", "train-source", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_it_writes_weights_with_their_card(tmp_path: Path) -> None:
    write_camera(tmp_path, "train", tracks=6, strange=0)
    write_camera(tmp_path, "test", tracks=6, strange=3)
    out = tmp_path / "out"
    done = train_source("--data", tmp_path, "--data-name", "made up", "--seed", 3, "--fps", 10, "--length", 16,
                        "--steps", 200, "--stride", 1, "--out", out, "--evaluate", tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "step 200/200  loss" in done.stdout and "\nS9 " in done.stdout
    detector = StgNf()
    detector.load(out / "stg_nf-10fps-1.safetensors")
    card = json.loads((out / "stg_nf-10fps-1.json").read_text())
    assert detector.info() == card
    assert (card["fps"], card["length"], card["training"]["seed"], card["training"]["steps"]) == (10, 16, 3, 200)
    assert card["data"]["name"] == "made up" and str(tmp_path) not in json.dumps(card)
    assert card["evaluation"]["auc"] > 0.9 and card["theta_basis"]["eer"] == 0  # jumping about is plain to see
    assert card["evaluation"]["coverage"] == 1.0


@pytest.mark.parametrize("fps", [30, 12])
def test_what_cannot_be_done_is_said_in_a_sentence(tmp_path: Path, fps: int) -> None:
    if fps == 12:
        write_camera(tmp_path, "train", tracks=1, strange=0)
        write_camera(tmp_path, "test", tracks=1, strange=0)
    done = train_source("--data", tmp_path, "--seed", 0, "--fps", fps, "--out", tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert ("cannot be thinned to 12" if fps == 12 else "holds no *_train*.npz") in done.stderr
