"""The reader of plain pickles: what the standard library writes comes back, and nothing else does."""

from __future__ import annotations

import collections
import contextlib
import copyreg
import datetime
import os
import pickle
import struct
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alfred.pose.formats import plain_pickle, plain_values
from alfred.pose.formats.labelled import BadPoses


def parsed(content: bytes) -> Any:
    return plain_pickle.parse("some.pkl", content)


def refused(content: bytes) -> str:
    with pytest.raises(BadPoses) as caught:
        parsed(content)
    sentence = str(caught.value)
    assert sentence.startswith("some.pkl") and "\n" not in sentence and len(sentence) < 300
    return sentence


SHARED = [1.5, 2]
PLAIN: dict[Any, Any] = {
    "numbers": [0, 1, -1, 255, 256, 65535, -70000, 2**31, 2**40, 2**63 - 1, -(2**63), 2**64 - 1, 0.5, -1e300, 1e-9],
    "text": ["", "é ∞ 🙂", "a\nb\\c\x00", "x" * 300],
    "others": [True, False, None, [], {}, [[1], [[2]]], {"a": {1: {"b": 3}}}],
    "shared": {"a": SHARED, "b": SHARED, "long": list(range(2500))},
    7: {str(n): n for n in range(2500)},
}
TYPES = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", ">f4", ">i8"]


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("written_by", [pickle.dumps, pickle._dumps], ids=["C", "python"])
def test_plain_values_come_back(protocol: int, written_by: Any) -> None:
    assert parsed(written_by(PLAIN, protocol)) == PLAIN
    assert parsed(written_by([(), (1,), (1, 2), (1, 2, 3), (1, (2, (3, 4)))], protocol)) == [
        [], [1], [1, 2], [1, 2, 3], [1, [2, [3, 4]]],
    ]  # fmt: skip
    found = parsed(written_by([True, 1, 1.0], protocol))
    assert [type(value) for value in found] == [bool, int, float]


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_come_back(protocol: int) -> None:
    rng = np.random.default_rng(protocol)
    arrays = [(rng.normal(size=(3, 4)) * 20).astype(kind) for kind in TYPES]
    arrays += [np.asfortranarray(arrays[-1]), rng.normal(size=(2, 3, 4)), np.array(2.5), arrays[0], arrays[0]]
    found = parsed(pickle.dumps([arrays, np.float32(0.25), np.int64(-7), np.bool_(True)], protocol))
    for array, back in zip(arrays, found[0], strict=True):
        assert back.dtype == array.dtype and back.shape == array.shape
        np.testing.assert_array_equal(back, array)
    assert found[1:] == [0.25, -7, True] and [type(value) for value in found[1:]] == [float, int, bool]


def test_arrays_of_the_older_numpy_come_back() -> None:
    for protocol, name in [(2, b"numpy._core.multiarray"), (5, b"numpy._core.numeric")]:
        now = pickle.dumps([np.arange(3.0), np.int8(4)], protocol)
        if protocol == 2:
            then = now.replace(b"numpy._core", b"numpy.core")
        else:  # names carry their length there; the frame's own length only has to fit
            then = now.replace(b"\x13" + name, b"\x12" + name.replace(b"_core", b"core"))
            then = then.replace(b"\x16numpy._core.multiarray", b"\x15numpy.core.multiarray")
            then = then[:3] + struct.pack("<Q", len(then) - 11) + then[11:]
        assert b"_core" not in then and name.replace(b"_core", b"core") in then
        found = parsed(then)
        np.testing.assert_array_equal(found[0], [0, 1, 2])
        assert found[1] == 4


class Calls:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


class Thing:
    pass


@pytest.mark.parametrize("protocol", range(6))
def test_code_is_named_and_not_run(tmp_path: Path, protocol: int) -> None:
    trace = tmp_path / "ran"
    for evil in (
        Calls(os.system, f"touch {trace}"),
        Calls(eval, f"open({str(trace)!r}, 'w')"),
        Calls(open, trace, "w"),
    ):
        for content in (evil, {"1": {"1": [evil, 2]}}, [np.arange(2), evil]):
            sentence = refused(pickle.dumps(content, protocol))
            assert "nothing of it was run" in sentence and "which is code and not data" in sentence
    assert not trace.exists()
    assert "'posix.system'" in refused(pickle.dumps(Calls(os.system, "true"), protocol))


@pytest.mark.parametrize(
    "content",
    [
        Thing(), Thing, {1, 2}, frozenset({1}), 2 + 3j, collections.OrderedDict(a=1), collections.defaultdict(list),
        datetime.date(2020, 1, 1), len, np.array([{}, []], object), np.array(["a", "b"]), np.array([1j]),
        np.zeros(2, [("a", "f4")]), np.datetime64("2020-01-01"), np.float32, np.dtype("f4"), b"bytes", bytearray(b"b"),
        [b"bytes"], np.ma.masked_array([1]), np.random.default_rng(0), slice(1, 2), {(1, 2): 3}, {None: 1}, {1.5: 1},
        {True: 1}, Path("x"), NotImplemented,
    ],
    ids=lambda content: type(content).__name__,
)  # fmt: skip
def test_other_content_is_refused(content: Any) -> None:
    for protocol in range(6):
        for wrapped in (content, [content], {"1": content}):
            assert "is refused, and nothing of it was run" in refused(pickle.dumps(wrapped, protocol))


