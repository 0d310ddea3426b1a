"""What a detector is worth on labelled clips: AUC, AP, EER with intervals, coverage, latency; by pose and by frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from alfred.core.eer import EqualErrorRate, eer_threshold
from alfred.core.intervals import Interval, score_interval
from alfred.core.roc import auc_pr, auc_roc, average_precision
from alfred.detectors.base import Detector
from alfred.detectors.scoring import score_poses
from alfred.pose.formats.benchmark import Clip
from alfred.pose.published import ClipScores, frame_scores, published_windows
from alfred.pose.skeleton import JOINTS18
from alfred.pose.windows import window_count

Blocks = Literal["clip", "track"]
LATENCY_WINDOWS = 1000

Scores = npt.NDArray[np.floating[Any]]
Labels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of one camera, or of all. `unit` "pose" or "frame"; shares and rates in 0..1; None where undefined.

    `interval` is the 95 % interval of AUC-ROC over blocks (`Evaluation.blocks`), None where they are too few;
    `coverage` the share of units that have a score, which the other figures are over.
    """

    camera: str
    unit: str
    n: int
    anomalous: int
    coverage: float
    auc_roc: float | None
    interval: Interval | None
    average_precision: float | None
    auc_pr: float | None
    eer: float | None
    theta: float | None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A table of figures, with what it was made by. `as_dict` is JSON-able."""

    detector: str
    protocol: str
    blocks: str
    rows: list[Figures]
    mean_auc: dict[str, float]
    ms_per_1000_windows: float | None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Scored:
    """Units of one clip: scores with NaN = unscored, labels, and which block each is resampled with."""

    camera: str
    score: Scores
    label: Labels
    block: npt.NDArray[np.int64]


def evaluate(
    detector: Detector, clips: Sequence[Clip], *, blocks: Blocks = "clip", seed: int = 0, resamples: int = 1000
) -> Evaluation:
    """Live protocol: windows resampled by PTS, causal scores, no smoothing.

    Poses have the score of their nearest window; a frame has its highest scored person's, and none without one. With
    `blocks="track"` people are resampled one by one: intervals are then too narrow where people act together.
    """
    scored = [
        score_poses(clip.poses, width=clip.width, height=clip.height, detector=detector).astype(np.float64)
        for clip in clips
    ]
    poses = [
        _Scored(clip.camera, score, clip.pose_labels, _owner(clip, index, blocks))
        for index, (clip, score) in enumerate(zip(clips, scored, strict=True))
    ]
    frames = [_frames_of(clip, score, index) for index, (clip, score) in enumerate(zip(clips, scored, strict=True))]
    rows = _table("pose", poses, seed, resamples) + _table("frame", frames, seed, resamples)
    return Evaluation(detector.name, "live", blocks, rows, _means(rows), latency(detector, clips))


def evaluate_published(
    detector: Detector, clips: Sequence[Clip], *, seed: int = 0, resamples: int = 1000
) -> Evaluation:
    """The STG-NF family's benchmark protocol: frame numbers as they are, empty frames normal, smoothing ahead in time.

    Frames only. Cameras are pooled per table row as clips in the order given; the lowest score, which empty frames
    take, is that of all clips.
    """
    if detector.window.place:
        raise ValueError(f"{detector.name} needs to know where people stand, which the published protocol leaves out")
    found = []
    for clip in clips:
        windows = published_windows(clip.poses, width=clip.width, height=clip.height, length=detector.window.length)
        found.append(
            ClipScores(windows, detector.score(windows.values[:, : detector.window.channels]), len(clip.frame_labels))
        )
    frames = [
        _Scored(clip.camera, score, clip.frame_labels, np.full(len(score), index, np.int64))
        for index, (clip, score) in enumerate(zip(clips, frame_scores(found), strict=True))
    ]
    rows = _table("frame", frames, seed, resamples)
    return Evaluation(detector.name, "published", "clip", rows, _means(rows), None)


def figures(
    camera: str, unit: str, score: Scores, label: Labels, block: npt.ArrayLike, *, seed: int = 0, resamples: int = 1000
) -> Figures:
    """Figures over units (n,) with NaN = unscored; `resamples` 0 leaves the interval out."""
    kept = np.isfinite(score)
    s, y, b = score[kept], label[kept], np.asarray(block)[kept]
    threshold = eer_threshold(s, y)
    found = threshold if isinstance(threshold, EqualErrorRate) else None
    return Figures(
        camera=camera,
        unit=unit,
        n=len(score),
        anomalous=int(label.sum()),
        coverage=float(kept.mean()) if len(kept) else 0.0,
        auc_roc=auc_roc(s, y),
        interval=score_interval(s, y, b, auc_roc, seed=seed, resamples=resamples) if resamples else None,
        average_precision=average_precision(s, y),
        auc_pr=auc_pr(s, y),
        eer=found.eer if found else None,
        theta=found.value if found else None,
    )


def latency(detector: Detector, clips: Sequence[Clip]) -> float | None:
    """Milliseconds to score 1 000 random windows at once, best of three; None where the clips hold no window."""
    if not any(window_count(clip.poses, detector.window) for clip in clips):
        return None
    shape = (LATENCY_WINDOWS, detector.window.channels, detector.window.length, JOINTS18)
    probe = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    detector.score(probe)
    times = []
    for _ in range(3):
        start = perf_counter()
        detector.score(probe)
        times.append(perf_counter() - start)
    return round(min(times) * 1000, 2)


def _owner(clip: Clip, index: int, blocks: Blocks) -> npt.NDArray[np.int64]:
    track = clip.poses.track.astype(np.int64) + 1 if blocks == "track" else 0
    return np.full(len(clip.poses), index << 32, np.int64) + track


def _frames_of(clip: Clip, score: Scores, index: int) -> _Scored:
    """Frames with somebody in view: the highest score of those scored."""
    frame = clip.poses.frame - (clip.poses.frame.min() if len(clip.poses) else 0)
    here = np.unique(frame)
    place = np.searchsorted(here, frame)
    best = np.full(len(here), -np.inf)
    np.maximum.at(best, place, np.where(np.isfinite(score), score, -np.inf))
    label = np.zeros(len(here), np.uint8)
    np.maximum.at(label, place, clip.pose_labels)
    best[np.isneginf(best)] = np.nan
    return _Scored(clip.camera, best, label, np.full(len(here), index, np.int64))


def _table(unit: str, parts: Sequence[_Scored], seed: int, resamples: int) -> list[Figures]:
    cameras = list(dict.fromkeys(part.camera for part in parts))
    groups = [(camera, [part for part in parts if part.camera == camera]) for camera in cameras]
    if len(cameras) > 1:
        groups.append(("all", list(parts)))
    return [
        figures(
            camera,
            unit,
            np.concatenate([part.score for part in group]),
            np.concatenate([part.label for part in group]),
            np.concatenate([part.block for part in group]),
            seed=seed,
            resamples=resamples,
        )
        for camera, group in groups
    ]


def _means(rows: Sequence[Figures]) -> dict[str, float]:
    """The mean over cameras of AUC-ROC, a unit: scores of different cameras need not compare."""
    out = {}
    for unit in dict.fromkeys(row.unit for row in rows):
        values = [row.auc_roc for row in rows if row.unit == unit and row.camera != "all" and row.auc_roc is not None]
        if values:
            out[unit] = float(np.mean(values))
    return out
