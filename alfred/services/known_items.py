"""Events whose truth is known, mixed into the queue: how much the team as a whole misses.

What is said of them is no label, and no figure of a single person.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from alfred.core.intervals import clopper_pearson
from alfred.models import (
    Answer,
    Camera,
    EventSegment,
    Lane,
    Recording,
    Segment,
    SegmentScore,
    SegmentTruth,
    TrialAnswer,
    Verdict,
)

DAYS = 28
"""So far back the team's figures reach."""
AT_LEAST = 3
"""People who must have answered: of fewer, a figure of the team would be one of a person."""


def truths(*cameras: int) -> dict[int, bool]:
    """Segments of a camera whose truth is known, and whether they are anomalous.

    Imported truth of validation files, and what a supervisor ruled on; a ruling overrules a file.
    """
    imported = SegmentTruth.objects.filter(
        segment__camera__in=cameras,
        segment__recording__purpose=Recording.Purpose.VALIDATION,
        segment__recording__quarantined="",
        segment__score__value__isnull=False,
    )
    ruled = Verdict.objects.filter(
        event__camera__in=cameras,
        adjudicates=True,
        superseded_by__isnull=True,
        answer__in=(Answer.NORMAL, Answer.ANOMALY),
        segment__score__value__isnull=False,
    )
    known = dict(imported.values_list("segment_id", "anomalous"))
    return known | {s: answer == Answer.ANOMALY for s, answer in ruled.order_by("id").values_list("segment", "answer")}


def drawn(camera: Camera, opened: int, rng: np.random.Generator) -> list[SegmentScore]:
    """Known items to go with `opened` new events: each asked once, of both classes alike while there are both."""
    most = int(rng.binomial(opened, camera.known_share)) if camera.known_share > 0 else 0
    if not most:
        return []
    known = _not_asked_yet(camera)
    classes = [sorted(s for s, is_one in known.items() if is_one is anomalous) for anomalous in (False, True)]
    chosen = []
    for _ in range(most):
        side = classes[int(rng.integers(2))] or classes[0] or classes[1]
        if side:
            chosen.append(side.pop(int(rng.integers(len(side)))))
    return list(SegmentScore.objects.filter(segment_id__in=chosen).select_related("segment").order_by("segment_id"))


def _not_asked_yet(camera: Camera) -> dict[int, bool]:
    """Those that would look like any other event: with a video under them where the camera keeps one."""
    used = EventSegment.objects.filter(lane=Lane.KNOWN, segment__camera=camera).values_list("segment_id", flat=True)
    left = truths(camera.pk)
    for segment in used:
        left.pop(segment, None)
    if camera.privacy == Camera.Privacy.VIDEO:
        seen = Segment.objects.filter(pk__in=left, recording__rendition__isnull=False).values_list("pk", flat=True)
        left = {segment: left[segment] for segment in seen}
    return left


@dataclass(frozen=True)
class Team:
    """Of known items answered by `people` persons: anomalies and how many were called normal, normals and the reverse.

    `unsure` and skipped ones are in neither. Intervals: exact binomial, 95 %; None where nothing was answered.
    """

    people: int
    anomalies: int
    missed: int
    normals: int
    alarmed: int
    unsure: int

    @property
    def miss_rate(self) -> tuple[float, float, float] | None:
        return _rate(self.missed, self.anomalies)

    @property
    def alarm_rate(self) -> tuple[float, float, float] | None:
        return _rate(self.alarmed, self.normals)

    @property
    def can_be_shown(self) -> bool:
        return self.people >= AT_LEAST


def _rate(wrong: int, of: int) -> tuple[float, float, float] | None:
    return (wrong / of, *clopper_pearson(wrong, of)) if of else None


def team(camera: Camera) -> Team:
    """What became of the camera's known items in the last weeks; not of those whom the item was no news to."""
    since = timezone.now() - timedelta(days=DAYS)
    elsewhere = Verdict.objects.filter(segment=OuterRef("segment"), user=OuterRef("user"), pk__lt=OuterRef("pk"))
    elsewhere = elsewhere.exclude(event=OuterRef("event"))
    in_trial = TrialAnswer.objects.filter(segment=OuterRef("segment"), user=OuterRef("user"))
    rows = Verdict.objects.filter(
        event__camera=camera, event__lane=Lane.KNOWN, created_at__gte=since, superseded_by__isnull=True, scripted=False
    ).exclude(Q(answer__in=(Answer.UNDO, Answer.SKIP)) | Exists(elsewhere) | Exists(in_trial))
    known, said = truths(camera.pk), list(rows.values_list("segment_id", "user_id", "answer"))
    decided = [(known[s], answer) for s, _, answer in said if s in known and answer != Answer.UNSURE]
    anomalies = [answer for anomalous, answer in decided if anomalous]
    normals = [answer for anomalous, answer in decided if not anomalous]
    return Team(
        people=len({user for _, user, _ in said}),
        anomalies=len(anomalies),
        missed=anomalies.count(Answer.NORMAL),
        normals=len(normals),
        alarmed=normals.count(Answer.ANOMALY),
        unsure=sum(answer == Answer.UNSURE for _, _, answer in said),
    )