def test_persistent_ids_extensions_and_buffers_are_refused(tmp_path: Path) -> None:
    class Persistent(pickle.Pickler):
        def persistent_id(self, found: Any) -> Any:
            return "somewhere" if found == "x" else None

    for protocol, name in ((0, "PERSID"), (4, "BINPERSID")):
        path = tmp_path / "p"
        with path.open("wb") as stream:
            Persistent(stream, protocol).dump(["x"])
        assert f"instruction {name}" in refused(path.read_bytes())
    buffered = pickle.dumps(np.arange(9.0), 5, buffer_callback=lambda _: None)
    assert "BUFFER" in refused(buffered)
    copyreg.add_extension(__name__, "Thing", 240)
    try:
        assert "EXT1" in refused(pickle.dumps(Thing, 2))
    finally:
        copyreg.remove_extension(__name__, "Thing", 240)


OBJECT = b"cos\nsystem\n"
CRAFTED = {
    "INST": (b"(S'true'\nios\nsystem\n.", "STRING"),
    "INST without text": (b"(ios\nsystem\n.", "INST"),
    "OBJ": (b"(" + OBJECT + b"o.", "os.system"),
    "NEWOBJ": (b"\x80\x02)\x81.", "NEWOBJ"),
    "EXT4": (b"\x80\x02\x84\x01\x00\x00\x00.", "EXT4"),
    "DUP": (b"]2.", "DUP"),
    "no instruction at all": (b"\x80\x02\xff.", "0xff"),
    "JSON": (b'{"1": {}}', "0x7b"),
    "a zip archive": (b"PK\x03\x04" + bytes(30), "PERSID"),
    "a name on the stack": (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "os.system"),
    "a name of numbers": (b"\x80\x04K\x01K\x02\x93.", "no text"),
    "a name of a list": (b"\x80\x04]\x8c\x01x\x93.", "no text"),
    "a harmless name called": (b"cnumpy\nndarray\n(K\x09\x85tR.", "calls ndarray"),
    "a name called dtype elsewhere": (b"cnumpy.sub\ndtype\n.", "numpy.sub.dtype"),
    "a name alone": (b"cnumpy\ndtype\n.", "type or bytes"),
    "a name in a list": (b"]cnumpy\ndtype\na.", "type or bytes"),
    "a number called": (b"K\x01(tR.", "not an array's"),
    "a list filled": (b"](tb.", "no array"),
    "an array of what is no ndarray": (b"cnumpy.core.multiarray\n_reconstruct\n(K\x01K\x00\x85C\x01btR.", "unusual"),
    "protocol 6": (b"\x80\x06].", "protocol"),
    "protocol said again": (b"\x80\x04]\x80\x04.", "protocol"),
    "a key twice": (b"}(K\x01K\x01K\x01K\x02u.", "twice"),
    "a list as a key": (b"}]K\x01s.", "dict key"),
    "appended to a dict": (b"}K\x01a.", "no list"),
    "set in a list": (b"]K\x01K\x02s.", "no dict"),
    "a list in itself": (b"]q\x00h\x00a.", "already part"),
    "a ring of two": (b"]q\x00]q\x01h\x00ah\x01a.", "already part"),
    "a part changed later": (b"]q\x00]h\x00a0", "already part|POP"),
    "a tuple changed": (b"K\x01\x85K\x02a.", "already part"),
    "a long number": (b"\x8a\x0a" + bytes(10) + b".", "64 bits"),
}


@pytest.mark.parametrize("name", CRAFTED)
def test_crafted_programs_are_refused(name: str) -> None:
    content, words = CRAFTED[name]
    sentence = refused(content)
    assert "nothing of it was run" in sentence
    assert any(word in sentence for word in words.split("|")), sentence


