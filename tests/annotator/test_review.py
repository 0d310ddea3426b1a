"""Reviewing in the browser: the next event, answers, undo, empty states, and what a request costs."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.db.models import F
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from alfred.models import Event, Lane, Lease, User, ValidationSet, Verdict
from alfred.services import lease
from tests import world
from tests.annotator import stage
from tests.annotator.pages import Page
from tests.annotator.stage import Scene

pytestmark = pytest.mark.django_db

NEXT = "/review/next/"


def signed_in(user: User) -> Client:
    client = Client(headers={"HX-Request": "true"})
    client.force_login(user)
    return client


def shown(response: Any) -> UUID | None:
    """The event an answer shows, if any."""
    found = re.search(r"/review/events/([0-9a-f-]{36})/verdict/", response.content.decode())
    return UUID(found[1]) if found else None


def post(client: Client, event: Event, answer: str = "normal", **data: Any) -> Any:
    return client.post(reverse("verdict", args=[event.pk]), {"answer": answer, "key": uuid4(), **data})


def then(client: Client, event: Event, answer: str = "normal", **data: Any) -> Any:
    """Answer, and what the page shows next: the answer to an answer asks the page to look for it."""
    response = post(client, event, answer, **data)
    assert (response.status_code, response.content) == (201, b"")
    return client.get(NEXT, {"camera": data.get("camera", "")})


def words(response: Any) -> str:
    """The text of an answer on one line."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


@pytest.fixture
def gate() -> Scene:
    return stage.scene("Gate", events=3)


def test_an_answer_shows_the_next_event(gate: Scene, cast: world.People) -> None:
    client = signed_in(cast.alice)
    first, second, third = gate.events
    assert shown(client.get(reverse("review"))) == first.pk
    assert shown(client.get(NEXT)) == first.pk  # the one held stays
    following = then(client, first, "anomaly", active_ms=2500)
    assert shown(following) == second.pk
    assert "Gate: anomaly" in words(following) and "2 in the queue" in words(following)
    row = Verdict.objects.get()
    assert (row.user, row.answer, row.active_ms, row.second) == (cast.alice, "anomaly", 2500, False)
    assert row.segment == gate.segments[0]
    first.refresh_from_db()
    assert first.state == Event.State.DECIDED
    assert shown(then(client, second)) == third.pk
    last = then(client, third)
    assert shown(last) is None and "Nothing to do" in words(last)


def test_two_people_never_meet(gate: Scene, cast: world.People) -> None:
    alice, bob = signed_in(cast.alice), signed_in(cast.bob)
    assert shown(alice.get(NEXT)) == gate.events[0].pk
    assert shown(bob.get(NEXT)) == gate.events[1].pk
    assert shown(then(alice, gate.events[0])) == gate.events[2].pk


def test_the_same_key_writes_once(gate: Scene, cast: world.People) -> None:
    client, key = signed_in(cast.alice), uuid4()
    first = post(client, gate.events[0], key=key)
    again = post(client, gate.events[0], "anomaly", key=key)
    assert (first.status_code, again.status_code) == (201, 200)
    assert list(Verdict.objects.values_list("answer", flat=True)) == ["normal"]


def test_one_key_answers_every_segment_of_the_event(gate: Scene, cast: world.People) -> None:
    event = stage.open_event(gate, Lane.WARMUP, gate.segments, place=-1)
    post(signed_in(cast.alice), event, "anomaly")
    rows = Verdict.objects.filter(event=event)
    assert sorted(rows.values_list("segment", flat=True)) == sorted(s.pk for s in gate.segments)
    assert len(set(rows.values_list("key", flat=True))) == 1


def test_a_late_answer_is_kept_as_a_second(gate: Scene, cast: world.People) -> None:
    alice, bob = signed_in(cast.alice), signed_in(cast.bob)
    event = gate.events[0]
    alice.get(NEXT)
    Lease.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert shown(bob.get(NEXT)) == event.pk
    assert post(bob, event, "normal").status_code == 201
    late = post(alice, event, "anomaly")
    assert late.status_code == 201
    assert list(Verdict.objects.order_by("id").values_list("user__username", "answer", "second")) == [
        ("bob", "normal", False),
        ("alice", "anomaly", True),
    ]
    event.refresh_from_db()
    assert event.state == Event.State.DISPUTED


def test_a_late_answer_to_an_undecided_event_counts(gate: Scene, cast: world.People) -> None:
    alice = signed_in(cast.alice)
    alice.get(NEXT)
    Lease.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert post(alice, gate.events[0]).status_code == 201
    assert not Verdict.objects.get().second


