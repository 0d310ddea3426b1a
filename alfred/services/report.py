"""Gather a camera's rows into its report: as many queries for many slices as for one."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
from django.db.models import Count, F, Q, Sum
from django.utils import timezone

from alfred.core.phrases import phrase
from alfred.core.rates import Counts
from alfred.models import (
    Camera,
    Deployment,
    Evaluation,
    Lane,
    Scoring,
    SegmentScore,
    Slice,
    SliceCounts,
    ValidationSet,
)
from alfred.reports.camera_report import RECENT_DAYS, CameraReport, InSample, Rate, SliceFigures, ThetaStep, build
from alfred.reports.figures import BasisCounts, Rows
from alfred.services import audit_figures, build_validation, count_slice, effort
from alfred.services.count_slice import Blocks
from alfred.services.evaluate import seed_of
from alfred.services.series import PresentSeries


def camera_report(camera: Camera) -> CameraReport:
    """Everything the supervisor's page says of one camera, as plain data."""
    frozen = build_validation.frozen_set(camera.pk)
    progress = build_validation.progress(camera) if frozen is None else None
    deployments = _deployments(camera)
    present = deployments[-1] if deployments else None
    series = PresentSeries(present, frozen.pk if frozen else None)
    slices, asked, minutes = _Slices(camera, deployments, series), effort.asked(camera), effort.minutes(camera)
    number = {row.pk: row.ordinal for row in slices.rows}
    return build(
        camera=camera.name,
        kind=camera.kind,
        slices=slices.figures({pk: row.any_lane for pk, row in asked.items()}),
        theta=[_theta_step(row) for row in deployments],
        validation=_validation(frozen, present),
        warm_up=(progress.normals, progress.anomalies, progress.needed) if progress else None,
        coverage=_coverage(camera),
        work=_work(camera, sum(minutes.values())),
        seed=seed_of("report", camera.pk),
        deployed=present.version.label if present else "",
        closes_by_day=camera.slice_by == Camera.SliceBy.DAY,
        audit=audit_figures.of_camera(camera, series=series),
        asked={number[pk]: row for pk, row in asked.items()},
        minutes={number[pk]: given for pk, given in minutes.items() if pk in number},
    )


def _deployments(camera: Camera) -> list[Deployment]:
    rows = Deployment.objects.filter(camera=camera).order_by("ordinal")
    return list(rows.select_related("version", "threshold__validation_set"))


def _theta_step(row: Deployment) -> ThetaStep:
    return ThetaStep(
        row.ordinal,
        row.since.isoformat(),
        row.version.label,
        row.theta,
        row.threshold.get_policy_display(),
        row.why,
    )


@dataclass
class _Tally:
    """What one deployment scored of one slice; the last two only of files that came with ground truth."""

    scored: int = 0
    flagged: int = 0
    unscored: int = 0
    unscored_segments: int = 0
    unscored_poses: int = 0


