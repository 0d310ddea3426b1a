"""TSGAD's pose branch: the layers against the golden file, training, scores and files."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from alfred.detectors.base import Cancellation, Detector
from alfred.detectors.fused_graph import FusedBlock, fused
from alfred.detectors.spatial_graph import (
    ConvBlock,
    GraphDecoder,
    GraphEncoder,
    SpatialAttention,
    partitioned_adjacency,
)
from alfred.detectors.tsgad.detector import Tsgad
from alfred.detectors.tsgad.model import Bernoulli, Gaussian, GaVae, VaeSettings, elbo, seeded_model

SHARED = Path(__file__).resolve().parents[2] / "../shared"
GOLDEN = SHARED / "golden/tsgad_gavae_sinfill.npz"
PUBLISHED = VaeSettings(latent=10, likelihood="bernoulli")

Windows = npt.NDArray[np.float32]

shared_data = pytest.mark.skipif(not GOLDEN.is_file(), reason="the data folder is not beside the checkout")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


LENGTH = 6  # the shortest window, so that the tests are quick


def walkers(n: int, length: int = LENGTH, seed: int = 0) -> Windows:
    """Normalised windows of people who sway: related in time and over joints, unlike noise."""
    rng = np.random.default_rng(seed)
    time = np.arange(length)[:, None]
    phase, speed = rng.uniform(0, 6, (n, 2, 1, 18)), rng.uniform(0.1, 0.3, (n, 1, 1, 1))
    windows: npt.NDArray[np.float64] = np.random.default_rng(99).normal(size=(1, 2, 1, 18)) + 0.3 * np.sin(
        speed * time + phase
    )
    windows -= windows.mean(axis=(2, 3), keepdims=True)
    windows /= windows[:, 1:].std(axis=(1, 2, 3), keepdims=True)
    return windows.astype(np.float32)


def small(**settings: object) -> Tsgad:
    """The cheapest detector there is."""
    return Tsgad(**{"latent": 1, "length": LENGTH, **settings})  # type: ignore[arg-type]  # settings by name


def shaken(module: nn.Module) -> nn.Module:
    """Weights and BatchNorm statistics that are not their starting values."""
    generator = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        parameter.data.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    for name, buffer in module.named_buffers():
        if "running" in name:
            buffer.copy_(0.5 + torch.rand(buffer.shape, generator=generator))
    return module.eval()


def fill_as_golden(model: GaVae, names: list[str]) -> None:
    """The golden file's parameters, a sine over each one's entries (facts/detectors.md, section 2)."""
    parameters = dict(model.named_parameters())
    for index, name in enumerate(names):
        parameter = parameters[name]
        if parameter.dim() > 1 and "g_adj" in name:
            parameter.data.fill_(1e-6)
            continue
        fan = parameter[0].numel() if parameter.dim() > 1 else 1
        entries = torch.arange(parameter.numel(), dtype=torch.float64)
        values = 0.2 / math.sqrt(fan) * torch.sin(0.11 * entries + index)
        if name.endswith("weight") and any(part in name for part in ("bn", "tcn.0", "tcn.3", "down.1", "residual.1")):
            values = 1 + 0.1 * values
        parameter.data.copy_(values.view_as(parameter))


@pytest.mark.shared
@shared_data
def test_weights_have_the_published_names_and_shapes() -> None:
    golden = np.load(GOLDEN)
    model = GaVae(PUBLISHED)
    assert [f"{key} {tuple(tensor.shape)}" for key, tensor in model.state_dict().items()] == list(golden["state_keys"])
    assert len(model.state_dict()) == 766
    assert [name for name, _ in model.named_parameters()] == list(golden["param_names"])


@pytest.mark.shared
@shared_data
@pytest.mark.parametrize("form", ["layers", "fused"])
def test_sine_filled_layers_give_the_published_values(form: str) -> None:
    golden = np.load(GOLDEN)
    model = GaVae(PUBLISHED)
    fill_as_golden(model, list(golden["param_names"]))
    model = fused(model) if form == "fused" else model.eval()
    np.testing.assert_allclose(model.encoder.A, golden["A"], atol=1e-7)
    x = torch.from_numpy(golden["x"])
    with torch.inference_mode():
        parameters = model.encode(x)
        mean = parameters[..., 0].contiguous()
        logits = model.decode(mean)
        zero = torch.zeros_like(mean)
        log_px = elbo(model.likelihood(logits, x), 0 * parameters, zero)  # the other two terms cancel at 0
        bound = model.elbo(x)
    np.testing.assert_allclose(parameters, golden["z_params"], atol=1e-5)
    np.testing.assert_allclose(logits, golden["logits"], atol=1e-5)
    np.testing.assert_allclose(log_px, golden["logpx"], atol=1e-3)
    np.testing.assert_allclose(bound - log_px, golden["logpz"] - golden["logq"], atol=1e-3)
    np.testing.assert_allclose(bound, golden["elbo_zmu"], atol=1e-3)


def test_parameter_counts_are_the_published_ones() -> None:
    def count(*modules: nn.Module) -> int:
        return sum(parameter.numel() for module in modules for parameter in module.parameters())

    assert count(GaVae(PUBLISHED)) == 3_251_598
    assert count(GaVae(VaeSettings(latent=8, likelihood="bernoulli"))) == 2_090_040
    assert count(GraphEncoder(3, 8), GraphDecoder(8, 3)) == 793_431  # GEPC's autoencoder
    assert count(GaVae(VaeSettings(latent=2))) == count(GaVae(VaeSettings(latent=2, likelihood="bernoulli"))) + 1


def test_the_neighbourhood_of_a_small_graph_by_hand() -> None:
    chain = partitioned_adjacency([(0, 1), (1, 2), (2, 3), (3, 4)], joints=5, centre=0)
    itself = np.diag([1 / 2, 1 / 3, 1 / 3, 1 / 3, 1 / 2])
    farther, nearer = np.zeros((5, 5)), np.zeros((5, 5))
    farther[1, 0], farther[2, 1] = 1 / 2, 1 / 3
    nearer[0, 1], nearer[1, 2] = 1 / 3, 1 / 3
    farther[3, 2] = farther[2, 3] = farther[4, 3] = 1 / 3  # beyond the second joint all count as equally far
    farther[3, 4] = 1 / 2
    np.testing.assert_allclose(chain, np.stack([itself, farther, nearer]), atol=1e-7)


def test_attention_mixes_as_published() -> None:
    """Expansion first, then each group's joints, written out as the paper has it."""
    layer = shaken(SpatialAttention(6, 8))
    assert isinstance(layer, SpatialAttention)
    x = torch.randn(3, 6, 5, 18, generator=torch.Generator().manual_seed(1))
    static = partitioned_adjacency()
    with torch.no_grad():
        expanded = layer.expanding_conv(x).view(3, 9, 8, 5, 18)
        parts = []
        for kind, norm in enumerate(layer.norms):
            total = torch.zeros(3, 8, 5, 18)
            for group in range(3):
                a, b = layer.conv_a[group](x).flatten(1, 2), layer.conv_b[group](x).flatten(1, 2)
                alike = torch.einsum("nfv,nfw->nvw", a, b).softmax(dim=1)
                shared = static[group] if kind == 0 else layer.g_adj[group]
                adjacency = alike if kind == 2 else shared.expand(3, 18, 18)
                total += torch.einsum("nctv,nvw->nctw", expanded[:, 3 * kind + group], adjacency)
            parts.append(torch.relu(norm(total)))
        expected = layer.reduction_conv(torch.cat(parts, dim=1)) + layer.down(x)
        np.testing.assert_allclose(layer(x, static), expected, atol=1e-5)


