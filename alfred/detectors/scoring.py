"""Poses → scores: windows of every track, scored, and given back to the poses."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from alfred.detectors.base import Detector, Progress
from alfred.pose.tracks import Poses
from alfred.pose.windows import iter_windows, pose_scores, window_count


def score_poses(
    poses: Poses,
    *,
    width: float,
    height: float,
    detector: Detector,
    batch_size: int = 4096,
    progress: Progress | None = None,
) -> npt.NDArray[np.float32]:
    """Score (n,) float32 of every pose, higher = more anomalous, NaN = unscored (see `windows.pose_scores`).

    `width` and `height` are the picture's, in px; `batch_size` windows are held at a time. Raises ValueError
    when the detector returns scores that are not finite, or not one a window.
    """
    runs: list[npt.NDArray[np.int32]] = [np.zeros(0, np.int32)]
    centres: list[npt.NDArray[np.float64]] = [np.zeros(0, np.float64)]
    scores: list[npt.NDArray[np.float32]] = [np.zeros(0, np.float32)]
    total = window_count(poses, detector.window) if progress is not None else 0
    done = 0
    batches = iter_windows(poses, width=width, height=height, spec=detector.window, batch_size=batch_size)
    for batch in batches:
        scored = detector.score(batch.values)
        if scored.shape != (len(batch),) or not np.isfinite(scored).all():
            raise ValueError(f"{detector.name} must return one finite score a window; it returned {scored.shape}")
        runs.append(batch.run)
        centres.append(batch.centre_pts)
        scores.append(np.asarray(scored, np.float32))
        done += len(batch)
        if progress is not None:
            progress(done, total, f"{done} of {total} windows")
    return pose_scores(
        poses,
        run=np.concatenate(runs),
        centre_pts=np.concatenate(centres),
        scores=np.concatenate(scores),
        spec=detector.window,
    )
