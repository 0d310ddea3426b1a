"""The memory: distances by hand, what is remembered and what is forgotten, batches, files."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.metrics import pairwise_distances

from alfred.detectors import weights
from alfred.detectors.base import Cancellation, Detector
from alfred.detectors.memory.detector import Memory
from alfred.detectors.memory.model import FAR, Embedding, MemorySettings, Voters, nearest

Windows = npt.NDArray[np.float32]


def people(n: int, seed: int = 0, length: int = 24, lean: float = 0.0) -> Windows:
    """Windows (n, 3, T, 18) of people who sway; `lean` moves their heads and arms aside."""
    rng = np.random.default_rng(seed)
    time = np.arange(length)[:, None]
    phase, speed = rng.uniform(0, 6, (n, 2, 1, 18)), rng.uniform(0.1, 0.3, (n, 1, 1, 1))
    at_rest = np.random.default_rng(99).normal(size=(1, 2, 1, 18))
    at_rest[:, 0, :, :8] += lean
    xy = at_rest + 0.3 * np.sin(speed * time + phase)
    xy -= xy.mean(axis=(2, 3), keepdims=True)
    xy /= xy[:, 1:].std(axis=(2, 3), keepdims=True)
    return np.concatenate([xy, rng.uniform(0.6, 1, (n, 1, length, 18))], axis=1).astype(np.float32)


def fitted(n: int = 400, **settings: Any) -> Memory:
    memory = Memory(**settings)
    memory.fit(people(n), seed=0)
    return memory


def test_it_is_a_detector_with_confidence() -> None:
    detector: Detector = Memory()
    assert (detector.name, detector.family) == ("memory", "memory")
    assert detector.window.confidence and detector.window.channels == 3
    assert Memory(confidence=False).window.channels == 2
    assert Memory(scale=1.0).window.channels == 6 and Memory(speed=1.0).window.channels == 3


def test_a_distance_worked_by_hand() -> None:
    """Three voters of two numbers. The third of the query says nothing, the second of the memory half."""
    query = Voters(torch.tensor([[[0.0, 0.0], [1.0, 1.0], [50.0, 50.0]]]), torch.tensor([[1.0, 1.0, 0.0]]))
    bank = Voters(
        torch.tensor([[[3.0, 4.0], [1.0, 3.0], [0.0, 0.0]], [[0.0, 1.0], [1.0, 1.0], [9.0, 9.0]], [[0.0, 0.0]] * 3]),
        torch.tensor([[1.0, 0.5, 1.0], [1.0, 1.0, 1.0], [0.0, 0.0, 1.0]]),
    )
    distance, index = nearest(query, bank, 3)
    # mean squares of voters: 12.5 and 2 with votes 1 and .5; 0.5 and 0 with votes 1 and 1; nothing in common
    assert index.tolist() == [[1, 0, 2]]
    assert distance[0].tolist() == pytest.approx([math.sqrt(0.25), math.sqrt((12.5 + 0.5 * 2) / 1.5), FAR])


def test_neighbours_are_exact() -> None:
    """Against scikit-learn's distances, all votes being equal."""
    rng = np.random.default_rng(1)
    bank, query = rng.normal(size=(1500, 18, 8)), rng.normal(size=(700, 18, 8))
    found, index = nearest(*(Voters(torch.from_numpy(x).float(), torch.ones(len(x), 18)) for x in (query, bank)), 5)
    expected = pairwise_distances(query.reshape(700, -1), bank.reshape(1500, -1)) / math.sqrt(18 * 8)
    np.testing.assert_allclose(found, np.sort(expected, axis=1)[:, :5], rtol=1e-5)
    np.testing.assert_array_equal(index, np.argsort(expected, axis=1)[:, :5])


def test_the_score_is_the_distance_over_a_power_of_the_neighbours_own() -> None:
    """Four memories on a line at 0, 1, 3, 7 (rank 1: radii 1, 1, 2, 4) and a window at 5, all joints alike."""

    def standing(at: float) -> Windows:
        window = np.zeros((1, 2, 4, 18), np.float32)
        window[:, 0] = at
        return window

    memory = Memory(length=4, confidence=False, components=1, whitening=0, neighbours=2, density=0.5, density_rank=1)
    memory.fit(np.concatenate([standing(at) for at in (0, 1, 3, 7)]), seed=0)
    # A path of 4 equal samples has length 2 · at along (½, ½, ½, ½); the mean over x and y halves its square.
    unit = math.sqrt(2)
    expected = 2 * unit / math.sqrt(3 * unit)  # both neighbours are 2 away; their radii are 2 and 4
    assert memory.score(standing(5))[0] == pytest.approx(expected, rel=1e-5)
    assert memory.score(standing(3))[0] == pytest.approx(1 * unit / math.sqrt(1.5 * unit), rel=1e-5)  # 0 and 2 away


