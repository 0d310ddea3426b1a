"""Tracks → segments: the unit that is sampled, asked, labelled, counted and trained with people.

A segment depends on no score, so the verdicts, audits and replays of all versions meet on the same rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from alfred.pose.tracks import Poses

SEGMENT_SECONDS = 4.0
MIN_REST_SECONDS = 1.0
RANK = 5
"""m: a segment's score is its m-th largest pose score, its label needs m anomalous poses."""

CLOCK_SLACK = 1e-6
"""Seconds. A pose at exactly a cut belongs after it, however its time stamp was rounded."""


@dataclass(frozen=True, slots=True)
class Segments:
    """n segments of one stretch of poses, sorted by (track, ordinal).

    track         (n,)        int32    the track it is cut from
    ordinal       (n,)        int32    which 4 s of the track, from 0; a number is left out where the track
    was lost start_pts     (n,)        float64  seconds, of its first pose
    end_pts       (n,)        float64  seconds, of its last pose
    first_pose    (n,)        int64    row of its first pose
    last_pose     (n,)        int64    row of its last pose
    n_poses       (n,)        int64    how many poses it has
    centre        (n, 2)      float32  mean centre of its boxes, px
    height        (n,)        float32  mean height of its boxes, px
    confidence    (n,)        float32  mean confidence of its keypoints, 0..1
    pose_segment  (n_poses,)  int64    for every pose the row of its segment
    """

    track: npt.NDArray[np.int32]
    ordinal: npt.NDArray[np.int32]
    start_pts: npt.NDArray[np.float64]
    end_pts: npt.NDArray[np.float64]
    first_pose: npt.NDArray[np.int64]
    last_pose: npt.NDArray[np.int64]
    n_poses: npt.NDArray[np.int64]
    centre: npt.NDArray[np.float32]
    height: npt.NDArray[np.float32]
    confidence: npt.NDArray[np.float32]
    pose_segment: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.track)


@dataclass(frozen=True, slots=True)
class SegmentScores:
    """What pose scores make of segments.

    score  (n,)  float32  m-th largest finite pose score; NaN = unscored
    peak   (n,)  int64    row of the pose with the largest score (the earliest of equals); -1 = unscored
    """

    score: npt.NDArray[np.float32]
    peak: npt.NDArray[np.int64]


def cut_segments(poses: Poses, seconds: float = SEGMENT_SECONDS, min_rest: float = MIN_REST_SECONDS) -> Segments:
    """Cut tracks every `seconds` from their first pose; a rest under `min_rest` seconds joins the one before.

    Works on times, not on pose counts, so a lower frame rate or missed frames move no cut. The ordinal is
    the number of the 4 s, so a track that was lost for longer leaves a number out rather than shift those
    that follow. Raises ValueError when `seconds` is not positive or `min_rest` is negative.
    """
    if not seconds > 0 or min_rest < 0:
        raise ValueError(f"segments: seconds must be positive and min_rest not negative, got {seconds}, {min_rest}")
    ordinal = _ordinals(poses.track, poses.pts, seconds, min_rest)
    order = np.lexsort((poses.pts, ordinal, poses.track))
    track, ordinal_sorted = poses.track[order], ordinal[order]
    opens = np.ones(len(order), bool)
    opens[1:] = (track[1:] != track[:-1]) | (ordinal_sorted[1:] != ordinal_sorted[:-1])
    starts = np.flatnonzero(opens)
    pose_segment = np.empty(len(order), np.int64)
    pose_segment[order] = np.cumsum(opens) - 1
    count = np.diff(np.append(starts, len(order)))
    first = order[starts].astype(np.int64)
    last = order[starts + count - 1].astype(np.int64)
    centre, height, confidence = _means(poses, pose_segment, count)
    return Segments(
        track=track[starts],
        ordinal=ordinal_sorted[starts].astype(np.int32),
        start_pts=poses.pts[first],
        end_pts=poses.pts[last],
        first_pose=first,
        last_pose=last,
        n_poses=count.astype(np.int64),
        centre=centre,
        height=height,
        confidence=confidence,
        pose_segment=pose_segment,
    )


