"""What starts on a machine keeps out of the way of what runs there."""

from __future__ import annotations

import socket

import pytest

from alfred.embedded.child import ServiceError
from alfred.management.running import Stack


def test_two_that_start_together_do_not_share_a_port() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    first, second, third = (Stack(print, "127.0.0.1", port) for _ in range(3))
    first._claim_port()  # its web server listens a moment later
    with pytest.raises(ServiceError, match=rf"127.0.0.1:{port} can't be used .*--port"):
        second._claim_port()
    first.stop()
    third._claim_port()
    third.stop()


def test_a_port_of_another_program_is_refused() -> None:
    with socket.socket() as theirs:
        theirs.bind(("127.0.0.1", 0))
        theirs.listen()
        with pytest.raises(ServiceError, match="--port"):
            Stack(print, "127.0.0.1", theirs.getsockname()[1])._claim_port()
