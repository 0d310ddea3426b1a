"""The empty scene under the skeletons, in a real browser: reached with V, in its place, and gone without a word."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from alfred.artifacts import Artifacts
from alfred.video.plate import as_jpeg
from tests.journeys.on_the_page import event_of, signed_in
from tests.journeys.running_demo import Demo, running

pytestmark = pytest.mark.browser

YARD = "/review/?camera=simulated-yard"
COLOURS = {
    "left top": (200, 40, 40),
    "right top": (40, 180, 60),
    "left low": (40, 60, 200),
    "right low": (220, 200, 40),
}

STORE = """
INSERT INTO alfred_plate (camera_id, recording_id, artifact, writes, width, height, covered, frames, made_by_id,
  made_at, approved_by_id, approved_at)
SELECT c.id, NULL, %s, '', 320, 180, 0, 41, u.id, now(), u.id, now() FROM alfred_camera c, alfred_user u
WHERE c.slug = 'simulated-yard' AND u.username = 'admin' RETURNING id"""

SEEN = """async (zoomed) => {
  const { Player } = await import("/static/annotator/player.js");
  const stage = document.querySelector("[data-event] [data-player]").cloneNode(true);
  document.body.prepend(stage);
  const player = new Player(stage);
  await player.load();
  player.zoomed = zoomed;
  player.pause();
  player.data.people = player.data.people.filter((p) => p.asked).map((p) => ({ ...p, pts: [] })); // no one in the way
  while (!player.plate) await new Promise(requestAnimationFrame);
  player.resize();
  const { width, height } = player.data;
  const view = player.view();
  const paper = player.canvas.getContext("2d");
  const found = {};
  for (let i = 1; i < 40; i++) for (let j = 1; j < 40; j++) {
    const [x, y] = [(i * width) / 40, (j * height) / 40];
    const at = [view.dx + x * view.scale, view.dy + y * view.scale].map(Math.round);
    if (at[0] < 1 || at[1] < 1 || at[0] >= player.canvas.width - 1 || at[1] >= player.canvas.height - 1) continue;
    found[`${i} ${j}`] = [...paper.getImageData(...at, 1, 1).data].slice(0, 3);
  }
  const ground = player.ground;
  player.stop();
  stage.remove();
  return { ground, found };
}"""
"""The colours of the canvas at points of the picture, by their 40ths from the left and from the top."""


def quarters() -> np.ndarray:
    image = np.empty((180, 320, 3), np.uint8)
    image[:90, :160], image[:90, 160:], image[90:, :160], image[90:, 160:] = COLOURS.values()
    return image


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    with running() as one:
        yield one


def shown_on(page: Page, words: str) -> None:
    expect(page.locator("[data-event] [data-action=view]")).to_have_text(words)


def test_v_lays_the_approved_plate_under_the_skeletons(demo: Demo, browser: Browser) -> None:
    store = Artifacts(demo.state / "artifacts")
    key = store.put_bytes("simulated-yard", as_jpeg(quarters()), ".jpg")
    demo.ask("UPDATE alfred_camera SET privacy = 'video' WHERE slug = 'simulated-yard' RETURNING id")
    demo.number(STORE, key)
    ana = signed_in(demo, browser, "ana")
    wrong: list[str] = []
    ana.on("pageerror", lambda error: wrong.append(str(error)))
    ana.goto(demo.url + YARD)
    event_of(ana)
    shown_on(ana, "On black")
    ana.keyboard.press("v")
    shown_on(ana, "On a grid")
    ana.keyboard.press("v")
    shown_on(ana, "On the empty scene")
    for zoomed in (False, True):
        seen = ana.evaluate(SEEN, zoomed)
        assert seen["ground"] == "plate" and len(seen["found"]) > 20
        for at, colour in seen["found"].items():
            i, j = map(int, at.split())
            if 20 in (i, j):  # the seam
                continue
            wanted = COLOURS[f"{'left' if i < 20 else 'right'} {'top' if j < 20 else 'low'}"]
            assert np.abs(np.array(colour) - wanted).max() < 25, (zoomed, at, colour)
    ana.reload()  # the choice is remembered
    event_of(ana)
    shown_on(ana, "On the empty scene")
    store.delete(key)
    ana.reload()
    event_of(ana)
    shown_on(ana, "On black")
    ana.keyboard.press("v")
    shown_on(ana, "On a grid")
    ana.keyboard.press("v")
    shown_on(ana, "On black")
    assert wrong == []
