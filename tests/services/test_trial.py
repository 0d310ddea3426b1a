"""Newcomers judge twenty known items first, see how it went, and nothing of it counts."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from alfred.models import Answer, Camera, Segment, SegmentTruth, TrialAnswer, User, Verdict
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
    return trial._items(user, trial._cameras(user))


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
    with pytest.raises(Segment.DoesNotExist):
        trial.answer(cast.alice, other.pk, Answer.NORMAL)


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
