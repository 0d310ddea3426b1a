"""What was said after a slice's round had frozen its labels reaches a later round, once."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from alfred.core.methodologies import Label
from alfred.models import Answer, SegmentScore
from alfred.services import deploy, labels, training_set
from alfred.services.late_labels import false_alarms, late_labels
from alfred.services.launch_round import launch
from alfred.services.storage import artifacts
from tests import crowd, world
from tests.services import round_stage

pytestmark = pytest.mark.django_db


def test_late_answers_and_corrections_count_once() -> None:
    view = crowd.camera()
    alice = world.people(view).alice
    first, second, third = (crowd.piece(view, k, closed_h=9 - k) for k in range(3))
    on_time, corrected, late, unflagged, unsure = crowd.seen(view, first, [2.0, 2.0, 2.0, 0.5, 2.0])
    for segment in (on_time, corrected):
        crowd.said(alice, segment)
    assert late_labels(view, first) == {}  # nothing lies before it
    crowd.rounded(first, {on_time.pk: 0, corrected.pk: 0})
    assert late_labels(view, second) == {}
    crowd.said(alice, late)
    crowd.said(alice, corrected, Answer.ANOMALY)
    crowd.said(alice, unflagged)
    crowd.said(alice, unsure, Answer.UNSURE)
    own = crowd.seen(view, second, [2.0])[0]
    crowd.said(alice, own)  # the round on its own slice freezes it
    found = late_labels(view, second)
    assert found == {
        late.pk: Label.NORMAL,
        corrected.pk: Label.ANOMALY,
        unflagged.pk: Label.NORMAL,
        unsure.pk: Label.UNRESOLVED,
    }
    assert false_alarms(found) == {late.pk}  # what is not flagged has trained as a pseudo-normal
    frozen = {own.pk: 0} | {s: int(label) for s, label in found.items()}
    failed = crowd.rounded(second, frozen, "failed")
    assert late_labels(view, third) == found | {own.pk: Label.NORMAL}  # it has used nothing
    failed.state = "promoted"
    failed.save()
    assert late_labels(view, third) == {}


def test_a_label_that_was_only_looked_at_is_not_used_up() -> None:
    """A snapshot also freezes what lies just after its slice, to keep clear of anomalies there."""
    view = crowd.camera()
    alice = world.people(view).alice
    first, second, third = (crowd.piece(view, k, closed_h=9 - k) for k in range(3))
    neighbour = crowd.seen(view, second, [2.0])[0]
    crowd.said(alice, neighbour)
    crowd.rounded(first, {neighbour.pk: 0})
    assert late_labels(view, third) == {neighbour.pk: Label.NORMAL}  # and its own slice was never used by a round


def test_segments_of_the_validation_set_and_answers_in_open_slices_stay_out() -> None:
    view = crowd.camera()
    alice = world.people(view).alice
    first, still_open, third = crowd.piece(view, 0, closed_h=3), crowd.piece(view, 1), crowd.piece(view, 2)
    member, beside = crowd.seen(view, first, [2.0], each=2)  # one track
    crowd.validated(view, [member])
    for segment in (member, beside, crowd.seen(view, still_open, [2.0])[0]):
        crowd.said(alice, segment)
    found = late_labels(view, third)
    assert set(found) == {member.pk, beside.pk} and false_alarms(found) == set()


def test_a_false_alarm_confirmed_after_its_round_trains_in_the_next_one() -> None:
    """Slice 0 is trained on half answered; the rest is answered afterwards and reaches the round on slice 1."""
    scene = round_stage.stage(review_budget=10_000)
    view, alice = scene.view, scene.cast.alice
    world.judge_all(view, alice, most=2)
    first = round_stage.run_launched(launch(view.pk, None))
    deploy.promote(first.pk, None, "a test")
    early = training_set.membership(first, [first.slice]).confirmed
    world.judge_all(view, alice)
    said = labels.of_slice(first.slice_id)
    flagged = set(SegmentScore.objects.filter(slice=first.slice, flagged=True).values_list("segment_id", flat=True))
    wanted = {s for s, label in said.items() if label == Label.NORMAL and s in flagged} - early
    assert wanted
    world.scored(view, seed=12, minutes=0.5, slice_ordinal=1)
    world.judge_all(view, alice)
    second = round_stage.run_launched(launch(view.pk, None))
    found = training_set.membership(second, [second.slice])
    took = {s for s in found.segments if s in wanted}
    assert took and took >= {s for s in wanted if s in found.trains}
    assert not early & set(found.segments)  # what has trained does not train twice
    rows = pq.read_table(artifacts().path(second.manifest)).to_pylist()
    of_first = {r["segment"]: r["reason"] for r in rows if r["slice"] == first.slice.ordinal}
    assert set(of_first) == took and "confirmed FP" in of_first.values()
