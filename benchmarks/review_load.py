"""Fifty people answering at once: the real web server on a queue of a million events, on a real PostgreSQL.

The people are a process of their own (`python -m benchmarks.review_load PLAN SEEN`), so that what they cost is not
taken for the server's. They ask as review.js does, without poses, video and heartbeats. Their load is open: each has
a time for every answer, and a slow server does not make them answer less often.
SECONDS (300) and EVENTS (1 000 000) in the environment make it shorter and smaller.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode
from uuid import uuid4

import numpy as np

from alfred.embedded import child
from benchmarks import review_rows
from benchmarks.database import database

if TYPE_CHECKING:
    from alfred.models import User

BUDGET = (
    "1 M events, 50 annotators at one verdict per 4 s each on granian: next event p95 ≤ 50 ms and verdict p95 ≤ 80 ms "
    "in the server, ≤ 8 queries each, no event given twice, no error"
)
EVENTS = 1_000_000
SECONDS = 300
PEOPLE = 50
EVERY_S = 4.0
QUERIES = 8
HELD = 4
"""Events a page keeps: the one on the stage and those fetched ahead."""
WARM_TURNS = 30
"""Answers of one more person before the clock starts: what a server reads once is not what a request costs."""
PATIENCE_S = 30.0
CSRF = "c" * 32
HOST = "127.0.0.1"
ROOT = Path(__file__).resolve().parents[1]
KINDS = ("next", "more", "verdict")


def run() -> tuple[dict[str, float | str], bool]:
    """Fill, serve, let them answer, count what is in the database."""
    events, seconds = int(os.environ.get("EVENTS", EVENTS)), int(os.environ.get("SECONDS", SECONDS))
    with _signals_unwind(), database() as state:
        people = _people(events)
        with _server(state) as (port, server):
            roots = {"web server": server, "PostgreSQL": _postmaster(state)}
            before = {name: _cpu_s(pid) for name, pid in roots.items()}
            seen = _let_them_answer(state, port, people, seconds)
            spent = {name: _cpu_s(pid) - before[name] for name, pid in roots.items()}
        figures: dict[str, float | str] = {"open events": events, "annotators": PEOPLE, "seconds": seconds}
        figures |= _request_figures(seen) | _counted_figures(seen, people[-1])
        figures |= {f"{name} CPU, cores": round(s / seen.wall_s, 2) for name, s in spent.items()}
    return figures, _holds(figures)


def _holds(figures: dict[str, float | str]) -> bool:
    nothing = (
        "errors",
        "events given to two at once",
        "events given again without a second look",
        "answers missing in the database",
        "answers written twice",
    )
    limits = {"next p95 ms": 50, "more p95 ms": 50, "verdict p95 ms": 80} | {
        f"{kind} queries": QUERIES for kind in KINDS
    }
    return all(float(figures[name]) <= most for name, most in (limits | dict.fromkeys(nothing, 0)).items())


@contextmanager
def _signals_unwind() -> Iterator[None]:
    """The first signal to stop becomes an exception, so that processes and folders go; more change nothing."""
    asked = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def unwind(number: int, frame: object) -> None:
        for sig in asked:
            signal.signal(sig, signal.SIG_IGN)
        raise SystemExit(128 + number)

    before = {sig: signal.signal(sig, unwind) for sig in asked}
    try:
        yield
    finally:
        for sig, handler in before.items():
            signal.signal(sig, handler)


# The installation.


def _people(events: int) -> list[User]:
    """The queue is filled; the last person of those returned is the one who warms up."""
    from django.db import connection

    people = review_rows.fill(events, cameras=20, people=PEOPLE + 1)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")  # else autovacuum does it meanwhile; a queue grown over weeks has it behind it
        cursor.execute("CHECKPOINT")
    return people


@contextmanager
def _server(state: Path) -> Iterator[tuple[int, int]]:
    """The web server as the product starts it, with the settings that measure: its port and process id."""
    from alfred.management.running import Stack

    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    stack = Stack(print, HOST, port)
    # Without these flags it is what people run: a pool of connections, no debugging.
    flags = ("ALFRED_TESTING", "ALFRED_DEBUG", "ALFRED_DEMO", "ALFRED_HTTPS")
    env = {name: value for name, value in os.environ.items() if name not in flags}
    env |= {"DJANGO_SETTINGS_MODULE": "benchmarks.load_settings", "ALFRED_ALLOWED_HOSTS": HOST}
    collect = [sys.executable, "manage.py", "collectstatic", "--noinput", "-v0"]
    subprocess.run(collect, cwd=ROOT, env=env, check=True)
    log = state / "web.log"
    process = child.spawn(stack._web(), log=log, env=env, cwd=ROOT)  # not a copy of the command: it may change
    try:
        child.wait_until(lambda: child.has_ended(process) or stack._answers(), 60.0)
        if child.has_ended(process) or not stack._answers():
            raise child.ServiceError(f"The web server does not answer:\n{child.log_tail(log)}")
        yield port, process.pid
    finally:
        child.end_group(process)
        print(child.log_tail(log, lines=40), file=sys.stderr)  # errors; it goes with the folder


def _let_them_answer(state: Path, port: int, people: list[User], seconds: int) -> Seen:
    plan, seen, log = state / "plan.json", state / "seen.json", state / "people.log"
    sessions = [_session(user) for user in people]
    plan.write_text(json.dumps({"port": port, "sessions": sessions, "seconds": seconds}), "utf-8")
    process = child.spawn([sys.executable, "-m", "benchmarks.review_load", plan, seen], log=log, cwd=ROOT)
    try:
        status = process.wait(seconds + 4 * PATIENCE_S + 60)
    finally:
        child.end_group(process)
    if status:
        raise child.ServiceError(f"The process of the people failed:\n{child.log_tail(log, lines=30)}")
    return Seen(**json.loads(seen.read_text("utf-8")))


def _session(user: User) -> str:
    from django.conf import settings
    from django.test import Client

    client = Client()
    client.force_login(user)
    return client.cookies[settings.SESSION_COOKIE_NAME].value


def _postmaster(state: Path) -> int:
    return int((state / "postgres/data/postmaster.pid").read_text("utf-8").split()[0])


def _cpu_s(root: int) -> float:
    """Seconds of CPU that a process, its children of today and those it has reaped have taken."""
    parents, spent = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = path.read_text("utf-8", "replace").rpartition(")")[2].split()
        except OSError:  # gone meanwhile
            continue
        pid = int(path.parent.name)
        parents[pid], spent[pid] = int(words[1]), sum(map(int, words[11:15]))  # proc(5): utime to cstime

    def below(pid: int) -> bool:
        while pid and pid != root:
            pid = parents.get(pid, 0)
        return pid == root

    return sum(ticks for pid, ticks in spent.items() if below(pid)) / os.sysconf("SC_CLK_TCK")


# The figures.


@dataclass
class Seen:
    """What the people's process saw, as JSON between the two processes."""

    server_ms: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    client_ms: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    """From the time it was due."""
    queries: dict[str, list[int]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    late_ms: list[float] = field(default_factory=list)
    """How far behind the plan the people themselves were."""
    errors: dict[str, int] = field(default_factory=dict)
    given: dict[str, list[int]] = field(default_factory=dict)
    """Event → the people it was given to."""
    at_once: int = 0
    """Events given to a person while another had it before them."""
    answered: list[str] = field(default_factory=list)
    """Keys of the verdicts that the server says it has."""
    cpu_s: float = 0.0
    wall_s: float = 0.0


def _request_figures(seen: Seen) -> dict[str, float | str]:
    figures: dict[str, float | str] = {}
    for kind in KINDS:
        figures |= {
            f"{kind} requests": len(seen.server_ms[kind]),
            f"{kind} p50 ms": _percentile(seen.server_ms[kind], 50),
            f"{kind} p95 ms": _percentile(seen.server_ms[kind], 95),
            f"{kind} p95 ms, at the client": _percentile(seen.client_ms[kind], 95),
            f"{kind} queries": max(seen.queries[kind], default=0),
            f"{kind} requests above {QUERIES} queries": sum(made > QUERIES for made in seen.queries[kind]),
        }
    return figures


def _percentile(values: list[float], percent: float) -> float:
    return round(float(np.percentile(values, percent)), 1) if values else float("inf")


def _counted_figures(seen: Seen, warm: User) -> dict[str, float | str]:
    """What went wrong, against the rows in the database; and whether the people were fast enough to be believed."""
    from alfred.models import Verdict

    rows = Verdict.objects.exclude(user=warm)
    written = Counter(str(key) for key in rows.values_list("key", flat=True))
    if seen.errors:
        print("errors:", json.dumps(seen.errors, indent=1), file=sys.stderr)
    return {
        "verdicts a second": round(len(seen.answered) / (seen.wall_s - EVERY_S), 2),
        "errors": sum(seen.errors.values()),
        "events given to two at once": seen.at_once,
        "events given again without a second look": _unasked(seen.given),
        "answers missing in the database": sum(key not in written for key in seen.answered),
        "answers written twice": sum(written[key] > 1 for key in seen.answered) + _repeated(seen.answered),
        "second looks answered": rows.filter(second=True).count(),
        "people's CPU s": round(seen.cpu_s, 1),
        "people's CPU, cores": round(seen.cpu_s / seen.wall_s, 3),
        "people behind their plan, p95 ms": _percentile(seen.late_ms, 95),
    }


def _unasked(given: dict[str, list[int]]) -> int:
    """Events more people got than should: a second person only those that the lot says, a third none."""
    from alfred.models import Answer, Event
    from alfred.services import agreement

    again = {event: len(people) for event, people in given.items() if len(people) > 1}
    rows = Event.objects.filter(pk__in=again).select_related("camera")
    return sum(again[str(event.pk)] > 2 or not agreement.wants_second(event, Answer.NORMAL) for event in rows)


def _repeated(keys: list[str]) -> int:
    return len(keys) - len(set(keys))


# The people, in a process of their own.


class Person:
    """A browser with the review page open: its connections, its cookies and the events it holds."""

    def __init__(self, number: int, session: str, port: int, seen: Seen, holders: dict[str, int]) -> None:
        """`holders`, event → who has it before them, is everybody's."""
        self.number, self.port, self.seen, self.holders = number, port, seen, holders
        self.errors: Counter[str] = Counter()
        self.hand: list[str] = []
        self.had: set[str] = set()
        self.idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.headers = (
            f"Host: {HOST}:{port}\r\nCookie: sessionid={session}; csrftoken={CSRF}\r\nX-CSRFToken: {CSRF}\r\n"
            "Accept: text/html\r\nHX-Request: true\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        )

    async def work(self, start: float, until: float) -> None:
        """Open the page at `start`; an answer is due every `EVERY_S` from then on, whatever became of the last."""
        async with asyncio.TaskGroup() as turns:
            await asyncio.sleep(start - time.perf_counter())
            turns.create_task(self.noted(self.fill()))
            due = start + EVERY_S
            while due < until:
                await asyncio.sleep(due - time.perf_counter())
                self.seen.late_ms.append((time.perf_counter() - due) * 1000)
                turns.create_task(self.noted(self.answer(due)))
                due += EVERY_S

    async def noted(self, doing: Coroutine[object, object, None]) -> None:
        """What fails is counted, and the person goes on."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                await doing
        except (OSError, EOFError, RuntimeError, TimeoutError) as error:
            self.errors[f"{type(error).__name__}: {error}"] += 1

    async def answer(self, due: float) -> None:
        """What is on the stage is normal; then the hand is filled up, as when the page's outbox is empty."""
        if not self.hand:
            await self.fill()
        if not self.hand:
            raise RuntimeError("there was no event to answer")
        event, key = self.hand.pop(0), str(uuid4())
        self.holders.pop(event, None)  # as soon as the answer has come, a second person may get it
        fields = {"answer": "normal", "key": key, "active_ms": "3500"}
        await self.ask("verdict", f"/review/events/{event}/verdict/", fields, due=due)
        self.seen.answered.append(key)
        await self.fill()

    async def fill(self) -> None:
        if not self.hand:
            self.take(re.findall(r'data-event="([0-9a-f-]{36})"', await self.ask("next", "/review/next/")))
        if 0 < len(self.hand) < HELD:
            have = urlencode([("have", event) for event in self.hand])
            self.take(re.findall(r'data-queued="([0-9a-f-]{36})"', await self.ask("more", f"/review/more/?{have}")))

    def take(self, events: list[str]) -> None:
        """One's own events come again while an answer is on its way: the page leaves them out, too."""
        for event in events:
            if event not in self.had:
                self.had.add(event)
                self.hand.append(event)
                self.seen.at_once += self.holders.setdefault(event, self.number) != self.number
                self.seen.given.setdefault(event, []).append(self.number)

    async def ask(self, kind: str, path: str, fields: dict[str, str] | None = None, *, due: float | None = None) -> str:
        """One request, timed. Raises RuntimeError for an answer that is none."""
        began = due or time.perf_counter()
        method = "GET" if fields is None else "POST"
        status, headers, text = await self.send(method, path, urlencode(fields or {}).encode())
        if status != (200 if fields is None else 201):
            raise RuntimeError(f"{kind}: status {status}: {text[:200]}")
        self.seen.client_ms[kind].append((time.perf_counter() - began) * 1000)
        self.seen.server_ms[kind].append(float(headers["x-server-ms"]))
        self.seen.queries[kind].append(int(headers["x-queries"]))
        return text

    async def send(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, str], str]:
        """On a connection that is free, or a new one; it is kept only when all went well."""
        reader, writer = self.idle.pop() if self.idle else await asyncio.open_connection(HOST, self.port)
        try:
            head = f"{method} {path} HTTP/1.1\r\n{self.headers}Content-Length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            text = (await reader.readexactly(int(headers["content-length"]))).decode()
        except BaseException:
            writer.close()
            raise
        self.idle.append((reader, writer))
        return int(first.split()[1]), headers, text

    def close(self) -> None:
        for _, writer in self.idle:
            writer.close()


async def _everybody(port: int, sessions: list[str], seconds: float) -> Seen:
    """One warms the server up; then the others begin, spread over the first `EVERY_S`."""
    *sessions, spare = sessions
    warm = Person(-1, spare, port, Seen(), {})
    for _ in range(WARM_TURNS):
        await warm.answer(time.perf_counter())
    warm.close()
    seen, cpu, began = Seen(), _own_cpu_s(), time.perf_counter()
    holders: dict[str, int] = {}
    people = [Person(n, session, port, seen, holders) for n, session in enumerate(sessions)]
    async with asyncio.TaskGroup() as group:
        for person in people:
            group.create_task(person.work(began + EVERY_S * person.number / len(people), began + seconds))
    seen.cpu_s, seen.wall_s = _own_cpu_s() - cpu, time.perf_counter() - began
    seen.errors = dict(sum((person.errors for person in people), Counter()))
    for person in people:
        person.close()
    return seen


def _own_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main(plan: Path, found: Path) -> None:
    """The people's process: from the plan's file to the file of what they saw."""
    seen = asyncio.run(_everybody(**json.loads(plan.read_text("utf-8"))))
    found.write_text(json.dumps(asdict(seen)), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
