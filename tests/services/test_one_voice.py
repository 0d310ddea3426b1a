"""Of a round's confirmed false alarms no more than a share rests on one person's word."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alfred.core.methodologies import Label
from alfred.models import Answer, AuditEntry, Camera, Event, Round, Segment, SnapshotLabel
from alfred.services import add_camera, labels, lease, one_voice, training_set
from alfred.services.launch_round import launch
from tests import crowd, world
from tests.services import round_stage


@given(st.integers(0, 200), st.integers(0, 200), st.sampled_from([Fraction(0), Fraction(1, 4), Fraction(1, 2)]))
def test_what_is_left_rests_on_one_person_by_the_share_at_most_and_no_more_is_taken(
    mine: int, others: int, share: Fraction
) -> None:
    over = one_voice.excess(mine, mine + others, float(share))
    assert 0 <= over <= mine and mine - over <= share * (mine + others - over)
    assert over == 0 or mine - over + 1 > share * (mine + others - over + 1)


def judged(view: Camera, by: dict[str, int], cast: world.People) -> tuple[Round, dict[str, list[Segment]]]:
    """A round on a slice whose flagged segments these people called normal, so many each."""
    piece = crowd.piece(view, 0, closed_h=2)
    segments = crowd.seen(view, piece, [2.0] * sum(by.values()))
    found = {name: [segments.pop() for _ in range(n)] for name, n in by.items()}
    for name, mine in found.items():
        for segment in mine:
            crowd.said(getattr(cast, name), segment)
    return crowd.rounded(piece, {}, "training"), found


@pytest.mark.django_db
def test_what_is_over_half_goes_to_a_second_person() -> None:
    view = crowd.camera(one_voice_share=0.5)
    cast = world.people(view)
    made, found = judged(view, {"alice": 6, "bob": 2}, cast)
    said = labels.of_slices([made.slice_id], together=True)[made.slice_id]
    held = one_voice.held_back(made, said)
    assert len(held) == 4 and held <= {s.pk for s in found["alice"]}  # 2 of alice's beside 2 of bob's
    queued = Event.objects.filter(state=Event.State.SECOND)
    assert set(queued.values_list("segments", flat=True)) == held
    assert lease.waiting(cast.alice) == 0 and lease.waiting(cast.bob) == 4
    entry = AuditEntry.objects.get(action="second looks asked")
    assert entry.details == {"round": made.ordinal, "segments": 4, "judged_by": "alice"}
    for event in queued:
        world.answer(cast.bob, event)
    assert one_voice.held_back(made, labels.of_slices([made.slice_id])[made.slice_id]) == set()


@pytest.mark.django_db
def test_what_two_people_or_a_ruling_say_is_no_one_persons_word() -> None:
    view = crowd.camera(one_voice_share=0.5)
    cast = world.people(view)
    made, found = judged(view, {"alice": 4}, cast)
    for segment in found["alice"][:2]:
        world.answer(cast.bob, Event.objects.get(segments=segment))
    said = labels.of_slices([made.slice_id])[made.slice_id]
    assert one_voice.held_back(made, said) == set()  # 2 of 4


@pytest.mark.django_db
def test_where_nobody_else_can_judge_or_there_is_no_limit_nothing_is_held_back() -> None:
    alone = crowd.camera("Alone", one_voice_share=0.5)
    alice = world.person("solo")
    add_camera.allow(alice, alone, world.Role.ANNOTATOR)
    piece = crowd.piece(alone, 0, closed_h=2)
    for segment in crowd.seen(alone, piece, [2.0] * 3):
        crowd.said(alice, segment)
    made = crowd.rounded(piece, {}, "training")
    assert one_voice.held_back(made, labels.of_slices([piece.pk])[piece.pk]) == set()
    free = crowd.camera("Free", one_voice_share=1.0)
    made, _ = judged(free, {"alice": 3}, world.people(free))
    assert one_voice.held_back(made, labels.of_slices([made.slice_id])[made.slice_id]) == set()


@pytest.mark.django_db
def test_a_round_leaves_them_out_and_says_so_and_the_next_takes_them() -> None:
    found = round_stage.stage(one_voice_share=0.5)
    world.judge_all(found.view, found.cast.alice)
    made = launch(found.view.pk, found.cast.admin)
    round_stage.run_launched(made)
    frozen = SnapshotLabel.objects.filter(snapshot__round=made)
    normal, held = frozen.filter(label=Label.NORMAL), frozen.filter(label=Label.ONE_VOICE)
    assert held.exists() and not normal.filter(segment__score__flagged=True).exists()
    assert made.left_out["waits for a second person"] == held.count()
    assert "confirmed FP" not in made.left_out
    first = Event.objects.filter(state=Event.State.SECOND)[0]
    world.answer(found.cast.bob, first, Answer.NORMAL)
    made.state = "promoted"
    made.save()
    world.scored(found.view, seed=10, minutes=1, slice_ordinal=1)
    late = training_set.late_labels(found.view, found.view.slices.get(ordinal=1))
    assert set(held.values_list("segment_id", flat=True)) <= late.keys()
