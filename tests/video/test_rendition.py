"""The browser's copy: same times, small, plays at once."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from alfred.video.container import BadVideo
from alfred.video.decode import frames
from alfred.video.probe import probe
from alfred.video.rendition import make_rendition
from tests.video import clips


def times(path: Path) -> list[float]:
    with frames(path) as video:
        return [f.pts for f in video]


@pytest.mark.parametrize("steady", [True, False])
def test_times_are_kept(tmp_path: Path, steady: bool) -> None:
    wanted = None if steady else [0.0, 0.033, 0.1, 0.101, 0.9, 2.5, 2.6, 7.0, 7.04]
    source = clips.make(tmp_path / "a.mkv", times=wanted, audio=steady)
    out = tmp_path / "out.mp4"
    make_rendition(source, out)
    np.testing.assert_allclose(times(out), times(source), atol=1e-3)
    with av.open(str(out)) as container:
        stream = container.streams.video[0]
        assert stream.start_time == 0
        assert stream.codec_context.name == "h264" and stream.codec_context.pix_fmt == "yuv420p"
        assert not container.streams.audio


def test_size_is_even_upright_and_limited(tmp_path: Path) -> None:
    odd = clips.make(tmp_path / "a.avi", codec="mpeg4", width=161, height=121)
    make_rendition(odd, tmp_path / "odd.mp4", max_width=101)
    facts = probe(tmp_path / "odd.mp4")
    assert (facts.width, facts.height) == (100, 76)
    make_rendition(clips.turned(clips.make(tmp_path / "t.mp4"), 90), tmp_path / "turned.mp4")
    facts = probe(tmp_path / "turned.mp4")
    assert (facts.width, facts.height, facts.rotation) == (64, 96, 0)


def test_index_first_and_key_frames_every_two_seconds(tmp_path: Path) -> None:
    source = clips.make(tmp_path / "a.mp4", frames=100, fps=10)
    out = tmp_path / "out.mp4"
    make_rendition(source, out)
    data = out.read_bytes()
    assert 0 < data.find(b"moov") < data.find(b"mdat")
    with av.open(str(out)) as container:
        keys = [float(p.pts * p.time_base) for p in container.demux(video=0) if p.is_keyframe]
    np.testing.assert_allclose(keys, [0, 2, 4, 6, 8], atol=1e-3)


def test_progress_and_failure_leave_no_half_file(tmp_path: Path) -> None:
    source = clips.make(tmp_path / "a.mp4", frames=20)
    calls: list[tuple[int, float]] = []
    make_rendition(source, tmp_path / "out.mp4", progress=lambda n, t: calls.append((n, t)))
    assert calls[-1][0] == 20 and calls[-1][1] == pytest.approx(1.9)

    def fail(done: int, pts: float) -> None:
        raise RuntimeError("cancelled")

    with pytest.raises(RuntimeError):
        make_rendition(source, tmp_path / "other.mp4", progress=fail)
    bad = tmp_path / "bad.mp4"
    bad.write_text("text")
    with pytest.raises(BadVideo):
        make_rendition(bad, tmp_path / "bad-out.mp4")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mp4", "bad.mp4", "out.mp4"]
