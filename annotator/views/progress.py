"""What happens on cameras as server-sent events: a camera's jobs, and new alerts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable

from asgiref.sync import sync_to_async
from django.db import connection
from django.http import HttpRequest, StreamingHttpResponse

from alfred.models import Camera, Job, Role, User
from alfred.models.people import cameras_of
from annotator.access import camera_for, chosen_camera, person
from annotator.sse import Message, hub

PING_S = 15.0

Allowed = Callable[[], set[int]]
"""The cameras a page may hear of, asked of the database anew; none ends the stream."""


async def stream(request: HttpRequest, slug: str) -> StreamingHttpResponse:
    """Says which job of a camera moved; the page then asks for what it shows."""
    camera = await sync_to_async(_admit)(request, slug)
    return _response(_messages("job", lambda: _supervised(request, camera), {camera.pk}))


async def alerts(request: HttpRequest) -> StreamingHttpResponse:
    """Says that a recording of one of one's cameras has been scored: the wall then looks for what is new."""
    cameras = await sync_to_async(_watched)(request)
    return _response(_messages("alerts", lambda: _watched(request), cameras, _scored))


def _response(words: AsyncIterator[str]) -> StreamingHttpResponse:
    response = StreamingHttpResponse(words, content_type="text/event-stream")
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"
    return response


async def _messages(
    event: str, allowed: Allowed, cameras: set[int], wanted: Callable[[Message], bool] = lambda message: True
) -> AsyncIterator[str]:
    """What the cameras' jobs say; permission is asked again every `PING_S`."""
    messages = hub().open(cameras)
    clock = asyncio.get_running_loop().time
    asked = clock()
    try:
        yield "retry: 2000\n\n"
        while True:
            try:
                message = await asyncio.wait_for(messages.get(), max(0.0, asked + PING_S - clock()) + 0.01)
                words = f"event: {event}\ndata: {json.dumps(message)}\n\n" if wanted(message) else ""
            except TimeoutError:
                words = ": still here\n\n"
            if clock() - asked >= PING_S:
                now = await sync_to_async(allowed)()
                if not now:
                    return
                hub().watch(messages, now)
                asked = clock()
            if words:
                yield words
    finally:
        hub().close(messages)


def _scored(message: Message) -> bool:
    return bool(message["kind"] == Job.Kind.SCORE)


def _admit(request: HttpRequest, slug: str) -> Camera:
    try:
        return camera_for(request, slug, Role.SUPERVISOR)
    finally:
        _give_back()


def _supervised(request: HttpRequest, camera: Camera) -> set[int]:
    """Asked of the database anew: roles are taken away, and people leave, while a page stays open."""
    try:
        user = User.objects.filter(pk=person(request).pk).first()
        return (
            set(cameras_of(user, Role.SUPERVISOR).filter(pk=camera.pk).values_list("pk", flat=True)) if user else set()
        )
    finally:
        _give_back()


def _watched(request: HttpRequest) -> set[int]:
    try:
        user, slug = User.objects.filter(pk=person(request).pk).first(), chosen_camera(request)
        rows = cameras_of(user) if user else Camera.objects.none()
        return set((rows.filter(slug=slug) if slug else rows).values_list("pk", flat=True))
    finally:
        _give_back()


def _give_back() -> None:
    """Let go of the database at once: a stream lasts for hours, and the pool has eight connections."""
    if not connection.in_atomic_block:
        connection.close()
