"""A camera's empty scene: the per-pixel median of frames over time, the places where people stood left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt

from alfred.core.phrases import phrase

SAMPLES = 41
"""Frames sampled across a recording."""
FEWEST = 5
"""Frames in which a pixel must have been clear of people; elsewhere nothing of what was filmed is kept."""
CLEAR_SHARE = 0.25
"""And in so large a share of the frames: who stands still is missed by a tracker at times, and seen in all those."""
BAND_ROWS = 32
"""Rows of the picture worked on at once: memory beside the frames does not grow with the picture."""
JPEG_SCALE = "3"
"""The coder's quantiser, 2 (finest) to 31."""

Image = npt.NDArray[np.uint8]


class NoScene(Exception):
    """No plate can be made of these frames; the message is one sentence for people."""


@dataclass(frozen=True)
class EmptyScene:
    """`image` (H, W, 3) uint8 RGB; `covered`: share of its pixels (0..1) that were hidden too often and are filled in;
    `frames`: how many it was made of.
    """

    image: Image
    covered: float
    frames: int


def empty_scene(frames: Sequence[Image], boxes: Sequence[npt.NDArray[np.float64]]) -> EmptyScene:
    """The median of `frames`, each (H, W, 3) uint8 RGB, pixel by pixel over those in which nobody is there.

    `boxes`: for each frame (n, 4) x0, y0, x1, y1 in px of it, where people are; what lies outside it is cut off.
    A pixel that is clear in fewer than `FEWEST` frames, or in less than `CLEAR_SHARE` of them, takes nothing from any
    frame: it is filled smoothly from the clear pixels around it, so that nobody who stood still is kept, not even
    blurred. Raises NoScene with fewer than `FEWEST` frames and where no pixel is clear.
    """
    if len(frames) < FEWEST:
        raise NoScene(f"A background needs at least {FEWEST} different frames, and there are {len(frames)}.")
    height, width = frames[0].shape[:2]
    hidden = np.stack([_hidden(at, height, width) for at in boxes])
    image = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, BAND_ROWS):
        band = slice(top, top + BAND_ROWS)
        image[band] = _median(np.stack([frame[band] for frame in frames]), hidden[:, band])
    clear = len(frames) - hidden.sum(axis=0)
    known = clear >= max(FEWEST, CLEAR_SHARE * len(frames))
    if not known.any():
        raise NoScene(phrase("People stood everywhere in the picture nearly all the time: there is no empty scene."))
    if not known.all():
        filled = _filled(image.astype(np.float32), known)
        image = np.where(known[..., None], image, np.rint(filled).astype(np.uint8))
    return EmptyScene(image, float(1 - known.mean()), len(frames))


def as_jpeg(image: Image) -> bytes:
    """`image` (H, W, 3) uint8 RGB as a JPEG file: the same picture gives the same bytes."""
    coder = av.CodecContext.create("mjpeg", "w")
    coder.height, coder.width = image.shape[:2]
    coder.pix_fmt, coder.time_base = "yuvj420p", Fraction(1)
    coder.options = {"qmin": JPEG_SCALE, "qmax": JPEG_SCALE}
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24").reformat(format="yuvj420p")
    return b"".join(bytes(packet) for packet in [*coder.encode(picture), *coder.encode()])


def _hidden(boxes: npt.NDArray[np.float64], height: int, width: int) -> npt.NDArray[np.bool_]:
    """(H, W): where somebody is."""
    mask = np.zeros((height, width), np.bool_)
    for x0, y0, x1, y1 in boxes:
        rows = slice(max(0, int(np.floor(y0))), max(0, int(np.ceil(y1))))
        mask[rows, max(0, int(np.floor(x0))) : max(0, int(np.ceil(x1)))] = True
    return mask


def _median(band: Image, hidden: npt.NDArray[np.bool_]) -> Image:
    """Median over the frames (n, h, W, 3) that are not hidden (n, h, W); of no meaning where all are."""
    n = len(band)
    clear = n - hidden.sum(axis=0)
    # Hidden values go to the end of the order, where they stay behind all that are counted.
    ordered = np.sort(np.where(hidden[..., None], np.uint8(255), band), axis=0)
    low, high = np.maximum(clear - 1, 0) // 2, np.minimum(clear // 2, n - 1)
    middle = [np.take_along_axis(ordered, at[None, ..., None], axis=0)[0] for at in (low, high)]
    median: Image = ((middle[0].astype(np.uint16) + middle[1]) // 2).astype(np.uint8)
    return median


def _filled(image: npt.NDArray[np.float32], known: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """(H, W, 3) with what is not known taken from the known around it, the more smoothly the farther that is.

    By halves: each coarser picture is the mean of what is known of the finer one, until all of it is known.
    """
    if known.all():
        return image
    height, width = known.shape
    even = ((0, height % 2), (0, width % 2))
    weight = np.pad(known.astype(np.float32), even)
    sums = np.pad(np.where(known[..., None], image, 0), (*even, (0, 0)))
    weight = weight.reshape(weight.shape[0] // 2, 2, -1, 2).sum(axis=(1, 3))
    sums = sums.reshape(weight.shape[0], 2, weight.shape[1], 2, 3).sum(axis=(1, 3))
    coarse = _filled((sums / np.maximum(weight, 1)[..., None]).astype(np.float32), weight > 0)
    up = _smooth(coarse.repeat(2, axis=0).repeat(2, axis=1))[:height, :width]
    return np.where(known[..., None], image, up)


def _smooth(image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Each pixel with half of its neighbours', so that no block of the coarser picture shows."""
    for axis in (0, 1):
        around = np.pad(image, [(1, 1) if a == axis else (0, 0) for a in range(3)], mode="edge")
        size = image.shape[axis]
        parts = [np.take(around, range(at, at + size), axis=axis) for at in range(3)]
        image = ((parts[0] + 2 * parts[1] + parts[2]) / 4).astype(np.float32, copy=False)
    return image
