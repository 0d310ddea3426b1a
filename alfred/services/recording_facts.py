"""One recording's page: what was found, tracks, and how its segments stand."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, Q

from alfred.models import Job, PoseExtraction, Recording, Rendition, Scoring, SegmentScore


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
        "has_video": Rendition.objects.filter(recording=recording).exists(),
        "jobs": list(
            Job.objects.filter(subject=recording.pk, kind__in=["extract", "score", "rendition"]).order_by("id")
        ),
        "share_flagged": counts["flagged"] / counts["scored"] if counts["scored"] else None,
    }