def test_strangers_score_higher() -> None:
    memory = fitted()
    known, strange = memory.score(people(100, seed=1)), memory.score(people(100, seed=1, lean=1.5))
    assert np.isfinite(known).all() and known.max() < strange.min()


def test_joints_that_are_not_seen_do_not_vote() -> None:
    memory = fitted()
    windows = people(50, seed=2)
    windows[:, 2, :, 4] = 0
    moved = windows.copy()
    moved[:, :2, :, 4] += 30
    np.testing.assert_allclose(memory.score(moved), memory.score(windows), rtol=1e-4)
    moved[:, 2, :, 4] = 0.9
    assert (memory.score(moved) > 2 * memory.score(windows)).all()


def test_a_memorys_unseen_joints_do_not_vote_either() -> None:
    windows = people(200)
    windows[:, 2, :, 4] = 0
    elsewhere = windows.copy()
    elsewhere[:, :2, :, 4] += 30
    memory, other = Memory(whitening=0), Memory(whitening=0)
    memory.fit(windows, seed=0)
    other.fit(windows, seed=0)
    embedding = Embedding.learn(torch.from_numpy(windows), MemorySettings())
    seen = Voters(*(getattr(embedding(torch.from_numpy(windows)), name) for name in ("values", "votes")))
    unseen = embedding(torch.from_numpy(elsewhere))
    query = embedding(torch.from_numpy(people(20, seed=3)))
    np.testing.assert_allclose(nearest(query, seen, 5)[0], nearest(query, unseen, 5)[0], rtol=1e-4)


def test_windows_without_any_seen_joint_get_a_score_all_the_same() -> None:
    memory = fitted()
    blind = people(10, seed=4)
    blind[:, 2] = 0
    scores = memory.score(blind)
    assert np.isfinite(scores).all() and scores.max() < 10
    poor = people(400)
    poor[:, 2] *= 0.1  # a camera where everything is hard to see is not blind
    low = Memory()
    low.fit(poor, seed=0)
    np.testing.assert_allclose(low.score(people(50, seed=5)), memory.score(people(50, seed=5)), rtol=1e-3)


@pytest.mark.parametrize("settings", [{}, {"confidence": False}, {"place": 1.0, "scale": 1.0, "speed": 1.0}])
def test_scores_do_not_depend_on_the_batch(settings: dict[str, Any]) -> None:
    def shaped(windows: Windows) -> Windows:
        more = np.random.default_rng(6).normal(size=(len(windows), 3, 1, 1)) + np.zeros((1, 1, 24, 18))
        return np.concatenate([windows, more.astype(np.float32)], axis=1)[:, : memory.window.channels]

    memory = Memory(**settings)
    memory.fit(shaped(people(3000)), seed=0)
    windows = np.concatenate([shaped(people(900, seed=7)), shaped(people(3000))[:100]])  # some are remembered: near 0
    whole = memory.score(windows)
    for size in (1, 7):
        parts = [memory.score(windows[i : i + size]) for i in range(0, len(windows), size)]
        np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-5)


@pytest.mark.parametrize(("name", "channel"), [("place", 3), ("scale", 5)])
def test_where_and_how_large_may_vote(name: str, channel: int) -> None:
    def with_place(seed: int) -> Windows:
        rng = np.random.default_rng(seed)
        more = rng.normal(size=(300, 3, 1, 1)) * 0.1 + np.zeros((1, 1, 24, 18))
        return np.concatenate([people(300, seed=seed), more.astype(np.float32)], axis=1)

    memory = Memory(**{name: 2.0})
    memory.fit(with_place(0), seed=0)
    here = with_place(1)
    there = here.copy()
    there[:, channel] += 2
    assert (memory.score(there) > 1.5 * memory.score(here)).mean() > 0.95


def test_speed_may_vote() -> None:
    def walking(by: float) -> Windows:
        windows = people(300, seed=8)
        windows[:, 0] += np.linspace(0, by, 24)[:, None]
        return windows

    plain, watchful = Memory(), Memory(speed=4.0)
    for memory in (plain, watchful):
        memory.fit(walking(0.2), seed=0)
    rise = [m.score(walking(1.5)).mean() / m.score(walking(0.2)[:, :, ::-1]).mean() for m in (plain, watchful)]
    assert rise[1] > 1.2 * rise[0]


def test_what_is_remembered_is_no_longer_strange_and_others_stay_as_they_were() -> None:
    memory = fitted(1000)
    event, similar = people(60, seed=9, lean=1.5), people(60, seed=10, lean=1.5)
    known = people(100, seed=11)
    before = [memory.score(windows) for windows in (event, similar, known)]
    memory.remember(event)
    after = [memory.score(windows) for windows in (event, similar, known)]
    assert (after[0] < 0.8 * before[0]).all()
    assert (after[1] < 0.9 * before[1]).all()
    np.testing.assert_array_equal(after[2], before[2])


