"""What the reader of plain pickles builds, and what stops it: shared values can neither close a ring nor multiply."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

MAX_VALUES = 10_000_000
"""Values in any one container, whatever is shared counted as often as it is there."""
MAX_DEPTH = 16
"""Containers in containers."""

NUMERIC = {"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"}


class Foreign(Exception):
    """The file holds what plain data does not; the message goes on from "it"."""


class TooLarge(Exception):
    """The message goes on from the file's name."""


class Items(list[Any]):
    """A list, or a tuple: then sealed from the start.

    `size` counts all values inside, `depth` the containers below and including this one; `raw` where something inside
    is no data yet (a type, bytes, a name). Once it is part of another container it is `sealed` and changes no more.
    """

    __slots__ = ("depth", "raw", "sealed", "size")

    def __init__(self, values: Sequence[Any] = ()) -> None:
        super().__init__(values)
        self.size, self.depth, self.sealed, self.raw = 0, 1, False, False


class Table(dict[int | str, Any]):
    """A dict; the rest as in `Items`."""

    __slots__ = ("depth", "raw", "sealed", "size")

    def __init__(self) -> None:
        super().__init__()
        self.size, self.depth, self.sealed, self.raw = 0, 1, False, False


Container = Items | Table


def adopt(target: Container, values: Sequence[Any]) -> None:
    """Count `values`, which are about to go into `target`. Raises Foreign or TooLarge where they must not."""
    size, depth = target.size + len(values), target.depth
    for value in values:
        kind = type(value)
        if kind in LEAVES:
            continue
        if kind is Items or kind is Table:
            value.sealed = True
            size += value.size
            depth = max(depth, value.depth + 1)
            target.raw |= value.raw
        else:
            target.raw = True
    if target.sealed:
        raise Foreign("changes a list or dict that is already part of another")
    if size > MAX_VALUES:
        raise TooLarge(f"holds more than {MAX_VALUES} values")
    if depth > MAX_DEPTH:
        raise Foreign(f"is nested more than {MAX_DEPTH} levels deep")
    target.size, target.depth = size, depth


LEAVES = frozenset({int, float, bool, str, type(None), np.ndarray})


class Name:
    """One of the names in `_NAMES`: text, nothing that could be called."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


class NumberType:
    """A numeric type such as f4 and its byte order."""

    __slots__ = ("code", "order")

    def __init__(self, code: str) -> None:
        self.code, self.order = code, "="

    def array(self, data: bytes, shape: Sequence[Any], *, fortran: bool) -> npt.NDArray[Any]:
        dtype = np.dtype(self.order + self.code)
        if not all(type(length) is int and length >= 0 for length in shape) or len(shape) > MAX_DEPTH:
            raise Foreign("holds an array of an impossible shape")
        if type(data) is not bytes or math.prod(shape) * dtype.itemsize != len(data):
            raise Foreign("holds an array whose bytes do not fit its shape")
        return np.frombuffer(data, dtype).reshape(tuple(shape), order="F" if fortran else "C")


class Blank:
    """An array announced and not yet filled; what it is filled with."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: npt.NDArray[Any] | None = None
