"""A few seconds of a playable file as a file of their own: what the review page fetches ahead."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import Interpolation, VideoReformatter

from alfred.video.container import BadVideo, seconds
from alfred.video.decode import Frame
from alfred.video.rendition import write_frames

BLUR_PX = 24
"""A blurred picture has so many rows: a person is a shape, a face is nothing."""

Image = npt.NDArray[np.uint8]


def cut_clip(path: Path, out: Path, *, start: float, end: float, blurred: bool, threads: int = 1) -> float:
    """Write `out`: the frames of `path` (a file of `make_rendition`) from `start` to `end`, in its seconds.

    The first frame stands at 0 of the clip; returns where that is in `path`, s. Distances between frames are kept to
    within 1 ms, whatever the rate. `blurred`: every frame is reduced to `BLUR_PX` rows and enlarged again before it is
    coded, so the clip holds no more than that. `out` appears complete or not at all. Raises BadVideo where no frame
    lies in the range or the file can't be read.
    """
    part = out.with_name(f".{out.stem}.part.mp4")
    offsets: list[float] = []
    found = _within(path, start, end, offsets, blurred, threads)
    try:
        first = next(found, None)
        if first is None:
            raise BadVideo(f"no frame lies between {start:.2f} and {end:.2f} s")
        write_frames(chain([first], found), part, fps=_rate(path), threads=threads)
        part.replace(out)
    except av.FFmpegError as error:
        raise BadVideo(f"the file can't be read ({error.strerror})") from None
    finally:
        part.unlink(missing_ok=True)
    return offsets[0]


def _rate(path: Path) -> float:
    with av.open(str(path.absolute())) as container:
        return float(container.streams.video[0].average_rate or 25)


def _within(path: Path, start: float, end: float, offsets: list[float], blurred: bool, threads: int) -> Iterator[Frame]:
    """Frames of the range, their times counted from the first one, whose own is put into `offsets`."""
    with av.open(str(path.absolute())) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = threads
        assert stream.time_base is not None
        container.seek(max(0, int(start / stream.time_base)), stream=stream, backward=True)
        for frame in container.decode(stream):
            pts = seconds(frame.pts, stream.time_base)
            if pts is None or pts < start - 1e-3:
                continue
            if pts > end + 1e-3:
                return
            if not offsets:
                offsets.append(pts)
            image = frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
            yield Frame(0, pts - offsets[0], _blurred(image) if blurred else image)


def _blurred(image: Image) -> Image:
    """The picture at `BLUR_PX` rows, enlarged again."""
    height, width = image.shape[:2]
    small = max(2, round(width * BLUR_PX / height))
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
    scaler = VideoReformatter()
    tiny = scaler.reformat(frame, width=small, height=BLUR_PX, format="rgb24", interpolation=Interpolation.AREA)
    back = VideoReformatter().reformat(
        tiny, width=width, height=height, format="rgb24", interpolation=Interpolation.BICUBIC
    )
    return back.to_ndarray().astype(np.uint8, copy=False)
