"""The environment's readers: what they take, what they refuse, and that a wrong value stops the start by name."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alfred import env

CHECKOUT = Path(__file__).resolve().parents[1]
NAME = "ALFRED_UNDER_TEST"


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Callable[[str | None], None]:
    monkeypatch.delenv(NAME, raising=False)

    def give(value: str | None) -> None:
        if value is None:
            monkeypatch.delenv(NAME, raising=False)
        else:
            monkeypatch.setenv(NAME, value)

    return give


@pytest.mark.parametrize(("value", "found"), [(None, "d"), ("", "d"), ("x", "x"), (" x ", " x ")])
def test_text(given: Callable[[str | None], None], value: str | None, found: str) -> None:
    given(value)
    assert env.text(NAME, "d") == found


def test_text_of_choices(given: Callable[[str | None], None]) -> None:
    assert env.text(NAME, "a", ("a", "b")) == "a"
    given("b")
    assert env.text(NAME, "a", ("a", "b")) == "b"
    given("c")
    with pytest.raises(env.BadSetting, match=f"{NAME}='c': use one of a, b"):
        env.text(NAME, "a", ("a", "b"))


def test_a_secret_from_a_file(
    given: Callable[[str | None], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("s3cret\n")
    monkeypatch.setenv(f"{NAME}_FILE", str(tmp_path / "secret"))
    assert env.text(NAME, "d") == "s3cret"
    given("named")  # the variable itself wins
    assert env.text(NAME, "d") == "named"
    given(None)
    monkeypatch.setenv(f"{NAME}_FILE", str(tmp_path / "nowhere"))
    with pytest.raises(env.BadSetting, match=f"{NAME}_FILE: .*nowhere"):
        env.text(NAME, "d")


@pytest.mark.parametrize("value", ["1", "true", "YES", "On"])
def test_flag_on(given: Callable[[str | None], None], value: str) -> None:
    given(value)
    assert env.flag(NAME) is True


@pytest.mark.parametrize("value", ["0", "false", "NO", "Off"])
def test_flag_off(given: Callable[[str | None], None], value: str) -> None:
    given(value)
    assert env.flag(NAME, True) is False


def test_flag_unset(given: Callable[[str | None], None]) -> None:
    assert (env.flag(NAME), env.flag(NAME, True)) == (False, True)
    given("")
    assert env.flag(NAME, True) is True


@pytest.mark.parametrize(("value", "found"), [(None, 7), ("", 7), ("3", 3), ("9", 9), (" 5 ", 5)])
def test_number(given: Callable[[str | None], None], value: str | None, found: int) -> None:
    given(value)
    assert env.number(NAME, 7, 3, 9) == found


def test_folder(given: Callable[[str | None], None], tmp_path: Path) -> None:
    assert env.folder(NAME, tmp_path) == tmp_path
    given(str(tmp_path / "a" / ".." / "b"))
    assert env.folder(NAME, tmp_path) == tmp_path / "b"
    given("~/x")
    assert env.folder(NAME, tmp_path) == Path.home().resolve() / "x"


def test_time_zone(given: Callable[[str | None], None]) -> None:
    assert env.time_zone(NAME, "UTC") == "UTC"
    given("Europe/Berlin")
    assert env.time_zone(NAME, "UTC") == "Europe/Berlin"


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("maybe", env.flag),
        ("2", env.flag),
        ("many", lambda name: env.number(name, 1)),
        ("1.5", lambda name: env.number(name, 1)),
        ("-1", lambda name: env.number(name, 1)),
        ("257", lambda name: env.number(name, 1, 1, 256)),
        (__file__, lambda name: env.folder(name, Path("/"))),
        ("Mars/Base", lambda name: env.time_zone(name, "UTC")),
        ("../UTC", lambda name: env.time_zone(name, "UTC")),
    ],
)
def test_a_wrong_value_is_refused_by_name(
    given: Callable[[str | None], None], value: str, read: Callable[[str], Any]
) -> None:
    given(value)
    with pytest.raises(env.BadSetting, match=NAME):
        read(NAME)


def test_database() -> None:
    assert env.database("postgresql://u%40x:p%2Fw@db.example:5433/al%20fred") == {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "al fred",
        "USER": "u@x",
        "PASSWORD": "p/w",
        "HOST": "db.example",
        "PORT": 5433,
        "OPTIONS": {},
    }
    assert env.database("postgresql://u@h/x?sslmode=verify-full")["OPTIONS"] == {"sslmode": "verify-full"}
    with pytest.raises(env.BadSetting, match="ssl_mode"):
        env.database("postgresql://u@h/x?ssl_mode=verify-full")
    socket = env.database("postgres:///alfred?host=/run/pg")
    assert (socket["HOST"], socket["PORT"], socket["USER"]) == ("/run/pg", "", "")


@pytest.mark.parametrize(
    "url",
    ["", "alfred", "mysql://u@h/x", "sqlite:///x", "postgresql://u@h", "postgresql://u@h/", "postgresql://u@h:x/a"],
)
def test_a_wrong_database_is_refused_by_name(url: str) -> None:
    with pytest.raises(env.BadSetting, match=r"^DATABASE_URL: "):
        env.database(url)


@pytest.mark.parametrize("url", ["amqp://h//", "amqps://h", "redis://h/0", "rediss://h", "redis+socket:///run/v"])
def test_broker(url: str) -> None:
    assert env.broker(url) == url


@pytest.mark.parametrize("url", ["", "sqs://", "memory://", "filesystem://", "http://h", "REDIS"])
def test_a_wrong_broker_is_refused_by_name(url: str) -> None:
    with pytest.raises(env.BadSetting, match=r"^CELERY_BROKER_URL: "):
        env.broker(url)


def manage(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """manage.py in a process of its own; nothing listens where these settings point, and nothing needs to."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("ALFRED_", "DATABASE", "CELERY", "DJANGO"))}
    clean |= {
        "ALFRED_TESTING": "1",
        "ALFRED_SECRET_KEY": "k" * 50 + "0123456789abc",
        "DATABASE_URL": "postgresql://nobody@localhost/none",
        "CELERY_BROKER_URL": "redis://localhost",
    }
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(command, cwd=CHECKOUT, env=clean | environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALFRED_THREADS", "many"),
        ("ALFRED_HTTPS", "maybe"),
        ("DATABASE_URL", "mysql://h/x"),
        ("CELERY_BROKER_URL", "x"),
    ],
)
def test_a_wrong_value_stops_the_start(name: str, value: str) -> None:
    result = manage("check", **{name: value})
    assert result.returncode != 0
    assert result.stderr.startswith(f"Setting {name}") and "Traceback" not in result.stderr


def test_what_a_public_installation_is_warned_of() -> None:
    result = manage("check", "--deploy", "--fail-level", "ERROR", ALFRED_HTTPS="1")
    assert result.returncode == 0, result.stderr
    warned = {word.strip("(?:)") for word in result.stderr.split() if word.startswith("(security.")}
    # Left to the proxy in front, which answers for the whole host: redirects (W008), subdomains (W005), preload (W021).
    assert warned == {"security.W005", "security.W008", "security.W021"}


def test_safe_by_default(tmp_path: Path) -> None:
    names = "DEBUG DEMO ALLOWED_HOSTS SESSION_COOKIE_HTTPONLY SESSION_COOKIE_SAMESITE X_FRAME_OPTIONS POSE_DOWNLOAD"
    code = f"from django.conf import settings as s; print(*(getattr(s, n) for n in '{names}'.split()), sep=';')"
    result = manage("shell", "--no-imports", "-v0", "-c", code)
    assert result.stdout.strip() == "False;False;['127.0.0.1', 'localhost'];True;Lax;DENY;False", result.stderr
