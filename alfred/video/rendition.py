"""A small copy of a recording that a browser plays and seeks: H.264 MP4 with the recording's own time
stamps.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from alfred.video.container import seconds
from alfred.video.decode import Frame, frames

TIME_BASE = Fraction(1, 90_000)
KEYFRAME_S = 2.0
TOLERANCE_S = 0.001
CRF, PRESET = "28", "veryfast"

Progress = Callable[[int, float], None]
"""Called now and then with (frames done, PTS of the last in seconds)."""


class RenditionError(Exception):
    """The copy does not have the time stamps of its source; it was not kept."""


def make_rendition(
    path: Path, out: Path, *, max_width: int = 848, progress: Progress | None = None, threads: int = 1
) -> None:
    """Write `out`: yuv420p, even sizes, at most `max_width` wide, no sound, a key frame at least every 2 s.

    Each frame of `decode.frames` stands at the same PTS (first 0, variable rate kept) to within 1 ms,
    which is checked. `out` appears complete or not at all. Raises BadVideo, RenditionError.
    """
    part = out.with_name(f".{out.stem}.part.mp4")
    try:
        with frames(path, size=lambda w, h: _even(w, h, max_width), threads=threads) as source:
            wanted = write_frames(source, part, fps=source.fps, threads=threads, progress=progress)
        _check(part, wanted)
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)


def _even(width: int, height: int, max_width: int) -> tuple[int, int]:
    scale = min(1.0, max_width / width)
    return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)


def write_frames(
    source: Iterable[Frame], part: Path, *, fps: float, threads: int = 1, progress: Progress | None = None
) -> array[float]:
    """Code frames (even sizes) as the browser plays them, at their own PTS; returns these. No frame: no picture in it.

    `fps` is a hint to the coder; the frames' times decide.
    """
    wanted: array[float] = array("d")
    key = -KEYFRAME_S
    with av.open(str(part.absolute()), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream: VideoStream | None = None
        for frame in source:
            stream = stream or _stream(container, frame, fps, threads)
            due = frame.pts - key >= KEYFRAME_S
            key = frame.pts if due else key
            for packet in stream.encode(_picture(frame, due)):
                container.mux(packet)
            wanted.append(frame.pts)
            if progress is not None and len(wanted) % 100 == 0:
                progress(len(wanted), frame.pts)
        if stream is not None:
            for packet in stream.encode():
                container.mux(packet)
    if progress is not None and wanted:
        progress(len(wanted), wanted[-1])
    return wanted


def _stream(container: OutputContainer, frame: Frame, fps: float, threads: int) -> VideoStream:
    rate = Fraction(fps).limit_denominator(1001)
    # No B-frames: every time stamp can then be kept as it is, the first at 0, without an edit list.
    options = {"crf": CRF, "preset": PRESET, "bf": "0", "forced-idr": "1", "g": "100000", "sc_threshold": "0"}
    stream = container.add_stream("libx264", rate=max(rate, Fraction(1, 10)), options=options)
    stream.height, stream.width = frame.image.shape[:2]
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = TIME_BASE
    stream.codec_context.thread_count = threads
    stream.time_base = TIME_BASE
    return stream


def _picture(frame: Frame, key: bool) -> VideoFrame:
    picture = VideoFrame.from_ndarray(frame.image, format="rgb24")
    picture.pts = round(frame.pts / TIME_BASE)
    picture.time_base = TIME_BASE
    picture.pict_type = PictureType.I if key else PictureType.NONE
    return picture


def _check(part: Path, wanted: array[float]) -> None:
    """Compare the packets' time stamps with those wanted. Raises RenditionError."""
    with av.open(str(part.absolute())) as container:
        stream = container.streams.video[0]
        found = [seconds(p.pts, p.time_base) for p in container.demux(stream) if p.size]
    got = np.sort(np.array([time for time in found if time is not None]))
    if len(got) != len(wanted) or np.abs(got - np.frombuffer(wanted)).max(initial=0) > TOLERANCE_S:
        raise RenditionError("the copy's time stamps are not those of the recording")
