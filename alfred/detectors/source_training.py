"""Source weights: a detector trained on plain walking and standing, the version K−1 every camera starts from.

Needs a folder of the mocap-cctv kind with `<CAM>_train*.npz` and `<CAM>_test.npz` of the same cameras. Normal
windows of the train files train; the test files give the card its figures and the source θ.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alfred.core.eer import EqualErrorRate, eer_threshold
from alfred.core.roc import auc_roc
from alfred.detectors.base import Detector
from alfred.detectors.scoring import score_poses
from alfred.pose.formats import mocap
from alfred.pose.formats.labelled import LabelledPoses
from alfred.pose.segments import cut_segments, segment_labels, segment_scores
from alfred.pose.windows import WindowSpec, iter_windows

Array = npt.NDArray[np.float32]
Labels = npt.NDArray[np.uint8]

LICENCE = (
    "Our own weights, under the project's licence (AGPL-3.0-or-later). Trained on clips of the CMU Graphics "
    "Lab Motion Capture Database (free use) and ReActIdle (MIT). The data used in this project was obtained from "
    "mocap.cs.cmu.edu. The database was created with funding from NSF EIA-0196217."
)


@dataclass(frozen=True, slots=True)
class SourceData:
    """The labelled recordings of a folder at one frame rate, and a digest over the files they came from."""

    train: list[LabelledPoses]
    test: list[LabelledPoses]
    files: list[str]
    sha256: str


@dataclass(frozen=True, slots=True)
class Quality:
    """How well pose scores tell labelled poses apart; `coverage` is the share of poses with a score."""

    auc: float
    eer: float
    coverage: float


def read_source_data(folder: Path, fps: float) -> SourceData:
    """All `*_train*.npz` and `*_test.npz` of `folder`, thinned to `fps`. Raises ValueError where one kind is
    missing.
    """
    train, test = sorted(folder.glob("*_train*.npz")), sorted(folder.glob("*_test.npz"))
    if not train or not test:
        raise ValueError(f"{folder} holds no *_train*.npz and *_test.npz files; give a folder of labelled poses")
    return SourceData(
        [at_rate(mocap.read(path), fps) for path in train],
        [at_rate(mocap.read(path), fps) for path in test],
        [path.name for path in (*train, *test)],
        _digest([*train, *test]),
    )


def _digest(paths: Iterable[Path]) -> str:
    """sha256 over names and contents, in the order given."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def at_rate(data: LabelledPoses, fps: float) -> LabelledPoses:
    """What a camera of `fps` would have seen: every k-th frame. ValueError when k is no whole number."""
    every = round(data.fps / fps)
    if every < 1 or abs(data.fps - every * fps) > 0.01 * fps:
        raise ValueError(f"{data.fps:g} fps cannot be thinned to {fps:g}; choose a whole fraction of it")
    return data if every == 1 else data.take(data.poses.frame % every == 0)


def normal_windows(data: Iterable[LabelledPoses], spec: WindowSpec) -> Array:
    """Windows (n, C, T, V) without an anomalous pose anywhere in the window's span."""
    parts = [np.zeros((0, spec.channels, spec.length, 18), np.float32)]
    for one in data:
        width, height = _size(one)
        for batch in iter_windows(one.poses, width=width, height=height, spec=spec):
            parts.append(batch.values[~_spans_anomaly(one, batch.track, batch.centre_pts, spec)])
    return np.concatenate(parts)


def _spans_anomaly(
    data: LabelledPoses, track: npt.NDArray[np.int32], centre: npt.NDArray[np.float64], spec: WindowSpec
) -> npt.NDArray[np.bool_]:
    out = np.zeros(len(track), bool)
    if data.labels is None or not data.labels.any():
        return out
    begin = centre - spec.length // 2 / spec.fps
    end = begin + (spec.length - 1) / spec.fps
    bad = data.labels > 0
    for person in np.unique(data.poses.track[bad]):
        times = np.sort(data.poses.pts[bad & (data.poses.track == person)])
        mine = np.flatnonzero(track == person)
        half = 0.5 / spec.fps
        first = np.searchsorted(times, begin[mine] - half)
        out[mine] = first < np.searchsorted(times, end[mine] + half)
    return out


def _size(data: LabelledPoses) -> tuple[int, int]:
    if data.width is None or data.height is None:
        raise ValueError("the picture size is unknown: a <CAM>_meta.json with the resolution must lie beside")
    return data.width, data.height


def score_all(detector: Detector, data: Iterable[LabelledPoses]) -> list[Array]:
    """Pose scores of each recording, NaN = unscored."""
    out = []
    for one in data:
        width, height = _size(one)
        out.append(score_poses(one.poses, width=width, height=height, detector=detector))
    return out


def pose_quality(scores: list[Array], data: list[LabelledPoses]) -> Quality:
    """AUC and EER over all scored poses. Raises ValueError where a class is missing."""
    score, label = np.concatenate(scores), np.concatenate([_labels(one) for one in data])
    scored = np.isfinite(score)
    auc, threshold = auc_roc(score[scored], label[scored]), eer_threshold(score[scored], label[scored])
    if auc is None or not isinstance(threshold, EqualErrorRate):
        raise ValueError("the test files need scored poses of both classes, and scores that differ")
    return Quality(auc, threshold.eer, float(scored.mean()))


def segment_threshold(scores: list[Array], data: list[LabelledPoses]) -> EqualErrorRate:
    """θ at equal error rates over the segments of all recordings. Raises ValueError where there is none."""
    values, labels = [], []
    for score, one in zip(scores, data, strict=True):
        segments = cut_segments(one.poses)
        value = segment_scores(score, segments.pose_segment, len(segments)).score
        label = segment_labels(_labels(one), segments.pose_segment, len(segments))
        values.append(value[np.isfinite(value)])
        labels.append(label[np.isfinite(value)])
    threshold = eer_threshold(np.concatenate(values), np.concatenate(labels))
    if not isinstance(threshold, EqualErrorRate):
        raise ValueError(threshold.sentence)
    return threshold


def _labels(data: LabelledPoses) -> Labels:
    if data.labels is None:
        raise ValueError("the test files need a 'label' array")
    return data.labels


def source_card(detector: Detector, data: SourceData, *, data_name: str, revision: int, command: str) -> dict[str, Any]:
    """The card's entries about these weights: version, data, figures on the test files, source θ, licence."""
    scores = score_all(detector, data.test)
    quality = pose_quality(scores, data.test)
    threshold = segment_threshold(scores, data.test)
    return {
        "version": f"{detector.name}-{detector.window.fps:g}fps-{revision}",
        "data": {"name": data_name, "files": data.files, "sha256": data.sha256},
        "evaluation": {
            "unit": "pose",
            "auc": round(quality.auc, 4),
            "eer": round(quality.eer, 4),
            "coverage": round(quality.coverage, 4),
        },
        "theta": threshold.value,
        "theta_basis": {
            "unit": "segment",
            "fpr": round(threshold.fpr, 4),
            "fnr": round(threshold.fnr, 4),
            "eer": round(threshold.eer, 4),
            "normal": threshold.n_normal,
            "anomalous": threshold.n_anomalous,
        },
        "command": command,
        "licence": LICENCE,
    }
