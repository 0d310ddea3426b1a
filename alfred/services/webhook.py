"""Post a signed message to an address that an admin gave, and to no other place than that.

An address can be a door into the network this program stands in. So its name is looked up once, every address it has
must be a public one (or lie in `ALFRED_WEBHOOK_NETWORKS`), the connection goes to the very address that was checked,
and redirects are not followed.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.translation import gettext as _

TIMEOUT_S = 5.0
SIGNATURE = "X-Alfred-Signature-256"


class Undeliverable(Exception):
    """The message was not taken; the words say why. `lasting`: trying again would not help."""

    def __init__(self, words: str, *, lasting: bool = False) -> None:
        super().__init__(words)
        self.lasting = lasting


@dataclass(frozen=True)
class Target:
    secure: bool
    host: str
    port: int
    path: str


def target(url: str) -> Target:
    """The parts of a webhook's address. Raises ValueError, in words, for what is none."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError(_("Not an address: write it as https://host/path.")) from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(_("Not an address: write it as https://host/path."))
    if parts.username or parts.password:
        raise ValueError(_("Leave the name and password out of the address; messages are signed instead."))
    if any(ord(letter) <= 32 or ord(letter) > 126 for letter in url):
        raise ValueError(_("The address holds a space or a letter that must be written as %xx."))
    refused = _refused_in_words(parts.hostname, [parts.hostname])
    if refused:  # of a name nothing is known yet: it is looked up when a message is sent
        raise ValueError(refused)
    secure = parts.scheme == "https"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(secure, parts.hostname, port or (443 if secure else 80), path)


def post(url: str, body: bytes, secret: str, timeout_s: float = TIMEOUT_S) -> None:
    """Deliver, or raise Undeliverable. The body's HMAC-SHA256 under the secret stands in a header."""
    try:
        where = target(url)
    except ValueError as error:
        raise Undeliverable(str(error), lasting=True) from None
    address = _allowed_address(where)
    connection = _Pinned(where, address, timeout_s)
    signature = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    headers = {"Content-Type": "application/json", "User-Agent": "ALFred", SIGNATURE: signature}
    try:
        connection.request("POST", where.path, body, headers)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        raise Undeliverable(f"{where.host} did not answer ({type(error).__name__}).") from None
    finally:
        connection.close()
    if not 200 <= status < 300:
        raise Undeliverable(f"{where.host} answered {status}.", lasting=status in (400, 401, 403, 404, 405, 410))


def _allowed_address(where: Target) -> str:
    """One of the host's addresses, all of which may be reached."""
    try:
        found = socket.getaddrinfo(where.host, where.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Undeliverable(f"{where.host} has no address.") from None
    addresses = [str(entry[4][0]) for entry in found]
    refused = _refused_in_words(where.host, addresses)
    if refused:
        raise Undeliverable(refused, lasting=True)
    return addresses[0]


def _refused_in_words(host: str, addresses: Iterable[str]) -> str:
    """Why none of these may be reached, "" where all may. What is no address in digits is passed over."""
    for written in addresses:
        try:
            address = ip_address(written)
        except ValueError:
            continue
        real = getattr(address, "ipv4_mapped", None) or address
        if not (real.is_global and not real.is_multicast) and not any(real in net for net in settings.WEBHOOK_NETWORKS):
            said = _(
                "%(host)s lies in a private network (%(address)s). The one who runs the server can allow it with "
                "ALFRED_WEBHOOK_NETWORKS."
            )
            return said % {"host": host, "address": real}
    return ""


class _Pinned(http.client.HTTPConnection):
    """Connects to the address that was checked, and speaks to the host by its name."""

    def __init__(self, where: Target, address: str, timeout_s: float) -> None:
        super().__init__(where.host, where.port, timeout=timeout_s)
        self._where, self._address = where, address

    def connect(self) -> None:
        plain = socket.create_connection((self._address, self._where.port), self.timeout)
        if not self._where.secure:
            self.sock = plain
            return
        self.sock = ssl.create_default_context().wrap_socket(plain, server_hostname=self._where.host)
