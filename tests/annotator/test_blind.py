"""Before the verdict nothing tells why an event was opened, what it scored, or what scored it."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from alfred.models import Event, Lane, User
from alfred.services import lease
from tests import world
from tests.annotator import stage
from tests.annotator.pages import without_ids
from tests.annotator.stage import Scene

pytestmark = pytest.mark.django_db

SECRETS = (
    *(f"{value:.{digits}f}" for value in (stage.THETA, stage.OLDER_THETA, stage.SCORE) for digits in (2, 3, 4)),
    f"{stage.PROBABILITY:.2f}",
    "netting",
    "stg_nf",
    "θ",
    "theta",
    "warmup",
    "warm-up",
    "audit",
    "alert",
    "lane",
    "stratum",
    "probability",
    "flagged",
    "score",
    "threshold",
    "detector",
    "model",
)


NAVIGATION = b'<a href="/alerts/">Alerts</a>'
"""On every page of everybody."""


@pytest.fixture
def where() -> Scene:
    return stage.scene("Gate", events=0)


@pytest.fixture
def client(where: Scene) -> Client:
    client = Client()
    client.force_login(world.people(where.camera).alice)
    return client


def looks(client: Client, event: Event) -> dict[str, Any]:
    """All that reaches the browser of an event that is alone in the queue."""
    Event.objects.exclude(pk=event.pk).update(state=Event.State.HELD)
    Event.objects.filter(pk=event.pk).update(state=Event.State.OPEN)
    if event.lane == Lane.ALERT:  # never comes by the queue: somebody chose it
        lease.take_ahead(event, User.objects.get(username="alice"))
    found = {}
    for url in (
        reverse("review"),
        reverse("review-next"),
        reverse("event-poses", args=[event.pk]),
        reverse("event-clip", args=[event.pk]),
        reverse("plate", args=[event.camera.plates.get(approved_at__isnull=False).pk]),
    ):
        response = client.get(url)
        assert response.status_code == 200
        body = b"".join(response) if response.streaming else response.content
        body = body.replace(NAVIGATION, b"")
        headers = "\n".join(f"{name}: {value}" for name, value in sorted(response.headers.items()))
        found[without_ids(url)] = without_ids(f"{headers}\n\n{body.decode('latin-1')}")
    assert str(event.pk) in client.get(reverse("review")).content.decode()
    lease.release(User.objects.get(username="alice"))
    return found


# An alert is no part of the queue: who judges it has chosen it, and the queue's count leaves it out.
@pytest.mark.parametrize("lane", [lane for lane in Lane if lane not in (Lane.WARMUP, Lane.ALERT)])
def test_all_lanes_look_alike(client: Client, where: Scene, lane: Lane) -> None:
    first = looks(client, stage.open_event(where, Lane.WARMUP, where.segments[:1]))
    other = looks(client, stage.open_event(where, lane, where.segments[:1]))
    assert first == other


def test_every_lane_has_the_same_background_plate(client: Client, where: Scene) -> None:
    """Events of all lanes fetched at once name one picture: the camera's."""
    plate = reverse("plate", args=[where.plates[0].pk])
    for lane in (Lane.REVIEW, Lane.WARMUP, Lane.AUDIT):
        stage.open_event(where, lane, where.segments[:1])
    pages = [client.get(reverse(name)).content.decode() for name in ("review", "review-more")]
    assert "".join(pages).count(f'data-plate="{plate}"') == 4 and "".join(pages).count("data-plate=") == 4


@pytest.mark.parametrize("lane", list(Lane))
def test_nothing_is_given_away(client: Client, where: Scene, lane: Lane) -> None:
    for url, text in looks(client, stage.open_event(where, lane, where.segments[:1])).items():
        lowered = text.lower()
        assert [secret for secret in SECRETS if secret in lowered] == [], url


def test_the_secrets_would_be_seen(where: Scene) -> None:
    """A supervisor's pages hold them: the search above looks for the right words."""
    admin = Client()
    admin.force_login(User.objects.create_superuser("root"))
    text = "".join(
        admin.get(url).content.decode().lower()
        for url in (reverse("camera", args=["gate"]), reverse("recording", args=[where.recording.pk]))
    )
    assert {"θ", "netting", "flagged", "threshold", f"{stage.THETA:.3f}"} <= {s for s in SECRETS if s in text}


def test_the_poses_tell_places_and_nothing_else(client: Client, where: Scene) -> None:
    event = stage.open_event(where, Lane.REVIEW, where.segments[:1])
    answer = client.get(reverse("event-poses", args=[event.pk])).json()
    assert set(answer) == {"width", "height", "start", "end", "duration", "people", "asked", "peak", "shape"}
    assert (answer["width"], answer["height"]) == (world.WIDTH, world.HEIGHT)
    assert answer["start"] == 0.0 and answer["end"] == pytest.approx(event.end_pts + 1, abs=1e-3)
    assert [(p["name"], p["asked"]) for p in answer["people"]] == [("A", True), ("B", False)]
    assert all(set(person) == {"name", "asked", "pts", "xy", "confidence"} for person in answer["people"])
    assert all(len(row) == 34 for person in answer["people"] for row in person["xy"])
    known = [value for value in answer["shape"] if value is not None]
    assert (min(known), max(known)) == (0.0, 1.0)  # its own range: no value can be read from it


def test_the_shape_is_the_same_whatever_the_scores_are() -> None:
    """Scores moved and stretched give the very same strip."""
    import numpy as np

    from alfred.services.pose_window import _binned

    pts = np.arange(60) / 15
    score = np.sin(pts * 3)
    shape = _binned(pts, score, 0.0, 4.0)
    assert _binned(pts, 7.0 + 3.0 * score, 0.0, 4.0) == pytest.approx(shape, abs=2e-3)
    assert set(_binned(pts, np.full(60, 4.8), 0.0, 4.0)) == {0.5}
    assert _binned(pts, np.full(60, np.nan), 0.0, 4.0) == []


def test_a_second_look_sees_no_first_answer(client: Client, where: Scene) -> None:
    bob = User.objects.get(username="bob")
    first = stage.open_event(where, Lane.REVIEW, where.segments[:1])
    before = looks(client, stage.open_event(where, Lane.SECOND, where.segments[:1]))
    world.answer(bob, first, said=world.Answer.ANOMALY)
    after = looks(client, Event.objects.get(lane=Lane.SECOND))
    assert before == after


def test_addresses_are_random(client: Client, where: Scene) -> None:
    event = stage.open_event(where, Lane.AUDIT, where.segments[:1])
    assert event.pk.version == 4
