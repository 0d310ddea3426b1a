"""A simulated camera with a simulated detector and tracker: joints in metres → keypoints in pixels.

Jitter, confidence by what is hidden, missed frames, broken tracks, people cut off by the picture's edge.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]

SEEN_JOINTS = 6
"""With fewer joints in the picture a person is not detected."""


@dataclass(frozen=True, slots=True)
class View:
    """A pinhole camera `up` metres above the ground, looking `down` radians below the horizon."""

    width: int
    height: int
    up: float
    down: float
    focal: float

    @classmethod
    def drawn(cls, view_seed: int, width: int, height: int) -> View:
        """A camera of its own for each seed: 2.6–4.2 m up, 15–24° down, 62–82° wide."""
        rng = np.random.default_rng([view_seed, 7])
        wide = np.deg2rad(rng.uniform(62, 82))
        down = float(np.deg2rad(rng.uniform(15, 24)))
        return cls(width, height, float(rng.uniform(2.6, 4.2)), down, width / 2 / float(np.tan(wide / 2)))

    @property
    def nearest(self) -> float:
        """Where the ground comes into the picture, m."""
        return self.up / float(np.tan(self.down + np.arctan(self.height / 2 / self.focal)))

    def half_width(self, z: float) -> float:
        """Metres from the middle of the picture to its edge at distance z."""
        return z * self.width / 2 / self.focal

    def project(self, points: Floats) -> tuple[Floats, Floats]:
        """World (..., 3), m → picture (..., 2), px, and distance from the camera (...), m."""
        x, y, z = points[..., 0], points[..., 1] - self.up, points[..., 2]
        depth = np.maximum(z * np.cos(self.down) - y * np.sin(self.down), 0.3)
        above = y * np.cos(self.down) + z * np.sin(self.down)
        picture = np.stack([self.width / 2 + self.focal * x / depth, self.height / 2 - self.focal * above / depth], -1)
        return picture, depth


@dataclass(frozen=True, slots=True)
class Person:
    """One person over t consecutive frames from frame `start`.

    joints (t, 17, 3) world, m; heading (t,) radians; actions (t,).
    """

    start: int
    joints: Floats
    heading: Floats
    actions: Bytes


@dataclass(frozen=True, slots=True)
class Sighting:
    """Detections (n,) of one person: see `Poses`."""

    track: npt.NDArray[np.int64]
    frame: npt.NDArray[np.int64]
    keypoints: Floats
    bbox: Floats
    score: Floats
    actions: Bytes


def sighting(view: View, person: Person, fps: float, track: int, rng: np.random.Generator) -> tuple[Sighting, int]:
    """One person as detected; returns the next free track number too."""
    picture, depth = view.project(person.joints)
    n = len(picture)
    size = np.array([view.width, view.height])
    inside: Bools = np.all((picture >= 0) & (picture < size), axis=2)
    tall = 1.75 * view.focal / depth.mean(axis=1)
    confidence = _confidence(person, depth, inside, rng)
    jitter = _jitter(rng, n, fps) * (0.5 + 0.006 * tall)[:, None, None] * (1.6 - 0.8 * confidence)[..., None]
    points = np.clip(picture + jitter, 0, size - 1)
    keypoints = np.concatenate([points, confidence[..., None]], axis=2)
    low, high = points.min(axis=1), points.max(axis=1)
    margin = np.stack([0.05 * tall, 0.06 * tall], axis=1)
    low, high = np.clip(low - margin, 0, size - 1), np.clip(high + margin, 0, size - 1)
    bbox = np.concatenate([low, high - low], axis=1)
    score = np.clip(confidence.mean(axis=1) + 0.1 + rng.normal(0, 0.03, n), 0.05, 0.98)
    found = (inside.sum(axis=1) >= SEEN_JOINTS) & ~_missed(rng, n, fps)
    tracks = np.full(n, track)
    if rng.random() < 0.04 and n > 4 * fps:
        # The tracker loses the person for a moment and takes them for somebody else.
        at, gone = int(rng.integers(n // 3, 2 * n // 3)), int(rng.uniform(0.3, 0.8) * fps) + 1
        found[at : at + gone] = False
        tracks[at:] += 1
    frame = person.start + np.arange(n)
    found_there = Sighting(
        tracks[found], frame[found], keypoints[found], bbox[found], score[found], person.actions[found]
    )
    return found_there, track + 2


def _confidence(person: Person, depth: Floats, inside: Bools, rng: np.random.Generator) -> Floats:
    """(t, 17): low for what the own body hides or a face turned away, very low outside the picture."""
    n = len(depth)
    confidence = np.full((n, 17), 0.9)
    behind = depth - depth[:, [5, 6, 11, 12]].mean(axis=1, keepdims=True)
    confidence -= 0.45 * np.clip(behind / 0.3, 0, 1)
    away = np.clip(np.cos(person.heading), -0.3, 1)[:, None]
    confidence[:, :3] -= 0.5 * np.clip(away, 0, 1)
    confidence += np.clip(rng.normal(0, 0.05, (n, 17)), -0.15, 0.09)
    confidence[~inside] = rng.uniform(0.02, 0.15, int((~inside).sum()))
    return np.asarray(np.clip(confidence, 0.02, 0.99))


def _jitter(rng: np.random.Generator, n: int, fps: float) -> Floats:
    """(n, 17, 2) of standard deviation 1: half of it lasts for a few frames, as a detector's errors do."""
    white = rng.normal(size=(n + 8, 17, 2))
    width = max(1, min(8, round(0.2 * fps)))
    total = np.cumsum(white, axis=0)
    slow = (total[width : width + n] - total[:n]) / np.sqrt(width)
    jitter: Floats = np.sqrt(0.5) * (slow + white[:n])
    return jitter


def _missed(rng: np.random.Generator, n: int, fps: float) -> Bools:
    """Frames (n,) without a detection: single ones, and now and then a few in a row."""
    missed: Bools = rng.random(n) < 0.015
    for start in rng.integers(0, max(1, n), rng.poisson(n / fps / 25)):
        missed[start : start + int(rng.integers(2, 6))] = True
    return missed
