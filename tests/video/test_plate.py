"""The empty scene: who walks leaves no trace, who stands is filled in and not kept, and the same gives the same."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from alfred.video import plate
from alfred.video.container import BadVideo
from alfred.video.decode import frames_at
from alfred.video.plate import FEWEST, NoScene, as_jpeg, empty_scene
from alfred.video.rendition import make_rendition
from tests.video import clips

HEIGHT, WIDTH = 90, 121
SKIN = (250, 10, 200)
NOBODY = np.zeros((0, 4))


def scenery() -> plate.Image:
    """A wall with a slope of grey and a dark floor."""
    image = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    image[:] = np.linspace(60, 180, WIDTH).astype(np.uint8)[None, :, None]
    image[60:] = (20, 40, 30)
    return image


def with_person(x: int, image: plate.Image | None = None) -> tuple[plate.Image, np.ndarray]:
    """Somebody of 12 × 40 px at `x`, and their box, which lies around them."""
    shown = scenery() if image is None else image.copy()
    shown[30:70, x : x + 12] = SKIN
    return shown, np.array([[x - 2.0, 28.0, x + 14.0, 72.0]])


def test_who_walks_through_leaves_no_trace() -> None:
    shown = [with_person(3 * i) for i in range(30)]
    made = empty_scene([image for image, _ in shown], [box for _, box in shown])
    assert np.array_equal(made.image, scenery())
    assert (made.covered, made.frames) == (0.0, 30)


def test_who_walks_through_unseen_by_the_tracker_leaves_no_trace_either() -> None:
    """At each place for a few frames of many: the median is the scene's."""
    images = [with_person(3 * i)[0] for i in range(30)]
    assert np.array_equal(empty_scene(images, [NOBODY] * 30).image, scenery())


def test_noise_is_taken_out() -> None:
    rng = np.random.default_rng(1)
    clean = scenery().astype(int)
    images = [np.clip(clean + rng.integers(-12, 13, clean.shape), 0, 255).astype(np.uint8) for _ in range(41)]
    made = empty_scene(images, [NOBODY] * 41).image.astype(int)
    assert np.abs(made - clean).mean() < 2 < np.abs(images[0].astype(int) - clean).mean()


@pytest.mark.parametrize("missed", [0, 4])
def test_who_stands_still_is_filled_in_and_not_kept(missed: int) -> None:
    """Also where the tracker lost them in some frames: those would show nobody but them."""
    image, box = with_person(50)
    boxes = [NOBODY if i < missed else box for i in range(30)]
    made = empty_scene([image] * 30, boxes)
    assert made.covered == pytest.approx(16 * 44 / (HEIGHT * WIDTH))
    inside = made.image[28:72, 48:64].astype(int)
    assert np.abs(inside - np.array(SKIN)).sum(axis=-1).min() > 150  # nothing of them, not even blurred
    around = scenery()[28:72, 40:72]
    assert (inside >= around.min() - 1).all() and (inside <= around.max() + 1).all()
    outside = np.ones((HEIGHT, WIDTH), bool)
    outside[28:72, 48:64] = False
    assert np.array_equal(made.image[outside], scenery()[outside])


def test_who_left_after_a_while_is_not_in_it() -> None:
    """Seen in two thirds of the frames: the rest of them shows what is behind."""
    here = [with_person(50)] * 20 + [(scenery(), NOBODY)] * 10
    made = empty_scene([image for image, _ in here], [box for _, box in here])
    assert np.array_equal(made.image, scenery()) and made.covered == 0.0


def test_the_median_is_that_of_the_clear_frames_alone() -> None:
    """Against numpy's own, point by point, where people come and go at random."""
    rng = np.random.default_rng(7)
    images = list(rng.integers(0, 256, (11, 40, 33, 3), dtype=np.uint8))
    corners = rng.uniform(-10, 40, (11, 2, 2))
    boxes = [np.concatenate([at, at + rng.uniform(3, 15, (2, 2))], axis=1) for at in corners]
    hidden = np.zeros((11, 40, 33), bool)
    for mask, people in zip(hidden, boxes, strict=True):
        for x0, y0, x1, y1 in people:
            rows, columns = np.arange(40), np.arange(33)
            mask |= ((rows + 1 > y0) & (rows < y1))[:, None] & ((columns + 1 > x0) & (columns < x1))[None]
    made = empty_scene(images, boxes).image
    clear = (~hidden).sum(axis=0)
    for y, x in zip(*np.nonzero(clear >= FEWEST), strict=True):
        wanted = np.median(np.array(images)[~hidden[:, y, x], y, x], axis=0)
        assert np.array_equal(made[y, x], np.floor(wanted)), (y, x)


def test_people_everywhere_and_too_few_frames_are_said() -> None:
    everywhere = np.array([[-5.0, -5.0, WIDTH + 5.0, HEIGHT + 5.0]])
    with pytest.raises(NoScene, match="nearly all the time"):
        empty_scene([scenery()] * 10, [everywhere] * 10)
    with pytest.raises(NoScene, match="at least 5 different frames, and there are 4"):
        empty_scene([scenery()] * 4, [NOBODY] * 4)


def test_the_same_frames_give_the_same_bytes_and_a_jpeg_of_them() -> None:
    shown = [with_person(4 * i) for i in range(20)]
    made = [as_jpeg(empty_scene([i for i, _ in shown], [b for _, b in shown]).image) for _ in range(2)]
    assert made[0] == made[1] and made[0][:2] == b"\xff\xd8" and made[0][-2:] == b"\xff\xd9"
    context = av.CodecContext.create("mjpeg", "r")
    (frame,) = context.decode(av.Packet(made[0]))
    decoded = frame.to_ndarray(format="rgb24").astype(int)
    assert decoded.shape == (HEIGHT, WIDTH, 3)
    assert np.abs(decoded - scenery()).mean() < 3


@pytest.fixture
def playable(tmp_path: Path) -> Path:
    """60 frames at 10 fps, a key frame every 2 s; grey 20 + 5 × (number mod 20)."""
    make_rendition(clips.make(tmp_path / "a.mp4", frames=60, fps=10), tmp_path / "out.mp4")
    return tmp_path / "out.mp4"


def test_frames_are_found_at_their_times(playable: Path) -> None:
    found = list(frames_at(playable, [0.0, 0.31, 1.95, 2.0, 2.02, 2.04, 5.9, 6.5, 80.0]))
    assert [(f.index, round(f.pts, 3)) for f in found] == [(0, 0.0), (1, 0.4), (2, 2.0), (4, 2.1), (6, 5.9)]
    grey = [(int(f.image[50, 80, 1]) - 20) / 5 for f in found]
    assert grey == pytest.approx([0, 4, 0, 1, 19], abs=0.9)


def test_a_file_that_is_none_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"nothing")
    with pytest.raises(BadVideo):
        list(frames_at(tmp_path / "a.mp4", [0.0]))
