"""The validation period, scored by a later version: without it a promotion would end the watch on scores."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping

from alfred.models import Camera, Deployment, DriftReference, Segment, Slice, ValidationMember, ValidationSet
from alfred.services import build_validation

TRACKS = 150
"""People of the period that are scored anew at a promotion: enough for the index, seconds of work."""

ENOUGH = 150
"""People that the stream after an imported set must show before later slices are compared with it."""


def period(present: ValidationSet) -> list[int]:
    """The slices of the validation period, by id; empty while there are not enough."""
    drawn = present.members.filter(origin=ValidationMember.Origin.WARMUP, segment__slice__isnull=False)
    own = list(drawn.order_by().values_list("segment__slice_id", flat=True).distinct())
    if own:
        return own
    after = Slice.objects.filter(camera=present.camera_id, closed_at__gt=present.frozen_at).order_by("ordinal")
    found: list[int] = []
    people: set[int] = set()
    for pk in after.values_list("pk", flat=True):
        if len(people) >= ENOUGH:
            break
        found.append(pk)
        people.update(Segment.objects.filter(slice=pk).values_list("track_id", flat=True))
    return found


def to_score(camera: Camera, deployment: Deployment) -> list[Segment]:
    """A sample of the period that `deployment`'s version has not scored yet, one segment a person; else empty."""
    present = build_validation.frozen_set(camera.pk)
    if present is None or DriftReference.objects.filter(deployment=deployment, validation_set=present).exists():
        return []
    rows = Segment.objects.filter(slice__in=period(present))
    if not rows.exists() or rows.filter(score__deployment__version=deployment.version_id).exists():
        return []
    # Any segment of theirs: who has just come into the picture, at its edge, scores unlike the rest.
    rng = random.Random(deployment.pk)
    of_track: dict[int, list[int]] = defaultdict(list)
    for track, pk in rows.order_by("pk").values_list("track_id", "pk"):
        of_track[track].append(pk)
    people = rng.sample(sorted(of_track), min(TRACKS, len(of_track)))
    chosen = [rng.choice(of_track[track]) for track in people]
    return list(Segment.objects.filter(pk__in=chosen).select_related("track", "recording").order_by("pk"))


def store(camera: Camera, deployment: Deployment, values: Mapping[int, float]) -> None:
    """Keep what `to_score` gave, scored."""
    present = build_validation.frozen_set(camera.pk)
    if present is not None:
        rows = {str(segment): value for segment, value in values.items()}
        DriftReference.objects.get_or_create(deployment=deployment, validation_set=present, defaults={"values": rows})


def values(present: ValidationSet, version: int) -> dict[int, float]:
    """Score by segment, of the period by a version's own scores; empty where there are none."""
    rows = DriftReference.objects.filter(validation_set=present, deployment__version=version).order_by("-pk")
    stored = rows.values_list("values", flat=True).first() or {}
    return {int(segment): value for segment, value in stored.items()}
