"""The audit of a closing slice against one made by hand: who is in the frame, which stratum, how many, and who asks."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from django.db import transaction
from hypothesis import given
from hypothesis import strategies as st

from alfred.core.methodologies import Reason
from alfred.models import (
    Answer,
    AuditStratum,
    Camera,
    Candidate,
    Deployment,
    Drift,
    Event,
    LabelSnapshot,
    Lane,
    Round,
    Segment,
    SegmentScore,
    Slice,
    SnapshotLabel,
    ValidationMember,
    ValidationSet,
)
from alfred.services import audit_figures, draw_audit, labels, slices, training_set
from tests import world
from tests.reports import camera_rows as rows
from tests.services.test_report import scene

Kind = AuditStratum.Kind

pytestmark = pytest.mark.django_db

SCORES = [None, None, *(0.5 + n / 100 for n in range(40)), *(0.4 - n / 200 for n in range(60))]
"""2 unscored, 40 flagged at θ = .5 (rising), 60 not flagged (falling)."""
FLAGGED, BELOW = range(2, 42), range(42, 102)
ABOVE = range(32, 42)
"""Above θ_med = .795: the last 10 of the flagged."""


def reviewed(segments: list[Segment], by: Deployment, asked: set[int], theta_med: float | None = 0.795) -> None:
    """The review's draw: a candidate of each flagged segment."""
    Candidate.objects.bulk_create(
        Candidate(
            segment=segments[n], slice=segments[n].slice, deployment=by, lane=Lane.REVIEW, asked=n in asked,
            probability=0.0 if n in ABOVE and theta_med else 0.5, theta_med=theta_med, seed=1,
        )
        for n in FLAGGED
    )  # fmt: skip


def by_hand(view: Camera) -> tuple[Slice, list[Segment]]:
    """10 of the flagged are asked; one unflagged is in the validation set, one was judged by choice, one skipped."""
    frozen = rows.validation_set(view)
    by = rows.deployed(view, "v0", 0.5, frozen)
    part, segments = rows.sliced(by, 0, list(SCORES), days_ago=None)
    reviewed(segments, by, set(range(2, 12)))
    ValidationMember.objects.create(validation_set=frozen, segment=segments[42], anomalous=False, weight=1)
    ed = world.person("ed")
    rows.said(ed, segments, {43: Answer.NORMAL, 41: Answer.ANOMALY}, lane=Lane.ALERT)
    rows.said(ed, segments, {44: Answer.SKIP}, lane=Lane.ALERT)
    return part, segments


def test_the_frame_its_strata_and_the_draw_of_a_slice_made_by_hand() -> None:
    view = world.camera(methodology="al_light", review_budget=50)
    part, segments = by_hand(view)
    draw_audit.for_slice(part)
    found = {row.kind: (row.population, row.sampled) for row in AuditStratum.objects.filter(slice=part)}
    # 9 above the band (one was judged), 20 in it that the budget left out, and thirds of the 57 below θ.
    assert {kind: held for kind, (held, _) in found.items()} == {
        Kind.ALERT: 9, Kind.UNASKED: 20, Kind.NEAR: 19, Kind.MIDDLE: 19, Kind.FAR: 19
    }  # fmt: skip
    frame = {s.pk for n, s in enumerate(segments) if n not in (0, 1, *range(2, 12), 41, 42, 43, 44)}
    assert sum(held for held, _ in found.values()) == len(frame)
    # max(20, 50 / 10), shared .2 .15 .25 .2 .2, and 5 more above the band.
    assert {kind: drawn for kind, (_, drawn) in found.items()} == {
        Kind.ALERT: 4 + 5, Kind.UNASKED: 3, Kind.NEAR: 5, Kind.MIDDLE: 4, Kind.FAR: 4
    }  # fmt: skip
    drawn = list(Candidate.objects.filter(lane=Lane.AUDIT))
    assert Counter(one.stratum for one in drawn) == {kind: sampled for kind, (_, sampled) in found.items()}
    assert {one.segment_id for one in drawn} <= frame and all(one.asked and one.slice == part for one in drawn)
    for one in drawn:
        held, sampled = found[one.stratum]
        assert one.probability == pytest.approx(sampled / held)
    near = [one.segment_id for one in drawn if one.stratum == Kind.NEAR]
    assert set(near) <= {segments[n].pk for n in range(45, 45 + 19)}


