"""What people were asked and how long they looked, by slice: counted from stored draws and answers."""

from __future__ import annotations

from collections import defaultdict

from django.db.models import Count, F, Q, QuerySet

from alfred.models import Answer, Camera, Candidate, Lane, Verdict
from alfred.reports.effort import Asked


def asked(camera: Camera) -> dict[int, Asked]:
    """By the id of the slice. Every flagged segment has a candidate of the review lane, asked or not."""
    review = Q(lane=Lane.REVIEW)
    in_band = Q(theta_med__isnull=True) | Q(segment__score__value__lte=F("theta_med"))
    rows = Candidate.objects.filter(slice__camera=camera).values("slice_id").order_by()
    counted = rows.annotate(
        flagged=Count("pk", filter=review),
        in_band=Count("pk", filter=review & in_band),
        asked_in_review=Count("pk", filter=review & Q(asked=True)),
        audited=Count("pk", filter=Q(lane=Lane.AUDIT, asked=True)),
        any_lane=Count("pk", filter=Q(asked=True)),
    )
    names = ("slice_id", "flagged", "in_band", "asked_in_review", "audited", "any_lane")
    return {pk: Asked(*numbers) for pk, *numbers in counted.values_list(*names)}


def answers(camera: Camera) -> QuerySet[Verdict]:
    """All that people answered on the camera and did not take back: ruled on or not, it was work."""
    return Verdict.objects.filter(event__camera=camera, superseded_by__isnull=True).exclude(answer=Answer.UNDO)


def minutes(camera: Camera) -> dict[int | None, float]:
    """Active time of these answers by the id of the slice they are about."""
    # Every segment of an event carries the time of the one answer, so it is counted once a key.
    rows = answers(camera).order_by("key").distinct("key").values_list("event__slice_id", "active_ms")
    found: dict[int | None, float] = defaultdict(float)
    for slice_id, active_ms in rows:
        found[slice_id] += active_ms / 60_000
    return found
