"""Every route × every role × own and foreign camera, made from the URL map: an unlisted route fails."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from django.apps import apps
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection, transaction
from django.forms.models import model_to_dict
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from alfred.models import AlertChannel, Camera, Deployment, Event, Membership, Round, Segment, User, Verdict
from alfred.services import add_camera, lease
from tests import world
from tests.annotator import stage
from tests.annotator.stage import Scene

pytestmark = pytest.mark.django_db

LEVELS = ("anonymous", "outsider", "annotator", "supervisor", "admin")


@dataclass(frozen=True)
class Route:
    """How a route is called properly, the least role that may, and what it then answers."""

    least: str
    status: int
    method: str = "get"
    at: Callable[[Scene], dict[str, Any]] | None = None
    """Arguments of the URL; None where the route belongs to no camera."""
    data: Callable[[Scene], dict[str, Any]] = lambda where: {}


def _slug(where: Scene) -> dict[str, Any]:
    return {"slug": where.camera.slug}


def _event(where: Scene) -> dict[str, Any]:
    return {"pk": where.events[0].pk}


def _recording(where: Scene) -> dict[str, Any]:
    return {"pk": where.recording.pk}


def _flagged(where: Scene) -> dict[str, Any]:
    return {"pk": Segment.objects.filter(camera=where.camera, score__flagged=True)[0].pk}


def _round(where: Scene) -> dict[str, Any]:
    return {"pk": where.round.pk}


def _job(where: Scene) -> dict[str, Any]:
    return {"pk": where.refused_job.pk}


def _channel(where: Scene) -> dict[str, Any]:
    return {"pk": AlertChannel.objects.get().pk}


def _upload(where: Scene) -> dict[str, Any]:
    return {"uploads": SimpleUploadedFile("empty.mp4", b"")}


POLICIES = model_to_dict(Camera(), fields=add_camera.POLICIES) | {"review_budget": 10}
ROUTES = {
    "health": Route("anonymous", 200),
    "login": Route("anonymous", 200),
    "home": Route("outsider", 302),
    "logout": Route("outsider", 302, "post"),
    "words": Route("outsider", 200),
    "review": Route("outsider", 200),
    "review-next": Route("outsider", 200),
    "review-undo": Route("outsider", 409, "post"),
    "review-heartbeat": Route("outsider", 200, "post"),
    "review-release": Route("outsider", 204, "post"),
    "review-more": Route("outsider", 200),
    "trial": Route("outsider", 200),
    "trial-poses": Route("outsider", 404, at=_flagged),
    "trial-answer": Route("annotator", 302, "post", _flagged, lambda w: {"answer": "normal"}),
    "keys": Route("outsider", 200),
    "alike": Route("annotator", 200, at=_event),
    "alike-confirm": Route("annotator", 302, "post", _event),
    "batch-undo": Route("annotator", 404, "post", lambda w: {"pk": 999_999}),
    "language": Route("outsider", 302, "post", data=lambda w: {"language": "de"}),
    "catalogue": Route("anonymous", 200),
    "my-work": Route("outsider", 200),
    "correct": Route("annotator", 302, "post", _event, lambda w: {"answer": "anomaly"}),
    "kinds": Route("admin", 200),
    "alerts": Route("outsider", 200),
    "alerts-wall": Route("outsider", 200),
    "alerts-stream": Route("outsider", 200),
    "alert-poses": Route("annotator", 200, at=_flagged),
    "alert-acknowledge": Route("annotator", 302, "post", _flagged),
    "adjudication": Route("outsider", 200),
    "adjudication-event": Route("supervisor", 404, at=_event),
    "adjudication-rule": Route("supervisor", 404, "post", _event, lambda w: {"answer": "normal", "key": uuid4()}),
    "channels": Route("admin", 200),
    "channel": Route("admin", 200, at=_channel),
    "channel-try": Route("admin", 302, "post", _channel),
    "alert-judge": Route("annotator", 302, "post", _flagged),
    "cameras": Route("outsider", 200),
    "camera-add": Route("admin", 200),
    "verdict": Route("annotator", 201, "post", _event, lambda w: {"answer": "normal", "key": uuid4()}),
    "event-poses": Route("annotator", 200, at=_event),
    "event-clip": Route("annotator", 200, at=_event),
    "event-raw": Route("annotator", 403, at=_event),
    "event-raw-ask": Route("annotator", 204, "post", _event, lambda w: {"reason": "who is it"}),
    "guide": Route("annotator", 200, at=_slug),
    "guide-panel": Route("annotator", 200, at=_slug),
    "guide-saw": Route("annotator", 204, "post", _slug),
    "camera": Route("supervisor", 200, at=_slug),
    "camera-status": Route("supervisor", 200, at=_slug),
    "camera-progress": Route("supervisor", 200, at=_slug),
    "report": Route("supervisor", 200, at=_slug),
    "report-csv": Route("supervisor", 200, at=_slug),
    "recording": Route("supervisor", 200, at=_recording),
    "recording-poses": Route("supervisor", 200, at=_recording),
    "recording-video": Route("supervisor", 200, at=_recording),
    "plate": Route("annotator", 200, at=lambda w: {"pk": w.plates[0].pk}),
    "plate-ask": Route("admin", 302, "post", _slug),
    "plate-approve": Route("admin", 302, "post", lambda w: {"pk": w.plates[1].pk}),
    "plate-remove": Route("admin", 302, "post", lambda w: {"pk": w.plates[1].pk}),
    "round": Route("supervisor", 200, at=_round),
    "round-status": Route("supervisor", 200, at=_round),
    "round-manifest": Route("supervisor", 200, at=_round),
    "round-manifest-csv": Route("supervisor", 200, at=_round),
    "round-replay": Route("supervisor", 200, at=_round),
    "round-replay-launch": Route("admin", 302, "post", _round, lambda w: {"slices": 1}),
    "warm-up-reopen": Route("supervisor", 302, "post", _slug, lambda w: {"reason": "moved"}),
    "warm-up-call-off": Route("supervisor", 302, "post", _slug),
    "camera-policies": Route("admin", 302, "post", _slug, lambda w: POLICIES),
    "camera-upload": Route("admin", 302, "post", _slug, _upload),
    "round-launch": Route("admin", 302, "post", _slug),
    "roll-back": Route("admin", 302, "post", _slug, lambda w: {"deployment": w.deployments[0].pk}),
    "recording-retry": Route("admin", 302, "post", lambda w: {"pk": w.refused.pk}),
    "job-retry": Route("admin", 302, "post", _job),
    "round-cancel": Route("admin", 302, "post", _round),
    "round-promote": Route("admin", 302, "post", _round),
    "round-reject": Route("admin", 302, "post", _round, lambda w: {"reason": "no"}),
}
GETS_THAT_LEASE = {"review", "review-next", "review-more"}
"""Showing an event leases it to the person for 90 s: the one thing a GET may write."""


def _patterns(resolver: URLResolver) -> Iterator[URLPattern]:
    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLResolver):
            yield from _patterns(pattern)
        else:
            yield pattern


def test_every_route_is_in_the_matrix() -> None:
    names = [pattern.name for pattern in _patterns(get_resolver())]
    assert sorted(names) == sorted(ROUTES), "add the new route with its least role to ROUTES"


@dataclass(frozen=True)
class House:
    """Two cameras; the annotator and the supervisor have their role on the first only."""

    own: Scene
    foreign: Scene
    users: dict[str, User]

    def client(self, role: str, **how: Any) -> Client:
        client = Client(**how)
        if role != "anonymous":
            client.force_login(self.users[role])
        return client


@pytest.fixture
def house() -> House:
    own, foreign = stage.scene("Own gate"), stage.scene("Foreign yard")
    AlertChannel.objects.create(name="Watch", kind="webhook", url="https://example.org/", secret="0" * 64)
    cast = world.people(own.camera)
    users = {"outsider": cast.charlie, "annotator": cast.alice, "supervisor": cast.sue, "admin": cast.admin}
    return House(own, foreign, users)


def url_of(name: str, where: Scene) -> str:
    at = ROUTES[name].at
    return reverse(name, kwargs=at(where) if at else {})


def call(client: Client, name: str, where: Scene) -> Any:
    route = ROUTES[name]
    return getattr(client, route.method)(url_of(name, where), route.data(where))


def expected(route: Route, role: str, foreign: bool) -> int:
    if LEVELS.index(role) < LEVELS.index("outsider"):
        return route.status if route.least == "anonymous" else 302
    if route.least == "anonymous" or role == "admin":
        return route.status
    if route.at is not None and foreign:
        return 404
    return route.status if LEVELS.index(role) >= LEVELS.index(route.least) else 404


@pytest.mark.parametrize("foreign", [False, True], ids=["own", "foreign"])
@pytest.mark.parametrize("role", LEVELS)
def test_matrix(house: House, role: str, foreign: bool) -> None:
    where = house.foreign if foreign else house.own
    wrong = []
    for name, route in ROUTES.items():
        client = house.client(role)
        before = fingerprint()
        with transaction.atomic():
            response = call(client, name, where)
            want = expected(route, role, foreign)
            # Somebody signed in already is sent on from the sign-in page.
            want = 302 if name == "login" and role != "anonymous" else want
            if response.status_code != want:
                wrong.append(f"{name}: {response.status_code}, not {want}")
            if want == 404 and fingerprint() != before:
                wrong.append(f"{name}: refused, and yet it changed something")
            if role == "anonymous" and route.least != "anonymous":
                wrong += _served(name, response)
            transaction.set_rollback(True)
    assert wrong == []


def _served(name: str, response: Any) -> list[str]:
    """What is wrong with an answer to somebody who has not signed in."""
    if response.streaming or response.content:
        return [f"{name}: something was served to nobody"]
    return [] if response["Location"].startswith("/login/?next=") else [f"{name}: sent to {response['Location']}"]


def fingerprint() -> str:
    """A digest of every row of the product's tables, leases apart."""
    tables = [m._meta.db_table for m in apps.get_app_config("alfred").get_models() if m.__name__ != "Lease"]
    parts = " || ".join(
        f"(SELECT coalesce(md5(string_agg(t::text, '|' ORDER BY t::text)), '') FROM {t} t)" for t in tables
    )
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT md5({parts})")
        return str(cursor.fetchone()[0])