def test_an_audit_opens_an_event_a_segment_and_happens_once() -> None:
    view = world.camera(review_budget=10)
    part, _ = by_hand(view)
    draw_audit.for_slice(part)
    events = list(Event.objects.filter(lane=Lane.AUDIT))
    asked = {event.segments.get().pk: event for event in events}
    drawn = set(Candidate.objects.filter(lane=Lane.AUDIT).values_list("segment_id", flat=True))
    assert set(asked) == drawn and len(events) == len(drawn) == 20 + 1  # a tenth of 10 above the band
    for pk, event in asked.items():
        segment = Segment.objects.get(pk=pk)
        assert (event.recording_id, event.slice, event.state) == (segment.recording_id, part, "open")
        assert event.start_pts <= event.peak_pts <= event.end_pts
    draw_audit.for_slice(part)
    assert (Event.objects.filter(lane=Lane.AUDIT).count(), AuditStratum.objects.count()) == (len(events), 5)


def test_an_audit_is_doubled_while_drift_stands() -> None:
    view = world.camera(review_budget=10)
    part, _ = by_hand(view)
    for n in range(5):
        at = Slice.objects.create(camera=view, ordinal=100 + n)
        Drift.objects.create(slice=at, validation_set=ValidationSet.objects.get(camera=view), values={"score": 0.6})
    draw_audit.for_slice(part)
    drawn = dict(AuditStratum.objects.filter(slice=part).values_list("kind", "sampled"))
    assert (
        sum(drawn.values()) == 2 * 20 + 1 and drawn[Kind.ALERT] == 9
    )  # twice a tenth of 10 would be more than it holds


def test_the_same_slice_is_drawn_the_same_way() -> None:
    part, _ = by_hand(world.camera())
    seen = []
    for _ in range(2):
        with transaction.atomic():
            draw_audit.for_slice(part)
            seen.append(list(Candidate.objects.filter(lane=Lane.AUDIT).values_list("segment_id").order_by("segment")))
            transaction.set_rollback(True)
    assert seen[0] == seen[1] and seen[0]


def test_slices_with_nobody_with_few_and_of_a_camera_in_warm_up() -> None:
    view, warm = world.camera(), world.camera("Warm")
    nobody = Slice.objects.create(camera=view, ordinal=9)
    cold, _ = rows.sliced(rows.deployed(warm, "v0", 0.5, None), 0, [0.9, 0.1], days_ago=None)
    draw_audit.for_slice(cold)
    assert not AuditStratum.objects.exists()  # warm-up asks about the whole range anyway
    by = rows.deployed(view, "v0", 0.5, rows.validation_set(view))
    unscored, _ = rows.sliced(by, 1, [None, None], days_ago=None)
    for row in (nobody, unscored):
        draw_audit.for_slice(row)
        assert list(AuditStratum.objects.filter(slice=row).values_list("population", "sampled")) == [(0, 0)] * 5
    few, _ = rows.sliced(by, 2, [0.9, 0.8, 0.1, 0.2, None], days_ago=None)
    draw_audit.for_slice(few)
    assert all(row.sampled == row.population for row in AuditStratum.objects.filter(slice=few))
    assert Event.objects.filter(slice=few, lane=Lane.AUDIT).count() == 4


def test_two_versions_of_one_slice_have_bands_of_their_own() -> None:
    """Scores of two versions don't compare: by value alone, all of the second would lie nearest."""
    view = world.camera()
    frozen = rows.validation_set(view)
    first = rows.deployed(view, "v0", 0.5, frozen)
    part, segments = rows.sliced(first, 0, [n / 100 for n in range(30)], days_ago=None)
    second = rows.deployed(view, "v1", 50.0, frozen)
    _, more = rows.sliced(second, 1, [10.0 + n for n in range(30)], days_ago=None)
    kinds = draw_audit.strata_of(
        np.array([*(n / 100 for n in range(30)), *(10.0 + n for n in range(30))]),
        np.zeros(60, bool),
        np.full(60, np.inf),
        np.array([first.pk] * 30 + [second.pk] * 30),
    )
    assert kinds[:30].tolist() == kinds[30:].tolist() == [Kind.FAR] * 10 + [Kind.MIDDLE] * 10 + [Kind.NEAR] * 10
    assert len(segments) == len(more) == 30 and part.camera == view


