"""Labels that came too late for the round of their slice: the next round takes them in, and none is lost.

A round freezes the labels of its own slice, and with them the late ones of slices before. Answers and corrections
given after that, and answers in slices that no round has used, stand in no snapshot, or in one with another label. Only
a round whose candidate was promoted has used what it froze: of any other nothing is in force. What it froze of a later
slice, it only looked at.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from django.db.models import OuterRef, Subquery

from alfred.core.methodologies import Label
from alfred.models import Camera, Round, SegmentScore, Slice, SnapshotLabel, ValidationMember, Verdict
from alfred.services import labels

USED = (Round.State.PROMOTED,)


def late_labels(camera: Camera, before_slice: Slice) -> dict[int, Label]:
    """Labels of segments in closed slices before this one that no promoted round has frozen so, by segment.

    The snapshot of the round on `before_slice` freezes them all, beside the labels of that slice itself: so each counts
    once. Of a label that was changed back and forth only what stands now is of interest.
    """
    earlier = Slice.objects.filter(camera=camera, ordinal__lt=before_slice.ordinal, closed_at__isnull=False)
    frozen = SnapshotLabel.objects.filter(
        segment=OuterRef("segment"),
        snapshot__round__state__in=USED,
        snapshot__round__slice__ordinal__gte=OuterRef("segment__slice__ordinal"),
    )
    rows = labels.standing(Verdict.objects.filter(segment__slice__in=earlier), together=True)
    said: dict[int, list[tuple[int, str]]] = defaultdict(list)
    used: dict[int, int | None] = {}
    last = Subquery(frozen.order_by("-snapshot__frozen_at").values("label")[:1])
    for segment, answer, label in rows.annotate(used=last).values_list("segment_id", "answer", "used"):
        said[segment].append((segment, answer))
        used[segment] = label
    now = {segment: labels.of_verdicts(pairs)[segment] for segment, pairs in said.items()}
    return {segment: label for segment, label in now.items() if used[segment] != label}


def frozen_late(row: Round) -> dict[int, Label]:
    """What the round's snapshot holds of earlier slices and no promoted round before it had frozen so, by segment."""
    before = SnapshotLabel.objects.filter(
        segment=OuterRef("segment"), snapshot__round__state__in=USED, snapshot__round__ordinal__lt=row.ordinal
    ).filter(snapshot__round__slice__ordinal__gte=OuterRef("segment__slice__ordinal"))
    mine = SnapshotLabel.objects.filter(snapshot__round=row, segment__slice__ordinal__lt=row.slice.ordinal)
    last = Subquery(before.order_by("-snapshot__frozen_at").values("label")[:1])
    rows = mine.annotate(used=last).values_list("segment_id", "label", "used")
    return {segment: Label(label) for segment, label, used in rows if used != label}


def false_alarms(late: Mapping[int, Label]) -> set[int]:
    """Of late labels, the segments that were flagged and are now called normal: what a round may train on besides.

    Tracks of a validation set are left out; what else keeps a segment out of training is decided where the rest is.
    """
    normal = [segment for segment, label in late.items() if label == Label.NORMAL]
    members = ValidationMember.objects.filter(segment__track=OuterRef("segment__track")).values("pk")[:1]
    rows = SegmentScore.objects.filter(segment_id__in=normal, flagged=True).annotate(member=Subquery(members))
    return set(rows.filter(member=None).values_list("segment_id", flat=True))