DAMAGED = {
    "nothing": b"",
    "no end": b"]",
    "nothing left to return": b".",
    "two things left": b"]].",
    "an open mark": b"(].",
    "more after the end": b"].]",
    "text longer than the file": b"\x80\x04\x8d" + struct.pack("<Q", 2**63) + b"abc.",
    "a frame longer than the file": b"\x80\x04\x95" + struct.pack("<Q", 2**40) + b"].",
    "a line that never ends": b"I123",
    "a number of many digits": b"I" + b"9" * 5000 + b"\n.",
    "no number": b"Iabc\n.",
    "no such memo": b"h\x05.",
    "an empty stack": b"\x85.",
    "no mark": b"t.",
    "text that is none": b"\x8c\x02\xff\xfe.",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_get_one_sentence(name: str) -> None:
    assert "cut short or damaged" in refused(DAMAGED[name])


def test_every_cut_of_a_file_gets_one_sentence() -> None:
    for protocol in range(6):
        whole = pickle.dumps({"1": {"2": [np.arange(4.0), np.ones((17, 3), "f4")]}}, protocol)
        for end in range(len(whole)):
            refused(whole[:end])


def test_any_damage_gets_one_sentence_or_plain_data() -> None:
    rng = np.random.default_rng(5)
    for protocol in (0, 2, 4, 5):
        whole = pickle.dumps({"1": {2: [np.arange(4.0), np.ones((2, 3), "f4"), np.int8(3), (1, 2.5, "x")]}}, protocol)
        for _ in range(3000):
            bent = bytearray(whole)
            for place in rng.integers(0, len(bent), rng.integers(1, 4)):
                bent[place] = rng.integers(256)
            with contextlib.suppress(BadPoses):
                parsed(bytes(bent))


def test_arrays_must_fit_their_bytes() -> None:
    good = pickle.dumps(np.arange(6, dtype="i2"), 2)
    assert b"K\x06\x85" in good
    for shape in (b"K\x07\x85", b"J\xff\xff\xff\xff\x85", b"G" + bytes(8) + b"\x85"):
        assert "array" in refused(good.replace(b"K\x06\x85", shape))
    assert "array of type 'O8'" in refused(good.replace(b"X\x02\x00\x00\x00i2", b"X\x02\x00\x00\x00O8"))
    assert "structured" in refused(good.replace(b"NNNJ", b"]NNJ"))


def test_depth_has_a_limit() -> None:
    deep: list[Any] = []
    for _ in range(plain_values.MAX_DEPTH - 1):
        deep = [deep]
    assert parsed(pickle.dumps(deep)) == deep
    assert "levels deep" in refused(pickle.dumps([deep]))
    for made in (
        b"]" * 100_000 + b"a" * 99_999 + b".",
        b")" + b"\x85" * 100_000 + b".",
        b"(" * 100_000 + b"l" * 100_000,
    ):
        assert "levels deep" in refused(made)


def test_sharing_cannot_multiply() -> None:
    """Ten lists of ten times the last: billions of values in some hundred bytes; with tuples and dicts the same."""
    lists = b"]q\x00" + b"".join(b"](" + bytes([ord("h"), n]) * 10 + b"e" + bytes([ord("q"), n + 1]) for n in range(10))
    tuples = b")q\x00" + b"".join(b"(" + bytes([ord("h"), n]) * 10 + b"t" + bytes([ord("q"), n + 1]) for n in range(10))
    tables = b"}q\x00" + b"".join(
        b"}(" + b"".join(bytes([ord("K"), k, ord("h"), n]) for k in range(10)) + b"u" + bytes([ord("q"), n + 1])
        for n in range(10)
    )
    for content in (lists, tuples, tables):
        tracemalloc.start()
        # what is left on the stack goes into one tuple
        assert "holds more than" in refused(b"(" + content + b"t.")
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
        tracemalloc.stop()


def test_steps_size_and_bytes_have_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = pickle.dumps(list(range(200)), 2)
    monkeypatch.setattr(plain_pickle, "MAX_STEPS", 100)
    assert "more than 100 steps" in refused(content)
    monkeypatch.undo()
    monkeypatch.setattr(plain_pickle, "MAX_BYTES", 2000)
    (tmp_path / "large.pkl").write_bytes(bytes(2001))
    with pytest.raises(BadPoses, match=r"^large.pkl is 0 MB, more than 0; split it"):
        plain_pickle.read(tmp_path / "large.pkl")
    again = b"c_codecs\nencode\nq\x00X\xe8\x03\x00\x00" + b"x" * 1000 + b"X\x06\x00\x00\x00latin1\x86q\x01"
    assert "of bytes; split it" in refused(b"(" + again + b"h\x00h\x01R" * 3 + b"t.")


def test_a_file_is_read_and_a_missing_one_gets_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadPoses, match=r"^none.pkl: there is no such file"):
        plain_pickle.read(tmp_path / "none.pkl")
    with pytest.raises(BadPoses, match="cannot be read"):
        plain_pickle.read(tmp_path)
    (tmp_path / "there.pkl").write_bytes(pickle.dumps({"1": [2.5]}))
    assert plain_pickle.read(tmp_path / "there.pkl") == {"1": [2.5]}


def test_reading_brings_no_unpickler_along() -> None:
    source = Path(plain_pickle.__file__).read_text() + Path(plain_values.__file__).read_text()
    assert "import pickle" not in source and "getattr" not in source and "__import__" not in source
    assert not any(hasattr(sys.modules[m.__name__], "pickle") for m in (plain_pickle, plain_values))
