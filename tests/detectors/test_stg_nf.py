"""STG-NF without the published weights: the folded form, training, and files."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import load_file, save_file

from alfred.detectors.base import Cancellation, Detector
from alfred.detectors.stg_nf.detector import StgNf
from alfred.detectors.stg_nf.folded import FoldedScorer
from alfred.detectors.stg_nf.model import FlowSettings, StgNfModel, hop_adjacency, seeded_model
from alfred.detectors.stg_nf.training import train, uniform_nll
from alfred.detectors.training import TrainingSettings

Windows = npt.NDArray[np.float32]


def walkers(n: int, length: int = 24, seed: int = 0) -> Windows:
    """Normalised windows of people who sway: related in time and over joints, unlike noise."""
    rng = np.random.default_rng(seed)
    time = np.arange(length)[:, None]
    phase, speed = rng.uniform(0, 6, (n, 2, 1, 18)), rng.uniform(0.1, 0.3, (n, 1, 1, 1))
    windows = rng.normal(size=(1, 2, 1, 18)) + 0.3 * np.sin(speed * time + phase)
    windows -= windows.mean(axis=(2, 3), keepdims=True)
    return (windows / windows[:, 1:].std(axis=(2, 3), keepdims=True)).astype(np.float32)


def trained_model(settings: FlowSettings, adjacency: torch.Tensor | None = None) -> StgNfModel:
    """Weights and BatchNorm statistics that are not their starting values."""
    model = StgNfModel(settings, adjacency)
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    for name, buffer in model.named_buffers():
        if "running" in name:
            buffer.copy_(0.5 + torch.rand(buffer.shape, generator=generator))
    model.mark_initialised()
    return model.eval()


@pytest.mark.parametrize(("length", "radius", "steps"), [(24, 3.0, 8), (16, 10.0, 8), (12, 3.0, 3)])
def test_folded_form_equals_the_layers(length: int, radius: float, steps: int) -> None:
    model = trained_model(FlowSettings(length, radius, steps))
    x = torch.from_numpy(walkers(300, length))
    with torch.no_grad():
        expected = model.double().nll(x.double())
    np.testing.assert_allclose(FoldedScorer(model.float()).nll(x), expected, atol=2e-4)


def test_folded_form_refuses_another_adjacency_and_the_detector_scores_all_the_same() -> None:
    near = hop_adjacency(max_hop=2)
    assert (near == 0).any()
    model = trained_model(FlowSettings(), near)
    with pytest.raises(ValueError, match="adjacency"):
        FoldedScorer(model)
    detector = StgNf()
    detector._use(model)
    x = walkers(5)
    with torch.no_grad():
        expected = model.nll(torch.from_numpy(x))
    np.testing.assert_allclose(detector.score(x), expected, atol=1e-5)


def test_the_published_graph_is_the_mean_over_joints() -> None:
    np.testing.assert_allclose(hop_adjacency(8), np.full((18, 18), 1 / 18), atol=1e-7)
    assert (hop_adjacency(7) == 0).any()
    np.testing.assert_allclose(hop_adjacency(3).sum(dim=0), 1, atol=1e-6)


@pytest.mark.parametrize("batch_norm", ["trained", "frozen"])
def test_fast_training_equals_training_the_layers(batch_norm: str) -> None:
    """Losses of some steps, and the gradients of one batch, against `StgNfModel` itself."""
    windows = walkers(200)
    settings = TrainingSettings(steps=5, learning_rate=5e-3, batch=64, batch_norm=batch_norm)
    fast = seeded_model(FlowSettings(), seed=3)
    if batch_norm == "frozen":
        fast = trained_model(FlowSettings())
    layers = copy.deepcopy(fast)
    losses = train(fast, windows, settings, seed=1).losses
    # an adjacency that is a hair from uniform takes the general path
    layers.adjacency += 1e-5 * torch.eye(18)
    assert not layers.adjacency_is_uniform
    np.testing.assert_allclose(losses, train(layers, windows, settings, seed=1).losses, atol=2e-3)

    reference = copy.deepcopy(fast)
    for model in (fast, reference):
        model.double().train(batch_norm == "trained").zero_grad()
    x = torch.from_numpy(windows[:64]).double()
    uniform_nll(fast, x).mean().backward()
    reference.nll(x).mean().backward()
    for (name, ours), theirs in zip(fast.named_parameters(), reference.parameters(), strict=True):
        gradient = torch.zeros_like(ours) if ours.grad is None else ours.grad
        assert theirs.grad is not None
        np.testing.assert_allclose(gradient, theirs.grad, atol=1e-7, err_msg=name)
    for ours, theirs in zip(fast.buffers(), reference.buffers(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-9)


def test_actnorm_standardises_the_first_batch_and_is_not_set_again() -> None:
    model = seeded_model(FlowSettings(), seed=0).train()
    x = torch.from_numpy(5 + 3 * walkers(100))
    z, _ = model.flow.steps[0].actnorm(x)
    np.testing.assert_allclose(z.mean(dim=(0, 2, 3)).detach(), 0, atol=1e-5)
    np.testing.assert_allclose(z.std(dim=(0, 2, 3)).detach(), 1, atol=1e-3)
    before = model.flow.steps[0].actnorm.bias.clone()
    model.flow.steps[0].actnorm(x * 7)
    np.testing.assert_array_equal(model.flow.steps[0].actnorm.bias.detach(), before.detach())


def test_fit_learns_what_is_normal() -> None:
    detector = StgNf()
    seen: list[tuple[int, int, str]] = []
    log = detector.fit(walkers(40), seed=0, steps=150, progress=lambda *report: seen.append(report))
    assert len(log.losses) == 150 and log.losses[-1] < log.losses[0] - 1
    assert seen[-1][:2] == (150, 150) and seen[-1][2].startswith("loss ")
    assert not detector.model.training
    normal = detector.score(walkers(100, seed=9))
    strange = detector.score(np.random.default_rng(0).normal(size=(100, 2, 24, 18)).astype(np.float32))
    assert np.median(strange) > normal.max()
    assert detector.info()["training"]["steps"] == 150


def test_the_same_seed_gives_the_same_weights() -> None:
    scores = []
    for seed in (4, 4, 5):
        detector = StgNf()
        detector.fit(walkers(100), seed=seed, steps=4)
        scores.append(detector.score(walkers(20, seed=1)))
    np.testing.assert_array_equal(scores[0], scores[1])
    assert np.abs(scores[0] - scores[2]).max() > 1e-3


def test_fine_tuning_leaves_batch_norm_statistics_and_actnorm_initialisation() -> None:
    detector = StgNf()
    detector.fit(walkers(200), seed=0, steps=20)
    before = {name: tensor.clone() for name, tensor in detector.model.state_dict().items()}
    other = walkers(200, seed=50)
    log = detector.fine_tune(other * 2, seed=0, steps=10, learning_rate=1e-3)
    assert log.settings["batch_norm"] == "frozen"
    after = detector.model.state_dict()
    for name, tensor in before.items():
        if "running" in name or "num_batches" in name or "prior" in name:
            assert torch.equal(tensor, after[name]), name
    moved = max((after[n] - t).abs().max().item() for n, t in before.items() if "actnorm" in n)
    assert 0 < moved < 0.02  # trained by ten steps, not set anew
    assert not detector.model.training
    assert [entry["steps"] for entry in detector.info()["fine_tuned"]] == [10]


def test_fine_tuning_at_rate_zero_would_not_move_a_score() -> None:
    detector = StgNf()
    detector.fit(walkers(200), seed=0, steps=10)
    x = walkers(50, seed=2)
    before = detector.score(x)
    detector.fine_tune(x, seed=0, steps=5, learning_rate=1e-12)
    np.testing.assert_allclose(detector.score(x), before, atol=1e-6)


@pytest.mark.parametrize("method", ["fit", "fine_tune"])
def test_cancelling_keeps_the_weights(method: str) -> None:
    detector = StgNf()
    x = walkers(50)
    before = detector.score(x)
    asked = iter([False, False, True])
    with pytest.raises(Cancellation):
        getattr(detector, method)(x, seed=0, steps=10, cancelled=lambda: next(asked))
    np.testing.assert_array_equal(detector.score(x), before)
    assert not detector.model.training


def test_training_that_cannot_be_says_why() -> None:
    detector = StgNf()
    with pytest.raises(ValueError, match="no windows"):
        detector.fit(walkers(0), seed=0)
    with pytest.raises(ValueError, match="loss"):
        detector.fit(walkers(50) * np.float32(1e25), seed=0, steps=3)
    with pytest.raises(ValueError, match="positive"):
        detector.fit(walkers(5), seed=0, steps=0)
    with pytest.raises(ValueError, match="shape"):
        detector.score(walkers(3, length=16))
    with pytest.raises(ValueError, match="finite"):
        detector.score(np.full((1, 2, 24, 18), np.nan, np.float32))
    with pytest.raises(ValueError, match="length"):
        StgNf(length=18)


def test_a_score_does_not_depend_on_what_else_is_in_the_batch() -> None:
    detector = StgNf()
    detector._use(trained_model(FlowSettings()))
    x = walkers(600)
    whole = detector.score(x)
    np.testing.assert_allclose(np.concatenate([detector.score(part) for part in np.split(x, 120)]), whole, atol=1e-5)
    np.testing.assert_allclose(detector.score(x[::-1])[::-1], whole, atol=1e-5)
    assert detector.score(x[:0]).shape == (0,)


@pytest.mark.parametrize("scale", [0.0, 1e10, 1e30])
def test_scores_are_finite_for_any_finite_window(scale: float) -> None:
    detector = StgNf()
    detector._use(trained_model(FlowSettings()))
    assert np.isfinite(detector.score(walkers(3) * np.float32(scale))).all()


def test_a_read_only_window_is_left_alone() -> None:
    x = walkers(4)
    x.flags.writeable = False
    before = x.copy()
    StgNf().score(x)
    np.testing.assert_array_equal(x, before)


def test_weights_and_card_come_back_from_the_file(tmp_path: Path) -> None:
    detector = StgNf(length=16, fps=10)
    detector.fit(walkers(50, 16), seed=0, steps=3)
    detector.describe(version="test-1", theta=1.5)
    detector.save(tmp_path / "w.safetensors")
    other: Detector = StgNf()
    other.load(tmp_path / "w.safetensors")
    assert other.window.length == 16 and other.window.fps == 10
    np.testing.assert_array_equal(other.score(walkers(9, 16)), detector.score(walkers(9, 16)))
    assert other.info() == json.loads(json.dumps(detector.info()))
    assert other.info()["theta"] == 1.5
    before = [step.actnorm.bias.clone() for step in detector.model.flow.steps]
    other.fine_tune(walkers(50, 16, seed=3) * 3, seed=0, steps=1)  # ActNorm would jump if it were set again
    assert isinstance(other, StgNf)
    for old, step in zip(before, other.model.flow.steps, strict=True):
        assert (step.actnorm.bias - old).abs().max() < 0.01


def test_weights_of_another_kind_are_refused(tmp_path: Path) -> None:
    detector = StgNf()
    path = tmp_path / "w.safetensors"
    detector.save(path)
    tensors = load_file(path)
    card = detector.info()

    def refused(state: dict[str, torch.Tensor], metadata: dict[str, str] | None, reason: str) -> None:
        save_file(state, path, metadata=metadata)
        with pytest.raises(ValueError, match=reason):
            StgNf().load(path)

    refused(tensors, None, "not of 'stg_nf'")
    refused(tensors, {"card": json.dumps({**card, "name": "gepc"})}, "weights of 'gepc'")
    refused(tensors, {"card": json.dumps({**card, "length": 16})}, "shape")
    refused(tensors, {"card": json.dumps({**card, "length": 10**9})}, "impossible")
    refused(tensors, {"card": json.dumps({**card, "flow_steps": 7})}, "not known")
    refused(tensors, {"card": "{"}, "not a safetensors file")
    fewer = {k: v for k, v in tensors.items() if k != "prior_h"}
    refused(fewer, {"card": json.dumps(card)}, "'prior_h' is missing")
    broken = {**tensors, "prior_h": tensors["prior_h"] * np.nan}
    refused(broken, {"card": json.dumps(card)}, "not finite")
    for content in (b"", b"PK\x03\x04", b"\x80\x04."):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="not a safetensors file"):
            StgNf().load(path)
        with pytest.raises(ValueError, match="no published checkpoint"):
            StgNf().load_published(path)


def test_a_pickle_that_names_another_class_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "evil.tar"
    torch.save({"state_dict": {}, "args": Path("anything")}, path)
    with pytest.raises(ValueError, match="no published"):
        StgNf().load_published(path)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_cuda_scores_and_trains_like_the_cpu() -> None:
    cpu, cuda = StgNf(), StgNf(device="cuda")
    for detector in (cpu, cuda):
        detector.fit(walkers(100), seed=0, steps=3)
    np.testing.assert_allclose(cuda.score(walkers(20)), cpu.score(walkers(20)), atol=1e-2)


def test_supervised_training_draws_anomalous_windows_to_the_other_prior() -> None:
    rng = np.random.default_rng(0)
    strange = walkers(60, seed=2) + rng.normal(0, 0.6, (60, 2, 24, 18)).astype(np.float32)
    windows = np.concatenate([walkers(60), strange])
    anomalous = np.arange(120) >= 60
    detector = StgNf(radius=10.0)
    log = detector.fit_labelled(windows, anomalous, seed=0, steps=300)
    assert log.losses[-1] < log.losses[0] / 2 and detector.info()["training"]["anomalous"] == 60
    x = torch.from_numpy(windows)
    with torch.no_grad():
        as_normal, as_anomalous = detector.model.nll(x), detector.model.nll(x, -10.0)
        each = detector.model.nll(x, torch.where(torch.from_numpy(anomalous), -10.0, 10.0))
    np.testing.assert_allclose(each, np.where(anomalous, as_anomalous, as_normal), rtol=1e-6)
    np.testing.assert_allclose(detector.score(windows), as_normal, rtol=1e-4)
    assert (as_normal[:60] < as_anomalous[:60]).float().mean() > 0.95
    assert (as_normal[60:] > as_anomalous[60:]).float().mean() > 0.95
    with pytest.raises(ValueError, match="one each is needed"):
        detector.fit_labelled(windows, anomalous[1:], seed=0)
