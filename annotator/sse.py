"""Server-sent events: one LISTEN connection a web process, fanned out to any number of pages."""

from __future__ import annotations

import asyncio
import json
import logging
import weakref
from typing import Any

import psycopg
from django.conf import settings

from alfred.env import LIBPQ_OPTIONS

log = logging.getLogger(__name__)
CHANNEL = "alfred_job"

Message = dict[str, Any]


class Hub:
    """Listens to job announcements and hands each to every open stream that watches its camera."""

    def __init__(self) -> None:
        self._streams: dict[asyncio.Queue[Message], set[int]] = {}
        self._task = asyncio.get_running_loop().create_task(self._listen())

    def open(self, cameras: set[int]) -> asyncio.Queue[Message]:
        """A queue of these cameras' announcements from now on."""
        messages: asyncio.Queue[Message] = asyncio.Queue(maxsize=100)
        self._streams[messages] = cameras
        return messages

    def watch(self, messages: asyncio.Queue[Message], cameras: set[int]) -> None:
        """From now on of these."""
        self._streams[messages] = cameras

    def close(self, messages: asyncio.Queue[Message]) -> None:
        self._streams.pop(messages, None)

    async def _listen(self) -> None:
        while True:
            try:
                connection = await psycopg.AsyncConnection.connect(_dsn(), autocommit=True)
                async with connection:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    async for notice in connection.notifies():
                        self._hand_out(json.loads(notice.payload))
            except psycopg.Error as error:
                log.warning("progress stream waits for the database (%s)", type(error).__name__)
                await asyncio.sleep(1)

    def _hand_out(self, message: Message) -> None:
        for messages, cameras in self._streams.items():
            # A page that reads too slowly misses steps, never the state: it asks for that itself.
            if message["camera"] in cameras and not messages.full():
                messages.put_nowait(message)


def _dsn() -> str:
    database = settings.DATABASES["default"]
    parts = {
        "host": database["HOST"],
        "port": database["PORT"],
        "dbname": database["NAME"],
        "user": database["USER"],
        "password": database["PASSWORD"],
    }
    options = {k: v for k, v in database.get("OPTIONS", {}).items() if k in LIBPQ_OPTIONS}
    return psycopg.conninfo.make_conninfo(**{k: v for k, v in parts.items() if v}, **options)


_hubs: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = weakref.WeakKeyDictionary()


def hub() -> Hub:
    """The event loop's hub, made when the first page asks."""
    loop = asyncio.get_running_loop()
    if loop not in _hubs:
        _hubs[loop] = Hub()
    return _hubs[loop]