@pytest.mark.parametrize(
    "data",
    [
        {"answer": "maybe"},
        {"answer": ""},
        {"answer": "undo"},
        {"answer": "NORMAL"},
        {"key": "1"},
        {"key": ""},
        {"active_ms": "-1"},
        {"active_ms": "soon"},
    ],
)
def test_an_answer_that_is_none(gate: Scene, cast: world.People, data: dict[str, str]) -> None:
    response = post(signed_in(cast.alice), gate.events[0], **({"answer": "normal"} | data))
    assert response.status_code == 400
    assert response.content == b"The answer was not understood: reload the page."
    assert not Verdict.objects.exists()
    gate.events[0].refresh_from_db()
    assert gate.events[0].state == Event.State.OPEN


def test_absurd_looking_times_are_cut(gate: Scene, cast: world.People) -> None:
    post(signed_in(cast.alice), gate.events[0], active_ms=10**15)
    assert Verdict.objects.get().active_ms == 3_600_000


def test_a_skipped_event_goes_to_others_then_to_a_supervisor(gate: Scene, cast: world.People) -> None:
    alice, bob, event = signed_in(cast.alice), signed_in(cast.bob), gate.events[0]
    assert shown(then(alice, event, "skip")) == gate.events[1].pk
    event.refresh_from_db()
    assert event.state == Event.State.OPEN
    assert shown(bob.get(NEXT)) == event.pk
    post(bob, event, "skip")
    event.refresh_from_db()
    assert event.state == Event.State.HELD


def test_undo_brings_the_event_back_first(gate: Scene, cast: world.People) -> None:
    client, (first, second, third) = signed_in(cast.alice), gate.events
    assert shown(then(client, first, "anomaly")) == second.pk
    back = client.post(reverse("review-undo"))
    assert back.status_code == 200 and shown(back) == first.pk
    assert list(Verdict.objects.order_by("id").values_list("answer", flat=True)) == ["anomaly", "undo"]
    assert shown(client.get(NEXT)) == first.pk
    assert shown(signed_in(cast.bob).get(NEXT)) == third.pk  # what was on the stage before comes right after it
    assert shown(then(client, first, "normal")) == second.pk
    assert not Verdict.objects.filter(second=True).exists()


def test_undo_twice_goes_one_further_back(gate: Scene, cast: world.People) -> None:
    client = signed_in(cast.alice)
    post(client, gate.events[0])
    post(client, gate.events[1])
    assert shown(client.post(reverse("review-undo"))) == gate.events[1].pk
    assert shown(client.post(reverse("review-undo"))) == gate.events[0].pk


def test_the_undo_line_says_what_undo_would_take_back_now(gate: Scene, cast: world.People) -> None:
    client, (first, second, _) = signed_in(cast.alice), gate.events
    assert "takes back" not in words(client.get(NEXT))
    post(client, first, "anomaly")
    assert "undo takes back your last answer, Gate: normal" in words(then(client, second, "normal"))
    once = words(client.post(reverse("review-undo")))
    assert "Taken back: Gate: normal." in once and "would now take back the one before, Gate: anomaly" in once
    twice = words(client.post(reverse("review-undo")))
    assert "Taken back: Gate: anomaly." in twice and "Nothing else of yours from the last 30 minutes" in twice
    assert "Taken back" not in words(client.get(NEXT))


def test_the_strip_is_labelled_and_stands_with_the_slider(gate: Scene, cast: world.People) -> None:
    page = Page(signed_in(cast.alice).get(NEXT).content.decode())
    strip = next(t for t in page.all("canvas") if "data-strip" in t.attributes)
    slider = next(t for t in page.all("input") if "data-seek" in t.attributes)
    label = next(t for t in page.tags if t.attributes.get("id") == strip.attributes["aria-labelledby"])
    assert "over time" in label.text
    assert strip.inside[-1] is slider.inside[-1] and strip.inside[-1].attributes["class"] == "timeline"


def test_undo_says_why_not_and_changes_nothing(gate: Scene, cast: world.People) -> None:
    alice, bob, event = signed_in(cast.alice), signed_in(cast.bob), gate.events[0]
    assert "nothing of yours" in alice.post(reverse("review-undo")).content.decode()
    post(alice, event, "skip")
    assert shown(bob.get(NEXT)) == event.pk
    refused = alice.post(reverse("review-undo"))
    assert refused.status_code == 409 and b"Another person is looking" in refused.content
    post(bob, event, "normal")
    assert "Another person has answered" in alice.post(reverse("review-undo")).content.decode()
    assert Verdict.objects.count() == 2


def test_one_cannot_undo_anothers_answer(gate: Scene, cast: world.People) -> None:
    post(signed_in(cast.alice), gate.events[0])
    assert "nothing of yours" in signed_in(cast.bob).post(reverse("review-undo")).content.decode()
    assert Verdict.objects.count() == 1


