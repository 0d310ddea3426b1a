"""AL-Light's band in production: the buffer of a deployment, and what it decides about a recording just scored."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from alfred.core import al_light
from alfred.core.methodologies import Methodology
from alfred.models import BandStart, Camera, Deployment, Segment, SegmentScore


def to_carry_over(camera: Camera, deployment: Deployment) -> list[Segment]:
    """The segments flagged last before `deployment`, oldest first, if its buffer has not been made of them yet.

    Empty too where AL-Light is not in use.
    """
    if camera.methodology != Methodology.AL_LIGHT or BandStart.objects.filter(deployment=deployment).exists():
        return []
    earlier = Segment.objects.filter(
        camera=camera, slice__isnull=False, score__flagged=True, score__deployment__ordinal__lt=deployment.ordinal
    )
    rows = earlier.select_related("track", "recording").order_by("-start_at", "-id")[: al_light.BUFFER]
    return list(rows)[::-1]


def carry_over(deployment: Deployment, values: Sequence[float]) -> None:
    """Store their scores by the new version, once."""
    BandStart.objects.get_or_create(deployment=deployment, defaults={"values": list(values)})


def decide(camera: Camera, deployment: Deployment, rows: Sequence[SegmentScore]) -> al_light.Decisions:
    """What the band says of scored segments (n,), in their order; the band itself moves on in order of time."""
    value = np.array([row.value for row in rows], np.float64)
    order = sorted(range(len(rows)), key=lambda i: (rows[i].segment.start_pts, rows[i].segment_id))
    walked = al_light.decide(
        al_light.Mode(camera.al_light_mode), deployment.theta, value[order], _buffer(deployment, rows)
    )
    return al_light.in_order(walked, np.argsort(order))


def _buffer(deployment: Deployment, rows: Sequence[SegmentScore]) -> list[float]:
    """The last scores flagged since the deployment began, after what it carried over; those of `rows` are not in it.

    What the version in force does not flag any more has left it.
    """
    start = BandStart.objects.filter(deployment=deployment).values_list("values", flat=True).first() or []
    since = SegmentScore.objects.filter(deployment=deployment, flagged=True, slice__isnull=False)
    since = since.exclude(scoring__in={row.scoring_id for row in rows}).order_by("-segment__start_at", "-id")
    own = list(since.values_list("value", flat=True)[: al_light.BUFFER])[::-1]
    return [v for v in [*start, *own] if v is not None and v >= deployment.theta]
