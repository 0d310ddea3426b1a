"""Opening a video file of unknown origin: local files of known formats only, and a plain word for what is
not one.
"""

from __future__ import annotations

import codecs
import stat
import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
import av.error
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

MAX_SIDE = 8192
MAX_SECONDS = 24 * 3600.0

# Demuxers that read one file and nothing else. Playlists (hls, dash, concat) open other files and URLs:
# not here.
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,h264,hevc,vvc,av1,obu,ivf,flv,asf,ogg,"
    "mxf,nut,dv,dhav,gxf"
)
OPTIONS = {
    "format_whitelist": FORMATS,
    "protocol_whitelist": "file",
    "enable_drefs": "0",
    "max_pixels": str(MAX_SIDE * MAX_SIDE),
}

EXPORT_AGAIN = "export it again, for example as H.264 MP4"

_HEAD = 64
_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "an image (PNG)"),
    (0, b"\xff\xd8\xff", "an image (JPEG)"),
    (0, b"GIF8", "an image (GIF)"),
    (0, b"BM", "an image (BMP)"),
    (0, b"II*\x00", "an image (TIFF)"),
    (0, b"MM\x00*", "an image (TIFF)"),
    (8, b"WEBP", "an image (WebP)"),
    (4, b"ftypavif", "an image (AVIF)"),
    (4, b"ftypheic", "an image (HEIC)"),
    (8, b"WAVE", "a sound file (WAV)"),
    (0, b"ID3", "a sound file (MP3)"),
    (0, b"\xff\xfb", "a sound file (MP3)"),
    (0, b"fLaC", "a sound file (FLAC)"),
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"7z\xbc\xaf", "a 7z archive"),
    (0, b"Rar!", "a rar archive"),
    (0, b"%PDF", "a PDF document"),
    (0, b"\x7fELF", "a program"),
    (0, b"MZ", "a program"),
    (0, b"PAR1", "a Parquet file"),
    (0, b"#EXTM3U", "a playlist that points at other files"),
    (0, b"ffconcat", "a playlist that points at other files"),
    (0, b"[playlist]", "a playlist that points at other files"),
)


class BadVideo(Exception):
    """The file cannot be used; the message is one sentence: what is wrong, what to do. It names no file."""


