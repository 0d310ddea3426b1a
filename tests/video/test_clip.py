"""A clip: the frames of its range at their own distances, small, and blurred beyond recognition where asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from alfred.video.clip import BLUR_PX, cut_clip
from alfred.video.container import BadVideo
from alfred.video.decode import frames
from alfred.video.rendition import make_rendition
from tests.video import clips

UNEVEN = [0.0, 0.033, 0.1, 0.14, 0.9, 1.5, 2.05, 2.1, 2.6, 2.61, 3.3, 4.0, 4.04, 5.5, 7.0]


@pytest.fixture
def playable(tmp_path: Path) -> Path:
    out = tmp_path / "playable.mp4"
    make_rendition(clips.make(tmp_path / "a.mkv", times=UNEVEN, width=320, height=240), out)
    return out


@pytest.mark.parametrize(("start", "end"), [(0.0, 1.0), (2.0, 4.0), (2.59, 3.4), (6.0, 99.0)])
@pytest.mark.parametrize("blurred", [False, True])
def test_frames_of_the_range_keep_their_distances(
    playable: Path, tmp_path: Path, start: float, end: float, blurred: bool
) -> None:
    wanted = [t for t in UNEVEN if start <= t <= end]
    out = tmp_path / "clip.mp4"
    offset = cut_clip(playable, out, start=start, end=end, blurred=blurred)
    assert offset == pytest.approx(wanted[0], abs=1e-3)
    with frames(out) as video:
        np.testing.assert_allclose([f.pts + offset for f in video], wanted, atol=2e-3)
    data = out.read_bytes()
    assert 0 < data.find(b"moov") < data.find(b"mdat")  # plays before it is all there
    assert len(data) < 600_000


def test_a_blurred_clip_holds_no_more_than_a_few_rows(tmp_path: Path) -> None:
    """Stripes finer than the blur are gone, not only hidden by the player."""
    import av

    path = tmp_path / "stripes.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=10, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        image = np.zeros((240, 320, 3), np.uint8)
        image[:, ::4] = image[:, 1::4] = 255
        for _ in range(10):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        out.mux(stream.encode())
    contrast = {}
    for blurred in (False, True):
        cut_clip(path, tmp_path / "clip.mp4", start=0, end=0.5, blurred=blurred)
        with frames(tmp_path / "clip.mp4") as video:
            contrast[blurred] = float(np.std(next(iter(video)).image[:, 20:300].astype(float).mean(axis=(0, 2))))
    assert contrast[True] < 0.2 * contrast[False]
    assert 240 / BLUR_PX >= 8


def test_an_empty_range_leaves_no_file(playable: Path, tmp_path: Path) -> None:
    with pytest.raises(BadVideo, match="no frame lies between"):
        cut_clip(playable, tmp_path / "clip.mp4", start=0.2, end=0.8, blurred=False)
    assert not list(tmp_path.glob("*clip*"))
