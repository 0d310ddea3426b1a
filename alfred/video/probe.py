"""What a video file is, and the one-sentence refusals of what is none.

`probe` reads the header and decodes one frame. `probe_safely` does so in a child process under limits: what a
hostile file makes of the decoder stays there. `python -m alfred.video.probe PATH` is that child.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.error
import av.logging
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from alfred.video.container import EXPORT_AGAIN, MAX_SECONDS, BadVideo, check_size, opened, seconds

__all__ = ["BadVideo", "VideoFacts", "probe", "probe_safely"]

MIN_FPS, MAX_FPS = 0.1, 240.0
FIRST_FRAME_PACKETS = 600
RATE_PACKETS = 120
TIME_LIMIT_S = 30.0
CPU_LIMIT_S = 20
MEMORY_LIMIT = 3 << 30


@dataclass(frozen=True, slots=True)
class VideoFacts:
    """Of the upright picture (after `rotation`, degrees counter-clockwise): width, height in px.

    `fps` is the average rate, `duration_s` in seconds, `frames` an estimate or None, `vfr` a guess from
    the first packets: True where the time between frames varies.
    """

    width: int
    height: int
    fps: float
    duration_s: float
    frames: int | None
    codec: str
    rotation: int
    has_audio: bool
    vfr: bool


def probe(path: Path) -> VideoFacts:
    """Facts about the video at `path`. Raises BadVideo."""
    av.logging.set_level(None)
    with opened(path) as (container, stream):
        if stream.average_rate:
            _refuse_rate(float(stream.average_rate))
        frame, times = _first_frame(container, stream)
        fps = _rate(stream, times)
        duration = _duration(container, stream, times, fps)
        if duration > MAX_SECONDS:
            raise BadVideo(
                f"It lasts {duration / 3600:.0f} hours; at most {MAX_SECONDS / 3600:.0f} are read, "
                "so cut it into parts."
            )
        sideways = round(frame.rotation / 90) % 2 == 1
        size = (frame.height, frame.width) if sideways else (frame.width, frame.height)
        return VideoFacts(
            *size,
            fps=fps,
            duration_s=duration,
            frames=stream.frames or (round(duration * fps) or None),
            codec=stream.codec_context.name,
            rotation=frame.rotation,
            has_audio=bool(container.streams.audio),
            vfr=_varies(times),
        )


def probe_safely(path: Path) -> VideoFacts:
    """`probe` in a child process with limits on memory, time and files written; its death is a BadVideo."""
    package = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-m", "alfred.video.probe", str(path.absolute())]
    environment = {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(package), "LANG": "C.UTF-8"}
    try:
        done = subprocess.run(  # a list of arguments, no shell
            command,
            cwd=package,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIME_LIMIT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise BadVideo(f"Reading its header takes longer than {TIME_LIMIT_S:.0f} s; {EXPORT_AGAIN}.") from error
    try:
        answer = json.loads(done.stdout)
    except ValueError as error:
        raise BadVideo(f"It is damaged in a way that stops the decoder; {EXPORT_AGAIN}.") from error
    if "refused" in answer:
        raise BadVideo(answer["refused"])
    return VideoFacts(**answer)


def _first_frame(container: InputContainer, stream: VideoStream) -> tuple[VideoFrame, list[float]]:
    """The first frame that decodes, and the sorted times of the first packets."""
    first: VideoFrame | None = None
    times: list[float] = []
    packets = 0
    for packet in _packets(container, stream):
        packets += packet.size > 0
        time = seconds(packet.pts, packet.time_base)
        if time is not None:
            times.append(time)
        if first is None:
            first = _decode_one(packet)
        if (first is not None and len(times) >= RATE_PACKETS) or packets >= FIRST_FRAME_PACKETS:
            break
    if first is None:
        raise BadVideo(_nothing_decoded(packets))
    return first, sorted(times)


def _packets(container: InputContainer, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
    """Packets up to the closing empty one; a read error ends them."""
    try:
        yield from container.demux(stream)
    except (av.error.FFmpegError, ValueError):
        return


def _decode_one(packet: Packet[VideoStream]) -> VideoFrame | None:
    try:
        for frame in packet.decode():
            check_size(frame.width, frame.height)
            return frame
    except (av.error.FFmpegError, ValueError):
        return None
    return None


def _nothing_decoded(packets: int) -> str:
    if packets == 0:
        return f"It has a video track without a single picture; {EXPORT_AGAIN}."
    return f"No picture in it can be decoded: it is damaged or cut short; {EXPORT_AGAIN}."


def _refuse_rate(fps: float) -> None:
    if not MIN_FPS < fps <= MAX_FPS:
        raise BadVideo(
            f"It says that it has {fps:.4g} pictures a second; from {MIN_FPS} to {MAX_FPS:.0f} are read, "
            "so export it at its real rate."
        )


def _rate(stream: VideoStream, times: list[float]) -> float:
    rate: Fraction | None = stream.average_rate
    if rate:
        fps = float(rate)
    elif len(times) > 1 and times[-1] > times[0]:
        fps = (len(times) - 1) / (times[-1] - times[0])
    else:
        fps = float(stream.guessed_rate or 0)
    _refuse_rate(fps)
    return fps


def _duration(container: InputContainer, stream: VideoStream, times: list[float], fps: float) -> float:
    known = seconds(stream.duration, stream.time_base)
    if known is None and container.duration:
        known = container.duration / av.time_base
    if known is None or known <= 0:
        last = times[-1] - times[0] if times else 0.0
        known = max(last, _last_time(container, stream) - (times[0] if times else 0.0)) + 1 / fps
    return known


def _last_time(container: InputContainer, stream: VideoStream) -> float:
    """The largest time of the packets still unread: for files whose header says no duration."""
    times = (seconds(packet.pts, packet.time_base) for packet in _packets(container, stream))
    return max((time for time in times if time is not None), default=0.0)


def _varies(times: list[float]) -> bool:
    if len(times) < 3:
        return False
    steps = np.diff(times)
    middle = float(np.median(steps))
    return bool(np.percentile(np.abs(steps - middle), 95) > max(0.25 * middle, 0.002))


def _limit_resources() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_LIMIT_S, CPU_LIMIT_S))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _child(path: Path) -> None:
    _limit_resources()
    try:
        answer = asdict(probe(path))
    except BadVideo as refusal:
        answer = {"refused": str(refusal)}
    except MemoryError:
        answer = {"refused": f"It needs more memory than is allowed to decode; {EXPORT_AGAIN}."}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    _child(Path(sys.argv[1]))