@contextmanager
def opened(path: Path, threads: int = 1) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The open container and its first real video stream, `threads` decoder threads.

    Raises BadVideo when the file cannot be read as a video, from its header alone.
    """
    look_at(path)
    try:
        # An absolute path starts with "/", so FFmpeg reads no protocol, option or pattern out of a file's
        # name.
        container = av.open(str(path.absolute()), options=OPTIONS, metadata_errors="replace")
    except (av.error.FFmpegError, ValueError, OverflowError) as error:
        raise BadVideo(_why_not(path)) from error
    with closing(container):
        if not isinstance(container, InputContainer):  # pragma: no cover - mode "r" makes no other
            raise BadVideo(f"It cannot be read; {EXPORT_AGAIN}.")
        stream = _video_stream(container)
        context = stream.codec_context
        check_size(context.width, context.height)
        context.thread_count = threads
        context.thread_type = "AUTO" if threads > 1 else "SLICE"
        context.options = {"max_pixels": OPTIONS["max_pixels"]}
        yield container, stream


def look_at(path: Path) -> None:
    """Refuse by file type, first bytes and header sizes. Raises BadVideo."""
    try:
        facts = path.stat()
    except (OSError, ValueError) as error:
        raise BadVideo("There is no such file; choose it again.") from error
    if not stat.S_ISREG(facts.st_mode):
        raise BadVideo("It is not a file; choose the video file itself.")
    if facts.st_size == 0:
        raise BadVideo("It is empty (0 bytes); copy it again from the recorder.")
    with path.open("rb") as file:
        head = file.read(_HEAD)
        kind = _by_magic(head)
        if kind is not None:
            raise BadVideo(f"It is not a video but {kind}; choose the video file itself.")
        for width, height in _header_sizes(file, head):
            check_size(width, height)


def check_size(width: int, height: int) -> None:
    """Refuse pictures larger than 8192 × 8192. Raises BadVideo."""
    if width > MAX_SIDE or height > MAX_SIDE:
        raise BadVideo(
            f"It says that its pictures are {width} × {height}; at most {MAX_SIDE} × {MAX_SIDE} is read, "
            "so export it smaller."
        )


def is_cut_off(path: Path) -> bool:
    """Whether an MP4 or AVI file ends before the place its own header names."""
    with path.open("rb") as file:
        head = file.read(12)
        end = file.seek(0, 2)
        if head[4:8] == b"ftyp":
            return any(last > end for _, _, last in _boxes(file, 0, end))
        if head[:4] == b"RIFF":
            return bool(struct.unpack_from("<I", head, 4)[0] + 8 > end)
    return False


def seconds(value: int | None, time_base: Fraction | None) -> float | None:
    """A time stamp in seconds; None where it is missing or makes no sense."""
    if value is None or not time_base:
        return None
    result = float(value * time_base)
    return result if abs(result) < 1e9 else None


def _video_stream(container: InputContainer) -> VideoStream:
    pictures = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if pictures:
        return pictures[0]
    if container.streams.audio:
        raise BadVideo("It holds sound but no pictures; choose the file with the video.")
    raise BadVideo(f"It holds no video track; {EXPORT_AGAIN}.")


def _why_not(path: Path) -> str:
    """One sentence for a file that FFmpeg does not open."""
    with path.open("rb") as file:
        head = file.read(4096)
        if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
            if not any(name == b"moov" for name, _, _ in _boxes(file, 0, path.stat().st_size)):
                return "It is cut short: its index (moov) is missing; copy it again from the recorder."
            return f"Its index (moov) is damaged; {EXPORT_AGAIN}."
    text = _as_text(head)
    if text is not None:
        return f"It is not a video but {text}; choose the video file itself."
    return f"It is not a video, or of a kind that is not read; {EXPORT_AGAIN}."


def _by_magic(head: bytes) -> str | None:
    for offset, magic, kind in _MAGIC:
        if head[offset : offset + len(magic)] == magic:
            return kind
    return None


def _as_text(head: bytes) -> str | None:
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head).strip()  # the last letter may be cut
    except UnicodeDecodeError:
        return None
    if not text or any(ord(c) < 32 and c not in "\t\r\n\f" for c in text):
        return None
    lowered = text[:200].lower()
    if "<mpd" in lowered or "#extm3u" in lowered:
        return "a playlist that points at other files"
    if lowered.startswith(("<!doctype html", "<html")):
        return "a web page"
    if text[0] in "{[":
        return "JSON text"
    return "text"


def _header_sizes(file: BinaryIO, head: bytes) -> Iterator[tuple[int, int]]:
    """Picture sizes that an AVI or MP4 header claims, before anything is decoded or allocated."""
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        file.seek(0)
        yield from _avi_sizes(file.read(1 << 16))
    elif head[4:8] == b"ftyp":
        file.seek(0, 2)
        yield from _mp4_sizes(file, 0, file.tell())


def _avi_sizes(header: bytes) -> Iterator[tuple[int, int]]:
    main = header.find(b"avih")
    if 0 <= main <= len(header) - 48:
        width, height = struct.unpack_from("<II", header, main + 40)
        yield width, height
    stream = header.find(b"vids")
    formats = header.find(b"strf", stream) if stream >= 0 else -1
    if 0 <= formats <= len(header) - 20:
        width, height = struct.unpack_from("<ii", header, formats + 12)
        yield abs(width), abs(height)


_PARENTS = {b"moov", b"trak", b"mdia", b"minf", b"stbl"}


def _mp4_sizes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[int, int]]:
    for name, first, last in list(_boxes(file, start, end)):
        last = min(last, end)
        if name in _PARENTS:
            yield from _mp4_sizes(file, first, last)
        elif name == b"stsd" and last - first >= 44:
            file.seek(first + 8)
            entry = file.read(36)
            if entry[4:8] not in (
                b"mp4a",
                b"sowt",
                b"twos",
                b"ac-3",
                b"ec-3",
                b"Opus",
                b"alac",
                b"tx3g",
                b"tmcd",
            ):
                width, height = struct.unpack_from(">HH", entry, 32)
                yield width, height


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(name, first byte of the body, end) of the boxes between `start` and `end`; ISO/IEC 14496-12 §4.2."""
    for _ in range(4096):
        file.seek(start)
        header = file.read(16)
        if len(header) < 8 or start >= end:
            return
        size, name = struct.unpack_from(">I4s", header)
        body = start + 8
        if size == 1 and len(header) == 16:
            (size,) = struct.unpack_from(">Q", header, 8)
            body = start + 16
        elif size == 0:
            size = end - start
        if size < 8:
            return
        yield name, body, start + size
        start += size