def _ordinals(
    track: npt.NDArray[np.int32], pts: npt.NDArray[np.float64], seconds: float, min_rest: float
) -> npt.NDArray[np.int64]:
    """For each pose (n,) the number of its segment within its track."""
    _, row = np.unique(track, return_inverse=True)
    start = np.full(row.max(initial=-1) + 1, np.inf)
    end = np.full(len(start), -np.inf)
    np.minimum.at(start, row, pts)
    np.maximum.at(end, row, pts)
    duration = end - start
    last = np.floor((duration + CLOCK_SLACK) / seconds).astype(np.int64)
    rest = duration - last * seconds
    last -= (last > 0) & (rest < min_rest - CLOCK_SLACK)
    ordinal = np.floor((pts - start[row] + CLOCK_SLACK) / seconds).astype(np.int64)
    return np.minimum(ordinal, last[row])


def _means(
    poses: Poses, pose_segment: npt.NDArray[np.int64], count: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Mean box centre (n, 2) px, box height (n,) px and keypoint confidence (n,) of each segment."""

    def mean(values: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        sums = np.bincount(pose_segment, weights=values, minlength=len(count))
        return (sums / count).astype(np.float32)

    bbox = poses.bbox
    centre = np.stack([mean(bbox[:, axis] + bbox[:, axis + 2] / 2) for axis in (0, 1)], axis=1)
    return centre, mean(bbox[:, 3]), mean(poses.keypoints[:, :, 2].mean(axis=1))


def segment_at(cut: Segments, track: npt.NDArray[np.int32], pts: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """Row of `cut` (n,) that holds the moment `pts` (n,) s of `track` (n,): the track's last that starts no later."""
    span = float(max(cut.end_pts.max(initial=0.0), pts.max(initial=0.0))) + 10.0
    keys = cut.track.astype(np.float64) * span + cut.start_pts
    wanted = track.astype(np.float64) * span + pts + CLOCK_SLACK
    return np.maximum(np.searchsorted(keys, wanted, side="right") - 1, 0)


def segment_scores(
    pose_scores: npt.ArrayLike, pose_segment: npt.NDArray[np.int64], n_segments: int, m: int = RANK
) -> SegmentScores:
    """Each segment's m-th largest finite pose score (the smallest where it has fewer), and where it peaks.

    pose_scores (n_poses,), NaN = unscored; pose_segment (n_poses,) rows 0..n_segments-1.
    The m-th largest rather than the largest: one broken pose doesn't flag a person.
    """
    scores = np.asarray(pose_scores, np.float32)
    _check(scores, pose_segment, m)
    result = SegmentScores(np.full(n_segments, np.nan, np.float32), np.full(n_segments, -1, np.int64))
    rows = np.flatnonzero(np.isfinite(scores))
    rows = rows[np.lexsort((-scores[rows], pose_segment[rows]))]
    count = np.bincount(pose_segment[rows], minlength=n_segments)
    start = np.cumsum(count) - count
    scored = count > 0
    result.score[scored] = scores[rows[(start + np.minimum(m, count) - 1)[scored]]]
    result.peak[scored] = rows[start[scored]]
    return result


def segment_labels(
    pose_labels: npt.ArrayLike, pose_segment: npt.NDArray[np.int64], n_segments: int, m: int = RANK
) -> npt.NDArray[np.uint8]:
    """1 where at least min(m, its number of poses) poses of the segment are labelled anomalous, else 0.

    The rank is the score's, so that with a perfect detector label and score say the same of every segment.
    """
    labels = np.asarray(pose_labels).astype(bool)
    _check(labels, pose_segment, m)
    size = np.bincount(pose_segment, minlength=n_segments)
    anomalous = np.bincount(pose_segment[labels], minlength=n_segments)
    return ((size > 0) & (anomalous >= np.minimum(m, size))).astype(np.uint8)


def _check(values: npt.NDArray[np.generic], pose_segment: npt.NDArray[np.int64], m: int) -> None:
    if values.shape != pose_segment.shape:
        raise ValueError(f"segments: {values.shape} values for {pose_segment.shape} poses")
    if m < 1:
        raise ValueError(f"segments: m must be at least 1, got {m}")
