"""Decode while the network works: an iterator run ahead in a thread (decoding lets go of the interpreter
lock).
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

_POLL_S = 0.1


class _End:
    """Closes the queue; carries the error that ended the source, if one did."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def ahead(source: Iterable[T], work: Callable[[T], R], depth: int) -> Generator[R]:
    """`work(item)` for each item of `source`, in order, up to `depth` items ahead of the reader.

    An error of `source` or `work` is raised here after the items before it. Closing the generator ends the
    thread.
    """
    results: queue.Queue[R | _End] = queue.Queue(maxsize=depth)
    stopped = threading.Event()

    def offer(item: R | _End) -> bool:
        while not stopped.is_set():
            try:
                results.put(item, timeout=_POLL_S)
            except queue.Full:
                continue
            return True
        return False

    def run() -> None:
        try:
            for item in source:
                if not offer(work(item)):
                    return
        except BaseException as error:
            offer(_End(error))
        else:
            offer(_End(None))

    thread = threading.Thread(target=run, name="decode-ahead", daemon=True)
    thread.start()
    try:
        while not isinstance(item := results.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stopped.set()
        thread.join()