def test_the_fingerprint_sees_a_change(house: House) -> None:
    before = fingerprint()
    Event.objects.filter(pk=house.own.events[0].pk).update(place=0.5)
    assert fingerprint() != before


@pytest.mark.parametrize("role", ["annotator", "supervisor", "admin"])
def test_no_get_changes_anything(house: House, role: str) -> None:
    client = house.client(role)
    before, leases = fingerprint(), house.own.events[0].leases.count()
    for name, route in ROUTES.items():
        response = client.get(url_of(name, house.own), route.data(house.own) if route.method == "get" else {})
        assert fingerprint() == before, f"GET {name} changed a row"
        if name not in GETS_THAT_LEASE:
            assert house.own.events[0].leases.count() == leases, f"GET {name} leased an event"
        if route.method == "post" and expected(route, role, foreign=False) != 404:
            assert response.status_code == 405, name
        leases = house.own.events[0].leases.count()


def test_every_post_needs_the_token(house: House) -> None:
    client = house.client("admin", enforce_csrf_checks=True)
    before = fingerprint()
    for name, route in ROUTES.items():
        response = client.post(url_of(name, house.own), route.data(house.own))
        assert response.status_code == 403, name
        assert "Not allowed" in response.content.decode(), name
    assert fingerprint() == before
    client.get(reverse("review"))
    token = client.cookies["csrftoken"].value
    assert client.post(reverse("review-heartbeat"), headers={"X-CSRFToken": token}).status_code == 200


