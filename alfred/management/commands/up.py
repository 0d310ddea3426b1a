"""`manage.py up`: the product on this machine, in the foreground."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from alfred.embedded.child import AlreadyRunning, ServiceError
from alfred.embedded.supervisor import stop_on_signals
from alfred.management.running import Stack


class Command(BaseCommand):
    help = "Run web, workers and (unless servers are configured) PostgreSQL and Valkey until Ctrl-C."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8000)

    def handle(self, *args: Any, **options: Any) -> None:
        stop = stop_on_signals()
        stack = Stack(lambda text: self.stdout.write(text), options["host"], options["port"])
        try:
            stack.claim()
        except AlreadyRunning as error:
            raise CommandError(str(error)) from None
        try:
            stack.start_services()
            stack.start_processes(stop=stop)
            self.stdout.write(self.style.SUCCESS(f"Ready: {stack.url}   (Ctrl-C stops everything)"))
            stack.supervisor.run_until(stop)
        except ServiceError as error:
            raise CommandError(str(error)) from None
        finally:
            stack.stop()
