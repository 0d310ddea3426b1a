"""Progress of a camera's jobs as server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from asgiref.sync import sync_to_async
from django.http import HttpRequest, StreamingHttpResponse

from alfred.models import Camera, Role
from annotator.access import camera_for
from annotator.sse import hub

PING_S = 15.0


async def stream(request: HttpRequest, slug: str) -> StreamingHttpResponse:
    """Says which job moved; the page then asks for what it shows. Permission is asked again at every ping."""
    camera = await sync_to_async(camera_for)(request, slug, Role.SUPERVISOR)
    response = StreamingHttpResponse(_messages(request, camera), content_type="text/event-stream")
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"
    return response


async def _messages(request: HttpRequest, camera: Camera) -> AsyncIterator[str]:
    messages = hub().open(camera.pk)
    try:
        yield "retry: 2000\n\n"
        while True:
            try:
                message = await asyncio.wait_for(messages.get(), PING_S)
            except TimeoutError:
                await sync_to_async(camera_for)(request, camera.slug, Role.SUPERVISOR)
                yield ": still here\n\n"
                continue
            yield f"event: job\ndata: {json.dumps(message)}\n\n"
    finally:
        hub().close(messages)