def test_the_empty_states_are_told_apart(gate: Scene, cast: world.People) -> None:
    alice, bob = signed_in(cast.alice), signed_in(cast.bob)
    assert "You have no camera yet" in words(signed_in(cast.charlie).get(NEXT))
    for event in gate.events[1:]:
        post(alice, event)
    alice.get(NEXT)
    waiting = words(bob.get(NEXT))
    assert "All 1 event is being looked at by others" in waiting
    seconds = re.search(r"The next may be free in (\d+) s\.", waiting)
    assert seconds and 80 <= int(seconds[1]) <= 90
    post(alice, gate.events[0])
    assert "Nothing to do" in words(bob.get(NEXT)) and "Every event has been answered" in words(bob.get(NEXT))


def test_a_camera_without_events_points_to_the_others(gate: Scene, cast: world.People) -> None:
    yard = stage.scene("Yard", events=0)
    world.join(cast, yard.camera)
    client = signed_in(cast.alice)
    assert "Nothing to do on this camera 3 events wait on your other cameras" in words(
        client.get(NEXT, {"camera": "yard"})
    )
    for event in gate.events[:2]:
        post(client, event)
    assert "1 event waits on your other cameras" in words(client.get(NEXT, {"camera": "yard"}))
    assert shown(client.get(NEXT)) == gate.events[2].pk


def test_the_filter_stays_with_its_camera(gate: Scene, cast: world.People) -> None:
    yard = stage.scene("Yard", events=2)
    world.join(cast, yard.camera)
    client = signed_in(cast.alice)
    page = client.get(reverse("review"), {"camera": "yard"})
    assert shown(page) == yard.events[0].pk
    assert '<option value="yard" selected>' in page.content.decode()
    assert 'data-camera="yard"' in page.content.decode()
    second = then(client, yard.events[0], camera="yard")
    assert shown(second) == yard.events[1].pk and "1 in the queue" in words(second)
    end = then(client, yard.events[1], camera="yard")
    assert "3 events wait on your other cameras" in words(end)
    assert shown(client.post(reverse("review-undo"), {"camera": "yard"})) == yard.events[1].pk


def test_a_lease_ends_when_its_holder_leaves(gate: Scene, cast: world.People) -> None:
    alice, bob = signed_in(cast.alice), signed_in(cast.bob)
    for leave in (reverse("review-release"), reverse("logout")):
        alice.force_login(cast.alice)
        assert shown(alice.get(NEXT)) == gate.events[0].pk
        assert shown(bob.get(NEXT)) == gate.events[1].pk
        lease.release(cast.bob)
        alice.post(leave)
        if leave == reverse("review-release"):  # a page loaded again within seconds finds its place
            assert shown(alice.get(NEXT)) == gate.events[0].pk
            alice.post(leave)
            assert shown(bob.get(NEXT)) == gate.events[1].pk
            lease.release(cast.bob)
            Lease.objects.filter(released_at=None).update(
                expires_at=F("expires_at") - timedelta(seconds=lease.RELOAD_S)
            )
        assert shown(bob.get(NEXT)) == gate.events[0].pk
        lease.release(cast.bob)
    assert alice.get(NEXT).status_code in (302, 403)


def test_a_heartbeat_renews_only_ones_own(gate: Scene, cast: world.People) -> None:
    alice, bob = signed_in(cast.alice), signed_in(cast.bob)
    alice.get(NEXT)
    bob.get(NEXT)
    soon = timezone.now() + timedelta(seconds=9)
    Lease.objects.update(expires_at=soon)
    assert alice.post(reverse("review-heartbeat")).json() == {
        "held": [str(gate.events[0].pk)], "waiting": 3, "unseen": [],
    }  # fmt: skip
    assert Lease.objects.get(user=cast.bob).expires_at == soon
    assert Lease.objects.get(user=cast.alice).expires_at > soon + timedelta(seconds=60)
    Lease.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert alice.post(reverse("review-heartbeat")).json()["held"] == []  # too late: it is anybody's now


def test_one_screen_is_one_lease(gate: Scene, cast: world.People) -> None:
    yard = stage.scene("Yard", events=1)
    world.join(cast, yard.camera)
    client = signed_in(cast.alice)
    assert shown(client.get(NEXT, {"camera": "gate"})) == gate.events[0].pk
    assert shown(client.get(NEXT, {"camera": "yard"})) == yard.events[0].pk
    assert Lease.objects.filter(user=cast.alice, released_at=None).count() == 1
    assert shown(signed_in(cast.bob).get(NEXT, {"camera": "gate"})) == gate.events[0].pk


def test_an_expired_lease_is_taken_over(gate: Scene, cast: world.People) -> None:
    signed_in(cast.alice).get(NEXT)
    Lease.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert shown(signed_in(cast.bob).get(NEXT)) == gate.events[0].pk
    assert Lease.objects.get(released_at=None).user == cast.bob


