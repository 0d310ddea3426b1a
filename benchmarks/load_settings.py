"""The product's settings, and what each request cost in headers of its answer. For `review_load` only."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from alfred.settings import *  # noqa: F403 - all of them
from alfred.settings import MIDDLEWARE as _PRODUCT
from benchmarks.review_rows import counts

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

MIDDLEWARE = ["benchmarks.load_settings.Measured", *_PRODUCT]


class Measured:
    """First of the middleware: X-Server-Ms and X-Queries of everything below it.

    Not async, like the product's first ones: the chain runs in the thread, on the connection, that it would have.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        from django.db import connection

        queries = 0

        def count(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
            nonlocal queries
            queries += counts(str(sql))
            return execute(sql, *rest)

        began = time.perf_counter()
        with connection.execute_wrapper(count):
            response = self.get_response(request)
        response.headers["X-Server-Ms"] = f"{(time.perf_counter() - began) * 1000:.2f}"
        response.headers["X-Queries"] = str(queries)
        return response
