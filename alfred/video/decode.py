"""Video file → upright RGB frames with their own time stamps.

What is lost is counted, not hidden: a damaged packet is skipped, and `Frames.lost` says how many went. A
file cut off in the middle gives the frames before the cut. Only a file that gives no frame at all, or more
than `MAX_CORRUPT_RUN` damaged packets in a row with nothing decoded after them, is refused with BadVideo.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import av.error
import av.logging
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream

from alfred.video.container import (
    EXPORT_AGAIN,
    MAX_SECONDS,
    BadVideo,
    check_size,
    is_cut_off,
    opened,
    seconds,
)

MAX_CORRUPT_RUN = 1000
NUDGE_S = 0.001
BACKWARDS_S = 1.0
MAX_READ_ERRORS = 20

Size = Callable[[int, int], tuple[int, int]]
"""(width, height) of the upright picture → the size wanted, both in px."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded frame: `index` from 0, `pts` in seconds from the first, `image` (H, W, 3) uint8 RGB,
    upright.
    """

    index: int
    pts: float
    image: npt.NDArray[np.uint8]


class Frames(Iterator[Frame]):
    """Iterator over the frames of a file; use it as a context manager or read it to the end.

    `width`, `height`: the upright picture in the file, px; a change of size in mid-file is scaled back to it.
    `fps`: average rate. `lost`: frames known to be missing so far. `index` counts the frames that came.

    PTS rise strictly: a frame without one comes 1/fps after the one before; one that repeats or steps back a
    little is put 1 ms later; where time jumps back by over a second (or on by a day), the clock goes on
    from there.
    """

    def __init__(self, path: Path, *, size: Size | None, threads: int) -> None:
        av.logging.set_level(None)
        self.lost = 0
        self.width = self.height = 0
        self._picture = _Picture(size)
        self._stack = ExitStack()
        container, stream = self._stack.enter_context(opened(path, threads))
        self.fps = float(stream.average_rate or stream.guessed_rate or 25)
        self._frames = self._read(path, container, stream)
        try:
            self._first: Frame | None = next(self._frames)
        except BaseException:
            self._stack.close()
            raise

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Frame:
        if self._first is not None:
            frame, self._first = self._first, None
            return frame
        return next(self._frames)

    def close(self) -> None:
        """Close the file; reading on raises StopIteration."""
        self._first = None
        self._frames.close()
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self, path: Path, container: InputContainer, stream: VideoStream) -> Generator[Frame]:
        clock = _Clock(1 / self.fps)
        index = packets = run = 0
        for packet in _packets(container, stream):
            packets += packet.size > 0
            decoded = _decode(packet)
            if decoded is None:
                self.lost, run = self.lost + 1, run + 1
                if run > MAX_CORRUPT_RUN:
                    raise BadVideo(f"It is damaged: over {MAX_CORRUPT_RUN} pictures in a row; {EXPORT_AGAIN}.")
                continue
            for frame in decoded:
                run = 0
                image = self._picture.make(frame)
                self.width, self.height = self._picture.upright
                yield Frame(index, clock.time(seconds(frame.pts, frame.time_base)), image)
                index += 1
        if index == 0:
            raise BadVideo(f"No picture in it can be decoded: it is damaged or cut short; {EXPORT_AGAIN}.")
        if is_cut_off(path):
            self.lost += max(0, stream.frames - packets)
        self._stack.close()


def frames(path: Path, *, max_side: int | None = None, size: Size | None = None, threads: int = 1) -> Frames:
    """Decode `path` with `threads` decoder threads.

    `max_side`: scale down (never up) so that the longer side has at most so many px; `size` says the exact
    size instead. Non-square pixels are not stretched. Raises BadVideo, at once or while reading (see the
    module).
    """
    if size is None and max_side is not None:
        limit = max_side
        return Frames(path, size=lambda width, height: fit(width, height, limit), threads=threads)
    return Frames(path, size=size, threads=threads)


def frames_at(path: Path, times: Iterable[float], *, size: Size | None = None, threads: int = 1) -> Iterator[Frame]:
    """The frame at each of `times` (s, rising) or the next one after it, no frame twice; `index`: its place in `times`.

    Seeks, so a day takes as long as a minute. For files whose own PTS are to be had, with the first at 0 and a key
    frame every few seconds: those that `rendition.make_rendition` writes. Times after the end give nothing. Raises
    BadVideo.
    """
    with opened(path, threads) as (container, stream):
        picture, last = _Picture(size), -1.0
        for index, time in enumerate(times):
            if time <= last:
                continue
            try:
                found = _seek(container, stream, time)
            except (av.error.FFmpegError, ValueError) as error:
                raise BadVideo(f"It is damaged near {time:.1f} s; {EXPORT_AGAIN}.") from error
            if found is None:
                return
            last = found[0]
            yield Frame(index, last, picture.make(found[1]))


def _seek(container: InputContainer, stream: VideoStream, time: float) -> tuple[float, VideoFrame] | None:
    """The first frame at or after `time`, with its time; None past the end."""
    assert stream.time_base is not None
    container.seek(max(0, int(time / stream.time_base)), stream=stream, backward=True)
    for frame in container.decode(stream):
        check_size(frame.width, frame.height)
        pts = seconds(frame.pts, frame.time_base)
        if pts is not None and pts >= time - NUDGE_S:
            return pts, frame
    return None


def fit(width: int, height: int, max_side: int) -> tuple[int, int]:
    """The size with the same shape whose longer side is at most `max_side`; never larger, never under 1
    px.
    """
    scale = min(1.0, max_side / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


class _Picture:
    """Decoded frame → upright RGB array of one size, that of the first frame."""

    def __init__(self, size: Size | None) -> None:
        self._size = size
        self._scaler = VideoReformatter()
        self._target: tuple[int, int] | None = None
        self.upright = (0, 0)

    def make(self, frame: VideoFrame) -> npt.NDArray[np.uint8]:
        turns = round(frame.rotation / 90) % 4
        if self._target is None:
            self.upright = (frame.height, frame.width) if turns % 2 else (frame.width, frame.height)
            self._target = self.upright if self._size is None else self._size(*self.upright)
        width, height = self._target[::-1] if turns % 2 else self._target
        scaled = self._scaler.reformat(
            frame, width=width, height=height, format="rgb24", interpolation=Interpolation.BILINEAR
        )
        image = scaled.to_ndarray().astype(np.uint8, copy=False)
        # The display matrix turns counter-clockwise by `rotation`, as rot90 does.
        return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


class _Clock:
    """Container time stamps → seconds since the first frame, strictly rising."""

    def __init__(self, step: float) -> None:
        self._step = step
        self._origin: float | None = None
        self._last = 0.0

    def time(self, stamp: float | None) -> float:
        if self._origin is None:
            self._origin = 0.0 if stamp is None else stamp
            return 0.0
        now = self._last + self._step if stamp is None else stamp - self._origin
        if now < self._last - BACKWARDS_S or now > self._last + MAX_SECONDS:
            now = self._last + self._step
            self._origin = (stamp or 0.0) - now
        self._last = max(now, self._last + NUDGE_S)
        return self._last


def _packets(container: InputContainer, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
    """Packets to the end, read errors passed over as long as packets come between them."""
    errors = 0
    while errors < MAX_READ_ERRORS:
        try:
            for packet in container.demux(stream):
                errors = 0 if packet.size else errors
                yield packet
            return
        except (av.error.FFmpegError, ValueError):
            errors += 1


def _decode(packet: Packet[VideoStream]) -> list[VideoFrame] | None:
    """The frames that came out; None where the packet is damaged."""
    try:
        decoded = packet.decode()
    except (av.error.FFmpegError, ValueError):
        return None
    for frame in decoded:
        check_size(frame.width, frame.height)
    return decoded