def test_batch_norm_statistics_of_the_three_kinds_follow_the_batch() -> None:
    layer = SpatialAttention(4, 4).train()
    x = torch.randn(8, 12, 4, 18)
    reference = [copy.deepcopy(norm) for norm in layer.norms]
    out = layer.normed(x)
    expected = torch.cat([norm(part) for norm, part in zip(reference, x.chunk(3, dim=1), strict=True)], dim=1)
    np.testing.assert_allclose(out.detach(), expected.detach(), atol=1e-6)
    for ours, theirs in zip(layer.norms, reference, strict=True):
        for (name, tensor), other in zip(ours.named_buffers(), theirs.buffers(), strict=True):
            np.testing.assert_allclose(tensor, other, atol=1e-6, err_msg=name)


@pytest.mark.parametrize(
    "block",
    [
        ConvBlock(4, 8, stride=2),
        ConvBlock(8, 8, dropout=0.3),
        ConvBlock(8, 8, residual=False),
        ConvBlock(8, 4, activate=False),
    ],
    ids=["stride", "dropout", "no residual", "not activated"],
)
def test_fused_blocks_equal_the_layers(block: ConvBlock) -> None:
    shaken(block)
    graph = block.gcn["g_conv"]
    assert isinstance(graph, SpatialAttention)
    x = torch.randn(5, graph.expanding_conv.in_channels, 12, 18, generator=torch.Generator().manual_seed(0))
    adjacency = partitioned_adjacency()
    with torch.inference_mode():
        np.testing.assert_allclose(FusedBlock(block)(x, adjacency), block(x, adjacency), atol=1e-4)


