"""The audit's section and the effort ledger against cases worked by hand, from rows to the page and the CSV."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from uuid import uuid4

import numpy as np
import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from scipy.stats import hypergeom

from alfred.models import (
    Answer,
    AuditStratum,
    Camera,
    Candidate,
    Deployment,
    Event,
    EventSegment,
    Lane,
    Segment,
    Slice,
    User,
    Verdict,
)
from alfred.reports import audit
from alfred.reports.as_csv import to_csv
from alfred.reports.audit import AuditedSlice, Part
from alfred.reports.effort import Asked
from alfred.services import audit_figures, draw_audit
from alfred.services.report import camera_report
from tests import world
from tests.annotator.pages import Page
from tests.reports import camera_rows as rows
from tests.reports.worked import figures, one

TWO = [
    AuditedSlice(
        3,
        {audit.ALERT: Part(10, 2, 2, 2), audit.NEAR: Part(100, 10, 9, 1), audit.FAR: Part(50, 4, 4, 0)},
        {True: Part(20, 20, 20, 5)},
    ),
    AuditedSlice(4, {audit.ALERT: Part(20, 3, 2, 0), audit.NEAR: Part(80, 10, 9, 0)}, {True: Part(10, 10, 5, 1)}),
]


def table(report_csv: str, scope: str) -> list[dict[str, str]]:
    return [r for r in csv.DictReader(io.StringIO(report_csv, newline="")) if r["scope"] == scope]


def test_slices_are_pooled_where_pi_is_alike_and_what_has_no_label_is_unknown() -> None:
    made = audit.build(TWO, 28)
    # 5 of 20 and 1 of the 5 answered, one by one; above the band 10 × 2/2 and 20 × 0/2: π differs, so they stay apart.
    assert made.counts.tp == pytest.approx(5 + 1 + 10) and made.counts.fp == pytest.approx(60 - 16)
    # 180 × 1/18 near θ; none far below.
    assert made.counts.fn == pytest.approx(10) and made.counts.tn == pytest.approx(230 - 10)
    assert made.label_noise.value == pytest.approx(10 / 230)
    assert made.prevalence.value == pytest.approx(26 / 290)
    assert made.fpr.value == pytest.approx(44 / 264)
    said = {
        line.words: (line.part.population, line.part.drawn, line.part.judged, line.unanswered) for line in made.lines
    }
    assert said == {
        "flagged, asked": (30, 30, 25, 5),
        "flagged, above AL-Light's band": (30, 5, 4, 1),
        "not flagged, nearest below θ": (180, 20, 18, 2),
        "not flagged, far below θ": (50, 4, 4, 0),
    }


def test_a_busy_and_a_quiet_day_do_not_speak_for_each_other() -> None:
    """28 days of 30 audits each; quiet days hold ten times the share of misses. Pooled, they would count too much."""
    rng = np.random.default_rng(5)
    covered, runs = 0, 60
    for _ in range(runs):
        days, truth = [], 0
        for day in range(28):
            n, share = (300, 0.05) if day % 7 >= 5 else (3000, 0.005)
            missed = int(rng.binomial(n, share))
            truth += missed
            days.append(
                AuditedSlice(day, {audit.NEAR: Part(n, 30, 30, int(rng.hypergeometric(missed, n - missed, 30)))})
            )
        noise = audit.build(days, 28).label_noise
        total = sum(row.strata[audit.NEAR].population for row in days)
        covered += (noise.low or 0.0) <= truth / total <= (noise.high or 1.0)
    assert covered / runs >= 0.95 - 2 * (0.05 * 0.95 / runs) ** 0.5


def test_the_strata_are_those_that_are_stored() -> None:
    assert list(audit.WORDS) == AuditStratum.Kind.values


def test_intervals_are_exact_and_shared_by_all_uncertain_strata() -> None:
    """Both strata below θ by scipy: α/2 for each of two strata, half of it a tail."""
    made = audit.build([AuditedSlice(0, {audit.NEAR: Part(60, 30, 30, 2), audit.FAR: Part(40, 20, 20, 0)})], 28)
    tail = 0.05 / 2 / 2
    near = [k for k in range(2, 33) if hypergeom.cdf(2, 60, k, 30) > tail and hypergeom.sf(1, 60, k, 30) > tail]
    far = [k for k in range(21) if hypergeom.cdf(0, 40, k, 20) > tail]
    assert (made.label_noise.low, made.label_noise.high) == (min(near) / 100, (max(near) + max(far)) / 100)
    assert made.label_noise.value == pytest.approx(4 / 100)


def test_what_was_judged_as_a_whole_is_known_exactly() -> None:
    made = audit.build(
        [AuditedSlice(0, {audit.NEAR: Part(8, 8, 8, 2)}, {True: Part(6, 6, 6, 3)}, {True: Part(1, 1, 1, 1)})], 28
    )
    assert [(r.value, r.low, r.high) for r in (made.fnr, made.fpr)] == [(2 / 6,) * 3, (3 / 9,) * 3]
    assert made.sentence.startswith("Estimated from 8 audited and 7 otherwise judged segments of 1 slice: 33.3 %")


def test_where_too_little_is_answered_fnr_and_ebi_have_no_value() -> None:
    made = audit.build([AuditedSlice(0, {audit.NEAR: Part(100, 10, 0, 0)}, {True: Part(9, 9, 9, 3)})], 28)
    assert made.fnr.value is None and made.ebi.value is None and made.fpr.value is not None
    assert made.sentence.startswith("FNR unknown: at most 97.1 %. 100 segments lie in strata without any audit.")
    assert made.fnr.high == pytest.approx(100 / 103)
    (row,) = table(to_csv(figures(audit=made)), "audit_last_28_days")
    assert (row["fnr"], row["ebi"], row["basis"], row["unit"]) == ("", "", "audit", "segment")
    assert float(row["fnr_high"]) == made.fnr.high and float(row["label_noise_high"]) == 1.0
    (reviews, near) = table(to_csv(figures(audit=made)), "audit_stratum")
    assert [near[n] for n in ("basis", "segments", "asked", "answered", "unresolved", "fn", "tp")] == [
        "audited", "100", "10", "0", "10", "0", ""
    ]  # fmt: skip
    assert [reviews[n] for n in ("basis", "segments", "answered", "tp", "fp", "tn")] == [
        "judged",
        "9",
        "9",
        "3",
        "6",
        "",
    ]


def test_ground_truth_lines_are_the_same_with_an_audit_beside_them() -> None:
    with_it, without = figures(audit=audit.build(TWO, 28)), figures()
    assert (with_it.series, with_it.slice_lines, with_it.summary) == (
        without.series,
        without.slice_lines,
        without.summary,
    )
    judged = one(0, [[1, 2, 0, 0]], basis="judged", partial=True)
    assert "Gate, by its audit: FNR unknown: at most" in figures(slices=[judged], audit=audit.build(TWO, 28)).summary


def test_gain_is_against_the_first_version_on_the_same_basis_by_the_hours_before() -> None:
    slices = [
        one(0, [[5, 5, 5, 5]]),
        one(1, [[8, 2, 8, 2]], basis="estimated"),
        one(2, [[9, 1, 9, 1]]),
        one(3, [[7, 3, 7, 3]], closed=False),
    ]
    for n, row in enumerate(slices):
        object.__setattr__(row, "versions", [(f"v{n}", 1.5, 20)])
    asked = {0: Asked(40, 20, 10, 2, 12), 2: Asked(10, 10, 10, 3, 13)}
    made = figures(slices=slices, asked=asked, minutes={0: 20.0, 1: 10.0, 2: 30.0}).effort
    assert [row.saved for row in made.slices] == [0.75, None, 0.0, None]
    # EBI .5 → .9 after half an hour of looking; an estimate is not set against ground truth, nor is an open slice.
    assert [row.gain_per_hour for row in made.slices] == [None, None, pytest.approx(0.8), None]
    assert made.total.asked == Asked(50, 30, 20, 5, 25) and made.total.saved == pytest.approx(0.6)
    assert made.total.minutes == 60.0 and made.total.gain_per_hour == pytest.approx(0.8)


SCORES: list[float | None] = [None, *(0.5 + n / 100 for n in range(20)), *(0.4 - n / 200 for n in range(60))]
"""1 unscored, 20 flagged at θ = .5, 60 not flagged."""


def audited(
    by: Deployment, ordinal: int, *, asked: int = 10, theta_med: float | None = None, chooser: User | None = None
) -> list[Segment]:
    """A closed slice: the first flagged ones asked in review and not yet answered, and its audit drawn.

    `chooser` has judged the highest score among the alerts before: an anomaly.
    """
    part, segments = rows.sliced(by, ordinal, list(SCORES), days_ago=None)
    Candidate.objects.bulk_create(
        Candidate(
            segment=segments[n], slice=part, deployment=by, lane=Lane.REVIEW, asked=n <= asked, probability=0.5,
            theta_med=theta_med, seed=1,
        )
        for n in range(1, 21)
    )  # fmt: skip
    if chooser:
        rows.said(chooser, segments, {20: Answer.ANOMALY}, lane=Lane.ALERT)
    draw_audit.for_slice(part)
    Slice.objects.filter(pk=part.pk).update(closed_at=timezone.now())
    return segments


def answer_audit(user: User, answer: Answer = Answer.NORMAL, most: int | None = None) -> None:
    for event in Event.objects.filter(lane=Lane.AUDIT, state="open").order_by("place")[:most]:
        world.answer(user, event, answer, active_ms=6000)


@pytest.mark.django_db
def test_answers_come_from_the_audit_s_own_draw_and_from_reviews() -> None:
    view = world.camera(review_budget=20)
    alice = world.people(view).alice
    segments = audited(rows.deployed(view, "v0", 0.5, rows.validation_set(view)), 0, chooser=alice)
    rows.said(alice, segments, {n: Answer.ANOMALY if n < 4 else Answer.NORMAL for n in range(1, 9)}, lane=Lane.REVIEW)
    rows.said(alice, segments, {9: Answer.UNSURE}, lane=Lane.REVIEW)
    answer_audit(alice, Answer.NORMAL, most=12)
    answer_audit(alice, Answer.UNSURE, most=3)
    before = audit_figures.of_camera(view)
    assert [(x.words, x.part.population, x.part.judged, x.part.found) for x in before.lines[:3]] == [
        ("flagged, asked", 10, 8, 3),
        ("flagged, judged unasked", 1, 1, 1),
        ("flagged, not asked for want of budget", 9, before.lines[2].part.judged, 0),
    ]
    assert (before.drawn, before.audited) == (20, 12) and before.counts.n == 80
    # An alert that somebody judges after the slice has closed is no part of a sample, drawn or not.
    drawn = set(Candidate.objects.filter(lane=Lane.AUDIT).values_list("segment_id", flat=True))
    free = next(n for n in range(11, 20) if segments[n].pk not in drawn)
    waiting = Event.objects.filter(lane=Lane.AUDIT, state="open").values_list("segments", flat=True)
    rows.said(alice, segments, {free: Answer.ANOMALY}, lane=Lane.ALERT)
    pending = next(n for n, s in enumerate(segments) if s.pk in set(waiting))
    rows.said(alice, segments, {pending: Answer.ANOMALY}, lane=Lane.ALERT)
    assert audit_figures.of_camera(view) == before


@pytest.mark.django_db
def test_only_slices_of_the_present_validation_set_and_of_the_last_28_days() -> None:
    view = world.camera()
    audited(rows.deployed(view, "v0", 0.5, rows.validation_set(view, 1)), 0)
    present = rows.validation_set(view, 2)
    assert audit_figures.of_camera(view).empty.startswith("No audit yet: in the last 28 days no slice closed that ran")
    by = rows.deployed(view, "v0", 0.5, present)
    for ordinal in (1, 2, 3):
        audited(by, ordinal)
    Slice.objects.filter(ordinal=1).update(closed_at=timezone.now() - timedelta(days=29))
    assert audit_figures.of_camera(view).slices == [2, 3]
    assert "no complete validation set" in audit_figures.of_camera(world.camera("New")).empty


def page_of(view: Camera, client: Client) -> str:
    response = client.get(reverse("report", args=[view.slug]))
    assert response.status_code == 200
    return response.content.decode()


@pytest.mark.django_db
def test_the_page_says_it_first_in_a_sentence_and_costs_no_more_for_many_slices() -> None:
    few, many = world.camera("Few"), world.camera("Many")
    cast = world.people(few, many)
    for view, count in ((few, 1), (many, 5)):
        by = rows.deployed(view, "v0", 0.5, rows.validation_set(view))
        for ordinal in range(count):
            audited(by, ordinal)
    answer_audit(cast.alice)
    client = Client()
    client.force_login(cast.sue)
    page_of(few, client)
    spent = []
    for view in (few, many):
        with CaptureQueriesContext(connection) as seen:
            html = page_of(view, client)
        spent.append(len(seen.captured_queries))
        main = " ".join(Page(html).all("main")[0].text.split())
        heading = main.index("Audit, last 28 days")
        sentence = main.index("FNR unknown: at most", heading)
        assert heading < sentence < main.index("nearest below θ") < main.rindex("Effort")
        assert "is not added to a quiet one" in main and Page(html).inline_code() == []
    assert spent[0] == spent[1] <= 34
    new = world.camera("New")
    world.join(cast, new)
    assert "the camera has no complete validation set" in page_of(new, client)


@pytest.mark.django_db
def test_the_ledger_counts_the_draws_and_the_minutes_of_each_slice() -> None:
    view = world.camera(methodology="al_light", review_budget=20)
    alice = world.people(view).alice
    by = rows.deployed(view, "v0", 0.5, rows.validation_set(view))
    audited(by, 0, theta_med=0.595)  # the first 10 of 20 lie in the band
    segments = audited(by, 1, asked=5, theta_med=None)
    answer_audit(alice, most=10)  # a tenth of a minute each
    event = Event.objects.create(
        camera=view, recording=segments[1].recording, slice=segments[1].slice, lane=Lane.REVIEW, place=0,
        state="decided", start_pts=0, end_pts=4, peak_pts=1,
    )  # fmt: skip
    key = uuid4()
    for segment in segments[1:4]:  # three segments, one key press
        EventSegment.objects.create(event=event, segment=segment, lane=Lane.REVIEW)
        Verdict.objects.create(event=event, segment=segment, user=alice, answer="normal", key=key, active_ms=120_000)
    report = camera_report(view)
    first, second = report.effort.slices
    audits = [AuditStratum.objects.filter(slice=s).values_list("sampled", flat=True) for s in Slice.objects.all()]
    assert first.asked == Asked(20, 10, 10, sum(audits[0]), 10 + sum(audits[0]))
    assert second.asked == Asked(20, 20, 5, sum(audits[1]), 5 + sum(audits[1]))
    assert (first.saved, second.saved) == (0.5, 0.75)
    total = report.effort.total
    assert total.minutes == pytest.approx(2 + 10 * 0.1) == report.work["minutes"]
    assert second.minutes >= 2 and total.gain_per_hour is None
    (row,) = table(to_csv(report), "all_slices")
    assert [row[n] for n in ("would_ask", "in_band", "asked_in_review", "saved")] == ["40", "30", "15", "0.625"]
    assert int(row["audited"]) == sum(map(sum, audits))
