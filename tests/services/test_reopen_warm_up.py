"""Warm-up opened again, and imported clips that join a set: rows only, no detector."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from django.utils import timezone

from alfred.core.sampling import effective_sample_size
from alfred.models import (
    Answer,
    AuditEntry,
    Camera,
    Candidate,
    Job,
    Lane,
    Segment,
    SegmentScore,
    SegmentTruth,
    User,
    ValidationSet,
)
from alfred.models.detectors import in_force
from alfred.services import build_validation, find_threshold, open_review, warm_up_facts
from alfred.services.deploy import Refused
from alfred.services.reopen_warm_up import call_off, reopen
from tests import crowd, world

pytestmark = pytest.mark.django_db


def drawn(view: Camera, ordinal: int, n: int, probability: float = 0.5) -> list[Segment]:
    """A slice of which all were drawn for warm-up."""
    row = crowd.piece(view, ordinal)
    found = crowd.seen(view, row, [0.1 * k for k in range(n)])
    now = in_force(view.pk)
    assert now is not None
    Candidate.objects.bulk_create(
        Candidate(
            segment=s, slice=row, deployment=now, lane=Lane.WARMUP, probability=probability, asked=True, seed=ordinal
        )
        for s in found
    )
    return found


def confirm(who: User, segments: list[Segment], anomalies: int) -> None:
    for i, segment in enumerate(segments):
        crowd.said(who, segment, Answer.ANOMALY if i < anomalies else Answer.NORMAL, Lane.WARMUP)


def imported(view: Camera, anomalous: list[bool]) -> list[Segment]:
    """A labelled file, scored and not yet in any set."""
    found = crowd.seen(view, None, [2.0 if a else 0.2 for a in anomalous], purpose="validation")
    SegmentTruth.objects.bulk_create(
        SegmentTruth(segment=s, anomalous=a, n_anomalous_poses=int(a)) for s, a in zip(found, anomalous, strict=True)
    )
    return found


def members(row: ValidationSet | None) -> dict[int, tuple[bool, float, str]]:
    assert row is not None
    rows = row.members.values_list("segment_id", "anomalous", "weight", "origin")
    return {pk: (anomalous, weight, origin) for pk, anomalous, weight, origin in rows}


def test_a_new_version_is_made_of_new_draws_while_the_old_one_stays_in_force() -> None:
    view = crowd.camera(val_min=2)
    cast = world.people(view)
    old = drawn(view, 0, 6)
    with pytest.raises(Refused, match="still running"):
        reopen(view.pk, cast.sue)
    confirm(cast.alice, old[:4], 2)
    build_validation.advance(view)
    first = build_validation.frozen_set(view.pk)
    assert len(members(first)) == 4 and not build_validation.warming_up(view.pk)
    before = in_force(view.pk)

    made = reopen(view.pk, cast.sue, "moved to the other wall")
    assert (made.number, made.frozen_at) == (2, None)
    entry = AuditEntry.objects.get(action="reopen warm-up")
    assert (entry.by, entry.details) == (cast.sue, {"set": 2, "replaces": 1, "reason": "moved to the other wall"})
    with pytest.raises(Refused, match="open again already"):
        reopen(view.pk, cast.sue)
    # What was drawn before says nothing of the new view, whenever it is answered.
    confirm(cast.alice, old[4:], 1)
    assert build_validation.progress(view) == build_validation.Progress(0, 0, 2)
    assert build_validation.warming_up(view.pk) and build_validation.frozen_set(view.pk) == first
    new = drawn(view, 1, 4)
    confirm(cast.alice, new[:3], 1)
    build_validation.advance_all()
    assert build_validation.frozen_set(view.pk) == first and in_force(view.pk) == before
    assert not Job.objects.filter(kind="calibrate", key__regex=r":\d+$").exclude(key__contains="set").exists()
    confirm(cast.alice, new[3:], 1)
    build_validation.advance_all()
    second = build_validation.frozen_set(view.pk)
    assert second is not None and second.pk == made.pk and set(members(second)) == {s.pk for s in new}
    assert len(members(first)) == 4 and not build_validation.warming_up(view.pk)
    assert Job.objects.filter(kind="calibrate", key__contains=f"set:{second.pk}:").exists()


def test_sampling_starts_again_and_ends_when_it_is_called_off() -> None:
    view = crowd.camera()
    cast = world.people(view)
    crowd.validated(view, crowd.seen(view, crowd.piece(view, 0), [0.1, 2.0]))
    first = build_validation.frozen_set(view.pk)

    def lanes(ordinal: int) -> set[str]:
        found = crowd.seen(view, crowd.piece(view, ordinal), [0.1, 0.2, 2.0, 3.0])
        rows = list(SegmentScore.objects.filter(segment__in=found).select_related("segment", "deployment__threshold"))
        open_review.for_recording(view, found[0].recording, rows)
        return set(Candidate.objects.filter(segment__in=found, asked=True).values_list("lane", flat=True))

    assert lanes(1) == {"review"}
    reopen(view.pk, cast.admin)
    assert lanes(2) == {"warmup"}
    call_off(view.pk, cast.admin)
    assert lanes(3) == {"review"} and ValidationSet.objects.get() == first
    assert AuditEntry.objects.filter(action="call off warm-up", by=cast.admin).exists()
    with pytest.raises(Refused, match="nothing to call off"):
        call_off(view.pk, cast.admin)


def test_imports_join_the_set_in_force_and_the_old_version_stays() -> None:
    view = crowd.camera(val_min=1)
    alice = world.people(view).alice
    own = drawn(view, 0, 4)
    confirm(alice, own, 2)
    build_validation.advance(view)
    first = build_validation.frozen_set(view.pk)
    clips = imported(view, [True, True, True])  # staged falls: one class is enough to join
    second = build_validation.freeze_imported(view)
    assert second is not None and (second.number, second.origin) == (2, "warmup")
    assert members(second) == members(first) | {s.pk: (True, 1.0, "ground_truth") for s in clips}
    assert {weight for _, weight, _ in members(first).values()} == {2.0}
    assert build_validation.freeze_imported(view) == second  # nothing new
    facts = warm_up_facts.frozen(second)
    assert facts is not None and (facts["anomalous"].n, facts["anomalous"].imported, facts["normal"].n) == (5, 3, 2)
    assert facts["anomalous"].effective == pytest.approx(effective_sample_size([2, 2, 1, 1, 1]))


def test_one_class_of_imports_counts_in_warm_up_and_two_end_it() -> None:
    view = crowd.camera(val_min=3)
    alice = world.people(view).alice
    clips = imported(view, [True, True, True])
    assert build_validation.freeze_imported(view) is None
    own = drawn(view, 0, 5)
    confirm(alice, own[:2], 0)
    assert build_validation.progress(view) == build_validation.Progress(2, 3, 3)
    build_validation.advance(view)
    assert build_validation.frozen_set(view.pk) is None
    confirm(alice, own[2:3], 0)
    build_validation.advance(view)
    assert set(members(build_validation.frozen_set(view.pk))) == {s.pk for s in [*clips, *own[:3]]}

    yard = crowd.camera("Yard", val_min=50)
    world.join(world.People(alice, alice, alice, alice, alice), yard)
    mine = drawn(yard, 0, 2)
    confirm(alice, mine, 0)
    both = imported(yard, [True, False])
    assert set(members(build_validation.freeze_imported(yard))) == {s.pk for s in [*mine, *both]}


def test_theta_is_told_with_and_without_what_was_imported() -> None:
    view = crowd.camera(val_min=10)
    rng = np.random.default_rng(3)
    normals, anomalies = rng.normal(0, 1, 40), rng.normal(2, 1, 12)
    own = drawn(view, 0, 52)
    first = crowd.validated(view, [])
    made = [
        find_threshold.ValidationMember(validation_set=first, segment=s, anomalous=i >= 40, weight=2.0, origin="warmup")
        for i, s in enumerate(own)
    ]
    value = dict(zip((s.pk for s in own), [*normals, *anomalies], strict=True))
    plain = find_threshold.find(view, find_threshold.labelled(made, value), complete=True)
    assert "without_imports" not in plain.details
    clips = imported(view, [True] * 60)
    made += [
        find_threshold.ValidationMember(
            validation_set=first, segment=s, anomalous=True, weight=1.0, origin="ground_truth"
        )
        for s in clips
    ]
    value |= {s.pk: v for s, v in zip(clips, rng.normal(0.5, 0.5, 60), strict=True)}
    both = find_threshold.find(view, find_threshold.labelled(made, value), complete=True)
    alone = both.details["without_imports"]
    assert alone["theta"] == plain.value and both.value != plain.value
    assert (alone["imported"], alone["anomalies"], both.details["anomalies"]) == (60, 12, 72)
    assert alone["eer"] == plain.details["eer"]


def test_the_time_to_completion_goes_by_what_people_confirmed() -> None:
    view = crowd.camera(val_min=20)
    alice = world.people(view).alice
    facts = warm_up_facts.in_the_making(view)
    assert facts is not None and facts.estimate.startswith("Nothing has been asked yet")
    own = drawn(view, 0, 12)
    confirm(alice, own[:8], 0)
    facts = warm_up_facts.in_the_making(view)
    assert facts is not None and facts.days_left is None
    assert facts.estimate == "No anomaly confirmed yet: it can't be said when it will be complete."
    imported(view, [True] * 5)
    facts = warm_up_facts.in_the_making(view)
    assert facts is not None and facts.days_left is None  # a file says nothing of the pace
    confirm(alice, own[8:10], 2)
    facts = warm_up_facts.in_the_making(view)
    assert facts is not None and (facts.normals, facts.anomalies) == (8, 7)
    assert facts.estimate.startswith("Begun less than a day ago")
    # 8 normals and 2 anomalies in ten days: 12 more normals take 15 days, 13 more anomalies take 65.
    since = warm_up_facts.WarmUp(facts.normal, facts.anomalous, 20, None, timezone.now() - timedelta(days=10))
    assert since.days_left == pytest.approx(65, abs=0.01)
    assert since.estimate == "At the pace so far it is complete in about 65 days."