def test_likelihoods_by_hand() -> None:
    gaussian = Gaussian()
    gaussian.log_scale.data.fill_(math.log(0.5))
    x, decoded = torch.tensor([1.0]), torch.tensor([0.0])
    assert gaussian(decoded, x).item() == pytest.approx(-0.5 * (2**2 + math.log(2 * math.pi)) - math.log(0.5))
    assert Bernoulli()(decoded, torch.tensor([3.7])).item() == pytest.approx(-math.log(2))  # p = 1/2 whatever x is
    assert Bernoulli()(torch.tensor([2.0]), x).item() == pytest.approx(-math.log1p(math.exp(-2)))


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_fit_lowers_the_loss(likelihood: str) -> None:
    detector = small(likelihood=likelihood)
    seen: list[tuple[int, int, str]] = []
    log = detector.fit(walkers(8), seed=0, steps=15, learning_rate=5e-3, progress=lambda *said: seen.append(said))
    assert np.mean(log.losses[-3:]) < np.mean(log.losses[:3]) - 0.1
    assert seen[-1][:2] == (15, 15) and seen[-1][2].startswith("loss ")
    assert not detector.model.training
    assert detector.info()["training"]["steps"] == 15


def test_fit_learns_what_is_normal() -> None:
    detector = small()
    detector.fit(walkers(12), seed=0, steps=40, learning_rate=5e-3)
    normal = detector.score(walkers(50, seed=9))
    strange = detector.score(np.random.default_rng(0).normal(size=(50, 2, LENGTH, 18)).astype(np.float32))
    assert np.median(strange) > normal.max()


def test_the_same_seed_gives_the_same_file(tmp_path: Path) -> None:
    files = []
    for seed in (4, 4, 5):
        detector = small()
        detector.fit(walkers(8), seed=seed, steps=2)
        detector.save(tmp_path / "w.safetensors")
        files.append((tmp_path / "w.safetensors").read_bytes())
    assert files[0] == files[1] != files[2]


def test_fine_tuning_leaves_batch_norm_statistics() -> None:
    detector = small()
    detector.fit(walkers(8), seed=0, steps=3)
    before = {name: tensor.clone() for name, tensor in detector.model.state_dict().items()}
    log = detector.fine_tune(walkers(8, seed=3), seed=0, steps=3, learning_rate=1e-3)
    assert log.settings["batch_norm"] == "frozen"
    after = detector.model.state_dict()
    for name, tensor in before.items():
        if "running" in name or "num_batches" in name or name.endswith("A"):
            assert torch.equal(tensor, after[name]), name
    assert 0 < max((after[n] - t).abs().max().item() for n, t in before.items() if n.endswith("weight")) < 0.02
    assert [entry["steps"] for entry in detector.info()["fine_tuned"]] == [3]


@pytest.mark.parametrize("method", ["fit", "fine_tune"])
def test_cancelling_keeps_the_weights(method: str) -> None:
    detector = small()
    x = walkers(20)
    before = detector.score(x)
    asked = iter([False, False, True])
    with pytest.raises(Cancellation):
        getattr(detector, method)(x, seed=0, steps=10, cancelled=lambda: next(asked))
    np.testing.assert_array_equal(detector.score(x), before)
    assert not detector.model.training


@pytest.mark.parametrize("score_by", ["elbo", "latent"])
def test_a_score_does_not_depend_on_what_else_is_in_the_batch(score_by: str) -> None:
    detector = small(score_by=score_by)
    detector._use(shaken(detector.model))  # type: ignore[arg-type]  # a GaVae, as it went in
    x = walkers(300)
    whole = detector.score(x)
    sevens = [detector.score(x[at : at + 7]) for at in range(0, 300, 7)]
    ones = [detector.score(x[at : at + 1]) for at in range(100)]
    np.testing.assert_allclose(np.concatenate(sevens), whole, atol=1e-5)
    np.testing.assert_allclose(np.concatenate(ones), whole[:100], atol=1e-5)
    np.testing.assert_array_equal(detector.score(x[:200]), detector.score(x[:200]))
    assert detector.score(x[:0]).shape == (0,)


def test_the_score_is_the_bound_at_the_mean_or_the_distance_to_the_mean_latent() -> None:
    by_elbo, by_latent = small(), small(score_by="latent")
    x = walkers(30)
    for detector in (by_elbo, by_latent):
        detector.fit(x, seed=0, steps=3)
    with torch.no_grad():
        parameters = by_elbo.model.encode(torch.from_numpy(x)).double()
        bound = by_elbo.model.elbo(torch.from_numpy(x)).double()
    np.testing.assert_allclose(by_elbo.score(x), -bound / (2 * LENGTH * 18), atol=1e-5)
    away = (parameters - parameters.mean(dim=0)).flatten(1)
    np.testing.assert_allclose(by_latent.score(x), away.norm(dim=1) / math.sqrt(away.shape[1]), atol=1e-4)


