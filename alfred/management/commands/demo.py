"""`manage.py demo`: the main job on embedded defaults; with --headless, walked by a script."""

from __future__ import annotations

import os
import time
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from alfred.embedded.child import AlreadyRunning, ServiceError
from alfred.embedded.supervisor import stop_on_signals
from alfred.management.running import Interrupted, Stack


class Command(BaseCommand):
    help = "Show the product on this machine: a simulated camera and, with --video, your own footage."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--video", nargs="+", type=Path, default=[], metavar="PATH", help="real footage to show")
        parser.add_argument(
            "--headless", action="store_true", help="no browser: a script reviews, runs a round, reports"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["host"] not in {"127.0.0.1", "localhost", "::1"}:
            raise CommandError(
                f"--host {options['host']}: the demo stays on this machine; use `manage.py up` for others."
            )
        missing = [str(p) for p in options["video"] if not p.is_file()]
        if missing:
            raise CommandError(f"--video: there is no such file: {', '.join(missing)}")
        os.environ["ALFRED_DEMO"] = "1"
        settings.DEMO = True
        stop = stop_on_signals()
        started = time.monotonic()
        stack = Stack(lambda text: self._say(text, started), options["host"], options["port"])
        try:
            stack.claim()
        except AlreadyRunning as error:
            raise CommandError(str(error)) from None
        try:
            self._run(stack, options, stop, started)
        except ServiceError as error:
            raise CommandError(str(error)) from None
        finally:
            stack.stop()
            self._say("Everything has stopped; the data stays in " + str(settings.STATE_DIR), started)

    def _say(self, text: str, started: float) -> None:
        self.stdout.write(f"[{time.monotonic() - started:6.1f} s] {text}")
        self.stdout.flush()

    def _run(self, stack: Stack, options: dict[str, Any], stop: Callable[[], bool], started: float) -> None:
        self._say("ALFred demo: starting PostgreSQL, the broker, four workers and the web page.", started)
        stack.start_services()
        stack.start_processes(web=not options["headless"], stop=stop)
        if options["headless"]:
            self._headless(stack, options["video"], stop, started)
            return
        self._seed(options["video"], started)
        self.stdout.write(self.style.SUCCESS(f"\n  Open {stack.url}   (Ctrl-C stops everything)\n"))
        stack.supervisor.run_until(_with_progress(stop, lambda text: self._say(text, started)))

    def _seed(self, videos: list[Path], started: float) -> None:
        from alfred.management import demo_content

        for account in demo_content.prepare(videos, lambda text: self._say(text, started)):
            self.stdout.write(f"  account {account.name:<6} password {account.password}   ({account.words})")
        self.stdout.write(
            "  (admin, ana, ben, sue: passwords are shown once; `manage.py changepassword NAME` sets a new one)"
        )

    def _headless(self, stack: Stack, videos: list[Path], stop: Callable[[], bool], started: float) -> None:
        from alfred.management import headless

        def walk() -> None:
            headless.walk(videos, lambda text: self._say(text, started), self.stdout.write)

        try:
            stack.run_beside(walk, stop)
        except headless.WALK_ERRORS as error:
            raise CommandError(f"The walk failed: {error}") from None
        except Interrupted as error:
            raise CommandError(str(error)) from None


def _with_progress(stop: Callable[[], bool], say: Callable[[str], None]) -> Callable[[], bool]:
    """`stop`, which now and then also says what the workers are doing."""
    from alfred.models import Job

    told: dict[str, float | str] = {"at": 0.0, "text": ""}

    def asked() -> bool:
        if stop():
            return True
        now = time.monotonic()
        if now - float(told["at"]) > 3:
            told["at"] = now
            try:
                job = Job.objects.select_related("camera").filter(state=Job.State.RUNNING).order_by("id").first()
                text = (
                    f"{job.camera.name}: {job.get_kind_display()} {job.percent} %"
                    if job
                    else "Idle: everything is done."
                )
            except Exception as error:  # the database may be starting again; the supervisor is at it
                text = f"waiting for the database ({type(error).__name__})"
            if text != told["text"]:
                told["text"] = text
                say(text)
        return False

    return asked
