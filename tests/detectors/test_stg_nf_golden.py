"""STG-NF against outputs of the authors' code with the authors' weights."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from alfred.detectors.stg_nf.detector import StgNf, general_nll
from alfred.detectors.stg_nf.folded import FoldedScorer
from alfred.pose.formats import alphapose
from alfred.pose.published import ClipScores, PublishedWindows, frame_scores, published_windows

SHARED = Path(__file__).resolve().parents[2] / "../shared"
CHECKPOINTS = ["ShanghaiTech_85_9", "UBnormal_unsupervised_71_8", "UBnormal_supervised_79_2"]

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not (SHARED / "golden").is_dir(), reason="the data folder is not beside the checkout"),
]


def published(name: str) -> StgNf:
    detector = StgNf()
    detector.load_published(SHARED / "data/checkpoints" / f"STG-NF_{name}.tar")
    return detector


@pytest.mark.parametrize("inputs", ["randn_seed0", "sin"])
@pytest.mark.parametrize("name", CHECKPOINTS)
def test_layers_and_folded_form_give_the_published_likelihoods(name: str, inputs: str) -> None:
    golden = np.load(SHARED / "golden" / f"stgnf_{name}.npz")
    model = published(name).model
    x = torch.from_numpy(golden[f"{inputs}_x"])
    with torch.no_grad():
        z, logdet = model.encode(x)
        for mean, prior in ((None, "normal"), (-model.radius, "abnormal"), (0.0, "nolabel")):
            np.testing.assert_allclose(model.nll(x, mean), golden[f"{inputs}_nll_{prior}"], atol=2e-4)
    np.testing.assert_allclose(z, golden[f"{inputs}_z"], atol=2e-4)
    np.testing.assert_allclose(logdet, golden[f"{inputs}_logdet_f64"], atol=2e-3)
    np.testing.assert_allclose(FoldedScorer(model).nll(x), golden[f"{inputs}_nll_normal_f64"], atol=2e-4)
    np.testing.assert_allclose(general_nll(model, x), golden[f"{inputs}_nll_normal_f64"], atol=2e-4)


@pytest.mark.parametrize("inputs", ["randn_seed0", "sin"])
@pytest.mark.parametrize("name", CHECKPOINTS)
def test_in_double_precision_the_likelihoods_agree_to_a_millionth(name: str, inputs: str) -> None:
    golden = np.load(SHARED / "golden" / f"stgnf_{name}.npz")
    model = published(name).model.double()
    with torch.no_grad():
        nll = model.nll(torch.from_numpy(golden[f"{inputs}_x"]).double())
    np.testing.assert_allclose(nll, golden[f"{inputs}_nll_normal_f64"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("inputs", ["randn_seed0", "sin"])
def test_every_flow_step_matches(inputs: str) -> None:
    golden = np.load(SHARED / "golden/stgnf_ShanghaiTech_85_9.npz")
    model = published("ShanghaiTech_85_9").model
    x = torch.from_numpy(golden[f"{inputs}_x"])
    logdet = torch.zeros(len(x))
    with torch.no_grad():
        for index, step in enumerate(model.flow.steps):
            x, added = step(x, model.adjacency)
            logdet += added  # the golden file holds the sum so far
            np.testing.assert_allclose(x, golden[f"{inputs}_z_after_layer"][index], atol=2e-4)
            np.testing.assert_allclose(logdet, golden[f"{inputs}_logdet_per_layer"][index], atol=2e-3)


def test_the_detector_returns_the_published_scores() -> None:
    i = np.arange(8 * 2 * 24 * 18).reshape(8, 2, 24, 18)
    x = np.sin(0.37 * i) + 0.1 * np.arange(2)[:, None, None] - 0.05 * np.arange(8)[:, None, None, None]
    score = published("ShanghaiTech_85_9").score(x.astype(np.float32))
    expected = [4.922886, 5.248679, 5.516952, 4.683376, 3.832117, 3.558907, 3.455239, 3.364022]
    np.testing.assert_allclose(score, expected, atol=2e-4)


def test_a_published_checkpoint_has_its_180_tensors() -> None:
    detector = published("UBnormal_supervised_79_2")
    assert len(detector.model.state_dict()) == 180
    info = detector.info()
    assert (info["parameters"], info["length"], info["radius"]) == (488, 16, 10.0)
    assert "BY-NC" in info["licence"]


CLIPS = ("01_0014", "02_0128")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[PublishedWindows]:
    folder = tmp_path_factory.mktemp("clips")
    with zipfile.ZipFile(SHARED / "golden/pipeline_inputs.zip") as archive:
        archive.extractall(folder)
    paths = [folder / "pose" / f"{clip}_alphapose_tracked_person.json" for clip in CLIPS]
    return [published_windows(alphapose.read(path)) for path in paths]


def ground_truth() -> list[np.ndarray]:
    with zipfile.ZipFile(SHARED / "golden/pipeline_inputs.zip") as archive:
        names = [f"data/ShanghaiTech/gt/test_frame_mask/{clip}.npy" for clip in CLIPS]
        return [np.load(io.BytesIO(archive.read(name)), allow_pickle=False) for name in names]


def test_published_windows_are_those_of_the_published_segmenter(clips: list[PublishedWindows]) -> None:
    golden = np.load(SHARED / "golden/stgnf_pipeline.npz")
    meta = [
        [*map(int, name.split("_")), track, start]
        for name, clip in zip(CLIPS, clips, strict=True)
        for track, start in zip(clip.track, clip.start, strict=True)
    ]
    np.testing.assert_array_equal(meta, golden["test_meta"])
    np.testing.assert_allclose(np.concatenate([c.pixels for c in clips]), golden["test_raw"], atol=1e-3)
    np.testing.assert_allclose(np.concatenate([c.values for c in clips]), golden["test_x"], atol=2e-5)


def in_clips(scores: np.ndarray, clips: list[PublishedWindows]) -> list[ClipScores]:
    parts = np.split(scores, np.cumsum([len(clip) for clip in clips])[:-1])
    truth = ground_truth()
    return [ClipScores(c, s, len(t)) for c, s, t in zip(clips, parts, truth, strict=True)]


def test_published_frame_scores_and_auc(clips: list[PublishedWindows]) -> None:
    golden = np.load(SHARED / "golden/stgnf_pipeline.npz")
    scored = in_clips(-golden["scoring_window_scores"], clips)  # theirs is normality
    raw = np.concatenate(frame_scores(scored, smooth=False))
    np.testing.assert_allclose(raw, -golden["scoring_frame_raw"], atol=1e-6)
    smooth = np.concatenate(frame_scores(scored))
    np.testing.assert_allclose(smooth, -golden["scoring_frame_smooth"], atol=1e-6)
    assert roc_auc_score(np.concatenate(ground_truth()), smooth) == pytest.approx(0.7539583, abs=1e-6)


def test_published_protocol_from_file_to_auc(clips: list[PublishedWindows]) -> None:
    golden = np.load(SHARED / "golden/stgnf_pipeline.npz")
    score = published("ShanghaiTech_85_9").score(np.concatenate([clip.values[:, :2] for clip in clips]))
    np.testing.assert_allclose(score, -golden["e2e_window_score"], atol=2e-4)
    smooth = np.concatenate(frame_scores(in_clips(score, clips)))
    assert roc_auc_score(np.concatenate(ground_truth()), smooth) == pytest.approx(0.7525, abs=1e-4)