def test_pages_of_no_camera_name_no_foreign_one(house: House) -> None:
    for role in ("outsider", "annotator", "supervisor"):
        client = house.client(role)
        for name in ("review", "review-next", "cameras"):
            text = client.get(reverse(name)).content.decode()
            assert "Foreign" not in text and house.foreign.camera.slug not in text, (role, name)
            lease.release(house.users[role])
            assert ("Own gate" in text) == (role == "supervisor" or (role == "annotator" and name != "cameras"))


def test_a_foreign_camera_is_no_filter(house: House) -> None:
    client, foreign = house.client("annotator"), house.foreign.camera.slug
    assert client.get(reverse("review"), {"camera": foreign}).status_code == 404
    for url in (reverse("review"), reverse("review-next")):
        assert client.get(url, {"camera": "a\0b"}).status_code == 404
    missing = client.get(reverse("review-next"), {"camera": "no-such-camera"}).content.decode()
    assert client.get(reverse("review-next"), {"camera": foreign}).content.decode().replace(foreign, "X") == (
        missing.replace("no-such-camera", "X")
    )
    assert "data-event" not in missing
    assert not house.foreign.events[0].leases.exists()


def test_what_is_missing_looks_like_what_is_foreign(house: House) -> None:
    client = house.client("supervisor")

    def page(url: str) -> str:
        return re.sub(r"[A-Za-z0-9]{64}", "token", client.get(url).content.decode())

    assert page(reverse("recording", args=[10**9])) == page(url_of("recording", house.foreign))
    assert client.get(reverse("recording", args=[10**30])).status_code == 404


