"""Small labelled cameras for the experiment: people who walk, and some who shake."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alfred.pose.formats.benchmark import Clip
from alfred.pose.formats.continual import ContinualCamera
from alfred.pose.tracks import Poses, concatenate, from_arrays

FPS = 30.0


def walker(track: int, start: float, seconds: float, rng: np.random.Generator, *, shakes: bool) -> Poses:
    """One person who crosses the picture; one who shakes throws the arms about."""
    n = int(seconds * FPS)
    time = np.arange(n) / FPS
    body = np.stack([rng.normal(0, 20, 17), np.linspace(-80, 80, 17)], axis=1)
    sway = 6 * np.sin(2 * np.pi * time[:, None] + rng.uniform(0, 6, 17))
    points = body[None] + np.stack([sway, 0.3 * sway], axis=2) + rng.normal(0, 0.5, (n, 17, 2))
    if shakes:
        points[:, :8] += rng.normal(0, 25, (n, 8, 2))
    points += np.stack([200 + 40 * time, np.full(n, 300.0)], axis=1)[:, None]
    keypoints = np.concatenate([points, np.full((n, 17, 1), 0.9)], axis=2)
    frame = np.round((start + time) * FPS).astype(int)
    box = np.concatenate([points.min(axis=1), np.ptp(points, axis=1)], axis=1)
    return from_arrays(np.full(n, track), frame, start + time, keypoints, box, np.full(n, 0.9))


def clip(name: str, seed: int, people: int = 4, shaking: int = 1, seconds: float = 6.0) -> Clip:
    """`people` one after another; the last `shaking` of them are anomalous."""
    rng = np.random.default_rng(seed)
    bad = range(people - shaking, people)
    poses = concatenate([walker(i, i * (seconds + 2), seconds, rng, shakes=i in bad) for i in range(people)])
    labels = np.isin(poses.track, list(bad)).astype(np.uint8)
    frames = np.zeros(int(poses.frame.max()) + 1, np.uint8)
    np.maximum.at(frames, poses.frame, labels)
    return Clip(name, name, poses, labels, frames, 640.0, 480.0, FPS)


@dataclass(frozen=True)
class Made:
    """A slice that is at hand already; stands in for the lazily read one."""

    name: str
    clips: tuple[Clip, ...]
    parts: tuple[()] = ()

    def load(self) -> list[Clip]:
        return list(self.clips)


def camera(slices: int = 3, name: str = "C0") -> ContinualCamera:
    """A camera whose slices hold one shaking person in four, and whose test data half of each."""
    made = tuple(Made(f"{name}-{k}", (clip("a", 10 * k + 1), clip("b", 10 * k + 2))) for k in range(slices))
    test = Made(f"{name}-test", tuple(clip(f"t{i}", 900 + i, people=4, shaking=2) for i in range(3)))
    return ContinualCamera(name, 640.0, 480.0, FPS, made, test)  # type: ignore[arg-type]  # same load()
