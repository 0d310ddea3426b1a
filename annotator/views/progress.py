"""Progress of a camera's jobs as server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from asgiref.sync import sync_to_async
from django.db import connection
from django.http import HttpRequest, StreamingHttpResponse

from alfred.models import Camera, Role, User
from alfred.models.people import cameras_of
from annotator.access import camera_for, person
from annotator.sse import hub

PING_S = 15.0


async def stream(request: HttpRequest, slug: str) -> StreamingHttpResponse:
    """Says which job moved; the page then asks for what it shows. Permission is asked again every `PING_S`."""
    camera = await sync_to_async(_admit)(request, slug)
    response = StreamingHttpResponse(_messages(request, camera), content_type="text/event-stream")
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"
    return response


async def _messages(request: HttpRequest, camera: Camera) -> AsyncIterator[str]:
    messages = hub().open(camera.pk)
    clock = asyncio.get_running_loop().time
    asked = clock()
    try:
        yield "retry: 2000\n\n"
        while True:
            try:
                message = await asyncio.wait_for(messages.get(), PING_S)
                words = f"event: job\ndata: {json.dumps(message)}\n\n"
            except TimeoutError:
                words = ": still here\n\n"
            if clock() - asked >= PING_S:
                if not await sync_to_async(_still_allowed)(request, camera):
                    return
                asked = clock()
            yield words
    finally:
        hub().close(messages)


def _admit(request: HttpRequest, slug: str) -> Camera:
    try:
        return camera_for(request, slug, Role.SUPERVISOR)
    finally:
        _give_back()


def _still_allowed(request: HttpRequest, camera: Camera) -> bool:
    """Asked of the database anew: roles are taken away, and people leave, while a page stays open."""
    try:
        user = User.objects.filter(pk=person(request).pk).first()
        return user is not None and cameras_of(user, Role.SUPERVISOR).filter(pk=camera.pk).exists()
    finally:
        _give_back()


def _give_back() -> None:
    """Let go of the database at once: a stream lasts for hours, and the pool has eight connections."""
    if not connection.in_atomic_block:
        connection.close()
