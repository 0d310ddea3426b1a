"""One recording's page: what was found, people, scores over time, and how its segments stand. Not for annotators."""

from __future__ import annotations

from typing import Any

import numpy as np
from django.db.models import Count, Q
from django.utils.translation import gettext as _

from alfred.models import Job, PoseExtraction, Recording, Rendition, Scoring, SegmentScore, Track
from alfred.pose.formats.inspect import DEFAULT_FPS
from alfred.services import plates

CURVE_POINTS = 600
"""At most, for the scores of a whole recording; never finer than a second."""
LISTED = 500
"""People, and segments, listed beside a recording."""


def facts(recording: Recording) -> dict[str, Any]:
    """Everything beside the player."""
    extraction = PoseExtraction.objects.filter(recording=recording).first()
    scoring = (
        Scoring.objects.filter(extraction=extraction)
        .select_related("deployment__version", "deployment__threshold")
        .first()
        if extraction
        else None
    )
    counts = SegmentScore.objects.filter(segment__recording=recording).aggregate(
        segments=Count("pk"),
        flagged=Count("pk", filter=Q(flagged=True)),
        scored=Count("pk", filter=Q(value__isnull=False)),
    )
    return {
        "extraction": extraction,
        "scoring": scoring,
        "counts": counts,
        "plate": plates.under(recording),
        "has_video": Rendition.objects.filter(recording=recording).exists(),
        "jobs": list(
            Job.objects.filter(subject=recording.pk, kind__in=["extract", "score", "rendition"]).order_by("id")
        ),
        "share_flagged": counts["flagged"] / counts["scored"] if counts["scored"] else None,
    }


def people_seen(recording: Recording) -> list[dict[str, Any]]:
    """The recording's tracks by first appearance: number shown, first and last second, segments, flagged ones."""
    rows = (
        Track.objects.filter(extraction__recording=recording)
        .annotate(n=Count("segments"), flagged=Count("segments", filter=Q(segments__score__flagged=True)))
        .order_by("start_pts", "number")[:LISTED]
    )
    return [
        {"name": str(i), "pk": t.pk, "start": t.start_pts, "end": t.end_pts, "segments": t.n, "flagged": t.flagged}
        for i, t in enumerate(rows, 1)
    ]


def score_curve(recording: Recording) -> dict[str, Any] | None:
    """Scores of a recording's segments over time, for supervisors: the highest at each moment, and θ in force then.

    None where nothing was scored; a moment with nobody scored in it is null.
    """
    known = SegmentScore.objects.filter(segment__recording=recording, value__isnull=False)
    columns = ("segment__start_pts", "segment__end_pts", "value", "flagged", "segment__track")
    rows: list[tuple[float, float, float, bool, int]] = [
        (start, end, value, flagged, track)
        for start, end, value, flagged, track in known.order_by("segment_id").values_list(*columns)
        if value is not None
    ]
    scoring = Scoring.objects.filter(extraction__recording=recording).select_related("deployment__threshold").first()
    if not rows or scoring is None:
        return None
    length = max(recording.duration_s, *(end for _, end, _, _, _ in rows))
    step = max(1.0, length / CURVE_POINTS)
    highest = np.full(int(length / step) + 1, -np.inf)
    for start, end, value, _flagged, _track in rows:
        part = slice(int(start / step), int(end / step) + 1)
        highest[part] = np.maximum(highest[part], value)
    return {
        "time": [round(i * step, 2) for i in range(len(highest))],
        "score": [round(float(v), 4) if np.isfinite(v) else None for v in highest],
        "theta": scoring.deployment.theta,
        "segments": [
            {"start": start, "end": end, "score": value, "flagged": flagged, "track": track}
            for start, end, value, flagged, track in sorted(rows, key=lambda row: -row[2])[:LISTED]
        ],
    }


def frame_rate_words(recording: Recording) -> str:
    """The frame rate and, as far as the row tells, where it came from."""
    rate = f"{recording.fps:.4g} fps"
    if recording.origin == Recording.Origin.VIDEO:
        return _("%(rate)s, from the video") % {"rate": rate}
    if recording.fps == DEFAULT_FPS:
        words = _("taken as %(rate)s: what is assumed of a pose file when no frame rate is given with it")
        return words % {"rate": rate}
    return _("%(rate)s, given with the file") % {"rate": rate}
