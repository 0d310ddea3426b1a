"""Frames come upright, in order, at their own times, as many as there are."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from alfred.video.ahead import ahead
from alfred.video.container import BadVideo
from alfred.video.decode import _Clock, fit, frames
from tests.video import clips


def corner(image: np.ndarray) -> str:
    """Where the bright red square is."""
    height, width = image.shape[:2]
    red = image[:, :, 0].astype(int) - image[:, :, 1]
    rows, columns = np.nonzero(red > 100)
    return ("top" if rows.mean() < height / 2 else "bottom") + ("left" if columns.mean() < width / 2 else "right")


def test_steady_clip(tmp_path: Path) -> None:
    with frames(clips.make(tmp_path / "a.mp4", frames=20, fps=10)) as video:
        got = list(video)
        assert (video.width, video.height, video.fps, video.lost) == (96, 64, 10.0, 0)
    assert [f.index for f in got] == list(range(20))
    np.testing.assert_allclose([f.pts for f in got], np.arange(20) / 10, atol=1e-6)
    assert all(f.image.shape == (64, 96, 3) and f.image.dtype == np.uint8 for f in got)
    levels = [f.image[50, 80].mean() for f in got]
    np.testing.assert_allclose(levels, 20 + 5 * np.arange(20), atol=6)


def test_variable_rate_keeps_its_times(tmp_path: Path) -> None:
    times = [0.0, 0.04, 0.2, 0.21, 1.5, 1.6, 3.0]
    got = [f.pts for f in frames(clips.make(tmp_path / "a.mp4", times=times))]
    np.testing.assert_allclose(got, times, atol=2e-4)


def test_time_starts_at_the_first_frame(tmp_path: Path) -> None:
    times = [5.0, 5.1, 5.2, 5.3]
    got = [f.pts for f in frames(clips.make(tmp_path / "a.ts", times=times))]
    np.testing.assert_allclose(got, [0, 0.1, 0.2, 0.3], atol=2e-4)


@pytest.mark.parametrize(("turn", "where"), [(90, "topright"), (180, "bottomright"), (270, "bottomleft")])
def test_display_matrix_is_applied(tmp_path: Path, turn: int, where: str) -> None:
    video = frames(clips.turned(clips.make(tmp_path / "a.mp4"), turn))
    image = next(video).image
    assert image.shape == ((64, 96, 3) if turn == 180 else (96, 64, 3))
    assert (video.width, video.height) == image.shape[1::-1]
    assert corner(image) == where
    video.close()


def test_scaled_frames_know_the_full_size(tmp_path: Path) -> None:
    with frames(clips.turned(clips.make(tmp_path / "a.mp4"), 90), max_side=48) as video:
        image = next(video).image
        assert image.shape == (48, 32, 3) and (video.width, video.height) == (64, 96)
        assert corner(image) == "topright"
    assert fit(50, 40, 100) == (50, 40)


def test_odd_sizes(tmp_path: Path) -> None:
    path = clips.make(tmp_path / "a.avi", codec="mpeg4", width=161, height=121)
    assert next(frames(path)).image.shape == (121, 161, 3)


def test_cut_off_in_the_middle_keeps_what_is_there(tmp_path: Path) -> None:
    path = clips.make(tmp_path / "a.mp4", frames=100, container={"movflags": "+faststart"}, options={"g": "5"})
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with frames(path) as video:
        got = list(video)
    assert 20 < len(got) < 90
    assert len(got) + video.lost >= 99


def test_damaged_packets_are_skipped_and_counted(tmp_path: Path) -> None:
    path = clips.make(tmp_path / "a.mov", codec="png", pix_fmt="rgb24", frames=20)
    data = bytearray(path.read_bytes())
    at = -1
    for _ in range(5):
        at = data.find(b"\x89PNG", at + 1)
    data[at : at + 40] = bytes(40)
    path.write_bytes(data)
    with frames(path) as video:
        got = list(video)
    assert (len(got), video.lost) == (19, 1)
    np.testing.assert_allclose(got[4].pts, 0.5)  # the one after the gap keeps its own time


def test_nothing_decodable_is_refused(tmp_path: Path) -> None:
    path = clips.make(tmp_path / "a.avi", codec="png", pix_fmt="rgb24", frames=3)
    path.write_bytes(path.read_bytes().replace(b"\x89PNG", b"\0\0\0\0"))
    with pytest.raises(BadVideo, match="No picture in it can be decoded"):
        frames(path)


def test_clock_rises_whatever_the_stamps_say() -> None:
    clock = _Clock(0.1)
    stamps = [7.0, 7.1, None, 7.3, 7.3, 7.25, 7.4, 1.0, 1.1, 500_000.0, 500_000.1]
    times = [clock.time(stamp) for stamp in stamps]
    np.testing.assert_allclose(times, [0, 0.1, 0.2, 0.3, 0.301, 0.302, 0.4, 0.5, 0.6, 0.7, 0.8], atol=1e-9)


def test_ahead_keeps_order_and_passes_errors_on() -> None:
    def source() -> object:
        yield from range(5)
        raise BadVideo("broken")

    reader = ahead(source(), lambda x: x * 2, depth=2)
    assert [next(reader) for _ in range(5)] == [0, 2, 4, 6, 8]
    with pytest.raises(BadVideo, match="broken"):
        next(reader)


def test_ahead_stops_with_its_reader() -> None:
    made = []

    def source() -> object:
        for i in range(1000):
            made.append(i)
            yield i

    reader = ahead(source(), lambda x: x, depth=3)
    assert next(reader) == 0
    reader.close()
    count = len(made)
    time.sleep(0.05)
    assert len(made) == count <= 6
