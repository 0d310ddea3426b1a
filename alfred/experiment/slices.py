"""A slice or validation set made ready: its windows, and the items that are decided on, asked, counted and trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from alfred.detectors.base import Detector
from alfred.pose.formats.benchmark import Clip
from alfred.pose.segments import Segments, cut_segments, segment_at, segment_labels, segment_scores
from alfred.pose.tracks import Poses, concatenate
from alfred.pose.windows import TRAINING_STRIDE, Windows, WindowSpec, iter_windows, pose_at, pose_scores

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]


BETWEEN_CLIPS_S = 60.0
"""Seconds laid between clips, so that nothing of one is near anything of the next."""


BLOCK_S = 60.0
"""Seconds that are resampled together (Design §6); a mocap-cctv scene is shorter."""


class Unit(StrEnum):
    """What one decision is about. The paper counts poses; the product counts segments."""

    POSE = "pose"
    SEGMENT = "segment"


@dataclass(frozen=True, slots=True)
class Footage:
    """Labelled poses of one slice: labels (n,) 0/1, blocks (n,) that are resampled as one, picture size in px."""

    poses: Poses
    labels: npt.NDArray[np.uint8]
    blocks: npt.NDArray[np.int64]
    width: float
    height: float


def footage_of(clips: Sequence[Clip]) -> Footage:
    """Clips one after another, tracks and times their own; a block is a minute of one. Raises ValueError for none."""
    if not clips:
        raise ValueError("a slice holds no clips")
    parts, blocks, first_track, begin = [], [], 0, 0.0
    for index, clip in enumerate(clips):
        poses = clip.poses
        if len(poses):
            shift = begin - float(poses.pts.min())
            track = poses.track - poses.track.min() + first_track
            parts.append(replace(poses, track=track.astype(np.int32), pts=poses.pts + shift))
            first_track = int(track.max()) + 1
            begin = float(parts[-1].pts.max()) + BETWEEN_CLIPS_S
        minute = (poses.pts - poses.pts.min(initial=np.inf)) // BLOCK_S
        blocks.append((index << 20) + minute.astype(np.int64))
    return Footage(
        concatenate(parts),
        np.concatenate([clip.pose_labels for clip in clips]),
        np.concatenate(blocks),
        clips[0].width,
        clips[0].height,
    )


@dataclass(frozen=True, slots=True)
class Slice:
    """Footage with its windows and m items, which depend on the unit and on no score.

    label, track, block, time, segment  (m,)  of each item, in order of time where `order` says so
    window_item                         (w,)  which item a window's centre pose belongs to
    training                            (t,)  rows of the windows that may train: one in `TRAINING_STRIDE` samples
    order                               (m,)  rows of the items by time
    """

    footage: Footage
    unit: Unit
    spec: WindowSpec
    windows: Windows
    cut: Segments
    label: npt.NDArray[np.uint8]
    track: npt.NDArray[np.int64]
    block: npt.NDArray[np.int64]
    segment: npt.NDArray[np.int64]
    order: Ints
    window_item: Ints
    training: Ints

    def __len__(self) -> int:
        return len(self.label)

    def scores(self, of_windows: npt.NDArray[np.float32]) -> Floats:
        """Scores of the windows (w,) → of the items (m,), NaN = unscored."""
        windows = self.windows
        by_pose = pose_scores(
            self.footage.poses, run=windows.run, centre_pts=windows.centre_pts, scores=of_windows, spec=self.spec
        )
        if self.unit is Unit.POSE:
            return by_pose.astype(np.float64)
        return segment_scores(by_pose, self.cut.pose_segment, len(self.cut)).score.astype(np.float64)

    def score(self, detector: Detector) -> npt.NDArray[np.float32]:
        """One score a window (w,). Raises ValueError where one is not finite."""
        found = detector.score(self.windows.values)
        if found.shape != (len(self.windows),) or not np.isfinite(found).all():
            raise ValueError(f"{detector.name} must return one finite score a window; it returned {found.shape}")
        return found


def prepare(footage: Footage, spec: WindowSpec, unit: Unit, *, stride: int) -> Slice:
    """Cut `footage` into windows every `stride` samples and into items."""
    spec = replace(spec, stride=stride)
    poses = footage.poses
    windows = _all_windows(footage, spec)
    cut = cut_segments(poses)
    if unit is Unit.POSE:
        label, track, block, time = footage.labels, poses.track, footage.blocks, poses.pts
        segment, window_item = cut.pose_segment, pose_at(poses, windows.track, windows.centre_pts)
    else:
        label = segment_labels(footage.labels, cut.pose_segment, len(cut))
        track, block, time = cut.track, footage.blocks[cut.first_pose], cut.start_pts
        segment, window_item = np.arange(len(cut)), segment_at(cut, windows.track, windows.centre_pts)
    return Slice(
        footage=footage,
        unit=unit,
        spec=spec,
        windows=windows,
        cut=cut,
        label=label,
        track=track.astype(np.int64),
        block=np.asarray(block, np.int64),
        segment=np.asarray(segment, np.int64),
        order=np.lexsort((track, time)),
        window_item=window_item,
        training=_training_rows(windows, stride),
    )


def _all_windows(footage: Footage, spec: WindowSpec) -> Windows:
    parts = list(iter_windows(footage.poses, width=footage.width, height=footage.height, spec=spec))
    if not parts:
        empty = np.zeros(0)
        values = np.zeros((0, spec.channels, spec.length, 18), np.float32)
        return Windows(values, empty.astype(np.int32), empty.astype(np.int32), empty)
    return Windows(
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.track for part in parts]),
        np.concatenate([part.run for part in parts]),
        np.concatenate([part.centre_pts for part in parts]),
    )


def _training_rows(windows: Windows, stride: int) -> Ints:
    """Windows that start every `TRAINING_STRIDE` samples of their run, or as near to it as `stride` allows."""
    starts = np.flatnonzero(np.diff(windows.run, prepend=-1) != 0)
    counts = np.diff(np.append(starts, len(windows)))
    nth = np.arange(len(windows)) - np.repeat(starts, counts)
    return np.flatnonzero(nth % max(1, round(TRAINING_STRIDE / stride)) == 0)


def standing_windows(slice_: Slice, of_windows: npt.NDArray[np.float32], items: npt.NDArray[np.bool_]) -> Ints:
    """For each group with an item in `items` the row of the window that stands for its score.

    A group is a track where poses are decided on, and a segment where segments are; in order of the time when the
    group ends. Its window is that with the largest score, for segments that whose score is nearest to the segment's.
    """
    rows = np.flatnonzero(items[slice_.window_item])
    of_item = slice_.window_item[rows]
    if slice_.unit is Unit.POSE:
        group, distance = slice_.track[of_item], -of_windows[rows].astype(np.float64)
    else:
        group, distance = slice_.segment[of_item], np.abs(of_windows[rows] - slice_.scores(of_windows)[of_item])
    by_group = np.lexsort((distance, group))
    rows, group = rows[by_group], group[by_group]
    starts = np.flatnonzero(np.diff(group, prepend=-1) != 0)
    ends = [slice_.windows.centre_pts[part].max() for part in np.split(rows, starts[1:]) if len(part)]
    return rows[starts][np.argsort(ends, kind="stable")] if len(rows) else rows