def test_a_few_windows_of_one_event_do_not_make_similar_ones_stranger() -> None:
    memory = fitted(1000)
    event = np.repeat(people(1, seed=9, lean=1.5), 97, axis=0)
    event[:, :2] += 0.001 * np.random.default_rng(0).normal(size=(97, 2, 24, 18))
    similar = people(60, seed=10, lean=1.5)
    before = memory.score(similar)
    memory.remember(event)
    assert (memory.score(similar) <= before + 1e-6).all() and memory.score(event).max() < 0.2 * before.min()


def test_the_memory_is_bounded_and_each_part_keeps_its_own() -> None:
    memory = Memory(capacity=100, confirmed_capacity=30)
    memory.fit(people(500), seed=0)
    for k in range(3):
        memory.fine_tune(people(300, seed=k + 1), seed=k)
        memory.remember(people(20, seed=k + 50))
    assert memory.info()["remembered"] == {"base": 100, "camera": 100, "confirmed": 30}
    assert memory.score(people(20, seed=52)).max() < memory.score(people(20, seed=50)[:10]).min()  # the oldest are gone


def test_a_part_is_a_fair_sample_of_all_it_was_given() -> None:
    """Three calls of 400, 800 and 1200: a part of 600 holds about 100, 200 and 300 of them (deviation at most 10)."""
    memory = Memory(capacity=600, confidence=False, whitening=0, components=1)
    memory.fit(people(700)[:, :2], seed=0)
    for k, n in enumerate((400, 800, 1200)):
        windows = people(n, seed=k)[:, :2]
        windows[:, 0] += 100.0 * (k + 1)
        memory.fine_tune(windows, seed=5)
    assert memory._bank is not None
    mine = memory._bank.voters.values[memory._bank.part == 1]
    origin = np.round(np.abs(mine[:, :, 0].mean(dim=1).numpy()) / math.sqrt(24) / 100).astype(int)
    counts = np.bincount(origin, minlength=4)[1:]
    assert counts.sum() == 600
    assert np.abs(counts - [100, 200, 300]).max() < 50  # 5 deviations


def test_fine_tuning_adds_and_keeps_the_rest() -> None:
    memory = fitted()
    leaning = people(200, seed=12, lean=1.5)
    before = memory.score(people(50, seed=13, lean=1.5))
    base = memory.score(people(50, seed=14))
    log = memory.fine_tune(leaning, seed=1, steps=7, learning_rate=1.0, validation_share=0.5, patience=3)
    assert log.losses == [] and log.settings["windows"] == 200
    assert (memory.score(people(50, seed=13, lean=1.5)) < 0.9 * before).all()
    np.testing.assert_allclose(memory.score(people(50, seed=14)), base, rtol=0.05)


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        memory = Memory(capacity=200)
        memory.fit(people(500), seed=3)
        memory.fine_tune(people(400, seed=1), seed=4)
        memory.remember(people(5, seed=2))
        memory.save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    other = Memory(capacity=200)
    other.fit(people(500), seed=4)
    assert not np.array_equal(other.score(people(50, seed=1)), memory.score(people(50, seed=1)))


def test_saved_and_loaded_it_goes_on_as_if_nothing_had_been(tmp_path: Path) -> None:
    memory = fitted(capacity=150, scale=0.0, neighbours=3, length=24, fps=10.0)
    memory.fine_tune(people(300, seed=1), seed=4)
    memory.describe(licence="ours")
    memory.save(tmp_path / "m.safetensors")
    again = Memory()
    again.load(tmp_path / "m.safetensors")
    windows = people(100, seed=2)
    np.testing.assert_array_equal(again.score(windows), memory.score(windows))
    assert again.window == memory.window and again.info()["licence"] == "ours" and again.info()["neighbours"] == 3
    for one in (memory, again):
        one.fine_tune(people(300, seed=5), seed=4)
        one.remember(people(3, seed=6))
    np.testing.assert_array_equal(again.score(windows), memory.score(windows))


def test_default_weights_are_small(tmp_path: Path) -> None:
    memory = Memory()
    memory.fit(people(3000), seed=0)
    memory.fine_tune(people(3000, seed=1), seed=0)
    memory.save(tmp_path / "m.safetensors")
    assert memory.info()["remembered"] == {"base": 2048, "camera": 2048, "confirmed": 0}
    assert (tmp_path / "m.safetensors").stat().st_size < 4_000_000


