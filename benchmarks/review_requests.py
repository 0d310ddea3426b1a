"""Next event and verdict: queries and milliseconds in the server, on a queue of real size, on a real PostgreSQL."""

from __future__ import annotations

import re
import time
from uuid import uuid4

import numpy as np

from benchmarks import review_rows
from benchmarks.database import database

BUDGET = "next event ≤ 8 queries and p95 ≤ 50 ms, verdict p95 ≤ 80 ms"
EVENTS = 100_000
REQUESTS = 200


def run() -> tuple[dict[str, float | str], bool]:
    """One annotator against a queue of 100 000 open events on 20 cameras; requests go through the whole web stack."""
    with database():
        return _measure()


def _measure() -> tuple[dict[str, float | str], bool]:
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    (user,) = review_rows.fill(EVENTS)
    client = Client(SERVER_NAME="localhost")
    client.force_login(user)
    spent: dict[str, list[float]] = {"next": [], "verdict": []}
    queries: dict[str, int] = {}

    def timed(name: str, request: object) -> object:
        began = time.perf_counter()
        response = request()  # type: ignore[operator]  # a lambda
        spent[name].append((time.perf_counter() - began) * 1000)
        return response

    for turn in range(REQUESTS):
        with CaptureQueriesContext(connection) as seen:
            response = timed("next", lambda: client.get("/review/next/"))
        queries["next"] = max(queries.get("next", 0), _counted(seen))
        event = re.findall(r"/review/events/([0-9a-f-]+)/verdict/", response.content.decode())[0]  # type: ignore[attr-defined]
        data = {"answer": "normal", "key": str(uuid4()), "active_ms": "900"}
        with CaptureQueriesContext(connection) as seen:
            timed("verdict", lambda e=event, d=data: client.post(f"/review/events/{e}/verdict/", d))
        if turn > 0:
            queries["verdict"] = max(queries.get("verdict", 0), _counted(seen))
    figures: dict[str, float | str] = {"open events": EVENTS, "requests": REQUESTS}
    for name in spent:
        figures[f"{name} p50 ms"] = round(float(np.percentile(spent[name], 50)), 1)
        figures[f"{name} p95 ms"] = round(float(np.percentile(spent[name], 95)), 1)
        figures[f"{name} queries"] = queries[name]
    figures["note"] = (
        "the page asks for the next event once a verdict is stored; queries without BEGIN, COMMIT and savepoints"
    )
    holds = queries["next"] <= 8 and float(figures["next p95 ms"]) <= 50 and float(figures["verdict p95 ms"]) <= 80
    return figures, holds


def _counted(seen: object) -> int:
    return sum(review_rows.counts(q["sql"]) for q in seen.captured_queries)  # type: ignore[attr-defined]