@pytest.mark.parametrize("scale", [0.0, 1e10, 1e30])
def test_scores_are_finite_for_any_finite_window(scale: float) -> None:
    for score_by in ("elbo", "latent"):
        assert np.isfinite(small(score_by=score_by).score(walkers(3) * np.float32(scale))).all()


def test_a_read_only_window_is_left_alone() -> None:
    x = walkers(4)
    x.flags.writeable = False
    before = x.copy()
    small().score(x)
    np.testing.assert_array_equal(x, before)


def test_what_cannot_be_says_why() -> None:
    detector = small()
    with pytest.raises(ValueError, match="no windows"):
        detector.fit(walkers(0), seed=0)
    with pytest.raises(ValueError, match="loss"):
        detector.fit(walkers(5) * np.float32(1e25), seed=0, steps=3)
    with pytest.raises(ValueError, match="positive"):
        detector.fit(walkers(5), seed=0, steps=0)
    with pytest.raises(ValueError, match=r"shape \(3, 2, 12, 18\), expected \(n, 2, 6, 18\)"):
        detector.score(walkers(3, length=12))
    with pytest.raises(ValueError, match="int64"):
        detector.score(np.zeros((1, 2, LENGTH, 18), np.int64))
    with pytest.raises(ValueError, match="finite"):
        detector.fine_tune(np.full((1, 2, LENGTH, 18), np.nan, np.float32), seed=0)
    for settings, reason in (
        ({"length": 20}, "multiple of 6"),
        ({"latent": 0}, "latent"),
        ({"likelihood": "poisson"}, "gaussian, bernoulli"),
        ({"score_by": "mse"}, "elbo, latent"),
    ):
        with pytest.raises(ValueError, match=reason):
            small(**settings)


def test_weights_and_card_come_back_from_the_file(tmp_path: Path) -> None:
    detector = small(length=12, fps=10, likelihood="bernoulli", score_by="latent")
    detector.fit(walkers(20, 12), seed=0, steps=2)
    detector.describe(version="test-1", theta=1.5)
    detector.save(tmp_path / "w.safetensors")
    other: Detector = Tsgad()
    other.load(tmp_path / "w.safetensors")
    assert (other.window.length, other.window.fps) == (12, 10)
    np.testing.assert_array_equal(other.score(walkers(9, 12)), detector.score(walkers(9, 12)))
    info = other.info()
    assert info == json.loads(json.dumps(detector.info()))
    assert (info["theta"], info["latent"], info["likelihood"], info["score_by"]) == (1.5, 1, "bernoulli", "latent")


def test_weights_of_another_kind_are_refused(tmp_path: Path) -> None:
    detector = small()
    path = tmp_path / "w.safetensors"
    detector.save(path)
    tensors, card = load_file(path), detector.info()

    def refused(state: dict[str, torch.Tensor], metadata: dict[str, str] | None, reason: str) -> None:
        save_file(state, path, metadata=metadata)
        with pytest.raises(ValueError, match=reason):
            Tsgad().load(path)

    def card_with(**changes: object) -> dict[str, str]:
        return {"card": json.dumps({**card, **changes})}

    refused(tensors, None, "not of 'tsgad'")
    refused(tensors, card_with(name="gepc"), "weights of 'gepc'")
    refused(tensors, card_with(length=12), r"'latent_mean' has shape \(72, 2\), expected \(144, 2\)")
    refused(tensors, card_with(latent=2), "shape")
    refused(tensors, card_with(length=10**9), "impossible")
    refused(tensors, card_with(fps="fast"), "impossible")
    refused(tensors, card_with(score_by=["elbo"]), "impossible")
    refused(tensors, card_with(likelihood="bernoulli"), "'likelihood.log_scale' is not known")
    refused({k: v for k, v in tensors.items() if k != "encoder.A"}, card_with(), "'encoder.A' is missing")
    refused({k: v for k, v in tensors.items() if k != "latent_mean"}, card_with(), "'latent_mean' is missing")
    refused({**tensors, "encoder.A": tensors["encoder.A"] * np.nan}, card_with(), "not finite")
    refused({**tensors, "latent_mean": tensors["latent_mean"] * np.nan}, card_with(), "finite")
    whole = tmp_path / "whole.safetensors"
    detector.save(whole)
    for content in (b"", b"PK\x03\x04", b"\x80\x04.", whole.read_bytes()[:-100]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="not a safetensors file"):
            Tsgad().load(path)


def test_a_fresh_latent_is_near_its_prior_and_the_global_generator_is_left_alone() -> None:
    state = torch.random.get_rng_state()
    model = seeded_model(VaeSettings(), seed=0).train()
    with torch.no_grad():
        assert model.encode(torch.from_numpy(walkers(20, 24))).abs().max() < 2
    assert torch.equal(torch.random.get_rng_state(), state)
