"""SPARTA without the published weights: branches, honesty, training, and files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import load_file, save_file

from alfred.detectors.base import Cancellation, Detector
from alfred.detectors.sparta.detector import Sparta
from alfred.detectors.sparta.model import SpartaModel, SpartaSettings, seeded_model, sinusoids, tokenise

Windows = npt.NDArray[np.float32]

LENGTH = 8
BRANCHES = ["future", "current", "hybrid"]


def walkers(n: int, length: int = LENGTH, seed: int = 0) -> Windows:
    """Normalised windows of people who sway: related in time and over joints, unlike noise."""
    rng = np.random.default_rng(seed)
    time = np.arange(length)[:, None]
    phase, speed = rng.uniform(0, 6, (n, 2, 1, 18)), rng.uniform(0.1, 0.3, (n, 1, 1, 1))
    windows = np.random.default_rng(7).normal(size=(1, 2, 1, 18)) + 0.3 * np.sin(speed * time + phase)
    windows -= windows.mean(axis=(2, 3), keepdims=True)
    scaled = windows / windows[:, 1:].std(axis=(2, 3), keepdims=True)
    return np.asarray(scaled, np.float32)


def noise(n: int, length: int = LENGTH) -> Windows:
    return np.random.default_rng(0).normal(size=(n, 2, length, 18)).astype(np.float32)


def sparta(**settings: Any) -> Sparta:
    """A small detector whose weights are all away from their starting values."""
    detector = Sparta(**{"length": LENGTH, **settings})
    generator = torch.Generator().manual_seed(0)
    for parameter in detector.model.parameters():
        parameter.data.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return detector


def test_tokens_by_hand() -> None:
    """Sample 2 of the window is the token's own; the relative part refers to sample 0 of the window."""
    x = torch.arange(2 * 4 * 18, dtype=torch.float32).reshape(1, 2, 4, 18)
    later = slice(2, 4)
    by_frame = tokenise(x, "frames", later)
    assert by_frame.shape == (1, 2, 72)
    np.testing.assert_array_equal(by_frame[0, 0, :18], np.arange(36, 54))  # x
    np.testing.assert_array_equal(by_frame[0, 0, 18:36], 36)  # x - x of sample 0: two samples of 18 joints later
    np.testing.assert_array_equal(by_frame[0, 0, 36:54], np.arange(108, 126))  # y
    np.testing.assert_array_equal(by_frame[0, 1, 54:], 54)
    reshaped = tokenise(x, "pst", later)
    np.testing.assert_array_equal(reshaped[0, 0, :18], np.arange(36, 54))  # x of sample 2
    np.testing.assert_array_equal(reshaped[0, 0, 36:54], np.arange(54, 72))  # x of sample 3
    np.testing.assert_array_equal(reshaped[0, 1, :18], np.arange(108, 126))  # y of sample 2


def test_position_encoding() -> None:
    table = sinusoids(30)
    np.testing.assert_array_equal(table[0, :4], [0, 1, 0, 1])
    assert table[5, 0] == pytest.approx(np.sin(5)) and table[5, 1] == pytest.approx(np.cos(5))
    assert table[29, 70] == pytest.approx(np.sin(29 / 10000 ** (70 / 72)), abs=1e-6)


def test_published_architecture_has_the_published_tensors() -> None:
    for branch in ("future", "current"):
        state = SpartaModel(SpartaSettings(48, branch, "batch", "pst", honest=False)).state_dict()
        assert len(state) == 120 and sum(t.numel() for t in state.values()) == 329_984
    assert state["encoder.layers.3.self_attn.in_proj_weight"].shape == (216, 72)
    assert state["decoder.layers.0.multihead_attn.out_proj.weight"].shape == (72, 72)
    assert (
        state["decoder.layers.2.linear1.weight"].shape == (64, 72)
        and state["decoder.layers.1.norm3.bias"].numel() == 72
    )