@pytest.mark.parametrize(
    ("windows", "said"),
    [
        (np.zeros((2, 2, 24, 18), np.float32), r"\(2, 2, 24, 18\), expected \(n, 3, 24, 18\)"),
        (np.zeros((2, 3, 12, 18), np.float32), "expected"),
        (np.full((2, 3, 24, 18), np.nan, np.float32), "finite"),
        (np.zeros((0, 3, 24, 18), np.float32), "expected at least 1"),
    ],
)
def test_bad_windows_are_refused_and_change_nothing(windows: Windows, said: str) -> None:
    memory = fitted()
    before = memory.score(people(10, seed=1))
    for call in (lambda: memory.fit(windows, seed=0), lambda: memory.fine_tune(windows, seed=0)):
        with pytest.raises(ValueError, match=said):
            call()
    with pytest.raises(ValueError, match=said):
        memory.remember(windows)
    np.testing.assert_array_equal(memory.score(people(10, seed=1)), before)
    assert memory.score(np.zeros((0, 3, 24, 18), np.float32)).shape == (0,)


def test_an_empty_memory_says_so(tmp_path: Path) -> None:
    memory = Memory()
    for call in (memory.score, memory.remember, lambda x: memory.fine_tune(x, seed=0)):
        with pytest.raises(ValueError, match="empty, expected at least 1"):
            call(people(2))
    with pytest.raises(ValueError, match="empty"):
        memory.save(tmp_path / "m")
    assert memory.info()["remembered"] == {"base": 0, "camera": 0, "confirmed": 0}


def test_cancelled_it_is_what_it_was() -> None:
    memory = fitted()
    before = memory.score(people(10, seed=1))
    with pytest.raises(Cancellation):
        memory.fit(people(50, seed=2), seed=0, cancelled=lambda: True)
    with pytest.raises(Cancellation):
        memory.fine_tune(people(50, seed=2), seed=0, cancelled=lambda: True)
    np.testing.assert_array_equal(memory.score(people(10, seed=1)), before)


@pytest.mark.parametrize(
    "setting",
    [
        {"capacity": 0},
        {"capacity": 2.5},
        {"density": -1.0},
        {"neighbours": 10**9},
        {"confidence": "yes"},
        {"colour": 1},
    ],
)
def test_impossible_settings_are_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Memory(**setting)


def spoilt(name: str, tensors: dict[str, torch.Tensor], card: dict[str, Any]) -> None:
    if name == "card":
        card["neighbours"] = "many"
    elif name == "seen":
        del card["seen"]
    elif name == "length":
        card["length"] = 10**9
    elif name == "shape":
        tensors["values"] = tensors["values"][:, :5].contiguous()
    elif name == "nan":
        tensors["votes"][0, 0] = torch.nan
    elif name == "radius":
        tensors["radius"][3] = 0
    elif name == "part":
        tensors["part"][3] = 7
    elif name == "missing":
        del tensors["key"]
    elif name == "crowded":
        card["capacity"] = 10
    elif name == "hollow":
        for key in ("values", "votes", "part", "key", "radius"):
            tensors[key] = tensors[key][:0]


@pytest.mark.parametrize(
    "what", ["card", "seen", "length", "shape", "nan", "radius", "part", "missing", "crowded", "hollow"]
)
def test_hostile_files_are_refused(tmp_path: Path, what: str) -> None:
    memory = fitted(50)
    path = tmp_path / "bad.safetensors"
    memory.save(path)
    tensors, card = weights.load(path, "memory")
    spoilt(what, tensors, card)
    weights.save(path, tensors, card)
    before = memory.score(people(5, seed=1))
    with pytest.raises(ValueError, match=r"bad\.safetensors: "):
        memory.load(path)
    np.testing.assert_array_equal(memory.score(people(5, seed=1)), before)


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "noise").write_bytes(b"\x80\x04not weights")
    save_file({"x": torch.zeros(2)}, tmp_path / "other", metadata={"card": '{"name": "stg_nf"}'})
    assert load_file(tmp_path / "other")["x"].shape == (2,)
    for name, said in (("noise", "not a safetensors file"), ("other", "'stg_nf'")):
        with pytest.raises(ValueError, match=said):
            Memory().load(tmp_path / name)


def test_people_who_hardly_move_are_measured_as_exactly_as_others() -> None:
    """Still poses a thousandth apart: single precision loses such differences in the matrix product."""
    rng = np.random.default_rng(2)
    pose = rng.normal(size=(1, 2, 1, 18)).repeat(24, axis=2)
    windows = np.ones((900, 3, 24, 18), np.float32)
    windows[:, :2] = pose + rng.normal(0, 1e-3, size=(900, 2, 24, 18))
    detector = Memory()
    detector.fit(windows[:800], seed=0)
    together = detector.score(windows[800:])
    alone = np.concatenate([detector.score(windows[i : i + 1]) for i in range(800, 900)])
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-5)
