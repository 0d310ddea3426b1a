"""Named ways to build and train a detector: `tuned` is the default, the others are what it is compared with.

Imports no torch. A preset says only what differs from the detector's own defaults, which are the `tuned` ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

TUNED = "tuned"
PUBLISHED = "published"
PLAIN = "plain"

TRAINING_STRIDE = 2
"""Samples between windows that source weights are trained on, unless a preset says otherwise."""


@dataclass(frozen=True, slots=True)
class Preset:
    """`settings` go to the constructor; `fit` and `fine_tune` change the detector's `TrainingSettings`.

    `clustering` is what `fit` changes in a second stage, where there is one; `stride` the samples between training
    windows; `words` says what it is.
    """

    words: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    fit: Mapping[str, Any] = field(default_factory=dict)
    clustering: Mapping[str, Any] = field(default_factory=dict)
    fine_tune: Mapping[str, Any] = field(default_factory=dict)
    stride: int = TRAINING_STRIDE


_TUNED = Preset("settings chosen on mocap-cctv C0, C1 and C2")

PRESETS: Mapping[str, Mapping[str, Preset]] = {
    "stg_nf": {
        PUBLISHED: Preset(
            "the schedule of arXiv 2211.10946: 8 epochs of Adamax at 5e-4, 1 % less after each; BatchNorm trained",
            fit={"epochs": 8, "learning_rate": 5e-4, "schedule": "decay"},
            fine_tune={"epochs": 2, "learning_rate": 5e-4, "schedule": "decay", "batch_norm": "trained"},
            stride=6,
        ),
    },
    "sparta": {
        PUBLISHED: Preset(
            "arXiv 2408.15185 and its code: the decoder sees the true target, dropout .1, 30 epochs of a cyclic rate",
            settings={"honest": False, "dropout": 0.1},
            fit={
                "epochs": 30, "learning_rate": 2e-3, "batch": 256, "clip": 1e9, "schedule": "triangular",
                "swing": (0.5, 2.0),
            },
            fine_tune={"epochs": 2, "learning_rate": 1e-3, "batch": 256, "clip": 1e9},
            stride=12,
        ),
    },
    "tsgad": {
        PUBLISHED: Preset(
            "WACV 2024: latent 10, Bernoulli likelihood, 20 epochs; the rate is nowhere said, 1e-4 is ours",
            settings={"latent": 10, "likelihood": "bernoulli", "score_by": "elbo"},
            fit={"epochs": 20, "learning_rate": 1e-4, "batch": 256, "schedule": "constant"},
            stride=12,
        ),
    },
    "gepc": {
        PUBLISHED: Preset(
            "CVPR 2020: width 8, confidence as a third channel, 10 and 25 epochs, scores averaged over five transforms",
            settings={"fps": 30.0, "channels": 3, "width": 8, "transforms": 5},
            fit={
                "epochs": 10, "learning_rate": 1e-4, "batch": 512, "schedule": "triangular", "swing": (0.1, 10.0),
            },
            clustering={"epochs": 25, "learning_rate": 8e-4, "batch": 512},
            stride=8,
        ),
    },
    "memory": {
        PLAIN: Preset(
            "five nearest neighbours and nothing else: every joint votes alike, no density correction, no whitening",
            settings={"confidence": False, "density": 0.0, "whitening": 0.0},
        ),
    },
}  # fmt: skip


def names(detector: str) -> list[str]:
    """The presets of a detector, the default first."""
    return [TUNED, *PRESETS.get(detector, {})]


def preset(detector: str, name: str) -> Preset:
    """Raises ValueError, with the names there are, for one that is not."""
    if name == TUNED:
        return _TUNED
    found = PRESETS.get(detector, {}).get(name)
    if found is None:
        raise ValueError(f"{detector} has no preset {name!r}; it has: {', '.join(names(detector))}")
    return found
