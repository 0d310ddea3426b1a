"""How far a closed slice is from the validation period, and whether drift stands (Design §3, "Drift").

The validation period is the slices that the validation set in force was drawn from. A set of imported files was drawn
from no stream: then it is the first closed slices after it was frozen, as many as hold enough people to compare with.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from alfred.core import drift as core
from alfred.core.phrases import Phrase, listed, phrase
from alfred.models import Camera, Drift, Segment, Slice, ValidationSet
from alfred.services import build_validation, drift_reference

Floats = npt.NDArray[np.float64]

POOLED = 7
"""Where a slice has too few people for a figure, it is measured with up to so many unmeasured ones before it."""

MOST = 50_000
"""Segments of a side, the newest: more say nothing new and cost time while the slice is closing."""

NEWEST = 60
"""How many measured slices back the present drift is looked for."""

WORDS = {
    "score": phrase("scores"),
    "height": phrase("people's height"),
    "x": phrase("place, sideways"),
    "y": phrase("place, up and down"),
    "confidence": phrase("confidence of the poses"),
}
"""What is measured, for people."""
_PLACE = phrase("place")


@dataclass(frozen=True)
class _Seen:
    """Segments of one side, arrays (n,): ids, quantities by name, tracks, versions that scored them, local time."""

    segment: npt.NDArray[np.int64]
    quantities: dict[str, Floats]
    track: npt.NDArray[np.int64]
    version: npt.NDArray[np.int64]
    hour: npt.NDArray[np.int64]
    weekday: npt.NDArray[np.int64]
    clock_known: bool

    def __len__(self) -> int:
        return len(self.track)


def measure(row: Slice) -> Drift | None:
    """Measure a closing slice once. None: there is no validation set, it belongs to its period, or nobody was seen."""
    present = build_validation.frozen_set(row.camera_id)
    if present is None:
        return None
    period = drift_reference.period(present)
    if not period or row.pk in period or not Segment.objects.filter(slice=row).exists():
        return None
    reference = _seen(row.camera, period)
    values = _compare(present, reference, _seen(row.camera, [row.pk]))
    if all(value is None for value in values.values()):
        pooled = _unmeasured_before(row, present, period)
        values = _compare(present, reference, _seen(row.camera, [*pooled, row.pk])) if pooled else values
    rounded = {name: None if value is None else round(value, 4) for name, value in values.items()}
    return Drift.objects.get_or_create(slice=row, defaults={"validation_set": present, "values": rounded})[0]


def stands(camera_id: int) -> core.Drift | None:
    """The drift that stands on the camera now, against the validation set in force; None while there is none."""
    return core.standing([values for _, values in reversed(newest(camera_id))])


def newest(camera_id: int, most: int = NEWEST) -> list[tuple[int, dict[str, float | None]]]:
    """Slices measured against the validation set in force, the newest first: ordinal, and PSI by quantity."""
    present = build_validation.frozen_set(camera_id)
    rows = Drift.objects.filter(validation_set=present, slice__camera=camera_id) if present else Drift.objects.none()
    return list(rows.order_by("-slice__ordinal").values_list("slice__ordinal", "values")[:most])


def sentence(found: core.Drift) -> Phrase:
    """What stands, for people."""
    names = list(dict.fromkeys(_PLACE if name in "xy" else WORDS[name] for name in WORDS if name in found.quantities))
    return phrase(
        "Drift in {what} against the validation period, on {days} slices in a row (PSI {worst:.2f})."
        " Has the camera moved?",
        what=listed(names),
        days=found.days,
        worst=max(found.quantities.values()),
    )


def _unmeasured_before(row: Slice, present: ValidationSet, period: Collection[int]) -> list[int]:
    """The slices just before this one back to the last that gave a figure: no slice counts for two figures."""
    before = Slice.objects.filter(camera=row.camera, ordinal__lt=row.ordinal, closed_at__gt=present.frozen_at)
    found: list[int] = []
    for earlier in before.exclude(pk__in=period).select_related("drift").order_by("-ordinal")[: POOLED - 1]:
        measured = getattr(earlier, "drift", None)
        if measured and any(value is not None for value in measured.values.values()):
            break
        found.append(earlier.pk)
    return found


def _seen(camera: Camera, slice_ids: Collection[int]) -> _Seen:
    rows = list(
        Segment.objects.filter(slice_id__in=slice_ids)
        .order_by("-id")
        .values_list(
            "track_id",
            "start_at",
            "x",
            "y",
            "person_height",
            "recording__width",
            "recording__height",
            "recording__clock_known",
            "score__value",
            "score__deployment__version_id",
            "id",
            "confidence",
        )[:MOST]
    )
    zone = ZoneInfo(camera.time_zone)
    local = [row[1].astimezone(zone) for row in rows]
    numbers = np.array([[_or_nan(v) for v in (*row[2:7], row[8], row[11])] for row in rows]).reshape(-1, 7)
    x, y, height, wide, high, score, confidence = numbers.T
    # A picture whose size is not known (0) has no shares.
    wide, high = (np.where(size > 0, size, np.nan) for size in (wide, high))
    return _Seen(
        np.array([row[10] for row in rows], np.int64),
        {"score": score, "height": height / high, "x": x / wide, "y": y / high, "confidence": confidence},
        np.array([row[0] for row in rows], np.int64),
        np.array([row[9] or 0 for row in rows], np.int64),
        np.array([at.hour for at in local], np.int64),
        np.array([at.weekday() for at in local], np.int64),
        all(row[7] for row in rows),
    )


def _or_nan(value: float | None) -> float:
    return np.nan if value is None else float(value)


def _compare(present: ValidationSet, reference: _Seen, current: _Seen) -> dict[str, float | None]:
    """PSI of each quantity; by hour and weekday where the clocks of both sides are known."""
    if not len(reference) or not len(current):
        return dict.fromkeys(WORDS)
    weights: tuple[Floats | None, Floats | None] = (None, None)
    if reference.clock_known and current.clock_known:
        weights = core.same_hours(reference.hour, reference.weekday, current.hour, current.weekday)
    then, now = _scores_alike(present, reference, current)
    return core.drift(
        reference.quantities | {"score": then},
        current.quantities | {"score": now},
        reference_tracks=reference.track,
        current_tracks=current.track,
        reference_weights=weights[0],
        current_weights=weights[1],
    )


def _scores_alike(present: ValidationSet, reference: _Seen, current: _Seen) -> tuple[Floats, Floats]:
    """Scores of both sides by the version that scored most of the current side; NaN where it gave none.

    Others' scores don't compare. A version that came after the period has scored a sample of it (`drift_reference`).
    """
    scored = current.version[current.version > 0]
    if not len(scored):
        return np.full(len(reference), np.nan), np.full(len(current), np.nan)
    version = int(np.bincount(scored).argmax())
    then = np.where(reference.version == version, reference.quantities["score"], np.nan)
    if np.isnan(then).all():
        anew = drift_reference.values(present, version)
        then = np.array([anew.get(segment, np.nan) for segment in reference.segment.tolist()])
    return then, np.where(current.version == version, current.quantities["score"], np.nan)
