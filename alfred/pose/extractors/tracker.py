"""Poses of single frames → tracks: who is who from frame to frame, by where people are and how they stand.

Constant-velocity prediction and assignment in two stages by score, in the manner of ByteTrack (Zhang et
al., 2022): sure detections first; then what is left of the tracks takes unsure ones, which never start a
track. A track counts once it was seen in `min_hits` frames running; its first poses are then given too.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment

from alfred.pose.extractors.overlap import F32, Detections, iou, pose_similarity
from alfred.pose.tracks import Poses, empty, from_arrays

POSE_TOLERANCE = 0.25
VELOCITY_GAIN = 0.4
COAST_S = 0.4


@dataclass(frozen=True, slots=True)
class TrackerSettings:
    """Scores 0..1, `max_age_s` in seconds of PTS, gates as similarity 0..1."""

    sure: float = 0.25
    new: float = 0.25
    gate: float = 0.15
    gate_unsure: float = 0.3
    max_age_s: float = 1.0
    min_hits: int = 3


@dataclass(slots=True, eq=False)
class _Track:
    keypoints: F32
    bbox: F32
    pts: float
    velocity: F32 = field(default_factory=lambda: np.zeros(2, np.float32))
    hits: int = 1
    number: int | None = None
    dead: bool = False

    @property
    def undecided(self) -> bool:
        return self.number is None and not self.dead

    def shift(self, pts: float) -> F32:
        """Predicted way since the last sighting, px; after COAST_S without one it stands still."""
        return self.velocity * np.float32(min(pts - self.pts, COAST_S))

    def see(self, keypoints: F32, bbox: F32, pts: float) -> None:
        step = max(pts - self.pts, 1e-3)
        moved = ((bbox[:2] + bbox[2:] / 2) - (self.bbox[:2] + self.bbox[2:] / 2)) / np.float32(step)
        gain = VELOCITY_GAIN if self.hits > 1 else 1.0
        self.velocity = (self.velocity + np.float32(gain) * (moved - self.velocity)).astype(np.float32)
        self.keypoints, self.bbox, self.pts = keypoints, bbox, pts
        self.hits += 1


@dataclass(frozen=True, slots=True)
class _Seen:
    """A frame whose poses wait until all their tracks are decided."""

    index: int
    pts: float
    found: Detections
    tracks: list[_Track | None]


class PoseTracker:
    """Feed frames in time order with `update`, take poses that are settled with `settled`; memory stays
    flat.
    """

    def __init__(self, settings: TrackerSettings | None = None) -> None:
        self.settings = settings or TrackerSettings()
        self._tracks: list[_Track] = []
        self._waiting: deque[_Seen] = deque()
        self._count = 0
        self._step = 0.0
        self._pts: float | None = None

    def update(self, index: int, pts: float, found: Detections) -> None:
        """One frame, number `index` at `pts` seconds, with the people found in it (possibly none)."""
        self._age(pts)
        owners: list[_Track | None] = [None] * len(found)
        sure = [i for i in range(len(found)) if found.score[i] >= self.settings.sure]
        unsure = [i for i in range(len(found)) if found.score[i] < self.settings.sure]
        last = self._pts
        counted = [t for t in self._tracks if t.number is not None]
        fresh = [t for t in self._tracks if t.number is None]
        self._match(counted, sure, found, pts, owners, self.settings.gate)
        current = [t for t in counted if t.pts == last]
        self._match(current, unsure, found, pts, owners, self.settings.gate_unsure)
        self._match(fresh, [i for i in sure if owners[i] is None], found, pts, owners, self.settings.gate)
        for track in fresh:
            if track.pts != pts:
                track.dead = True
        self._start([i for i in sure if owners[i] is None], found, pts, owners)
        self._tracks = [t for t in self._tracks if not t.dead]
        self._waiting.append(_Seen(index, pts, found, owners))
        self._pts = pts

    def settled(self) -> Poses:
        """Poses of the frames in which nobody is undecided any more, in time order; each is given once."""
        rows = []
        while self._waiting and not any(t is not None and t.undecided for t in self._waiting[0].tracks):
            rows.append(self._waiting.popleft())
        return _poses(rows)

    def flush(self) -> Poses:
        """The end: tracks still undecided are dropped, all other poses given."""
        for track in self._tracks:
            track.dead = track.dead or track.number is None
        return self.settled()

    def _age(self, pts: float) -> None:
        if self._pts is not None:
            self._step = pts - self._pts
        oldest = pts - max(self.settings.max_age_s, 2.5 * self._step)
        self._tracks = [t for t in self._tracks if t.pts >= oldest]

    def _match(
        self,
        tracks: list[_Track],
        candidates: list[int],
        found: Detections,
        pts: float,
        owners: list[_Track | None],
        gate: float,
    ) -> None:
        """Assign candidates to tracks for the largest sum of similarity; pairs under `gate` stay apart."""
        if not tracks or not candidates:
            return
        alike = _similarity(tracks, found.take(np.array(candidates)), pts)
        alike[alike < gate] = 0
        for row, column in zip(*linear_sum_assignment(alike, maximize=True), strict=True):
            if alike[row, column] > 0:
                i = candidates[column]
                owners[i] = tracks[row]
                tracks[row].see(found.keypoints[i], found.bbox[i], pts)
                self._count_in(tracks[row])

    def _start(self, candidates: list[int], found: Detections, pts: float, owners: list[_Track | None]) -> None:
        for i in candidates:
            if found.score[i] >= self.settings.new:
                owners[i] = track = _Track(found.keypoints[i], found.bbox[i], pts)
                self._tracks.append(track)
                self._count_in(track)

    def _count_in(self, track: _Track) -> None:
        if track.number is None and track.hits >= self.settings.min_hits:
            self._count += 1
            track.number = self._count


def _similarity(tracks: list[_Track], found: Detections, pts: float) -> F32:
    """(tracks, detections) in 0..1: half overlap of the predicted box, half likeness of the predicted
    pose.
    """
    shift = np.stack([t.shift(pts) for t in tracks])
    boxes = np.stack([t.bbox for t in tracks])
    boxes[:, :2] += shift
    joints = np.stack([t.keypoints for t in tracks])
    joints[:, :, :2] += shift[:, None]
    size = np.sqrt(boxes[:, 2:].prod(axis=1))
    age = np.array([pts - t.pts for t in tracks], np.float32)
    tolerance = (POSE_TOLERANCE * (1 + np.minimum(age, 1))).astype(np.float32)
    return ((iou(boxes, found.bbox) + pose_similarity(joints, found.keypoints, size, tolerance)) / 2).astype(np.float32)


def _poses(frames: list[_Seen]) -> Poses:
    rows = [
        (track.number, seen.index, seen.pts, seen.found.keypoints[i], seen.found.bbox[i], seen.found.score[i])
        for seen in frames
        for i, track in enumerate(seen.tracks)
        if track is not None and track.number is not None
    ]
    if not rows:
        return empty()
    track, frame, pts, keypoints, bbox, score = zip(*rows, strict=True)
    return from_arrays(track, frame, pts, np.stack(keypoints), np.stack(bbox), score)
