"""A camera's audit of the last weeks: strata and answers of its closed slices, handed to the report that pools them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Q
from django.utils import timezone

from alfred.core.methodologies import Label
from alfred.models import (
    Answer,
    AuditStratum,
    Camera,
    Candidate,
    Deployment,
    Lane,
    SegmentScore,
    Slice,
    Verdict,
)
from alfred.reports.audit import AuditedSlice, AuditReport, Part, build
from alfred.reports.camera_report import RECENT_DAYS
from alfred.services import labels
from alfred.services.count_slice import DECIDED
from alfred.services.series import PresentSeries, present_series


def of_camera(camera: Camera, days: int = RECENT_DAYS, *, series: PresentSeries | None = None) -> AuditReport:
    """What the audits of the slices that closed in the last `days` say, in as many queries for many as for one.

    Only slices that ran with a θ of the validation set in force, by the detector in force. How slices are pooled,
    though π differs from day to day, and what stands for missing answers: `alfred.reports.audit`.
    """
    series = series or present_series(camera.pk)
    since = timezone.now() - timedelta(days=days)
    drawn = AuditStratum.objects.filter(slice__camera=camera, slice__closed_at__gte=since).select_related("slice")
    strata: dict[int, list[AuditStratum]] = defaultdict(list)
    for stratum in drawn.order_by("slice__ordinal", "kind"):
        strata[stratum.slice_id].append(stratum)
    scored = _scored(list(strata))
    kept = [pk for pk in strata if all(series.holds(by) for by in scored[pk].by)]
    said = _said(kept)
    slices = [_audited(strata[pk], scored[pk], said[pk]) for pk in kept]
    return build(slices, days, has_validation_set=series.set_id is not None)


@dataclass
class _Scored:
    """What scored a slice, and how many segments of it got a score, by whether they were flagged."""

    by: list[Deployment]
    segments: dict[bool, int]


def _scored(slice_ids: list[int]) -> dict[int, _Scored]:
    rows = SegmentScore.objects.filter(slice_id__in=slice_ids).values("slice_id", "deployment_id", "flagged").order_by()
    counted = list(
        rows.annotate(n=Count("pk", filter=Q(value__isnull=False))).values_list(
            "slice_id", "deployment_id", "flagged", "n"
        )
    )
    ids = {deployment for _, deployment, *_ in counted}
    deployments = Deployment.objects.select_related("version", "threshold").in_bulk(ids)
    found = {pk: _Scored([], {True: 0, False: 0}) for pk in slice_ids}
    for slice_id, deployment, flagged, n in counted:
        found[slice_id or 0].by.append(deployments[deployment])
        found[slice_id or 0].segments[flagged] += n
    return found


@dataclass(frozen=True)
class _Judged:
    """A segment with an answer: its label, when it was first answered, and in which lanes."""

    flagged: bool
    label: Label
    first: datetime
    lanes: set[str]


@dataclass
class _Said:
    """Of a slice: the stratum of each segment the audit drew, those asked in other lanes, and those with an answer."""

    drawn: dict[int, int]
    asked: set[int]
    judged: dict[int, _Judged]


def _said(slice_ids: list[int]) -> dict[int, _Said]:
    found = {pk: _Said({}, set(), {}) for pk in slice_ids}
    asked = Candidate.objects.filter(slice_id__in=slice_ids, asked=True)
    for slice_id, segment, lane, stratum in asked.values_list("slice_id", "segment_id", "lane", "stratum"):
        if lane == Lane.AUDIT:
            found[slice_id or 0].drawn[segment] = stratum
        else:
            found[slice_id or 0].asked.add(segment)
    for one in found.values():
        one.asked -= one.drawn.keys()  # asked, then confirmed with its look-alikes and drawn after all
    rows = Verdict.objects.filter(segment__slice_id__in=slice_ids, segment__score__isnull=False, batch__isnull=True)
    rows = rows.filter(superseded_by__isnull=True, adjudicates=False).exclude(answer=Answer.UNDO)
    rows = rows.exclude(event__lane=Lane.KNOWN)
    names = ("segment__slice_id", "segment_id", "segment__score__flagged", "created_at", "event__lane")
    # A ruling settles what an answer says, not when it was given nor why it was asked for.
    given: dict[tuple[int, int, bool], list[tuple[datetime, str]]] = defaultdict(list)
    for slice_id, segment, flagged, at, lane in rows.values_list(*names):
        given[slice_id or 0, segment, flagged].append((at, lane))
    label_of = labels.of_slices(slice_ids)
    for (slice_id, segment, flagged), answers in given.items():
        first, lanes = min(at for at, _ in answers), {lane for _, lane in answers}
        found[slice_id].judged[segment] = _Judged(flagged, label_of[slice_id][segment], first, lanes)
    return found


def _audited(strata: list[AuditStratum], scored: _Scored, said: _Said) -> AuditedSlice:
    row = strata[0].slice
    in_frame = {True: 0, False: 0}
    for stratum in strata:
        in_frame[stratum.kind in (AuditStratum.Kind.ALERT, AuditStratum.Kind.UNASKED)] += stratum.population
    parts = {stratum.kind: _drawn(stratum, said) for stratum in strata}
    asked, volunteered = {}, {}
    for flagged in (True, False):
        own = _decided(said, flagged, [s for s in said.judged if _volunteered(s, said, row)])
        mine = _decided(said, flagged, [s for s in said.asked if s in said.judged and not _volunteered(s, said, row)])
        # What is neither in the frame nor volunteered was asked, or skipped and unsure: it has no label.
        population = max(scored.segments[flagged] - in_frame[flagged] - len(own), len(mine))
        volunteered[flagged] = Part(len(own), len(own), len(own), sum(own))
        asked[flagged] = Part(population, population, len(mine), sum(mine))
    return AuditedSlice(row.ordinal, parts, asked, volunteered)


def _drawn(stratum: AuditStratum, said: _Said) -> Part:
    """Judged: drawn, and answered in the audit's own event; an answer by choice elsewhere is no part of the sample."""
    mine = [said.judged[s] for s, kind in said.drawn.items() if kind == stratum.kind and s in said.judged]
    judged = [one.label == Label.ANOMALY for one in mine if Lane.AUDIT in one.lanes and one.label in DECIDED]
    return Part(stratum.population, stratum.sampled, len(judged), sum(judged))


def _volunteered(segment: int, said: _Said, row: Slice) -> bool:
    """Judged by choice: among the alerts only, or before the slice closed, so that no draw could reach it.

    What was neither asked nor drawn, and judged after that, is still in the frame and counts through its stratum.
    """
    one = said.judged[segment]
    if segment in said.asked:
        return one.lanes == {Lane.ALERT}
    return segment not in said.drawn and row.closed_at is not None and one.first <= row.closed_at


def _decided(said: _Said, flagged: bool, segments: list[int]) -> list[bool]:
    """Whether each of these is an anomaly, where it has a label."""
    judged = [said.judged[s] for s in segments]
    return [one.label == Label.ANOMALY for one in judged if one.flagged is flagged and one.label in DECIDED]
