"""Strict readers of the environment: a wrong value stops the start and names the variable."""

from __future__ import annotations

import os
import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from zoneinfo import available_timezones

LIBPQ_OPTIONS = frozenset(
    {"application_name", "connect_timeout", "sslcert", "sslkey", "sslmode", "sslrootcert", "target_session_attrs"}
)


class BadSetting(Exception):
    """An environment variable holds something this program cannot use."""


def text(name: str, default: str = "", choices: tuple[str, ...] = ()) -> str:
    """The variable, or `default`; one of `choices` where given. NAME_FILE names a file that holds it (secrets)."""
    value = os.environ.get(name)
    file = os.environ.get(f"{name}_FILE")
    if value is None and file:
        try:
            value = Path(file).read_text().strip()
        except OSError as error:
            raise BadSetting(f"{name}_FILE: {error}") from None
    value = default if value is None or value == "" else value
    if choices and value not in choices:
        raise BadSetting(f"{name}={value!r}: use one of {', '.join(choices)}")
    return value


def flag(name: str, default: bool = False) -> bool:
    """1, true, yes, on / 0, false, no, off."""
    value = os.environ.get(name, "").lower()
    if value == "":
        return default
    if value in {"1", "true", "yes", "on"}:
        return True
    if value in {"0", "false", "no", "off"}:
        return False
    raise BadSetting(f"{name}={value!r}: use 1 or 0")


def number(name: str, default: int, low: int = 0, high: int = 2**31) -> int:
    """A whole number between low and high."""
    value = os.environ.get(name, "")
    if value == "":
        return default
    try:
        found = int(value)
    except ValueError:
        raise BadSetting(f"{name}={value!r}: use a whole number") from None
    if not low <= found <= high:
        raise BadSetting(f"{name}={found}: use a number from {low} to {high}")
    return found


def folder(name: str, default: Path) -> Path:
    """A folder's absolute path, there already or not."""
    found = Path(os.environ.get(name) or default).expanduser().resolve()
    if found.exists() and not found.is_dir():
        raise BadSetting(f"{name}={found}: this is a file; name a folder")
    return found


def time_zone(name: str, default: str) -> str:
    """A time zone's name, such as Europe/Berlin."""
    value = os.environ.get(name) or default
    if value not in available_timezones():
        raise BadSetting(f"{name}={value!r}: use a time zone's name such as Europe/Berlin")
    return value


def networks(name: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """Networks such as 10.1.0.0/16,192.168.7.3/32; none by default."""
    found = []
    for part in os.environ.get(name, "").split(","):
        if part.strip():
            try:
                found.append(ip_network(part.strip()))
            except ValueError as error:
                raise BadSetting(f"{name}: {error}; write networks such as 10.1.0.0/16") from None
    return tuple(found)


def device(name: str) -> str:
    """Where torch computes: cpu (default), cuda, cuda:1, mps."""
    value = text(name, "cpu")
    if not re.fullmatch(r"cpu|mps|cuda(:\d{1,2})?", value):
        raise BadSetting(f"{name}={value!r}: use cpu, cuda or cuda:0")
    return value


def database(url: str) -> dict[str, str | int | dict[str, str]]:
    """postgresql://user:password@host:port/name?host=/socket/folder → Django's DATABASES entry."""
    try:
        parts = urlsplit(url)
        port: str | int = parts.port or ""
    except ValueError as error:
        raise BadSetting(f"DATABASE_URL: {error}") from None
    if parts.scheme not in {"postgresql", "postgres"}:
        raise BadSetting("DATABASE_URL: use postgresql://user:password@host/name")
    name = parts.path.lstrip("/")
    if not name:
        raise BadSetting("DATABASE_URL: the database's name is missing")
    query = {key: values[0] for key, values in parse_qs(parts.query).items()}
    host = query.pop("host", parts.hostname or "")
    unknown = sorted(set(query) - LIBPQ_OPTIONS)
    if unknown:
        raise BadSetting(f"DATABASE_URL: unknown option {', '.join(unknown)}")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(name),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": host,
        "PORT": port,
        "OPTIONS": query,
    }


def broker(url: str) -> str:
    """A broker URL Celery can use with this product: RabbitMQ, or Redis / Valkey."""
    if not url.startswith(("amqp://", "amqps://", "redis://", "rediss://", "redis+socket://")):
        raise BadSetting("CELERY_BROKER_URL: use amqp://… (RabbitMQ) or redis://… (Redis, Valkey)")
    return url
