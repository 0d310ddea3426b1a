"""Presets: what differs from the defaults is built, used in training, saved with the weights and found again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from alfred.detectors import presets, registry

ALL = [(name, preset) for name in registry.BUILT_IN for preset in presets.names(name)]


@pytest.mark.parametrize("name, preset", ALL)
def test_every_preset_can_be_made_and_says_which_it_is(name: str, preset: str) -> None:
    detector = registry.create(name, preset=preset)
    card = detector.info()
    assert card["preset"] == preset
    for key, value in presets.preset(name, preset).settings.items():
        assert card[key] == value, key


def test_every_detector_with_a_paper_has_the_published_preset_and_the_memory_a_plain_one() -> None:
    assert {name: presets.names(name) for name in registry.BUILT_IN} == {
        "gepc": ["tuned", "published"],
        "memory": ["tuned", "plain"],
        "sparta": ["tuned", "published"],
        "stg_nf": ["tuned", "published"],
        "tsgad": ["tuned", "published"],
    }


def test_an_unknown_preset_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="stg_nf has no preset 'best'; it has: tuned, published"):
        registry.create("stg_nf", preset="best")


def test_the_published_schedule_trains_and_stays_with_the_weights(tmp_path: Path) -> None:
    windows = np.random.default_rng(0).normal(size=(300, 2, 24, 18)).astype(np.float32)
    detector = registry.create("stg_nf", preset="published")
    log = detector.fit(windows, seed=0)
    assert len(log.losses) == 8 * 3  # 8 epochs of 600 windows in batches of 256
    assert (log.settings["learning_rate"], log.settings["schedule"]) == (5e-4, "decay")
    assert len(detector.fit(windows, seed=0, steps=2).losses) == 2
    detector.save(tmp_path / "weights.safetensors")
    read = registry.create("stg_nf")
    read.load(tmp_path / "weights.safetensors")
    assert read.info()["preset"] == "published"
    tuned = read.fine_tune(windows, seed=0)
    assert (len(tuned.losses), tuned.settings["batch_norm"]) == (6, "trained")


def test_the_plain_memory_is_the_mean_distance_to_five_neighbours() -> None:
    rng = np.random.default_rng(1)
    windows, asked = (rng.normal(size=(n, 2, 24, 18)).astype(np.float32) for n in (60, 4))
    detector = registry.create("memory", preset="plain", components=24)  # all directions over time: no projection
    detector.fit(windows, seed=0)
    far = ((asked[:, None] - windows[None]) ** 2).mean(axis=(2, 3, 4))
    nearest = np.argsort(far, axis=1)[:, :5]
    order = detector.score(asked).argsort()
    assert list(order) == list(np.take_along_axis(far, nearest, axis=1).mean(axis=1).argsort())
