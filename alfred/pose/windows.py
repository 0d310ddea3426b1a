"""Tracks → windows: resample by PTS, cut at gaps, slide, normalise. And a window's score → its poses.

This is the live mode. The published protocol (frame numbers as they are, smoothing) is in
`alfred.pose.published`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from alfred.pose.skeleton import JOINTS18, to_18
from alfred.pose.tracks import Poses

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Int32 = npt.NDArray[np.int32]
Ints = npt.NDArray[np.intp]

RATE_TOLERANCE = 0.02
"""A 14.97 fps source (NTSC halved) still counts as half of 30."""

TRAINING_STRIDE = 6
"""Samples between windows that a round trains on (published setting; scoring uses every one)."""

_END_TOLERANCE = 0.1  # samples: rounded PTS may end a run that much before its last sample
_SAME_TIME = 1e-6  # seconds: closer than this is a tie
_FLAT = 1e-6  # picture heights: a window this flat has no scale


@dataclass(frozen=True, slots=True)
class WindowSpec:
    """How a detector wants its windows: `length` samples at `fps` (Hz), one window every `stride` samples.

    Gaps of a track up to `max_gap_s` seconds are filled by interpolation; longer ones cut it. After x and y come, where
    asked for, one channel with each joint's `confidence` (0..1), and three with the `place` that normalising takes
    away, the same in all samples and joints: the window's mean x and mean y as shares of the picture, and the natural
    logarithm of the standard deviation of y as a share of its height.
    """

    length: int = 24
    stride: int = 1
    fps: float = 30.0
    max_gap_s: float = 0.2
    confidence: bool = False
    place: bool = False

    @property
    def channels(self) -> int:
        """C of the windows (n, C, length, 18): x, y, and what else is asked for."""
        return 2 + self.confidence + 3 * self.place


@dataclass(frozen=True, slots=True)
class Windows:
    """n windows, ready for a detector, and where each belongs.

    values      (n, C, length, 18)  float32  normalised x, y (`normalise`) of the 18 joints; see `WindowSpec.channels`
    track       (n,)                int32    whose
    run         (n,)                int32    which uncut stretch; numbered over the whole `Poses`
    centre_pts  (n,)                float64  PTS in seconds of sample `length // 2`
    """

    values: Float32
    track: Int32
    run: Int32
    centre_pts: Float64

    def __len__(self) -> int:
        return len(self.track)


def slowest_fps(window_fps: float) -> float:
    """The lowest rate of poses (Hz) that may be resampled to `window_fps`: half of it, less 2 % tolerance."""
    return 0.5 * window_fps * (1 - RATE_TOLERANCE)


def median_fps(poses: Poses) -> float | None:
    """Poses a second (Hz) within a track: one over the median step of all tracks; None when no track has two
    poses.
    """
    order = np.lexsort((poses.pts, poses.track))
    step = np.diff(poses.pts[order])
    step = step[(np.diff(poses.track[order]) == 0) & (step > _SAME_TIME)]
    return float(1 / np.median(step)) if len(step) else None


def normalise(windows_px: Float32, width: float, height: float) -> Float32:
    """Pixel windows (n, 2 or 3, T, V) → the same shape, centred and scaled per window; confidence is passed
    through.

    x / width and y / height, less their means over the window, both divided by the population standard
    deviation of y (as published with STG-NF, Hirschorn & Avidan 2023, arXiv 2211.10946). A joint with
    confidence 0 takes part with the x, y it has, as there. A window without vertical extent (no scale)
    becomes all zeros. Always finite. Raises ValueError for another number of channels or a picture size that
    is not positive.
    """
    if windows_px.ndim != 4 or windows_px.shape[1] not in (2, 3):
        raise ValueError(f"windows have shape {windows_px.shape}, expected (n, 2 or 3, T, V)")
    if not (width > 0 and height > 0):
        raise ValueError(f"picture size {width} x {height} is not positive")
    n, _, length, joints = windows_px.shape
    out = np.array(windows_px, np.float32)
    flat = out[:, :2].reshape(n, 2, length * joints)
    _normalise_in_place(flat, width, height)
    out[:, :2] = flat.reshape(n, 2, length, joints)
    return out


def _normalise_in_place(xy: Float32, width: float, height: float) -> None:
    """`normalise` on (n, 2, T * V) values."""
    xy *= np.array([[1 / width], [1 / height]], np.float32)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        xy -= xy.mean(axis=2, keepdims=True)
        y = xy[:, 1]
        deviation = np.sqrt(np.einsum("ij,ij->i", y, y) / np.float32(xy.shape[2]))
        usable = (deviation > _FLAT) & np.isfinite(deviation)
        xy *= np.where(usable, 1 / deviation, 0)[:, None, None]
    if not usable.all():  # 0 * inf, where the coordinates themselves overflow
        xy[~usable] = 0
    np.nan_to_num(xy, copy=False, nan=0.0)


@dataclass(frozen=True, slots=True)
class _Runs:
    """The poses by (track, pts), cut into runs. Runs that are too slow are not listed: their poses have run
    -1.
    """

    order: Ints  # (m,) positions in Poses, by (track, pts); poses twice at one time are left out
    pose_run: Int32  # (n,) run of each pose of Poses, -1 = none
    first: Ints  # (r,) where each run begins in `order`
    poses: Ints  # (r,) its number of poses
    samples: Ints  # (r,) its number of samples at the spec's rate
    start: Float64  # (r,) PTS of its first pose
    end: Float64  # (r,) PTS of its last pose

    def window_counts(self, spec: WindowSpec) -> Ints:
        return np.maximum(0, (self.samples - spec.length) // spec.stride + 1)


def _runs(poses: Poses, spec: WindowSpec) -> _Runs:
    order = np.lexsort((poses.pts, poses.track))
    track, pts = poses.track[order], poses.pts[order]
    repeated = np.zeros(len(order), bool)
    repeated[1:] = (np.diff(track) == 0) & (np.diff(pts) <= _SAME_TIME)
    order, track, pts = order[~repeated], track[~repeated], pts[~repeated]
    opens = np.ones(len(order), bool)
    opens[1:] = (np.diff(track) != 0) | (np.diff(pts) > spec.max_gap_s + 0.5 / spec.fps)
    opens_track = np.ones(len(order), bool)
    opens_track[1:] = np.diff(track) != 0
    slow = _too_slow(pts, opens_track, spec)
    order, pts, opens = order[~slow], pts[~slow], opens[~slow]

    first = np.flatnonzero(opens)
    counts = np.diff(np.append(first, len(order)))
    start, end = pts[first], pts[first + counts - 1]
    samples = np.floor((end - start) * spec.fps + _END_TOLERANCE).astype(np.intp) + 1
    pose_run = np.full(len(poses), -1, np.int32)
    pose_run[order] = np.cumsum(opens) - 1
    return _Runs(order, pose_run, first, counts, samples, start, end)


def _too_slow(pts: Float64, opens_track: npt.NDArray[np.bool_], spec: WindowSpec) -> npt.NDArray[np.bool_]:
    """For poses by (track, pts): whether the pose's track has a median rate below half of the spec's."""
    if not len(pts):
        return np.zeros(0, bool)
    track = np.cumsum(opens_track) - 1
    step = np.diff(pts)[~opens_track[1:]]
    owner = track[1:][~opens_track[1:]]
    step = step[np.lexsort((step, owner))]  # owner is sorted already: steps sorted within each track
    count = np.bincount(owner, minlength=track[-1] + 1)
    begin = np.cumsum(count) - count
    alone = count == 0
    padded = np.append(step, 1.0)
    middle = np.where(alone, len(step), begin + (count - 1) // 2)
    above = np.where(alone, len(step), begin + count // 2)
    rate = 2 / (padded[middle] + padded[above])
    slow: npt.NDArray[np.bool_] = ((rate < slowest_fps(spec.fps)) & ~alone)[track]
    return slow


def window_count(poses: Poses, spec: WindowSpec) -> int:
    """How many windows `iter_windows` makes of these poses."""
    return int(_runs(poses, spec).window_counts(spec).sum())


def iter_windows(
    poses: Poses, *, width: float, height: float, spec: WindowSpec, batch_size: int = 4096
) -> Iterator[Windows]:
    """Yield all windows in batches of at most `batch_size`, by (track, pts); never all of them in memory.

    Each track is cut where it pauses longer than `spec.max_gap_s` (plus half a sample), resampled linearly to
    `spec.fps` from its first pose on, and slid over. Tracks slower than half of `spec.fps` give no window.
    Missing joints (confidence 0) go in with the x, y they have. `width` and `height` are the picture's, in
    px. Raises ValueError for a spec or a size that makes no sense.
    """
    if spec.length < 1 or spec.stride < 1 or not spec.fps > 0 or batch_size < 1:
        raise ValueError(f"{spec}, batch size {batch_size}: length, stride, fps and batch size must be positive")
    if not (width > 0 and height > 0):
        raise ValueError(f"picture size {width} x {height} is not positive")
    runs = _runs(poses, spec)
    counts = runs.window_counts(spec)
    kept = np.flatnonzero(counts)
    for group in _groups(kept, counts, batch_size):
        samples, sample_begin = _resample(poses, runs, group, spec)
        total = int(counts[group].sum())
        owner = np.repeat(np.arange(len(group)), counts[group])
        within = np.arange(total) - np.repeat(np.cumsum(counts[group]) - counts[group], counts[group])
        for at in range(0, total, batch_size):
            mine, nth = owner[at : at + batch_size], within[at : at + batch_size] * spec.stride
            run = group[mine]
            values = _cut(samples, sample_begin[mine] + nth, spec.length)
            place = _place(values[:, :2], width, height) if spec.place else None
            _normalise_in_place(values[:, :2], width, height)
            if place is not None:
                values = np.concatenate([values, np.repeat(place[..., None], values.shape[2], axis=2)], axis=1)
            yield Windows(
                values.reshape(len(run), spec.channels, spec.length, JOINTS18),
                poses.track[runs.order[runs.first[run]]],
                run.astype(np.int32),
                runs.start[run] + (nth + spec.length // 2) / spec.fps,
            )


def _groups(kept: Ints, counts: Ints, batch_size: int) -> list[Ints]:
    """`kept` runs split where about `batch_size` windows have come together."""
    filled = np.cumsum(counts[kept]) - counts[kept]
    return [g for g in np.split(kept, np.flatnonzero(np.diff(filled // batch_size)) + 1) if len(g)]


def _resample(poses: Poses, runs: _Runs, group: Ints, spec: WindowSpec) -> tuple[Float32, Ints]:
    """The samples of some runs, laid one after another: (2, samples, 18) px, and where each run begins.

    With the spec's `confidence` there is a third channel, resampled in the same way.
    """
    counts = runs.samples[group]
    begin = np.cumsum(counts) - counts
    nth = np.arange(counts.sum()) - np.repeat(begin, counts)
    # One search for all runs: each gets its own stretch of an axis, long enough that no two overlap.
    offset = np.concatenate([[0.0], np.cumsum(runs.end[group] - runs.start[group] + 1)[:-1]])
    rows = _ranges(runs.first[group], runs.poses[group])
    place = poses.pts[runs.order[rows]] + np.repeat(offset - runs.start[group], runs.poses[group])
    wanted = nth / spec.fps + np.repeat(offset, counts)
    last = np.cumsum(runs.poses[group]) - 1  # in `rows`
    first = np.append(0, last[:-1] + 1)
    right = np.searchsorted(place, wanted + _SAME_TIME, side="right")
    left = np.clip(right - 1, np.repeat(first, counts), np.repeat(last, counts))
    right = np.minimum(right, np.repeat(last, counts))
    span = place[right] - place[left]
    weight = np.where(span > 0, (wanted - place[left]) / np.where(span > 0, span, 1), 0)
    share = np.where(weight < _SAME_TIME, 0, np.minimum(weight, 1)).astype(np.float32)[:, None]
    channels = 2 + spec.confidence
    keypoints = to_18(poses.keypoints[runs.order[rows]][..., :channels])
    out = np.empty((channels, len(nth), JOINTS18), np.float32)
    for channel in range(channels):
        values = keypoints[..., channel]
        out[channel] = values[left] * (1 - share) + values[right] * share
    return out, begin


def _ranges(first: Ints, count: Ints) -> Ints:
    """first[0] .. first[0]+count[0]-1, first[1] .., all in one array."""
    shift: Ints = np.repeat(first - (np.cumsum(count) - count), count)
    return np.arange(count.sum()) + shift


def _place(xy: Float32, width: float, height: float) -> Float32:
    """(n, 2, T * V) px → (n, 3): mean x and y in pictures, ln of the deviation of y in picture heights."""
    with np.errstate(over="ignore", invalid="ignore"):
        deviation = xy[:, 1].std(axis=1) / np.float32(height)
        shares = [xy[:, 0].mean(axis=1) / np.float32(width), xy[:, 1].mean(axis=1) / np.float32(height)]
        out = np.stack([*shares, np.log(np.maximum(deviation, _FLAT))], axis=1).astype(np.float32)
    return np.nan_to_num(out, copy=False, nan=0.0)


def _cut(samples: Float32, start: Ints, length: int) -> Float32:
    """Windows (n, C, length * 18) that begin at samples `start`: each is one contiguous copy a channel."""
    channels, _, joints = samples.shape
    out = np.empty((len(start), channels, length * joints), np.float32)
    for channel in range(channels):
        view = np.lib.stride_tricks.sliding_window_view(samples[channel].reshape(-1), length * joints)
        out[:, channel] = view[start * joints]
    return out


def pose_at(poses: Poses, track: Int32, pts: Float64) -> Ints:
    """Row of the pose (n,) of `track` (n,) that is nearest to the moment `pts` (n,) s: a window's centre pose.

    Raises ValueError for a track without poses.
    """
    if not np.isin(track, poses.track).all():
        raise ValueError("poses of a track were asked for that has none")
    order = np.lexsort((poses.pts, poses.track))
    span = float(max(poses.pts.max(initial=0.0), pts.max(initial=0.0))) + 10.0
    keys = poses.track[order].astype(np.float64) * span + poses.pts[order]
    wanted = track.astype(np.float64) * span + pts
    right = np.clip(np.searchsorted(keys, wanted), 1, max(1, len(keys) - 1))
    left = right - 1
    return order[np.where(np.abs(keys[right % len(keys)] - wanted) < wanted - keys[left], right % len(keys), left)]


def pose_scores(poses: Poses, *, run: Int32, centre_pts: Float64, scores: Float32, spec: WindowSpec) -> Float32:
    """Scores of windows (m,) → one a pose (n,) float32, NaN where unscored.

    `run` and `centre_pts` are those of the `Windows` made of the same poses with the same spec, in any order.
    A pose takes the score of the window of its own run whose centre is nearest in time (the earlier of two
    equally near): so the centre pose its own, the first and last half window of a run the first and last
    score. Poses of runs without a window (too short, too slow) are NaN: unscored, never silently normal.
    Raises ValueError when the arrays' lengths differ or a run is not of these poses.
    """
    if not len(run) == len(centre_pts) == len(scores):
        raise ValueError(f"{len(run)} runs, {len(centre_pts)} centres and {len(scores)} scores: must be equal")
    out = np.full(len(poses), np.nan, np.float32)
    if not len(run):
        return out
    runs = _runs(poses, spec)
    if run.min() < 0 or run.max() >= len(runs.first):
        raise ValueError("the windows were not made of these poses with this spec")
    offset = np.concatenate([[0.0], np.cumsum(runs.end - runs.start + 1)[:-1]]) - runs.start
    order = np.lexsort((centre_pts, run))
    centre = centre_pts[order] + offset[run[order]]
    begin = np.searchsorted(run[order], np.arange(len(runs.first)))
    end = np.searchsorted(run[order], np.arange(len(runs.first)), side="right")
    scored = np.flatnonzero(runs.pose_run >= 0)
    scored = scored[(end > begin)[runs.pose_run[scored]]]
    mine = runs.pose_run[scored]
    time = poses.pts[scored] + offset[mine]
    right = np.clip(np.searchsorted(centre, time), begin[mine], end[mine] - 1)
    left = np.maximum(right - 1, begin[mine])
    nearest = np.where(centre[right] - time < time - centre[left] - _SAME_TIME, right, left)
    out[scored] = scores[order][nearest]
    return out
