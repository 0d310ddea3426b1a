"""Small video files made on the spot, good and bad."""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame

Image = np.ndarray


def picture(index: int, width: int, height: int) -> Image:
    """Dark, with a bright square at the top left and a grey level that grows with the index."""
    image = np.full((height, width, 3), 20 + 5 * (index % 20), np.uint8)
    image[: height // 4, : width // 4] = (250, 30, 30)
    return image


def make(
    path: Path,
    *,
    codec: str = "libx264",
    width: int = 96,
    height: int = 64,
    times: list[float] | None = None,
    fps: int = 10,
    frames: int = 20,
    audio: bool = False,
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    container: dict[str, str] | None = None,
    draw: Callable[[int, int, int], Image] = picture,
) -> Path:
    """Write a clip; `times` (seconds) instead of a steady rate makes it vary."""
    with av.open(str(path), "w", options=container or {}) as out:
        stream = out.add_stream(codec, rate=fps, options=options or {})
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        sound = out.add_stream("aac", rate=8000) if audio else None
        out.start_encoding()  # writes the header even where no frame follows
        base = Fraction(1, 90_000)
        if times is not None:
            stream.codec_context.time_base = base
        for i in range(len(times) if times is not None else frames):
            frame = VideoFrame.from_ndarray(draw(i, width, height), format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = round(times[i] / base), base
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
        if sound is not None:
            _add_sound(out, sound, 1.0)
    return path


def sound_only(path: Path) -> Path:
    """An MP4 with sound and nothing else."""
    with av.open(str(path), "w") as out:
        _add_sound(out, out.add_stream("aac", rate=8000), 1.0)
    return path


def _add_sound(out: av.container.OutputContainer, stream: av.audio.stream.AudioStream, length: float) -> None:
    for i in range(round(8 * length)):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1000), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 8000, 1000 * i
        out.mux(stream.encode(frame))
    out.mux(stream.encode())


def turned(path: Path, degrees_clockwise: int) -> Path:
    """Set the display matrix of an MP4's first track."""
    cosine, sine = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees_clockwise]
    one = 1 << 16
    matrix = struct.pack(">9i", cosine * one, sine * one, 0, -sine * one, cosine * one, 0, 0, 0, 1 << 30)
    data = bytearray(path.read_bytes())
    header = data.find(b"tkhd") + 4
    data[header + 40 : header + 76] = matrix
    path.write_bytes(data)
    return path


def claims_avi_size(path: Path, width: int, height: int) -> Path:
    """Let an AVI's header (only) say another picture size."""
    data = bytearray(path.read_bytes())
    struct.pack_into("<II", data, data.find(b"avih") + 40, width, height)
    struct.pack_into("<ii", data, data.find(b"strf") + 12, width, height)
    path.write_bytes(data)
    return path


def claims_mp4_size(path: Path, width: int, height: int) -> Path:
    """Let an MP4's sample description (only) say another picture size."""
    data = bytearray(path.read_bytes())
    entry = data.find(b"avc1", data.find(b"stsd"))
    struct.pack_into(">HH", data, entry + 28, width, height)
    path.write_bytes(data)
    return path


def claims_png_size(path: Path, width: int, height: int) -> Path:
    """Let every PNG picture inside a file say another size."""
    data = bytearray(path.read_bytes())
    at = data.find(b"IHDR")
    while at >= 0:
        struct.pack_into(">II", data, at + 4, width, height)
        at = data.find(b"IHDR", at + 4)
    path.write_bytes(data)
    return path


def claims_avi_rate(path: Path, rate: int, scale: int) -> Path:
    """Let an AVI's stream header say another frame rate, rate / scale."""
    data = bytearray(path.read_bytes())
    header = data.find(b"strh") + 8
    struct.pack_into("<II", data, header + 20, scale, rate)
    path.write_bytes(data)
    return path