class _Slices:
    """All of a camera's slices, gathered in one query a kind of row."""

    def __init__(self, camera: Camera, deployments: list[Deployment], series: PresentSeries) -> None:
        self.rows = list(Slice.objects.filter(camera=camera).order_by("ordinal"))
        self.deployments = {row.pk: row for row in deployments}
        self.series = series
        self.since = timezone.now() - timedelta(days=RECENT_DAYS)
        ids = [row.pk for row in self.rows]
        self.tallies = _tallies(ids)
        self.stored: dict[int, list[SliceCounts]] = defaultdict(list)
        for counts in SliceCounts.objects.filter(slice_id__in=ids).order_by("id"):
            self.stored[counts.slice_id].append(counts)
        self.live = count_slice.from_verdicts(self.rows)
        scored = Scoring.objects.filter(extraction__recording__slice_id__in=ids)
        by_deployed = scored.values_list("extraction__recording_id", "deployment_id")
        self.by_deployed = {recording: series.is_deployed(self.deployments[pk]) for recording, pk in by_deployed}

    def figures(self, asked: dict[int, int]) -> list[SliceFigures]:
        return [self._one(row, asked.get(row.pk, 0)) for row in self.rows]

    def _one(self, row: Slice, asked: int) -> SliceFigures:
        tallies = self.tallies[row.pk]
        used = [
            (self.deployments[pk], tallies[pk]) for pk in sorted(tallies, key=lambda pk: self.deployments[pk].ordinal)
        ]
        return SliceFigures(
            ordinal=row.ordinal,
            closed=row.closed_at is not None,
            segments=sum(tally.scored for _, tally in used),
            flagged=sum(tally.flagged for _, tally in used),
            versions=[(d.version.label, d.theta, tally.scored + tally.unscored) for d, tally in used],
            current=self.series.set_id is not None and all(self.series.holds(d) for d, _ in used),
            counts=[*self._ground_truth(row), *self._from_verdicts(row, [d for d, _ in used])],
            unscored=sum(tally.unscored for _, tally in used),
            asked=asked,
            recent=row.closed_at is not None and row.closed_at >= self.since,
            series=_series([d for d, _ in used]),
        )

    def _ground_truth(self, row: Slice) -> list[BasisCounts]:
        """As stored at closing, a deployment each; what has no score is said beside it."""
        found, seen = [], set()
        for counts in self.stored[row.pk]:
            tally = self.tallies[row.pk].get(counts.deployment_id, _Tally())
            is_pose = counts.unit == SliceCounts.Unit.POSE
            seen.add(counts.deployment_id)
            found.append(
                BasisCounts(
                    counts.unit,
                    counts.basis,
                    [block[2:] for block in counts.blocks],
                    deployed=self.series.is_deployed(self.deployments[counts.deployment_id]),
                    unscored=tally.unscored_poses if is_pose else tally.unscored_segments,
                )
            )
        if seen:
            found += self._nothing_scored(row, seen)
        return found

    def _nothing_scored(self, row: Slice, counted: set[int]) -> list[BasisCounts]:
        """Deployments that could score nothing of their labelled part: no counts, but left out all the same."""
        return [
            BasisCounts(unit, "ground_truth", [], deployed=self.series.is_deployed(self.deployments[pk]), unscored=n)
            for pk, tally in self.tallies[row.pk].items()
            if pk not in counted
            for unit, n in (("segment", tally.unscored_segments), ("pose", tally.unscored_poses))
            if n
        ]

    def _from_verdicts(self, row: Slice, used: list[Deployment]) -> list[BasisCounts]:
        """Estimated, which is known of whole slices only; judged, split by whether the deployed version flagged it."""
        live = self.live[row.pk]
        found = []
        if live.estimated:
            made = live.estimated
            found.append(
                BasisCounts(
                    "segment",
                    "estimated",
                    _rows(made.blocks),
                    deployed=all(self.series.is_deployed(d) for d in used),
                    unscored=sum(tally.unscored for tally in self.tallies[row.pk].values()),
                    answered=made.answered,
                    unresolved=made.unresolved,
                    best=_sum(made.best),
                    worst=_sum(made.worst),
                )
            )
        for deployed in (True, False):
            blocks = {
                key: counts for key, counts in live.judged.items() if self.by_deployed.get(key[0], False) is deployed
            }
            unresolved = sum(
                n for pk, n in live.judged_unresolved.items() if self.by_deployed.get(pk, False) is deployed
            )
            if blocks or unresolved:
                answered = int(_sum(blocks).n)
                found.append(
                    BasisCounts(
                        "segment", "judged", _rows(blocks), True, deployed, answered=answered, unresolved=unresolved
                    )
                )
        return found


