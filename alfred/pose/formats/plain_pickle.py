"""Reads pickle files that hold plain data, and runs nothing that is in them.

A pickle is a program for a small stack machine, and the standard reader lets that program call any function there is.
This is a machine of its own. It knows the instructions that plain data needs and refuses every other; it looks no
function up. The few names that NumPy's arrays come with are compared as text, and the arrays are built here from their
type, shape and bytes. Instructions as in Python's pickle protocols 0 to 5.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy.typing as npt

from alfred.pose.formats.labelled import BadPoses
from alfred.pose.formats.plain_values import (
    LEAVES,
    NUMERIC,
    Blank,
    Container,
    Foreign,
    Items,
    Name,
    NumberType,
    Table,
    TooLarge,
    adopt,
)

MAX_BYTES = 512 << 20
"""Of the file, and again of all text turned into bytes."""
MAX_STEPS = 30_000_000
"""Instructions run. Each makes some 100 bytes at most besides what is in the file: 3 GB at worst."""
MAX_LINE = 200
"""Characters of a number or name written as text."""

_CORE = ("numpy.core", "numpy._core")  # NumPy before 2.0 and since
_NAMES = {
    "numpy ndarray": "ndarray",
    "numpy dtype": "dtype",
    "_codecs encode": "encode",  # how protocols 0 to 2 write bytes
    **{f"{core}.multiarray {name}": name for core in _CORE for name in ("_reconstruct", "scalar")},
    **{f"{core}.numeric _frombuffer": "_frombuffer" for core in _CORE},
}
_UNKNOWN = {
    b"0": "POP", b"1": "POP_MARK", b"2": "DUP", b"i": "INST", b"o": "OBJ", b"P": "PERSID", b"Q": "BINPERSID",
    b"S": "STRING", b"T": "BINSTRING", b"U": "SHORT_BINSTRING", b"\x81": "NEWOBJ", b"\x82": "EXT1", b"\x83": "EXT2",
    b"\x84": "EXT4", b"\x8b": "LONG4", b"\x8f": "EMPTY_SET", b"\x90": "ADDITEMS", b"\x91": "FROZENSET",
    b"\x92": "NEWOBJ_EX", b"\x97": "NEXT_BUFFER", b"\x98": "READONLY_BUFFER",
}  # fmt: skip
_STOP = ord(".")

_u1, _u2, _u4, _u8 = struct.Struct("<B"), struct.Struct("<H"), struct.Struct("<I"), struct.Struct("<Q")
_i4, _f8 = struct.Struct("<i"), struct.Struct(">d")


def read(path: Path) -> Any:
    """What `path` holds: dicts, lists, int, float, bool, str, None and numeric arrays; a tuple comes as a list.

    Keys are int or str; NumPy scalars come as Python numbers; arrays are read-only. Lists and dicts that the file
    uses twice are shared. Raises BadPoses, in one sentence, for any other content, and beyond the limits above.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise BadPoses(f"{path.name} is {size >> 20} MB, more than {MAX_BYTES >> 20}; split it.")
        data = path.read_bytes()
    except FileNotFoundError:
        raise BadPoses(f"{path.name}: there is no such file; check the path.") from None
    except OSError as error:
        raise BadPoses(f"{path.name} cannot be read ({error.strerror}); check the path.") from None
    return parse(path.name, data)


def parse(name: str, data: bytes) -> Any:
    """What the bytes of a file hold, as `read`; `name` is what the file is called in the sentence of a BadPoses."""
    try:
        return _Machine(data).run()
    except Foreign as found:
        raise BadPoses(
            f"{name} is refused, and nothing of it was run: it {found}; export plain dicts, lists and arrays."
        ) from None
    except TooLarge as found:
        raise BadPoses(f"{name} {found}; split it.") from None
    except (IndexError, KeyError, ValueError, TypeError, OverflowError, struct.error):
        raise BadPoses(f"{name} is no whole pickle file (cut short or damaged); copy or export it again.") from None


