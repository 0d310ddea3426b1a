"""A PostgreSQL and a broker of its own for a benchmark, with the product's settings on it and its tables made."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alfred.embedded.postgres import Postgres
from alfred.embedded.valkey import Valkey


@contextmanager
def database() -> Iterator[Path]:
    """Django set up on a fresh database; gives the state folder. Everything is gone afterwards."""
    state = Path(tempfile.mkdtemp(prefix="alfred-bench-"))
    state.chmod(0o711)
    server, broker = Postgres(state / "postgres"), Valkey(state / "valkey")
    server.start()
    broker.start()
    try:
        server.create_database("bench")
        os.environ |= {
            "DATABASE_URL": server.dsn("bench"),
            "CELERY_BROKER_URL": broker.url,
            "ALFRED_STATE_DIR": str(state),
            "ALFRED_SECRET_KEY": "bench",
            "ALFRED_TESTING": "1",
            "DJANGO_SETTINGS_MODULE": "alfred.settings",
        }
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        yield state
        from django.db import connections

        connections.close_all()
    finally:
        broker.stop()
        server.stop()
        shutil.rmtree(state, ignore_errors=True)
