"""Stored files over HTTP: whole, by range, and never into a cache; stretches of poses within their limits."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from alfred.models import AuditEntry, Clip, Lane, Rendition, Round, User
from alfred.services import raw_view
from tests import world
from tests.annotator import stage
from tests.annotator.stage import VIDEO, Scene

pytestmark = pytest.mark.django_db

SIZE = len(VIDEO)


@pytest.fixture
def where() -> Scene:
    return stage.scene("Gate")


@pytest.fixture
def client(where: Scene) -> Client:
    client = Client()
    client.force_login(world.people(where.camera).sue)
    return client


def get(client: Client, where: Scene, asked: str | None) -> Any:
    headers = {} if asked is None else {"Range": asked}
    return client.get(reverse("recording-video", args=[where.recording.pk]), headers=headers)


def body(response: Any) -> bytes:
    return b"".join(response.streaming_content) if response.streaming else response.content


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-99", 0, 99),
        ("bytes=100-100", 100, 100),
        ("bytes=2000-", 2000, SIZE - 1),
        ("bytes=-48", SIZE - 48, SIZE - 1),
        ("bytes=-999999", 0, SIZE - 1),
        ("bytes=1024-999999", 1024, SIZE - 1),
        (" bytes=5-9 ", 5, 9),
    ],
)
def test_a_range_is_served(client: Client, where: Scene, asked: str, first: int, last: int) -> None:
    response = get(client, where, asked)
    assert response.status_code == 206
    assert response.headers["Content-Range"] == f"bytes {first}-{last}/{SIZE}"
    assert body(response) == VIDEO[first : last + 1]
    assert response.headers["Content-Length"] == str(last - first + 1)
    assert_private(response)


@pytest.mark.parametrize(
    "asked",
    [None, "bytes=0-1,5-9", "bytes=-", "bytes=a-b", "lines=0-1", "bytes", "bytes=1-2-3", "bytes=" + "9" * 5000 + "-"],
)
def test_the_whole_file_where_no_single_range_is_asked(client: Client, where: Scene, asked: str | None) -> None:
    response = get(client, where, asked)
    assert response.status_code == 200
    assert body(response) == VIDEO
    assert response.headers["Content-Length"] == str(SIZE)
    assert response.headers["Content-Type"] == "video/mp4"
    assert "Content-Range" not in response.headers
    assert_private(response)


@pytest.mark.parametrize("asked", [f"bytes={SIZE}-", f"bytes={SIZE + 9}-{SIZE + 20}", "bytes=-0", "bytes=9-5"])
def test_a_range_outside_the_file(client: Client, where: Scene, asked: str) -> None:
    response = get(client, where, asked)
    assert response.status_code == 416
    assert response.headers["Content-Range"] == f"bytes */{SIZE}"
    assert body(response) == b""
    assert "no-store" in response.headers["Cache-Control"]


def test_an_event_plays_its_clip_blurred(client: Client, where: Scene) -> None:
    response = client.get(reverse("event-clip", args=[where.events[0].pk]), headers={"Range": "bytes=3-5"})
    assert (response.status_code, body(response)) == (206, VIDEO[3:6])
    assert_private(response)
    Clip.objects.all().delete()
    assert client.get(reverse("event-clip", args=[where.events[0].pk])).status_code == 404
    Rendition.objects.all().delete()
    assert get(client, where, None).status_code == 404


def test_people_as_filmed_need_a_reason_once_and_every_look_is_noted(client: Client, where: Scene) -> None:
    events = [where.events[0], stage.open_event(where, Lane.WARMUP, where.segments[:1])]
    first, second = (reverse("event-raw", args=[event.pk]) for event in events)
    ask = reverse("event-raw-ask", args=[where.events[0].pk])
    assert client.get(first).status_code == 403
    assert client.post(ask, {"reason": "x"}).status_code == 422 and client.get(first).status_code == 403
    assert client.post(ask, {"reason": "a child may be hurt"}).status_code == 204
    for _ in range(2):
        response = client.get(first)
        assert (response.status_code, body(response)) == (200, stage.RAW)
        assert_private(response)
    assert client.get(second).status_code == 200  # the reason holds for the camera
    looks = AuditEntry.objects.filter(action="looked at raw video")
    assert sorted(look.details["event"] for look in looks) == sorted(str(e.pk) for e in events)
    assert {look.details["reason"] for look in looks} == {"a child may be hurt"}
    user = User.objects.get(username="alice")
    with mock.patch("alfred.services.raw_view.timezone.now", return_value=timezone.now() + timedelta(hours=9)):
        assert raw_view.reason_of(user, where.camera) == ""


def test_the_manifest_is_the_rounds_parquet(client: Client, where: Scene) -> None:
    url = reverse("round-manifest", args=[where.round.pk])
    response = client.get(url)
    assert pq.read_table(pa.BufferReader(body(response)))["reason"].to_pylist() == ["pseudo-normal"]
    assert response.headers["Content-Disposition"] == 'attachment; filename="round-1-manifest.parquet"'
    assert_private(response)
    Round.objects.update(manifest="")
    assert client.get(url).status_code == 404


def assert_private(response: Any) -> None:
    assert response.headers["Cache-Control"] == "private, no-store"
    assert "Cookie" in response.headers["Vary"]
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "ETag" not in response.headers and "Last-Modified" not in response.headers


def poses(client: Client, where: Scene, **asked: str) -> Any:
    return client.get(reverse("recording-poses", args=[where.recording.pk]), asked)


def test_poses_of_a_stretch(client: Client, where: Scene) -> None:
    response = poses(client, where, start="1", end="2")
    answer = response.json()
    assert (answer["start"], answer["end"]) == (1.0, 2.0)
    assert [person["asked"] for person in answer["people"]] == [False, False]
    assert all(1.0 <= t < 2.0 for person in answer["people"] for t in person["pts"])
    assert len(answer["people"][0]["pts"]) == world.FPS
    assert "no-store" in response.headers["Cache-Control"]
    assert poses(client, where).json()["end"] == 10.0


def test_a_stretch_is_a_minute_at_most(client: Client, where: Scene) -> None:
    assert poses(client, where, start="0", end="86400").json()["end"] == 60.0
    assert poses(client, where, start="7.5", end="1e300").json()["end"] == 67.5
    assert poses(client, where, start="-5", end="1").json()["start"] == 0.0
    assert poses(client, where, start="3", end="2").json()["people"] == []


@pytest.mark.parametrize("name", ["start", "end"])
@pytest.mark.parametrize("value", ["", "abc", "nan", "inf", "-inf", "1e999", "1,5", "0x10"])
def test_numbers_that_are_none(client: Client, where: Scene, name: str, value: str) -> None:
    response = poses(client, where, **{name: value})
    assert response.status_code == 400
    assert response.json() == {"error": "start and end are seconds"}


def test_a_recording_without_poses_says_nobody(client: Client, where: Scene) -> None:
    answer = client.get(reverse("recording-poses", args=[where.refused.pk]))
    assert answer.status_code == 200 and answer.json()["people"] == []
