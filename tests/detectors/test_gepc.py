"""GEPC: its parts against scipy and scikit-learn, training, scores, and files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import scipy.stats
import torch
from safetensors.torch import load_file, save_file
from sklearn.mixture import BayesianGaussianMixture

from alfred.detectors import resume
from alfred.detectors.base import Cancellation, Detector
from alfred.detectors.gepc import transforms
from alfred.detectors.gepc.clustering import Clusters, divergence, log_target
from alfred.detectors.gepc.detector import Gepc
from alfred.detectors.gepc.mixture import DirichletMixture
from alfred.detectors.gepc.model import GepcSettings, seeded_model
from alfred.detectors.gepc.training import ClusteringSettings, DeepClustering
from alfred.detectors.learned import LARGEST

Windows = npt.NDArray[np.float32]


@pytest.fixture(autouse=True)
def _one_thread():  # type: ignore[no-untyped-def]  # a generator fixture
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def walkers(n: int, length: int = 6, seed: int = 0) -> Windows:
    """Normalised windows of people who sway: related in time and over joints, unlike noise."""
    rng = np.random.default_rng(seed)
    time = np.arange(length)[:, None]
    phase, speed = rng.uniform(0, 6, (n, 2, 1, 18)), rng.uniform(0.1, 0.3, (n, 1, 1, 1))
    body = np.random.default_rng(7).normal(size=(1, 2, 1, 18))
    windows = body + 0.3 * np.sin(speed * time + phase)
    windows -= windows.mean(axis=(2, 3), keepdims=True)
    return (windows / windows[:, 1:].std(axis=(2, 3), keepdims=True)).astype(np.float32)


def small(**settings: int | float | str) -> Gepc:
    """A detector of the same layers with few channels and short windows."""
    return Gepc(**{"length": 6, "width": 1, "clusters": 4, "components": 3, **settings})  # type: ignore[arg-type]  # by name


@pytest.fixture(scope="module")
def fitted() -> Gepc:
    torch.set_num_threads(1)
    detector = small()
    detector.fit(walkers(24), seed=0, steps=24)
    return detector


@pytest.fixture
def copied(fitted: Gepc, tmp_path: Path) -> Gepc:
    fitted.save(tmp_path / "fitted.safetensors")
    detector = small()
    detector.load(tmp_path / "fitted.safetensors")
    return detector


# Parts


def test_the_published_autoencoder_has_its_parameters_and_shapes() -> None:
    model = seeded_model(GepcSettings(length=12, channels=3, width=8), 0)
    assert sum(p.numel() for p in model.autoencoder.parameters()) == 793_431
    assert model.settings.code == 1152
    shapes = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    assert shapes["autoencoder.encoder.data_bn.weight"] == (54,)
    assert shapes["autoencoder.encoder.st_gcn_enc.8.gcn.g_conv.expanding_conv.weight"] == (9 * 32, 64, 1, 1)
    assert shapes["autoencoder.encoder.st_gcn_enc.6.tcn.2.weight"] == (64, 64, 9, 1)
    assert shapes["autoencoder.decoder.dec_final_gcn.gcn.g_conv.conv.weight"] == (9, 48, 1, 1)
    assert shapes["clusters.centres"] == (10, 1152)
    with torch.no_grad():
        codes, rebuilt = model.eval().autoencoder(torch.zeros(2, 3, 12, 18))
    assert codes.shape == (2, 1152) and rebuilt.shape == (2, 3, 12, 18)


def test_soft_assignment_is_students_t() -> None:
    rng = np.random.default_rng(0)
    clusters = Clusters(3, 5)
    centres, codes = rng.normal(size=(3, 5)), rng.normal(size=(8, 5))
    clusters.centres.data = torch.from_numpy(centres)
    density = scipy.stats.t(df=1).pdf(np.linalg.norm(codes[:, None] - centres, axis=2))
    with torch.no_grad():
        q = clusters(torch.from_numpy(codes)).exp()
    np.testing.assert_allclose(q, density / density.sum(axis=1, keepdims=True), atol=1e-12)


def test_target_worked_by_hand() -> None:
    q = torch.tensor([[0.75, 0.25], [0.5, 0.5]])  # sizes 1.25 and 0.75
    np.testing.assert_allclose(log_target(q.log()).exp(), [[0.84375, 0.15625], [0.375, 0.625]], atol=1e-6)


def test_both_orders_of_the_divergence() -> None:
    p, q = np.random.default_rng(0).dirichlet(np.ones(4), (2, 6))
    log_p, log_q = torch.from_numpy(p).log(), torch.from_numpy(q).log()
    np.testing.assert_allclose(divergence(log_p, log_q, "target_first"), scipy.stats.entropy(p, q, axis=1))
    np.testing.assert_allclose(divergence(log_p, log_q, "assignment_first"), scipy.stats.entropy(q, p, axis=1))


def test_centres_lie_where_the_codes_gather() -> None:
    rng = np.random.default_rng(0)
    places = np.array([[0, 0], [10, 0], [0, 10]], np.float32)
    codes = (np.repeat(places, 30, axis=0) + 0.1 * rng.normal(size=(90, 2))).astype(np.float32)
    clusters = Clusters(3, 2)
    clusters.place(codes, seed=0)
    found = np.unique(clusters.centres.detach().numpy().round(), axis=0)
    np.testing.assert_array_equal(found, np.unique(places, axis=0))
    with pytest.raises(ValueError, match="2 windows for 3 clusters"):
        clusters.place(codes[:2], seed=0)


@pytest.mark.parametrize(
    ("components", "dimensions", "n", "floor"), [(1, 2, 50, 1e-6), (10, 10, 400, 1e-4), (5, 3, 40, 1e-6)]
)
def test_log_likelihood_is_that_of_scikit_learn(components: int, dimensions: int, n: int, floor: float) -> None:
    rng = np.random.default_rng(0)
    points = rng.dirichlet(np.full(dimensions, 0.3), n)
    mixture = DirichletMixture(components, dimensions)
    mixture.fit(points, seed=3, floor=floor)
    reference = BayesianGaussianMixture(n_components=components, max_iter=500, random_state=3, reg_covar=floor).fit(
        points
    )
    others = np.concatenate([points, rng.dirichlet(np.ones(dimensions), 100), rng.normal(size=(20, dimensions))])
    ours = mixture.log_likelihood(torch.from_numpy(others)).numpy()
    np.testing.assert_allclose(ours, reference.score_samples(others), rtol=1e-9, atol=1e-5)


def test_points_drawn_from_the_mixture_are_like_those_it_was_fitted_to() -> None:
    rng = np.random.default_rng(0)
    spread = np.array([[1.0, 0.6], [0.0, 0.5]])
    points = np.concatenate([rng.normal(size=(900, 2)) @ spread, [8.0, 3.0] + 0.1 * rng.normal(size=(300, 2))])
    mixture = DirichletMixture(2, 2)
    mixture.fit(points, seed=0, floor=1e-6)
    drawn = mixture.draw(20_000, seed=1)
    far = drawn[:, 0] > 5
    np.testing.assert_allclose(far.mean(), 0.25, atol=0.02)
    np.testing.assert_allclose(drawn[far].mean(axis=0), [8, 3], atol=0.05)
    np.testing.assert_allclose(np.cov(drawn[~far].T), spread.T @ spread, atol=0.12)


def test_transforms_turn_and_mirror_places_but_not_confidence() -> None:
    x = torch.zeros(5, 3, 6, 18)
    x[:, 0], x[:, 1], x[:, 2] = 2.0, 1.0, 0.7
    turned = transforms.transformed(x, torch.arange(5))[:, :, 0, 0]
    half = np.sqrt(0.5)
    expected = [[2, 1], [-2, 1], [-1, 2], [1, 2], [half, 3 * half]]
    np.testing.assert_allclose(turned[:, :2], expected, atol=1e-6)
    np.testing.assert_allclose(turned[:, 2], 0.7)
    assert torch.equal(transforms.transformed(x, torch.zeros(5, dtype=torch.int64)), x)


def test_the_target_stands_still_between_two_refreshes() -> None:
    model = seeded_model(GepcSettings(length=6, width=1, clusters=3), 0)
    model.clusters.centres.data.normal_()
    module = DeepClustering(model, ClusteringSettings(refresh=3))
    seen = []
    for _ in range(7):
        before = module.earlier.clusters.centres.clone()
        module.loss(torch.from_numpy(walkers(8)))
        seen.append(bool((before != module.earlier.clusters.centres).any()))
        model.clusters.centres.data += 1
    assert seen == [False, False, False, True, False, False, True]
    with torch.no_grad():
        module.loss(torch.from_numpy(walkers(8)))  # a look at the hold-out is no step
    assert int(module.steps) == 7


@pytest.mark.parametrize("order", ["target_first", "assignment_first"])
def test_either_divergence_sharpens_the_assignments(order: str) -> None:
    generator = torch.Generator().manual_seed(0)
    clusters = Clusters(3, 2)
    clusters.centres.data = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]])
    codes = clusters.centres.detach().repeat(10, 1) + torch.randn(30, 2, generator=generator)
    before = clusters(codes).exp().max(dim=1).values.mean()
    codes.requires_grad_()
    for _ in range(5):
        target = log_target(clusters(codes)).detach()
        gradient = torch.autograd.grad(divergence(target, clusters(codes), order).sum(), codes)[0]
        codes = (codes - 0.5 * gradient).detach().requires_grad_()
    assert clusters(codes).exp().max(dim=1).values.mean() > before + 0.05


# Training


def test_fit_learns_to_rebuild_and_says_how_far_it_is() -> None:
    detector = small()
    seen: list[tuple[int, int, str]] = []
    log = detector.fit(walkers(20), seed=0, steps=24, learning_rate=5e-3, progress=lambda *report: seen.append(report))
    assert len(log.losses) == 24
    assert [step for step, _, _ in seen] == list(range(1, 25)) and {total for _, total, _ in seen} == {24}
    assert np.mean(log.losses[16:20]) < 0.9 * log.losses[0]  # of the autoencoder's 20 steps
    assert not detector.model.training
    training = detector.info()["training"]
    assert (training["autoencoder"]["steps"], training["clustering"]["steps"]) == (20, 4)


def test_a_hold_out_is_looked_at_in_both_phases() -> None:
    detector = small()
    log = detector.fit(walkers(20), seed=0, steps=4, validation_share=0.2)
    assert [step for step, _ in log.validation] == [3, 4]
    assert log.settings["clustering"]["held_out"] == 4


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    files = []
    for number, seed in enumerate((4, 4, 5)):
        detector = small()
        detector.fit(walkers(12), seed=seed, steps=4)
        detector.fine_tune(walkers(12, seed=1), seed=seed, steps=2)
        detector.save(tmp_path / f"{number}.safetensors")
        files.append((tmp_path / f"{number}.safetensors").read_bytes())
    assert files[0] == files[1] != files[2]


def test_training_that_was_killed_ends_as_it_would_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume, "EVERY", 1)
    whole, killed = small(), small()
    whole._clustering = killed._clustering = ClusteringSettings(refresh=1)
    whole.fit(walkers(12), seed=0, steps=12)
    asked = iter([False] * 12)  # 10 steps of the autoencoder, the codes, 1 of the 2 steps of the clustering

    with pytest.raises(Cancellation), resume.resumable(tmp_path):
        killed.fit(walkers(12), seed=0, steps=12, cancelled=lambda: next(asked, True))
    assert (tmp_path / "stage-2.safetensors").is_file()
    with resume.resumable(tmp_path):
        killed.fit(walkers(12), seed=0, steps=12)
    for (name, ours), theirs in zip(killed.model.state_dict().items(), whole.model.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs), name


def test_fine_tuning_moves_everything_but_batch_norm(copied: Gepc) -> None:
    before = {name: tensor.clone() for name, tensor in copied.model.state_dict().items()}
    log = copied.fine_tune(1.5 * walkers(20, seed=50), seed=0, steps=4)
    after = copied.model.state_dict()
    for name, tensor in before.items():
        if "running" in name or "num_batches" in name:
            assert torch.equal(tensor, after[name]), name
    for name in ("clusters.centres", "mixture.means", "autoencoder.encoder.st_gcn_enc.0.tcn.2.weight"):
        assert not torch.equal(before[name], after[name]), name
    assert log.settings["clustering"]["batch_norm"] == "frozen"
    assert [entry["clustering"]["steps"] for entry in copied.info()["fine_tuned"]] == [4]
    assert not copied.model.training


def test_fine_tuning_adds_what_it_saw_to_what_was_normal(copied: Gepc) -> None:
    mixture = copied.model.mixture
    known = np.random.default_rng(0).dirichlet([40, 8, 4, 4], 300)
    mixture.fit(known, seed=0, floor=1e-6)
    old = mixture.log_likelihood(torch.from_numpy(known)).median()
    x = walkers(60, seed=3)
    before = copied.score(x)
    copied.fine_tune(x, seed=0, steps=1)
    assert np.median(copied.score(x)) < np.median(before) - 1
    still = copied.model.mixture.log_likelihood(torch.from_numpy(known)).median()
    assert still > old - 2  # nats, of which a quarter of new points takes .3; a mixture of x alone is thousands away


@pytest.mark.parametrize("asked_before", [0, 2, 3, 4, 5])
def test_cancelling_a_fit_keeps_the_weights(asked_before: int) -> None:
    """In the autoencoder's 3 steps, at the codes (3), in the clustering's step (4), at the assignments (5)."""
    detector = small()
    x = walkers(12)
    before = detector.score(x)
    asked = iter([False] * asked_before + [True])
    with pytest.raises(Cancellation):
        detector.fit(x, seed=0, steps=4, cancelled=lambda: next(asked))
    assert next(asked, None) is None
    np.testing.assert_array_equal(detector.score(x), before)
    assert not detector.model.training


def test_cancelling_a_fine_tuning_keeps_the_weights(copied: Gepc) -> None:
    x = walkers(12)
    before = copied.score(x)
    asked = iter([False, False, True])
    with pytest.raises(Cancellation):
        copied.fine_tune(x, seed=0, steps=5, cancelled=lambda: next(asked))
    np.testing.assert_array_equal(copied.score(x), before)


@pytest.mark.parametrize("method", ["fit", "fine_tune"])
def test_training_that_cannot_be_says_why(method: str) -> None:
    detector = small()
    call = getattr(detector, method)
    before = detector.score(walkers(5))
    with pytest.raises(ValueError, match="no windows"):
        call(walkers(0), seed=0)
    with pytest.raises(ValueError, match="1 windows; 4 or more"):
        call(walkers(1), seed=0)
    with pytest.raises(ValueError, match="loss"):
        call(walkers(8) * np.float32(1e25), seed=0, steps=2)
    with pytest.raises(ValueError, match="positive"):
        call(walkers(20), seed=0, steps=0)
    with pytest.raises(ValueError, match="shape"):
        call(walkers(20, length=24), seed=0)
    np.testing.assert_array_equal(detector.score(walkers(5)), before)


def test_windows_that_are_all_the_same_can_be_learned() -> None:
    detector = small()
    same = np.repeat(walkers(1), 8, axis=0)
    detector.fit(same, seed=0, steps=2)
    assert np.isfinite(detector.score(walkers(5))).all()


# Scores


def test_a_score_does_not_depend_on_what_else_is_in_the_batch(fitted: Gepc) -> None:
    x = walkers(1000, seed=6)
    whole = fitted.score(x)
    sevens = np.concatenate([fitted.score(x[at : at + 7]) for at in range(0, 1000, 7)])
    ones = np.concatenate([fitted.score(x[at : at + 1]) for at in range(250)])
    np.testing.assert_allclose(sevens, whole, rtol=0, atol=1e-5)
    np.testing.assert_allclose(ones, whole[:250], rtol=0, atol=1e-5)
    assert fitted.score(x[:0]).shape == (0,) and fitted.score(x[:0]).dtype == np.float32


def test_more_transforms_are_averaged(copied: Gepc) -> None:
    x = walkers(10)
    alone = [copied.score(transforms.transformed(torch.from_numpy(x), torch.full((10,), i)).numpy()) for i in range(5)]
    copied._transforms = 5
    np.testing.assert_allclose(copied.score(x), np.mean(alone, axis=0), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("scale", [0.0, 1e10, 1e30])
def test_scores_are_finite_for_any_finite_window(fitted: Gepc, scale: float) -> None:
    scores = fitted.score(walkers(3) * np.float32(scale))
    assert np.isfinite(scores).all()
    if scale == 1e30:
        np.testing.assert_array_equal(scores, np.float32(LARGEST))


def test_wrong_windows_are_refused() -> None:
    detector = small()
    for wrong, reason in [
        (walkers(3, length=24), r"\(3, 2, 24, 18\), expected \(n, 2, 6, 18\)"),
        (np.zeros((3, 3, 6, 18), np.float32), "expected"),
        (np.zeros((3, 2, 6, 18), np.int64), "int64"),
        (np.full((1, 2, 6, 18), np.nan, np.float32), "finite"),
    ]:
        with pytest.raises(ValueError, match=reason):
            detector.score(wrong)
    assert small(channels=3).score(np.zeros((3, 3, 6, 18), np.float32)).shape == (3,)


def test_a_read_only_window_is_left_alone() -> None:
    x = walkers(4)
    x.flags.writeable = False
    before = x.copy()
    small().score(x)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"length": 16}, "multiple of 6"),
        ({"channels": 4}, "channels"),
        ({"width": 0}, "width"),
        ({"clusters": 1}, "clusters"),
        ({"divergence": "both"}, "divergence"),
        ({"transforms": 6}, "transforms"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, int | str], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        small(**settings)


# Files


def test_weights_and_card_come_back_from_the_file(tmp_path: Path) -> None:
    detector = small(length=18, fps=15.0, transforms=2, divergence="target_first")
    detector.fit(walkers(8, 18), seed=0, steps=2)
    detector.describe(version="test-1", theta=1.5)
    detector.save(tmp_path / "w.safetensors")
    other: Detector = Gepc()
    other.load(tmp_path / "w.safetensors")
    assert (other.window.length, other.window.fps) == (18, 15.0)
    np.testing.assert_array_equal(other.score(walkers(9, 18)), detector.score(walkers(9, 18)))
    assert other.info() == json.loads(json.dumps(detector.info()))
    assert other.info()["theta"] == 1.5 and other.info()["divergence"] == "target_first"
    other.fine_tune(walkers(8, 18), seed=0, steps=1)
    assert other.info()["fine_tuned"][0]["clustering"]["divergence"] == "target_first"


def test_weights_of_another_kind_are_refused(fitted: Gepc, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    fitted.save(path)
    tensors, card = load_file(path), fitted.info()
    detector = small()
    before = detector.score(walkers(3))

    def refused(state: dict[str, torch.Tensor], metadata: dict[str, str] | None, reason: str) -> None:
        save_file(state, path, metadata=metadata)
        with pytest.raises(ValueError, match=reason):
            detector.load(path)

    refused(tensors, None, "not of 'gepc'")
    for change, reason in [
        ({"name": "stg_nf"}, "weights of 'stg_nf'"),
        ({"length": 24}, "'clusters.centres' has shape"),
        ({"length": 10**9}, "impossible"),
        ({"width": 10**9}, "impossible"),
        ({"width": None}, "impossible"),
        ({"fps": 0}, "impossible"),
        ({"fps": 1e999}, "impossible"),
        ({"stride": 0}, "impossible"),
        ({"divergence": ["x"]}, "impossible"),
        ({"transforms": 9}, "impossible"),
    ]:
        refused(tensors, {"card": json.dumps({**card, **change})}, reason)
    refused({k: v for k, v in tensors.items() if k != "mixture.means"}, {"card": json.dumps(card)}, "is missing")
    broken = {**tensors, "mixture.cholesky": tensors["mixture.cholesky"] * np.nan}
    refused(broken, {"card": json.dumps(card)}, "not finite")
    for content in (b"", b"\x80\x04.", b"\xff" * 64):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="not a safetensors file"):
            detector.load(path)
    np.testing.assert_array_equal(detector.score(walkers(3)), before)
