"""The guide: versions, who has seen the newest, which one an answer was given under, who may write."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from alfred.models import GuideVersion, Verdict
from alfred.services import guide
from tests import crowd, world

pytestmark = pytest.mark.django_db


def test_a_change_is_a_version_and_everybody_sees_it_once() -> None:
    view = crowd.camera()
    cast = world.people(view)
    assert guide.present(view) is None and not guide.unseen(cast.alice).exists()
    first = guide.write(view, "Jogging is normal before nine.", by=cast.sue)
    assert list(guide.unseen(cast.alice)) == [view] and not guide.unseen(cast.sue).exists()
    guide.saw(cast.alice, first)
    guide.saw(cast.alice, first)
    assert not guide.unseen(cast.alice).exists()
    assert guide.write(view, "Jogging is normal before nine.", by=cast.sue) == first
    second = guide.write(view, "Jogging is normal.", by=cast.sue)
    assert (second.number, guide.present(view)) == (2, second)
    assert list(guide.unseen(cast.alice)) == [view]
    assert not guide.unseen(world.person("stranger")).exists()


def test_answers_store_the_version_they_were_given_under() -> None:
    view = crowd.camera()
    cast = world.people(view)
    events = [crowd.asked(s) for s in crowd.seen(view, crowd.piece(view, 0), [2.0] * 2)]
    world.answer(cast.alice, events[0])
    made = guide.write(view, "Jogging is normal.", by=cast.sue)
    world.answer(cast.alice, events[1])
    assert list(Verdict.objects.order_by("id").values_list("guide", flat=True)) == [None, made.pk]


def test_supervisors_write_annotators_read_and_text_stays_text() -> None:
    view = crowd.camera()
    cast = world.people(view)
    url, text = reverse("guide", args=[view.slug]), "Running <b>is</b> normal."
    alice, sue = Client(), Client()
    alice.force_login(cast.alice)
    sue.force_login(cast.sue)
    assert alice.post(url, {"text": text}).status_code == 404 and not GuideVersion.objects.exists()
    assert sue.post(url, {"text": ""}).status_code == 422
    assert sue.post(url, {"text": text}).status_code == 302
    for page in (url, reverse("guide-panel", args=[view.slug])):
        read = alice.get(page).content.decode()
        assert "Running &lt;b&gt;is&lt;/b&gt; normal." in read and "<textarea" not in read
    assert alice.post(reverse("review-heartbeat")).json()["unseen"] == [view.slug]
    alice.post(reverse("guide-saw", args=[view.slug]))
    assert alice.post(reverse("review-heartbeat")).json()["unseen"] == []
