"""Figures on labelled clips: against scikit-learn, the published protocol against its golden file, the command."""

from __future__ import annotations

import io
import json
import zipfile
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from sklearn.metrics import average_precision_score, roc_auc_score

from alfred.detectors.evaluation import evaluate, figures
from alfred.pose.formats import benchmark
from alfred.pose.formats.labelled import BadPoses
from tests import world
from tests.example_plugin.still_people import StillPeople

SHARED = Path(__file__).resolve().parents[2] / "../shared"
needs_shared = pytest.mark.skipif(not (SHARED / "golden").is_dir(), reason="the data folder is not beside the checkout")


def labelled_file(folder: Path, seconds: float = 6.0) -> Path:
    """Three people side by side; the third shakes in the second half, and that is labelled."""
    poses = world.walkers(people_seen=3, seconds=seconds)
    wild = (poses.track == 2) & (poses.pts > seconds / 2)
    poses.keypoints[wild, ::2, 1] += np.where(poses.frame[wild] % 2, 60, -60)[:, None]
    (folder / "X_meta.json").write_text(json.dumps({"fps": world.FPS, "resolution": [world.WIDTH, world.HEIGHT]}))
    return world.npz(folder / "X_test.npz", poses, wild)


def test_figures_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    label = rng.random(400) < 0.3
    score = rng.normal(size=400) + label
    score[:20] = np.nan
    found = figures("X", "pose", score, label.astype(np.uint8), np.arange(400) // 20, resamples=50)
    assert found.auc_roc == pytest.approx(roc_auc_score(label[20:], score[20:]))
    assert found.average_precision == pytest.approx(average_precision_score(label[20:], score[20:]))
    assert found.coverage == 0.95 and found.n == 400 and found.anomalous == label.sum()
    assert found.interval is not None and found.interval.low < found.auc_roc < found.interval.high


def test_poses_and_frames_of_a_clip(tmp_path: Path) -> None:
    clips = benchmark.read_clips(labelled_file(tmp_path))
    found = evaluate(StillPeople(), clips, resamples=0)
    pose, frame = found.rows
    frames = round(6 * world.FPS)
    assert (pose.unit, pose.n, frame.unit, frame.n) == ("pose", 3 * frames, "frame", frames)
    assert pose.anomalous == frame.anomalous == (np.arange(frames) / world.FPS > 3).sum()
    assert pose.auc_roc is not None and pose.auc_roc > 0.9
    assert found.ms_per_1000_windows is not None and found.ms_per_1000_windows > 0
    json.dumps(found.as_dict(), allow_nan=False)


def test_the_command_writes_a_table_and_json(tmp_path: Path) -> None:
    path, out = labelled_file(tmp_path), StringIO()
    call_command(
        "evaluate-detector", "--detector", "stg_nf", "--data", str(path), "--json", str(tmp_path / "j"), stdout=out
    )
    assert "too few blocks" in out.getvalue() and "mean AUC-ROC over cameras, by pose" in out.getvalue()
    stored = json.loads((tmp_path / "j").read_text())
    assert stored["rows"][0]["coverage"] == 1.0 and stored["card"]["version"] == "stg_nf-30fps-1"


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--data", "FOLDER/nothing"], "no *_test.npz"),
        (["--data", "FOLDER", "--weights", "FOLDER/X_meta.json"], "not a safetensors file"),
        (["--data", "FOLDER", "--checkpoint", "FOLDER/X_meta.json"], "no published checkpoint"),
        (["--data", "FOLDER/a_alphapose_tracked_person.json"], "say where the frame masks are"),
        (["--data", "FOLDER/a_alphapose_tracked_person.json", "--masks", "FOLDER"], "no frame mask"),
    ],
)
def test_the_command_says_what_is_missing(tmp_path: Path, arguments: list[str], words: str) -> None:
    labelled_file(tmp_path)
    (tmp_path / "a_alphapose_tracked_person.json").write_text("{}")
    with pytest.raises(CommandError, match=words.replace("*", r"\*")):
        call_command(
            "evaluate-detector", "--detector", "stg_nf", *(a.replace("FOLDER", str(tmp_path)) for a in arguments)
        )


def test_what_is_not_labelled_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadPoses, match="no 'label' array"):
        benchmark.read_clips(world.npz(tmp_path / "Y_test.npz", world.walkers()))
    poses = world.walkers()
    with pytest.raises(BadPoses, match="nothing is labelled anomalous"):
        benchmark.read_clips(world.npz(tmp_path / "Z_test.npz", poses, np.zeros(len(poses))))


@pytest.mark.shared
@needs_shared
def test_the_published_protocol_end_to_end(tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    with zipfile.ZipFile(SHARED / "golden/pipeline_inputs.zip") as archive:
        for name in archive.namelist():
            if name.endswith(".npy"):
                mask = np.load(io.BytesIO(archive.read(name)), allow_pickle=False)
                np.save(masks / Path(name).name, mask)
        test = [name for name in archive.namelist() if any(mask.stem in name for mask in masks.glob("*.npy"))]
        for name in test:
            if name.endswith(benchmark.ALPHAPOSE):
                (tmp_path / Path(name).name).write_bytes(archive.read(name))
    arguments = ["--data", str(tmp_path), "--masks", str(masks), "--published", "--json", str(tmp_path / "j")]
    checkpoint = SHARED / "data/checkpoints/STG-NF_ShanghaiTech_85_9.tar"
    call_command(
        "evaluate-detector", "--detector", "stg_nf", "--checkpoint", str(checkpoint), *arguments, stdout=StringIO()
    )
    rows = {row["camera"]: row for row in json.loads((tmp_path / "j").read_text())["rows"]}
    assert rows["all"]["auc_roc"] == pytest.approx(0.7525, abs=1e-4)