def test_an_honest_decoder_is_not_shown_the_future_and_the_published_one_is() -> None:
    x = torch.from_numpy(walkers(5))
    changed = x.clone()
    changed[:, :, LENGTH // 2 :] += torch.randn(5, 2, LENGTH // 2, 18)
    for honest in (True, False):
        model = sparta(honest=honest).model
        with torch.no_grad():
            ((before, target),), ((after, other),) = model(x), model(changed)
        assert (target - other).abs().min(dim=2).values.max() > 0
        assert torch.equal(before, after) == honest


def test_branches_and_what_they_aim_at() -> None:
    x = torch.from_numpy(walkers(3))
    whole, first, second = (tokenise(x, "frames", s) for s in (slice(0, 8), slice(0, 4), slice(4, 8)))
    for honest in (True, False):
        targets = {b: [p.target for p in sparta(branch=b, honest=honest, tokens="frames").model(x)] for b in BRANCHES}
        assert [len(t) for t in targets.values()] == [1, 1, 2]
        assert torch.equal(targets["future"][0], second) and torch.equal(targets["current"][0], whole)
        assert torch.equal(targets["hybrid"][0], first) and torch.equal(targets["hybrid"][1], second)


@pytest.mark.parametrize("tokens", ["frames", "pst"])
@pytest.mark.parametrize("branch", BRANCHES)
def test_fit_learns_what_is_normal(branch: str, tokens: str) -> None:
    detector = Sparta(length=LENGTH, branch=branch, tokens=tokens)
    seen: list[tuple[int, int, str]] = []
    log = detector.fit(walkers(12), seed=0, steps=15, progress=lambda *report: seen.append(report))
    assert len(log.losses) == 15 and log.losses[-1] < 0.5 * log.losses[0]
    assert seen[-1][:2] == (15, 15) and seen[-1][2].startswith("loss ")
    assert not detector.model.training
    assert np.median(detector.score(noise(100))) > np.median(detector.score(walkers(100, seed=9)))
    assert detector.info()["training"]["steps"] == 15


def test_the_hybrid_is_the_sum_of_z_scores_over_its_training_windows() -> None:
    detector = Sparta(length=LENGTH, branch="hybrid")
    windows = walkers(90)
    detector.fit(windows, seed=0, steps=3)
    with torch.no_grad():
        errors = detector.model.errors(torch.from_numpy(windows)).double().numpy()
    expected = ((errors - errors.mean(axis=0)) / errors.std(axis=0)).sum(axis=1)
    np.testing.assert_allclose(detector.score(windows), expected, atol=1e-3)
    before = detector.model.branch_mean.clone()
    detector.fine_tune(2 * windows, seed=0, steps=1)
    assert (detector.model.branch_mean > 2 * before).all()  # taken anew
    detector.fit(windows[:1], seed=0, steps=1)
    assert np.isfinite(detector.score(windows)).all()  # one window has no deviation


@pytest.mark.parametrize("branch", BRANCHES)
def test_the_same_seed_gives_the_same_file(branch: str, tmp_path: Path) -> None:
    contents = []
    for seed in (4, 4, 5):
        detector = Sparta(length=LENGTH, branch=branch, dropout=0.1)
        detector.fit(walkers(10), seed=seed, steps=2)
        detector.save(tmp_path / "w.safetensors")
        contents.append((tmp_path / "w.safetensors").read_bytes())
    assert contents[0] == contents[1] != contents[2]


@pytest.mark.parametrize("honest", [True, False])
@pytest.mark.parametrize("branch", BRANCHES)
def test_a_score_does_not_depend_on_what_else_is_in_the_batch(branch: str, honest: bool) -> None:
    detector = sparta(branch=branch, honest=honest)
    x = walkers(1000 if branch == "future" and honest else 100)
    whole = detector.score(x)
    np.testing.assert_allclose(np.concatenate([detector.score(x[i : i + 1]) for i in range(40)]), whole[:40], atol=1e-5)
    sevens = [detector.score(x[i : i + 7]) for i in range(0, len(x), 7)]
    np.testing.assert_allclose(np.concatenate(sevens), whole, atol=1e-5)
    np.testing.assert_allclose(detector.score(x[::-1])[::-1], whole, atol=1e-5)
    assert detector.score(x[:0]).shape == (0,)


def test_attention_over_the_batch_is_what_it_says() -> None:
    detector = sparta(attention_axis="batch")
    x = walkers(300)
    whole = detector.score(x)
    assert np.abs(detector.score(x[:1])[0] - whole[0]) > 1e-4
    np.testing.assert_allclose(detector.score(x[256:]), whole[256:], atol=1e-5)  # the second evaluation batch
    assert detector.info()["score_depends_on_batch"] == 256
    assert sparta().info()["score_depends_on_batch"] is False


def test_fine_tuning_goes_on_from_the_present_weights() -> None:
    detector = Sparta(length=LENGTH)
    detector.fit(walkers(20), seed=0, steps=10)
    before = detector.score(walkers(20, seed=2))
    detector.fine_tune(walkers(20), seed=0, steps=3, learning_rate=1e-12)
    np.testing.assert_allclose(detector.score(walkers(20, seed=2)), before, atol=1e-6)
    log = detector.fine_tune(walkers(20) + np.float32(0.5), seed=0, steps=10)
    assert np.mean(log.losses[-5:]) < log.losses[0]
    assert [entry["steps"] for entry in detector.info()["fine_tuned"]] == [3, 10]


@pytest.mark.parametrize("method", ["fit", "fine_tune"])
def test_cancelling_keeps_the_weights(method: str) -> None:
    detector = sparta(branch="hybrid")
    x = walkers(50)
    before = detector.score(x)
    asked = iter([False, False, True])
    with pytest.raises(Cancellation):
        getattr(detector, method)(x, seed=0, steps=10, cancelled=lambda: next(asked))
    np.testing.assert_array_equal(detector.score(x), before)
    assert not detector.model.training and "fine_tuned" not in detector.info()


def test_what_cannot_be_says_why() -> None:
    detector = Sparta(length=LENGTH)
    for method in (detector.fit, detector.fine_tune):
        with pytest.raises(ValueError, match="no windows"):
            method(walkers(0), seed=0)
        with pytest.raises(ValueError, match="shape"):
            method(walkers(3, length=16), seed=0)
    with pytest.raises(ValueError, match="loss"):
        detector.fit(walkers(50) * np.float32(1e25), seed=0, steps=3)
    with pytest.raises(ValueError, match=r"shape \(3, 2, 16, 18\), expected \(n, 2, 8, 18\)"):
        detector.score(walkers(3, length=16))
    with pytest.raises(ValueError, match="int64, expected float32"):
        detector.score(np.zeros((1, 2, LENGTH, 18), np.int64))
    with pytest.raises(ValueError, match="finite"):
        detector.score(np.full((1, 2, LENGTH, 18), np.nan, np.float32))


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"length": 9}, "length is 9; must be even"),
        ({"length": 0}, "length is 0"),
        ({"branch": "past"}, "branch is 'past'; must be one of future"),
        ({"attention_axis": "space"}, "attention_axis"),
        ({"tokens": "words"}, "tokens"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_impossible_settings(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Sparta(**settings)


@pytest.mark.parametrize("scale", [0.0, 1e10, 1e30])
@pytest.mark.parametrize("branch", BRANCHES)
def test_scores_are_finite_for_any_finite_window(branch: str, scale: float) -> None:
    assert np.isfinite(sparta(branch=branch).score(walkers(3) * np.float32(scale))).all()


def test_a_read_only_window_is_left_alone() -> None:
    x = walkers(4)
    x.flags.writeable = False
    before = x.copy()
    sparta().score(x)
    np.testing.assert_array_equal(x, before)


def test_weights_and_card_come_back_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    detector = Sparta(length=12, fps=10, stride=2, branch="hybrid", tokens="pst", honest=False, dropout=0.2)
    detector.fit(walkers(50, 12), seed=0, steps=3)
    detector.describe(version="test-1", theta=1.5)
    detector.save(path)
    other: Detector = Sparta()
    other.load(path)
    assert (other.window.length, other.window.fps, other.window.stride) == (12, 10, 2)
    np.testing.assert_array_equal(other.score(walkers(9, 12)), detector.score(walkers(9, 12)))
    assert other.info() == json.loads(json.dumps(detector.info()))
    assert other.info()["theta"] == 1.5 and other.info()["family"] == "prediction"
    other.fine_tune(walkers(50, 12, seed=3), seed=0, steps=1)


def test_weights_of_another_kind_are_refused(tmp_path: Path) -> None:
    detector = Sparta(length=LENGTH)
    path = tmp_path / "w.safetensors"
    detector.save(path)
    tensors = load_file(path)
    card = detector.info()

    def refused(state: dict[str, torch.Tensor], metadata: dict[str, str] | None, reason: str) -> None:
        save_file(state, path, metadata=metadata)
        with pytest.raises(ValueError, match=reason):
            Sparta().load(path)

    refused(tensors, None, "not of 'sparta'")
    refused(tensors, {"card": json.dumps({**card, "name": "gepc"})}, "weights of 'gepc'")
    refused(tensors, {"card": json.dumps({**card, "branch": "hybrid"})}, "is missing")
    refused(tensors, {"card": json.dumps({**card, "honest": False})}, "not known")
    for key, value in (("branch", "x"), ("length", 10**9), ("length", 7), ("dropout", None), ("fps", "fast")):
        refused(tensors, {"card": json.dumps({**card, key: value})}, "impossible")
    name = "decoder.layers.0.linear1.weight"
    refused({**tensors, name: tensors[name][:, :9].contiguous()}, {"card": json.dumps(card)}, "shape")
    refused({**tensors, name: tensors[name] * np.nan}, {"card": json.dumps(card)}, "not finite")
    detector.save(path)
    truncated = path.read_bytes()[:-100]
    for content in (truncated, b"", b"PK\x03\x04", b"\x80\x04."):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="not a safetensors file"):
            Sparta().load(path)
        with pytest.raises(ValueError, match="no published checkpoint"):
            Sparta().load_published(path)


def test_a_published_current_target_file_is_read_without_its_unused_layers(tmp_path: Path) -> None:
    """Its 150 tensors: the 120 that run, and one encoder and one decoder layer they were copied from."""
    path = tmp_path / "CTD.pth.tar"
    used = seeded_model(SpartaSettings(24, "current", "batch", "pst", honest=False), seed=1).state_dict()
    unused = {k.replace(".layers.0.", "_layers."): t for k, t in used.items() if ".layers.0." in k}
    assert len(unused) == 30 and sum(t.numel() for t in unused.values()) == 82_496
    torch.save({"state_dict": {**unused, **used}}, path)
    detector = Sparta()
    detector.load_published(path)
    assert detector.info()["branch"] == "current" and detector.window.length == 24
    assert all(torch.equal(tensor, used[key]) for key, tensor in detector.model.state_dict().items())
    detector.load_published(path, length=30, attention_axis="time", fps=15)
    assert detector.window.length == 30 and detector.window.fps == 15 and detector.info()["attention_axis"] == "time"
    torch.save({"state_dict": {k: t for k, t in used.items() if "norm3" not in k}}, path)
    with pytest.raises(ValueError, match="is missing"):
        Sparta().load_published(path)