def test_roll_back_to_another_cameras_deployment(house: House) -> None:
    client, url = house.client("admin"), url_of("roll-back", house.own)
    for deployment in (house.foreign.deployments[0].pk, 10**9, 10**30, "one", ""):
        assert client.post(url, {"deployment": deployment}).status_code == 404
    assert Deployment.objects.count() == 4
    assert client.post(url, {"deployment": house.own.deployments[0].pk}).status_code == 302
    newest = Deployment.objects.filter(camera=house.own.camera).order_by("ordinal").last()
    assert newest is not None
    assert (newest.theta, newest.version.label) == (stage.OLDER_THETA, stage.OLDER_LABEL)
    assert newest.restores == house.own.deployments[0]


def test_a_role_taken_away_ends_everything_at_once(house: House) -> None:
    client, event = house.client("annotator"), house.own.events[0]
    key = uuid4()
    assert client.post(url_of("verdict", house.own), {"answer": "normal", "key": key}).status_code == 201
    Membership.objects.filter(user=house.users["annotator"]).delete()
    before = fingerprint()
    assert client.post(url_of("verdict", house.own), {"answer": "normal", "key": key}).status_code == 404
    assert client.get(url_of("event-poses", house.own)).status_code == 404
    undone = client.post(reverse("review-undo"))
    assert "Own gate" not in undone.content.decode()
    assert undone.status_code == 409
    assert "Own gate" not in client.get(reverse("review")).content.decode()
    assert fingerprint() == before
    assert Verdict.objects.filter(event=event).count() == 1


def test_an_account_switched_off_sees_nothing(house: House) -> None:
    client = house.client("admin")
    User.objects.filter(pk=house.users["admin"].pk).update(is_active=False)
    assert client.get(url_of("camera", house.own)).status_code == 302


def test_nobody_makes_themselves_more(house: House) -> None:
    client = house.client("supervisor")
    extra = {"is_superuser": "1", "role": "admin", "user": house.users["supervisor"].pk}
    for name in ("verdict", "review-undo", "review-heartbeat"):
        client.post(url_of(name, house.own), ROUTES[name].data(house.own) | extra)
    user = User.objects.get(pk=house.users["supervisor"].pk)
    assert not user.is_superuser and not user.is_staff
    assert list(user.memberships.values_list("role", flat=True)) == ["supervisor"]
    assert not Round.objects.filter(state=Round.State.PROMOTED).exists()


def test_there_is_no_door_beside_the_map() -> None:
    for path in ("/admin/", "/api/", "/media/", "/static/../manage.py", "/.env", "/metrics"):
        assert Client().get(path).status_code in (302, 404), path
        assert b"ALFRED" not in Client().get(path).content
