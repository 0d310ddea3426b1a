"""A stretch of poses as the numbers a browser draws. Reads artifacts; needs neither torch nor a decoder."""

from __future__ import annotations

from io import BufferedReader
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
import pyarrow.parquet as pq

from alfred.models import Clip, Event, PoseExtraction, Recording, Rendition, Scoring, Segment, Track
from alfred.pose.formats.parquet import read_poses
from alfred.pose.tracks import Poses
from alfred.services.storage import artifacts

PADDING_S = 1.0
"""Shown before and after what is asked; never labelled."""
SHAPE_POINTS = 120
"""At most; fewer where there are fewer frames, so that no bar of the strip is empty between two."""


def of_recording(recording: Recording, start: float, end: float) -> dict[str, Any]:
    """Everybody between start and end, nobody marked, each under their number in `recording_facts.people_seen`."""
    extraction = PoseExtraction.objects.filter(recording=recording).first()
    if extraction is None:
        return {
            "width": recording.width,
            "height": recording.height,
            "start": start,
            "end": end,
            "people": [],
        }
    poses = read_poses(artifacts().path(extraction.artifact), start=start, end=end)
    order = Track.objects.filter(extraction=extraction).order_by("start_pts", "number").values_list("number", flat=True)
    names = {number: str(place) for place, number in enumerate(order, 1)}
    return _frame(recording, start, end) | {"people": _people(poses, set(), names)}


def of_event(event: Event) -> dict[str, Any]:
    """The event with its second of padding on both sides: everybody in view, the asked ones marked.

    The same for every lane: nothing here depends on why the event was opened.
    """
    start, end = span(event)
    extraction = PoseExtraction.objects.get(recording_id=event.recording_id)
    poses = read_poses(artifacts().path(extraction.artifact), start=start, end=end + 1e-6)
    asked = {
        number: (s, e)
        for number, s, e in Segment.objects.filter(events=event)
        .order_by("-start_pts")
        .values_list("track__number", "start_pts", "end_pts")
    }
    return _frame(event.recording, start, end) | {
        "people": _people(poses, set(asked)),
        "asked": [event.start_pts, event.end_pts],
        "peak": event.peak_pts,
        "shape": _shape(event, extraction, set(asked), start, end),
    }


def of_moment(segment: Segment, seconds: float = 3.0) -> dict[str, Any]:
    """Everybody in view for some seconds around a segment's middle, its own person marked. Numbers only."""
    middle = (segment.start_pts + segment.end_pts) / 2
    start, end = max(0.0, middle - seconds / 2), middle + seconds / 2
    extraction = PoseExtraction.objects.get(recording_id=segment.recording_id)
    poses = read_poses(artifacts().path(extraction.artifact), start=start, end=end + 1e-6)
    return _frame(segment.recording, start, end) | {"people": _people(poses, {segment.track.number})}


def span(event: Event) -> tuple[float, float]:
    """Seconds in the recording that the screen shows."""
    return max(0.0, event.start_pts - PADDING_S), event.end_pts + PADDING_S


def event_facts(event: Event) -> dict[str, Any]:
    """What stands in words beside the stage: where, when, how long. Nothing that tells the lane."""
    return {
        "seconds": event.end_pts - event.start_pts,
        "from": event.start_pts,
        "until": event.end_pts,
        "clip": getattr(event, "clip", None),
    }


def open_clip(event: Event, *, raw: bool) -> BufferedReader | None:
    """The event's clip, blurred unless `raw`; None where there is none (yet, or any more)."""
    clip = Clip.objects.filter(event=event).first()
    return artifacts().open(clip.raw if raw else clip.blurred) if clip else None


def open_video(recording: Recording) -> BufferedReader | None:
    """The recording's playable file, if its camera keeps one."""
    row = Rendition.objects.filter(recording=recording).first()
    return artifacts().open(row.artifact) if row else None


def _frame(recording: Recording, start: float, end: float) -> dict[str, Any]:
    return {
        "width": recording.width,
        "height": recording.height,
        "start": round(start, 4),
        "end": round(end, 4),
        "duration": recording.duration_s,
    }


def letters(event: Event) -> dict[str, int]:
    """Letter on the stage → track number, of everybody in view of an event."""
    start, end = span(event)
    extraction = PoseExtraction.objects.get(recording_id=event.recording_id)
    numbers = _in_order(read_poses(artifacts().path(extraction.artifact), start=start, end=end + 1e-6))
    return {_letter(index): int(number) for index, number in enumerate(numbers)}


def _in_order(poses: Poses) -> npt.NDArray[np.int32]:
    """Track numbers by first appearance."""
    numbers, first = np.unique(poses.track, return_index=True)
    ordered: npt.NDArray[np.int32] = numbers[np.argsort(first)]
    return ordered


def _people(poses: Poses, asked: set[int], names: dict[int, str] | None = None) -> list[dict[str, Any]]:
    """One entry a track, by first appearance; coordinates in tenths of a pixel, confidence in percent."""
    people = []
    for index, number in enumerate(_in_order(poses)):
        rows = poses.take(poses.track == number)
        people.append(
            {
                "name": names.get(int(number), _letter(index)) if names else _letter(index),
                "asked": int(number) in asked,
                "pts": np.round(rows.pts, 4).tolist(),
                "xy": np.round(rows.keypoints[:, :, :2].reshape(len(rows), -1), 1).tolist(),
                "confidence": np.round(rows.keypoints[:, :, 2] * 100).astype(int).tolist(),
            }
        )
    return people


def _letter(index: int) -> str:
    return chr(65 + index) if index < 26 else f"{chr(64 + index // 26)}{chr(65 + index % 26)}"


def _shape(event: Event, extraction: PoseExtraction, asked: set[int], start: float, end: float) -> list[float | None]:
    """The asked people's scores over time as shape only: scaled to their own range, 0..1, None where unscored."""
    scoring = Scoring.objects.filter(extraction=extraction).first()
    if scoring is None:
        return []
    filters = (pc.field("pts") >= start) & (pc.field("pts") <= end) & pc.field("track").isin(list(asked))
    table = pq.read_table(artifacts().path(scoring.artifact), columns=["pts", "score"], filters=filters)
    pts = table["pts"].to_numpy()
    score = table["score"].to_numpy(zero_copy_only=False).astype(np.float64)
    return _binned(pts, score, start, end)


def _binned(
    pts: npt.NDArray[np.float64], score: npt.NDArray[np.float64], start: float, end: float
) -> list[float | None]:
    steps = np.diff(np.unique(pts))
    frames = (end - start) / float(np.median(steps)) if len(steps) else 1.0
    points = int(np.clip(frames * 0.9, 1, SHAPE_POINTS))
    bins = np.full(points, -np.inf)
    at = np.clip(((pts - start) / max(end - start, 1e-6) * points).astype(int), 0, points - 1)
    known = np.isfinite(score)
    np.maximum.at(bins, at[known], score[known])
    # A single bin that no frame fell into is a matter of rounding, not a gap.
    lone = np.flatnonzero(~np.isfinite(bins[1:-1]) & np.isfinite(bins[:-2]) & np.isfinite(bins[2:])) + 1
    bins[lone] = (bins[lone - 1] + bins[lone + 1]) / 2
    found = np.isfinite(bins)
    if not found.any():
        return []
    low, high = bins[found].min(), bins[found].max()
    scaled = np.where(found, (bins - low) / (high - low) if high > low else 0.5, np.nan)
    return [None if np.isnan(v) else round(float(v), 3) for v in scaled]
