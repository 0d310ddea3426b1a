"""SPARTA against outputs of the authors' code, with the authors' weights where they are to be had."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from alfred.detectors.sparta.detector import Sparta
from alfred.detectors.sparta.model import SpartaModel, SpartaSettings, token_error

SHARED = Path(__file__).resolve().parents[2] / "../shared"

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not (SHARED / "golden").is_dir(), reason="the data folder is not beside the checkout"),
]


@pytest.mark.parametrize(("axis", "suffix"), [("batch", ""), ("time", "_batchfirst")])
@pytest.mark.parametrize(("name", "length"), [("SHT", 48), ("CHAD", 60), ("NWPUC", 48)])
def test_published_weights_give_the_published_outputs(name: str, length: int, axis: str, suffix: str) -> None:
    golden = np.load(SHARED / "golden" / f"sparta_ftd_{name}.npz")
    detector = Sparta()
    path = SHARED / "data/checkpoints" / f"SPARTA_{name}_FTD.pth.tar"
    detector.load_published(path, length=length, attention_axis=axis)
    assert detector.info()["parameters"] == 329_984 and detector.info()["honest"] is False
    for inputs in ("sin", "randn_seed0"):
        source, target = (torch.from_numpy(golden[f"{inputs}_{part}"]) for part in ("src", "tgt"))
        with torch.no_grad():
            memory, output = detector.model.decode(source, target)
        np.testing.assert_allclose(output, golden[f"{inputs}_out{suffix}"], atol=1e-4)
        np.testing.assert_allclose(token_error(output, target), golden[f"{inputs}_score{suffix}"], atol=1e-4)
        if axis == "batch":
            np.testing.assert_allclose(memory, golden[f"{inputs}_memory"], atol=1e-4)
            with torch.no_grad():
                alone = [
                    token_error(detector.model.decode(s[None], t[None])[1], t[None])
                    for s, t in zip(source, target, strict=True)
                ]
            np.testing.assert_allclose(torch.cat(alone), golden[f"{inputs}_score_b1"], atol=1e-4)


@pytest.mark.parametrize("axis", ["batch", "time"])
def test_windows_scored_by_published_weights_are_cut_as_published(axis: str) -> None:
    """`score` on windows equals the layers on tokens made with NumPy: relative to sample 0, halved, reshaped."""
    detector = Sparta()
    detector.load_published(SHARED / "data/checkpoints/SPARTA_SHT_FTD.pth.tar", attention_axis=axis)
    windows = np.random.default_rng(0).normal(size=(9, 2, 48, 18)).astype(np.float32)
    both = np.concatenate([windows, windows - windows[:, :, :1]], axis=3)
    source, target = (np.ascontiguousarray(both[:, :, at : at + 24]).reshape(9, 24, 72) for at in (0, 24))
    with torch.no_grad():
        _, output = detector.model.decode(torch.from_numpy(source), torch.from_numpy(target))
    expected: npt.NDArray[np.float32] = ((output.numpy() - target) ** 2).mean(axis=(1, 2))
    np.testing.assert_allclose(detector.score(windows), expected, atol=1e-5)


def test_the_current_target_model_with_made_up_weights() -> None:
    """150 tensors, tensor i filled with 0.1 sin(0.11 k + i); the first 30 are template layers that nothing runs."""
    golden = np.load(SHARED / "golden/sparta_ctd_sinfill.npz")
    model = SpartaModel(SpartaSettings(24, "current", "time", "pst", honest=False)).eval()
    state = model.state_dict()
    names = [str(name) for name in golden["names"]]
    assert len(names) == 150 and set(names[30:]) == set(state)
    for i, name in enumerate(names[30:], start=30):
        fill = 0.1 * np.sin(0.11 * np.arange(state[name].numel()) + i)
        state[name].copy_(torch.from_numpy(fill).reshape(state[name].shape))
    x = torch.from_numpy(golden["x"])
    with torch.no_grad():
        _, output = model.decode(x, x)
    np.testing.assert_allclose(output, golden["out"], atol=1e-4)
    np.testing.assert_allclose(token_error(output, x), golden["score"], atol=1e-4)