# What a request costs. Transaction marks (BEGIN, SAVEPOINT, …) are counted apart.


def queries(call: Callable[[], Any]) -> list[str]:
    """The statements of one request."""
    with CaptureQueriesContext(connection) as captured:
        response = call()
    assert response.status_code < 300, response.status_code
    marks = ("SAVEPOINT", "RELEASE", "ROLLBACK", "BEGIN", "COMMIT")
    return [query["sql"] for query in captured.captured_queries if not query["sql"].startswith(marks)]


@pytest.mark.parametrize("lane", [Lane.REVIEW, Lane.WARMUP])
def test_the_next_event_takes_at_most_8_queries(cast: world.People, lane: Lane) -> None:
    yard = stage.scene("Yard", events=9, lane=lane)
    world.join(cast, yard.camera)
    client, bob = signed_in(cast.alice), signed_in(cast.bob)
    for camera in ("", "yard"):
        bob.get(NEXT, {"camera": camera})
        for _ in range(2):  # a new lease, then the one held; in the second turn a lease elsewhere is closed
            found = queries(lambda camera=camera: client.get(NEXT, {"camera": camera}))  # type: ignore[misc]
            assert len(found) <= 8, "\n".join(found)
    bob.post(reverse("review-release"))
    Lease.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    found = queries(lambda: bob.get(NEXT, {"camera": "yard"}))  # with an expired lease to close
    assert len(found) <= 8, "\n".join(found)


def test_fetching_ahead_takes_at_most_8_queries_and_leases_four(cast: world.People) -> None:
    yard = stage.scene("Yard", events=9)
    world.join(cast, yard.camera)
    client = signed_in(cast.alice)
    first = shown(client.get(NEXT, {"camera": "yard"}))
    more = reverse("review-more")
    assert len(queries(lambda: client.get(more, {"camera": "yard", "have": str(first)}))) <= 8
    held = list(Lease.objects.filter(user=cast.alice, released_at=None).values_list("event", flat=True))
    assert len(held) == lease.MOST_HELD
    post(client, yard.events[0])
    found = queries(lambda: client.get(more, {"camera": "yard", "have": [str(pk) for pk in held[1:]]}))
    assert len(found) <= 8, "\n".join(found)
    ahead = client.get(more, {"camera": "yard", "have": [str(pk) for pk in held[1:3]]}).content.decode()
    assert len(re.findall("<template data-queued", ahead)) == 2
    assert signed_in(cast.bob).get(NEXT, {"camera": "yard"}).content.decode().count(str(held[1])) == 0


@pytest.mark.parametrize("lane", [Lane.REVIEW, Lane.WARMUP])
@pytest.mark.parametrize("answer", ["normal", "skip"])
def test_a_verdict_takes_at_most_8_queries(cast: world.People, lane: Lane, answer: str) -> None:
    yard = stage.scene("Yard", events=4, lane=lane)
    world.join(cast, yard.camera)
    if lane == Lane.WARMUP:
        ValidationSet.objects.filter(camera=yard.camera).update(frozen_at=None)
    client, bob = signed_in(cast.alice), signed_in(cast.bob)
    several = stage.open_event(yard, Lane.AUDIT, yard.segments)
    for event in (*yard.events, several):
        client.get(NEXT, {"camera": "yard"})
        for who in (client, bob, client):  # first, late, changed
            found = queries(lambda: post(who, event, answer, camera="yard"))  # noqa: B023 - called at once
            assert len(found) <= 8, "\n".join(found)


def test_lists_take_as_many_queries_for_12_as_for_2() -> None:
    admin = User.objects.create_superuser("admin")
    client = signed_in(admin)
    scenes = [stage.scene(f"Gate {i}") for i in range(2)]
    urls = [reverse("cameras"), reverse("review"), reverse("camera", args=[scenes[0].camera.slug])]
    urls += [reverse("camera-status", args=[scenes[0].camera.slug])]

    def costs() -> list[int]:
        client.get(reverse("review"))  # the event is leased already, both times
        return [len(queries(lambda url=url: client.get(url))) for url in urls]  # type: ignore[misc]

    few = costs()
    for i in range(2, 12):
        stage.scene(f"Gate {i}")
        stage.record(scenes[0].camera, scenes[0].slice, start=10.0 * i)
    many = costs()
    assert many == few
    assert max(many) <= 26  # the camera page tells many states; what counts is that it stays so
    listed = client.get(reverse("cameras")).content.decode()
    assert all(f"Gate {i}<" in listed for i in range(12))
    assert client.get(urls[2]).content.decode().count(">walkers-") == 11