def _tallies(slice_ids: list[int]) -> dict[int, dict[int, _Tally]]:
    """By slice and deployment: how many segments were scored, flagged, unscored."""
    found: dict[int, dict[int, _Tally]] = defaultdict(dict)
    labelled = Q(segment__truth__isnull=False)
    segments = SegmentScore.objects.filter(slice_id__in=slice_ids).values("slice_id", "deployment_id").order_by()
    counted = segments.annotate(
        scored=Count("pk", filter=Q(value__isnull=False)),
        flagged=Count("pk", filter=Q(flagged=True)),
        unscored=Count("pk", filter=Q(value__isnull=True)),
        labelled=Count("pk", filter=Q(value__isnull=True) & labelled),
    )
    names = ("slice_id", "deployment_id", "scored", "flagged", "unscored", "labelled")
    for slice_id, deployment, *numbers in counted.values_list(*names):
        found[slice_id or 0][deployment] = _Tally(*numbers)
    poses = Scoring.objects.filter(
        extraction__recording__slice_id__in=slice_ids, extraction__recording__pose_truth__isnull=False
    ).values_list("extraction__recording__slice_id", "deployment_id")
    for slice_id, deployment, left in poses.order_by().annotate(left=Sum(F("n_poses") - F("n_scored"))):
        found[slice_id or 0].setdefault(deployment, _Tally()).unscored_poses = left
    return found


def _series(used: list[Deployment]) -> str:
    """The detector and validation set that a slice's θ came from; a slice that saw several is a series of its own."""
    names = {
        (d.version.detector, d.threshold.validation_set.number if d.threshold.validation_set else None) for d in used
    }
    if len(names) != 1:
        changed = phrase("slices in which the validation set or the detector changed")
        return changed if names else phrase("nothing scored")
    detector, number = names.pop()
    if number:
        return phrase("{detector}, validation set {number}", detector=detector, number=number)
    return phrase("{detector}, before a validation set (provisional θ)", detector=detector)


def _rows(blocks: Blocks) -> Rows:
    """In the order of their keys: the same rows give the same interval, however the database returns them."""
    return [blocks[key] for key in sorted(blocks)]


def _sum(blocks: Blocks) -> Counts:
    total = np.sum(list(blocks.values()), axis=0) if blocks else np.zeros(4)
    return Counts(*(float(v) for v in total))


def _validation(frozen: ValidationSet | None, present: Deployment | None) -> InSample | None:
    """The figures of what is in force on the validation set, marked in-sample by the page."""
    if frozen is None or present is None:
        return None
    rows = Evaluation.objects.filter(validation_set=frozen, version=present.version, threshold=present.threshold)
    row = rows.order_by("-id").first()
    if row is None:
        return None
    members = frozen.members.aggregate(
        anomalies=Count("pk", filter=Q(anomalous=True)), normals=Count("pk", filter=Q(anomalous=False))
    )
    said = row.figures
    return InSample(
        ebi=_rate(said, "ebi"),
        fpr=_rate(said, "fpr"),
        fnr=_rate(said, "fnr"),
        auc_roc=said["auc_roc"],
        average_precision=said["average_precision"],
        normals=said["normals"],
        anomalies=said["anomalies"],
        unscored_normals=max(0, members["normals"] - said["normals"]),
        unscored_anomalies=max(0, members["anomalies"] - said["anomalies"]),
    )


def _rate(said: dict[str, Any], name: str) -> Rate:
    interval = said["intervals"][name]
    return Rate(said[name], interval["low"], interval["high"], interval["reason"] or "")


def _coverage(camera: Camera) -> float | None:
    total = Scoring.objects.filter(extraction__recording__camera=camera).aggregate(s=Sum("n_scored"), n=Sum("n_poses"))
    return total["s"] / total["n"] if total["n"] else None


def _work(camera: Camera, minutes: float) -> dict[str, float]:
    """What people gave: answers, and minutes of active time."""
    given = effort.answers(camera).aggregate(
        answers=Count("key", distinct=True),
        scripted=Count("key", filter=Q(scripted=True), distinct=True),
        warm_up=Count("key", filter=Q(event__lane=Lane.WARMUP), distinct=True),
    )
    return given | {"minutes": minutes}