@given(
    st.lists(st.tuples(st.floats(-9, 9), st.booleans(), st.none() | st.floats(0, 9), st.integers(1, 3)), max_size=60),
    st.integers(0, 400),
    st.integers(1, 2),
)
def test_strata_add_up_to_the_frame_and_no_draw_exceeds_its_own(
    segments: list[tuple[float, bool, float | None, int]], budget: int, times: int
) -> None:
    value = np.array([v for v, *_ in segments], np.float64)
    flagged = np.array([f for _, f, *_ in segments], bool)
    middle = np.array([np.inf if m is None or not f else m for _, f, m, _ in segments], np.float64)
    kinds = draw_audit.strata_of(value, flagged, middle, np.array([d for *_, d in segments], np.int64))
    held = np.bincount(kinds, minlength=5)
    assert held.sum() == len(segments)
    assert ((kinds <= Kind.UNASKED) == flagged).all() and ((kinds == Kind.ALERT) == (flagged & (value > middle))).all()
    drawn = draw_audit.sizes(held, budget, times)
    assert (drawn <= held).all()
    wanted = times * max(20, -(-budget // 10))
    assert drawn.sum() >= min(len(segments), wanted)
    assert drawn[Kind.ALERT] >= min(held[Kind.ALERT], times * -(-budget // 10))


def test_a_slice_closed_and_answered_for_real(tmp_path: Path) -> None:
    """Footage scored by a detector, reviews and audits answered by ground truth: the estimate is that of the truth."""
    found = scene(tmp_path, people_seen=36, review_budget=12, calibrated=True)
    alice = world.people(found.view).alice
    assert world.judge_all(found.view, alice) > 0
    slices.close(found.part.pk)
    flags = {s.segment_id: s.flagged for s in SegmentScore.objects.filter(slice=found.part)}
    truth = {s.segment_id: s.segment.track.number % 3 == 0 for s in found.scores}
    asked = set(Candidate.objects.filter(lane=Lane.REVIEW, asked=True).values_list("segment_id", flat=True))
    strata = list(AuditStratum.objects.filter(slice=found.part))
    assert len(asked) == 12 and sum(row.population for row in strata) == 36 - 12
    assert world.judge_all(found.view, alice) == sum(row.sampled for row in strata) == 20

    drawn: dict[int, list[bool]] = {row.kind: [] for row in strata}
    for one in Candidate.objects.filter(lane=Lane.AUDIT):
        drawn[one.stratum].append(truth[one.segment_id])
    tp, fn = float(sum(truth[s] for s in asked)), 0.0
    for row in strata:
        share = sum(drawn[row.kind]) / max(1, row.sampled)
        if row.kind in (Kind.ALERT, Kind.UNASKED):
            tp += row.population * share
        else:
            fn += row.population * share
    said = audit_figures.of_camera(found.view)
    assert (said.counts.tp, said.counts.fn) == pytest.approx((tp, fn))
    assert said.counts.n == 36 and said.audited == 20 and said.judged == 12
    assert said.label_noise.value == pytest.approx(fn / 18)
    missed = sum(truth[s] and not flags[s] for s in truth)
    assert said.label_noise.low is not None and said.label_noise.high is not None
    assert said.label_noise.low * 18 <= missed <= said.label_noise.high * 18

    # Nothing that the audit found trains, flagged or not, and what it called a false alarm does.
    made = Round.objects.create(
        camera=found.view, ordinal=1, slice=found.part, methodology="active_learning", base=found.scores[0].deployment
    )
    snapshot = LabelSnapshot.objects.create(round=made, digest="0" * 64)
    SnapshotLabel.objects.bulk_create(
        SnapshotLabel(snapshot=snapshot, segment_id=segment, label=label)
        for segment, label in labels.of_slice(found.part.pk).items()
    )
    trained = training_set.membership(made, training_set.slices_of(made))
    reasons = dict(zip(trained.segments, trained.reasons.tolist(), strict=True))
    for one in Candidate.objects.filter(lane=Lane.AUDIT):
        reason = reasons[one.segment_id]
        if truth[one.segment_id]:
            assert reason == Reason.CONFIRMED_ANOMALY
        elif flags[one.segment_id]:
            assert reason in (Reason.CONFIRMED_FP, Reason.BESIDE_ANOMALY)
