"""`manage.py rehearse`: labelled files as a camera's slices, one round each, through the real queues and workers."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from alfred.detectors import registry
from alfred.embedded.child import AlreadyRunning, ServiceError
from alfred.embedded.supervisor import stop_on_signals
from alfred.management import headless
from alfred.management.running import Interrupted, Stack
from alfred.models import Camera


class Command(BaseCommand):
    help = "Import a validation set, then each file as one slice: score, scripted review, round, promote, next."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("camera", help="name of the camera; made when there is none")
        parser.add_argument("--validation", type=Path, required=True, help="labelled poses: the validation set")
        parser.add_argument("--slices", type=Path, nargs="+", required=True, help="labelled poses, in order")
        parser.add_argument("--simulated", action="store_true", help="the data is simulated; say so wherever it shows")
        parser.add_argument("--detector", default=Camera.DETECTOR, choices=registry.with_source_weights())
        parser.add_argument("--noise", type=float, default=0.0, help="share of answers the script gets wrong")

    def handle(self, *args: Any, **options: Any) -> None:
        for path in (options["validation"], *options["slices"]):
            if not path.is_file():
                raise CommandError(f"{path}: there is no such file.")
        stop, started = stop_on_signals(), time.monotonic()

        def say(text: str) -> None:
            self.stdout.write(f"[{time.monotonic() - started:6.1f} s] {text}")

        stack = Stack(say, "127.0.0.1", 0)
        try:
            stack.claim()
            stack.start_services()
            stack.start_processes(web=False, stop=stop)
            stack.run_beside(lambda: self._walk(options, say), stop)
        except (AlreadyRunning, ServiceError, Interrupted) as error:
            raise CommandError(str(error)) from None
        except headless.WALK_ERRORS as error:
            raise CommandError(f"The rehearsal failed: {error}") from None
        finally:
            stack.stop()

    def _walk(self, options: dict[str, Any], say: Any) -> None:
        seen = headless.rehearse(
            options["camera"], options["validation"], options["slices"], options["noise"], say,
            is_simulated=options["simulated"], detector=options["detector"],
        )  # fmt: skip
        for line in headless.summary(seen):
            self.stdout.write(line)
