"""One CPU thread for small models."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread inside the block; the process's setting comes back afterwards.

    These models are hundreds of operations of some microseconds. Two threads gain a third on an idle machine; where
    another process holds a core each operation waits for the second thread to be scheduled, and STG-NF was seen to
    take a hundred times as long. Results do not depend on the number of cores either.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
