"""Stored files over HTTP, with ranges, so that a browser can seek."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Iterator
from io import BufferedReader

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

BLOCK = 1 << 16
RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


class _Part:
    """At most `left` bytes of an open file, from where it stands."""

    def __init__(self, file: BufferedReader, left: int) -> None:
        self._file, self._left = file, left

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        return data

    def close(self) -> None:
        self._file.close()


def file_response(request: HttpRequest, file: BufferedReader, content_type: str) -> HttpResponseBase:
    """200 with the whole file, 206 with the asked range, or 416."""
    size = os.fstat(file.fileno()).st_size
    match = RANGE.fullmatch(request.headers.get("Range", "").strip())
    if match is None or match.groups() == ("", ""):
        response = _stream(request, _Part(file, size), 200, content_type)
        response.headers["Content-Length"] = str(size)
        return _private(response)
    first, last = match.groups()
    start = int(first) if first else max(0, size - int(last))
    end = min(int(last), size - 1) if first and last else size - 1
    if start > end:
        file.close()
        return HttpResponse(status=416, headers={"Content-Range": f"bytes */{size}"})
    file.seek(start)
    response = _stream(request, _Part(file, end - start + 1), 206, content_type)
    response.headers["Content-Length"] = str(end - start + 1)
    response.headers["Content-Range"] = f"bytes {start}-{end}/{size}"
    return _private(response)


def _stream(request: HttpRequest, part: _Part, status: int, content_type: str) -> HttpResponseBase:
    """A block at a time. Under ASGI Django would first read a synchronous iterator to its end, whatever its size."""
    blocks = _blocks_async(part) if isinstance(request, ASGIRequest) else _blocks(part)
    return StreamingHttpResponse(blocks, status=status, content_type=content_type)


def _blocks(part: _Part) -> Iterator[bytes]:
    try:
        while data := part.read(BLOCK):
            yield data
    finally:
        part.close()


async def _blocks_async(part: _Part) -> AsyncIterator[bytes]:
    try:
        while data := await asyncio.to_thread(part.read, BLOCK):
            yield data
    finally:
        part.close()


def _private(response: HttpResponseBase) -> HttpResponseBase:
    response.headers["Accept-Ranges"] = "bytes"
    response.headers["Cache-Control"] = "private, no-store"
    response.headers["Vary"] = "Cookie"
    return response