class _Machine:
    __slots__ = ("at", "data", "encoded", "marks", "memo", "stack")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.encoded = 0

    def run(self) -> Any:
        data, handlers = self.data, _HANDLERS
        for _ in range(MAX_STEPS):
            code = data[self.at]
            self.at += 1
            if code == _STOP:
                return self._result()
            handler = handlers[code]
            if handler is None:
                name = _UNKNOWN.get(bytes([code]), f"{code:#04x}")
                raise Foreign(f"holds the instruction {name}, which plain data does without")
            handler(self)
        raise TooLarge(f"takes more than {MAX_STEPS} steps to read")

    def _result(self) -> Any:
        if len(self.stack) != 1 or self.marks or self.at != len(self.data):
            raise ValueError("something is left over")
        found = self.stack[0]
        if found.raw if isinstance(found, Container) else type(found) not in LEAVES:
            raise Foreign("holds a type or bytes where data belongs")
        return found

    # What the instructions read.

    def take(self, size: int) -> bytes:
        begin = self.at
        self.at = begin + size
        if self.at > len(self.data):
            raise IndexError(size)
        return self.data[begin : self.at]

    def number(self, kind: struct.Struct) -> Any:
        value: int | float = kind.unpack_from(self.data, self.at)[0]
        self.at += kind.size
        return value

    def sized(self, kind: struct.Struct) -> bytes:
        return self.take(self.number(kind))

    def line(self, most: int = MAX_LINE) -> bytes:
        end = self.data.index(b"\n", self.at)
        if end - self.at > most:
            raise ValueError("the line is too long")
        line = self.data[self.at : end]
        self.at = end + 1
        return line

    def last(self, count: int) -> list[Any]:
        if count > len(self.stack):
            raise IndexError(count)
        values = self.stack[-count:]
        del self.stack[-count:]
        return values

    def since_mark(self) -> list[Any]:
        begin = self.marks.pop()
        values = self.stack[begin:]
        del self.stack[begin:]
        return values

    # Containers.

    def tuple_of(self, values: list[Any]) -> None:
        made = Items(values)
        adopt(made, values)
        made.sealed = True
        self.stack.append(made)

    def list_of_marked(self) -> None:
        values = self.since_mark()
        self.stack.append(Items())
        self.append(values)

    def dict_of_marked(self) -> None:
        values = self.since_mark()
        self.stack.append(Table())
        self.set(values)

    def append(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not Items:
            raise Foreign("appends to what is no list")
        adopt(target, values)
        self._data_only(target)
        target.extend(values)

    def set(self, pairs: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not Table or len(pairs) % 2:
            raise Foreign("sets entries of what is no dict")
        keys, values = pairs[::2], pairs[1::2]
        for key in keys:
            if type(key) is not int and type(key) is not str:
                raise Foreign("has a dict key that is neither a whole number nor text")
        before = len(target)
        adopt(target, values)
        self._data_only(target)
        target.update(zip(keys, values, strict=True))
        if len(target) != before + len(keys):
            raise Foreign("names the same dict key twice")

    @staticmethod
    def _data_only(target: Container) -> None:
        if target.raw:
            raise Foreign("keeps a type or bytes where data belongs")

    # The memo.

    def put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def get(self, index: int) -> None:
        value = self.memo[index]
        if type(value) is Blank and value.value is not None:
            value = value.value
        self.stack.append(value)

    # Names, and what stands for calls of them.

    def name(self, module: Any, name: Any) -> None:
        if type(module) is not str or type(name) is not str:
            raise Foreign("names something by what is no text")
        if f"{module} {name}" not in _NAMES:
            raise Foreign(f"names {f'{module}.{name}'[:80]!r}, which is code and not data")
        self.stack.append(Name(_NAMES[f"{module} {name}"]))

    def reduce(self, what: Any, arguments: Any) -> None:
        if type(what) is not Name or type(arguments) is not Items:
            raise Foreign("calls something that is not an array's")
        build = _CALLS.get(what.text)
        if build is None:
            raise Foreign(f"calls {what.text} as no array does")
        self.stack.append(build(self, *arguments))

    def blank(self, kind: Any, shape: Any, code: Any) -> Blank:
        if type(kind) is not Name or kind.text != "ndarray" or shape != [0] or code != b"b":
            raise Foreign("holds an array of an unusual kind")
        return Blank()

    def from_buffer(self, data: Any, kind: Any, shape: Any, order: Any) -> npt.NDArray[Any]:
        if type(kind) is not NumberType or type(shape) is not Items or order not in ("C", "F"):
            raise Foreign("holds an array of an unusual kind")
        return kind.array(data, shape, fortran=order == "F")

    def scalar(self, kind: Any, data: Any) -> Any:
        if type(kind) is not NumberType:
            raise Foreign("holds a number of an unusual kind")
        return kind.array(data, (), fortran=False).item()

    def number_type(self, code: Any, align: Any, copy: Any) -> NumberType:
        if type(code) is not str or align not in (False, True) or copy not in (False, True):
            raise Foreign("holds an array of an unusual type")
        if code not in NUMERIC:
            raise Foreign(f"holds an array of type {code[:20]!r}, which is not plain numbers")
        return NumberType(code)

    def encode(self, text: Any, encoding: Any) -> bytes:
        if type(text) is not str or encoding != "latin1":
            raise Foreign("holds bytes written in an unusual way")
        self.encoded += len(text)
        if self.encoded > MAX_BYTES:
            raise TooLarge(f"unpacks to more than {MAX_BYTES >> 20} MB of bytes")
        return text.encode("latin1")

    def build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if type(state) is not Items:
            raise Foreign("fills an object in an unusual way")
        if type(target) is NumberType:
            if len(state) != 8 or state[0] != 3 or state[1] not in ("<", ">", "|", "=") or state[2:5] != [None] * 3:
                raise Foreign("holds an array of a structured type")
            target.order = state[1]
        elif type(target) is Blank and target.value is None:
            version, shape, kind, fortran, data = state
            if (
                version != 1
                or type(kind) is not NumberType
                or type(shape) is not Items
                or type(fortran) not in (bool, int)
            ):
                raise Foreign("holds an array of an unusual kind")
            target.value = self.stack[-1] = kind.array(data, shape, fortran=bool(fortran))
        else:
            raise Foreign("fills an object that is no array")

    # Numbers, text, the frame of the file.

    def protocol(self) -> None:
        if self.at != 1 or self.number(_u1) > 5:
            raise Foreign("is written in a protocol that is not one of 0 to 5")

    def frame(self) -> None:
        if self.number(_u8) > len(self.data) - self.at:
            raise IndexError("frame")

    def mark(self) -> None:
        self.marks.append(len(self.stack))

    def int_line(self) -> None:
        line = self.line(32)
        self.stack.append(line == b"01" if line in (b"00", b"01") else int(line))

    def long_line(self) -> None:
        self.stack.append(int(self.line(32).removesuffix(b"L")))

    def long_bytes(self) -> None:
        size = self.number(_u1)
        if size > 9:
            raise Foreign("holds a number of more than 64 bits")
        self.stack.append(int.from_bytes(self.take(size), "little", signed=True))


_CALLS: dict[str, Callable[..., Any]] = {
    "_reconstruct": _Machine.blank,
    "_frombuffer": _Machine.from_buffer,
    "scalar": _Machine.scalar,
    "dtype": _Machine.number_type,
    "encode": _Machine.encode,
}
_Handler = Callable[[_Machine], None]
_HANDLERS: list[_Handler | None] = [None] * 256
"""What each instruction does, by its byte; None where plain data has no use for it."""

for _code, _handler in {
    b"\x80": _Machine.protocol,
    b"\x95": _Machine.frame,
    b"(": _Machine.mark,
    b"N": lambda m: m.stack.append(None),
    b"\x88": lambda m: m.stack.append(True),
    b"\x89": lambda m: m.stack.append(False),
    b"I": _Machine.int_line,
    b"L": _Machine.long_line,
    b"J": lambda m: m.stack.append(m.number(_i4)),
    b"K": lambda m: m.stack.append(m.number(_u1)),
    b"M": lambda m: m.stack.append(m.number(_u2)),
    b"\x8a": _Machine.long_bytes,
    b"F": lambda m: m.stack.append(float(m.line(32))),
    b"G": lambda m: m.stack.append(m.number(_f8)),
    b"V": lambda m: m.stack.append(m.line(MAX_BYTES).decode("raw_unicode_escape")),
    b"X": lambda m: m.stack.append(m.sized(_u4).decode()),
    b"\x8c": lambda m: m.stack.append(m.sized(_u1).decode()),
    b"\x8d": lambda m: m.stack.append(m.sized(_u8).decode()),
    b"B": lambda m: m.stack.append(m.sized(_u4)),
    b"C": lambda m: m.stack.append(m.sized(_u1)),
    b"\x8e": lambda m: m.stack.append(m.sized(_u8)),
    b"\x96": lambda m: m.stack.append(m.sized(_u8)),  # a bytearray, which nothing here changes
    b"]": lambda m: m.stack.append(Items()),
    b"}": lambda m: m.stack.append(Table()),
    b")": lambda m: m.tuple_of([]),
    b"l": _Machine.list_of_marked,
    b"d": _Machine.dict_of_marked,
    b"t": lambda m: m.tuple_of(m.since_mark()),
    b"\x85": lambda m: m.tuple_of(m.last(1)),
    b"\x86": lambda m: m.tuple_of(m.last(2)),
    b"\x87": lambda m: m.tuple_of(m.last(3)),
    b"a": lambda m: m.append(m.last(1)),
    b"e": lambda m: m.append(m.since_mark()),
    b"s": lambda m: m.set(m.last(2)),
    b"u": lambda m: m.set(m.since_mark()),
    b"p": lambda m: m.put(int(m.line())),
    b"q": lambda m: m.put(m.number(_u1)),
    b"r": lambda m: m.put(m.number(_u4)),
    b"\x94": lambda m: m.put(len(m.memo)),
    b"g": lambda m: m.get(int(m.line())),
    b"h": lambda m: m.get(m.number(_u1)),
    b"j": lambda m: m.get(m.number(_u4)),
    b"c": lambda m: m.name(m.line().decode("ascii"), m.line().decode("ascii")),
    b"\x93": lambda m: m.name(*m.last(2)),
    b"R": lambda m: m.reduce(*m.last(2)),
    b"b": _Machine.build,
}.items():
    _HANDLERS[ord(_code)] = _handler
