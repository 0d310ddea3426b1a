"""Newcomers judge twenty known items first, see how it went, and nothing of it counts."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from alfred.models import Answer, Camera, Membership, Segment, SegmentTruth, TrialAnswer, User, Verdict
from alfred.services import trial
from tests import crowd, world

pytestmark = pytest.mark.django_db


def knowing(normals: int = 30, anomalies: int = 30) -> Camera:
    """A camera with imported truth."""
    view = crowd.camera(trial_first=True)
    segments = crowd.seen(view, None, [0.5] * (normals + anomalies), purpose="validation")
    SegmentTruth.objects.bulk_create(
        SegmentTruth(segment=segment, anomalous=n < anomalies, n_anomalous_poses=60 * (n < anomalies))
        for n, segment in enumerate(segments)
    )
    return view


def items(user: User) -> dict[int, bool]:
    return trial._items(user)


def answer_all(user: User, said: Answer | None = None) -> None:
    truths = items(user)
    while (item := trial.next_item(user)) is not None:
        trial.answer(user, item.pk, said or (Answer.ANOMALY if truths[item.pk] else Answer.NORMAL))


def test_it_is_due_for_who_is_new_and_only_where_there_are_items() -> None:
    cast = world.people(knowing())
    assert trial.due(cast.alice) and not trial.due(cast.admin) and not trial.due(cast.charlie)
    few = crowd.camera("Few", trial_first=True)
    assert not trial.due(world.person("ivy"))
    ivy = world.person("jo")
    world.add_camera.allow(ivy, few, world.Role.ANNOTATOR)
    assert not trial.due(ivy)


@pytest.mark.parametrize(("normals", "anomalies", "expected"), [(30, 30, 10), (12, 30, 10), (4, 30, 16), (30, 3, 3)])
def test_both_classes_alike_as_far_as_there_are_both(normals: int, anomalies: int, expected: int) -> None:
    alice = world.people(knowing(normals, anomalies)).alice
    drawn = items(alice)
    assert len(drawn) == trial.ITEMS and sum(drawn.values()) == expected
    assert list(drawn) == list(items(alice))  # the same at every look


def test_the_way_through_the_pages() -> None:
    cast = world.people(knowing())
    client = Client()
    client.force_login(cast.alice)
    assert client.get(reverse("review")).headers["Location"] == reverse("trial")
    seen = set()
    for n in range(trial.ITEMS):
        item = trial.next_item(cast.alice)
        assert item is not None
        seen.add(item.pk)
        page = client.get(reverse("trial")).content.decode()
        assert f"{n} / 20" in page and reverse("trial-poses", args=[item.pk]) in page
        assert client.post(reverse("trial-answer", args=[item.pk]), {"answer": "normal"}).status_code == 302
    assert len(seen) == trial.ITEMS
    page = client.get(reverse("trial")).content.decode()
    assert "You found 0 of 10 anomalies, and passed 10 of 10 normal clips as normal." in page
    assert client.get(reverse("review")).status_code == 200
    assert not Verdict.objects.exists()


def test_the_first_answer_stays_and_no_other_segment_is_an_item() -> None:
    cast = world.people(knowing())
    item = trial.next_item(cast.alice)
    assert item is not None
    trial.answer(cast.alice, item.pk, Answer.ANOMALY)
    trial.answer(cast.alice, item.pk, Answer.NORMAL)
    assert TrialAnswer.objects.get().answer == Answer.ANOMALY
    other = Segment.objects.exclude(pk__in=items(cast.alice)).first()
    assert other is not None
    trial.answer(cast.alice, other.pk, Answer.NORMAL)
    assert TrialAnswer.objects.count() == 1
    with pytest.raises(Segment.DoesNotExist):
        trial.item_for(cast.alice, other.pk)
    with pytest.raises(Segment.DoesNotExist):
        trial.answer(cast.charlie, item.pk, Answer.NORMAL)


def test_new_truth_takes_the_place_of_one_item_at_most() -> None:
    view = knowing()
    alice = world.people(view).alice
    before = items(alice)
    for anomalous in (False, True):
        (segment,) = crowd.seen(view, None, [0.5], purpose="validation")
        SegmentTruth.objects.create(segment=segment, anomalous=anomalous, n_anomalous_poses=60 * anomalous)
    after = items(alice)
    assert len(set(before) - set(after)) <= 2
    assert [s for s in before if s in after] == [s for s in after if s in before]


def test_it_is_over_for_who_has_judged_and_for_admins() -> None:
    """The truth of what waits in the queue is told to nobody who judges there."""
    view = knowing()
    cast = world.people(view)
    item = trial.next_item(cast.alice)
    assert item is not None and trial.next_item(cast.admin) is None
    trial.answer(cast.alice, item.pk, Answer.NORMAL)
    for segment in crowd.seen(view, crowd.piece(view, 0), [2.0] * trial.EXPERIENCED):
        crowd.said(cast.alice, segment)
    assert trial.next_item(cast.alice) is None and len(trial.results(cast.alice)) == 1
    trial.answer(cast.alice, next(s for s in items(cast.alice) if s != item.pk), Answer.NORMAL)
    assert len(trial.results(cast.alice)) == 1


def test_results_of_a_camera_that_is_no_longer_theirs_are_not_shown() -> None:
    alice = world.people(knowing()).alice
    answer_all(alice)
    Membership.objects.filter(user=alice).delete()
    assert trial.results(alice) == []


def test_as_many_queries_for_many_cameras_as_for_one() -> None:
    view = knowing()
    alice = world.people(view).alice
    client = Client()
    client.force_login(alice)
    spent = []
    for yards in (5, 0):
        with CaptureQueriesContext(connection) as seen:
            client.get(reverse("trial"))
        spent.append(len(seen))
        for n in range(yards):
            world.add_camera.allow(alice, crowd.camera(f"Yard {n}", trial_first=True), world.Role.ANNOTATOR)
    assert spent[0] == spent[1] <= 14


def test_who_has_judged_before_is_not_new() -> None:
    view = knowing()
    cast = world.people(view)
    piece = crowd.piece(view, 0)
    for segment in crowd.seen(view, piece, [2.0] * trial.EXPERIENCED):
        assert trial.due(cast.alice)
        crowd.said(cast.alice, segment)
    assert not trial.due(cast.alice)


def test_all_right_is_all_right() -> None:
    alice = world.people(knowing()).alice
    answer_all(alice)
    assert all(result.right for result in trial.results(alice)) and trial.next_item(alice) is None
