"""The progress stream over ASGI: one camera's jobs, to those who may see them, as long as they may."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.db import connection
from django.test import AsyncClient, Client
from django.urls import reverse

from alfred.asgi import application
from alfred.models import Job, Membership, User
from alfred.models.work import announce
from annotator.views import progress
from tests import world

pytestmark = pytest.mark.django_db(transaction=True)

SOON = 20.0


def job(slug: str) -> Job:
    camera = world.camera(slug)
    return Job.objects.create(camera=camera, kind=Job.Kind.SCORE, subject=1, key=slug)


async def stream(user: User, slug: str) -> Any:
    client = AsyncClient()
    await client.aforce_login(user)
    return await client.get(reverse("camera-progress", args=[slug]))


async def jobs_in(lines: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any]]:
    async for line in lines:
        text = line.decode()
        if text.startswith("event: job\ndata: ") and text.endswith("\n\n"):
            yield json.loads(text.removeprefix("event: job\ndata: "))


async def announcing(*rows: Job) -> None:
    """Again and again: what is said before the stream listens is not heard."""
    while True:
        for row in rows:
            await sync_to_async(announce)(row, note="x")
        await asyncio.sleep(0.05)


def test_a_job_is_told_to_its_camera_only() -> None:
    gate, yard = job("gate"), job("yard")
    cast = world.people(gate.camera, yard.camera)

    async def run() -> list[dict[str, Any]]:
        response = await stream(cast.sue, "gate")
        assert response.status_code == 200 and response.streaming
        assert response.headers["Content-Type"] == "text/event-stream"
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Accel-Buffering"] == "no"
        lines = aiter(response.streaming_content)
        assert await anext(lines) == b"retry: 2000\n\n"
        talk = asyncio.create_task(announcing(yard, gate))
        try:
            told = jobs_in(lines)
            return [await asyncio.wait_for(anext(told), SOON) for _ in range(5)]
        finally:
            talk.cancel()

    heard = async_to_sync(run)()
    expected = {"job": gate.pk, "kind": "score", "subject": 1, "camera": gate.camera_id, "note": "x"}
    assert heard == [expected] * 5


def test_two_pages_hear_each_their_own() -> None:
    gate, yard = job("gate"), job("yard")
    admin = world.people().admin

    async def run() -> list[int]:
        pages = [jobs_in(aiter((await stream(admin, slug)).streaming_content)) for slug in ("gate", "yard")]
        talk = asyncio.create_task(announcing(yard, gate))
        try:
            first = await asyncio.wait_for(asyncio.gather(*(anext(page) for page in pages)), SOON)
            return [message["camera"] for message in first]
        finally:
            talk.cancel()

    assert async_to_sync(run)() == [gate.camera_id, yard.camera_id]


@pytest.mark.parametrize("loss", ["role", "account"])
@pytest.mark.parametrize("busy", [True, False], ids=["busy", "quiet"])
def test_the_stream_ends_with_the_permission(monkeypatch: pytest.MonkeyPatch, loss: str, busy: bool) -> None:
    gate = job("gate")
    cast = world.people(gate.camera)
    user = cast.sue if loss == "role" else cast.admin
    monkeypatch.setattr(progress, "PING_S", 0.3)

    async def run() -> None:
        lines = aiter((await stream(user, "gate")).streaming_content)
        assert await anext(lines)
        talk = asyncio.create_task(announcing(*([gate] if busy else [])))
        try:
            assert await asyncio.wait_for(anext(lines), SOON)  # still allowed
            if loss == "role":
                await Membership.objects.filter(user=user).adelete()
            else:
                await User.objects.filter(pk=user.pk).aupdate(is_active=False)
            async with asyncio.timeout(SOON):
                async for _ in lines:
                    pass
        finally:
            talk.cancel()

    async_to_sync(run)()


def test_nobody_else_gets_a_stream() -> None:
    gate = job("gate")
    cast = world.people(gate.camera)

    async def run() -> list[int]:
        found = [(await stream(user, "gate")).status_code for user in (cast.alice, cast.charlie)]
        anonymous = await AsyncClient().get(reverse("camera-progress", args=["gate"]))
        return [*found, anonymous.status_code]

    assert async_to_sync(run)() == [404, 404, 302]


def scope(path: str, session: str) -> dict[str, Any]:
    """A request as an ASGI server hands it over."""
    headers = [(b"host", b"localhost"), (b"cookie", f"sessionid={session}".encode())]
    where = {
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "scheme": "http",
        "server": ("localhost", 80),
    }
    return {"type": "http", "http_version": "1.1", "method": "GET", "headers": headers, "client": ("::1", 1)} | where


def sessions_left() -> list[str]:
    """Last statements of connections but ours and those that listen or are about to, once the others have ended."""
    end = time.monotonic() + 5.0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT query FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
                " AND query NOT LIKE 'LISTEN%' AND query <> '' AND backend_type = 'client backend'"
            )
            found = [query for (query,) in cursor.fetchall()]
        if not found or time.monotonic() > end:
            return found
        time.sleep(0.05)


def test_open_pages_hold_no_database_connections() -> None:
    """The pool has 8; a stream lasts as long as its page is open."""
    cast = world.people(job("gate").camera)
    client = Client()
    client.force_login(cast.sue)
    asked = scope(reverse("camera-progress", args=["gate"]), client.cookies["sessionid"].value)

    async def run() -> tuple[list[int], list[str]]:
        streams = [ApplicationCommunicator(application, asked) for _ in range(4)]
        found = []
        for stream_ in streams:
            await stream_.send_input({"type": "http.request"})
            found.append((await stream_.receive_output(SOON))["status"])
            assert (await stream_.receive_output(SOON))["body"] == b"retry: 2000\n\n"
        held = await sync_to_async(sessions_left)()
        for stream_ in streams:
            await stream_.send_input({"type": "http.disconnect"})
            await stream_.wait(SOON)
        return found, held

    statuses, held = async_to_sync(run)()
    assert statuses == [200] * 4
    assert held == []


def test_what_is_not_found_holds_no_database_connection() -> None:
    """Error pages are made in threads that no request owns: what they opened nobody would give back."""
    cast = world.people(job("gate").camera)
    client = Client()
    client.force_login(cast.alice)
    paths = (reverse("camera-progress", args=["gate"]), reverse("camera", args=["gate"]), "/nowhere/")

    async def run() -> list[int]:
        found = []
        for path in paths:
            asking = ApplicationCommunicator(application, scope(path, client.cookies["sessionid"].value))
            await asking.send_input({"type": "http.request"})
            found.append((await asking.receive_output(SOON))["status"])
            await asking.wait(SOON)
        return found

    assert async_to_sync(run)() == [404, 404, 404]
    assert sessions_left() == []


def test_the_wall_hears_of_its_own_cameras_scores_only() -> None:
    gate, yard, other = job("gate"), job("yard"), job("other")
    extracted = Job.objects.create(camera=gate.camera, kind=Job.Kind.EXTRACT, subject=1, key="e")
    cast = world.people(gate.camera, yard.camera)

    async def run() -> set[int]:
        client = AsyncClient()
        await client.aforce_login(cast.alice)
        response = await client.get(reverse("alerts-stream"))
        lines = aiter(response.streaming_content)  # type: ignore[attr-defined]
        await anext(lines)
        talk = asyncio.create_task(announcing(other, extracted, yard, gate))
        heard = set()
        try:
            while len(heard) < 2:
                text = (await asyncio.wait_for(anext(lines), SOON)).decode()
                if text.startswith("event: alerts"):
                    heard.add(json.loads(text.split("data: ")[1])["job"])
        finally:
            talk.cancel()
        return heard

    assert async_to_sync(run)() == {gate.pk, yard.pk}


def test_the_walls_stream_heeds_what_is_taken_away_while_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PING_S", 0.3)
    gate, yard = job("gate"), job("yard")
    cast = world.people(gate.camera, yard.camera)

    async def run() -> list[int]:
        client = AsyncClient()
        await client.aforce_login(cast.alice)
        response = await client.get(reverse("alerts-stream"))
        lines = aiter(response.streaming_content)  # type: ignore[attr-defined]
        await anext(lines)
        await sync_to_async(Membership.objects.filter(user=cast.alice, camera=gate.camera).delete)()
        await asyncio.sleep(0.4)
        talk = asyncio.create_task(announcing(gate, yard))
        heard = []
        try:
            while len(heard) < 10:
                text = (await asyncio.wait_for(anext(lines), SOON)).decode()
                if text.startswith("event: alerts"):
                    heard.append(json.loads(text.split("data: ")[1])["job"])
        finally:
            talk.cancel()
        return heard

    heard = async_to_sync(run)()
    assert set(heard[2:]) == {yard.pk}  # what was queued before the question was asked may still come
