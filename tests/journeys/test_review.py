"""The review page as annotators meet it on good and bad days: real Chromium, a real stack, nothing lost or doubled."""

from __future__ import annotations

import os
import signal
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.journeys.on_the_page import (
    STOPWATCH,
    answer,
    event_of,
    new_context,
    press,
    said_of,
    sign_in,
    signed_in,
    wait_for_event,
)
from tests.journeys.running_demo import Demo, running
from tests.video import clips

pytestmark = pytest.mark.browser

YARD = "/review/?camera=simulated-yard"
STANDING = """
SELECT v.event_id::text, u.username, v.answer, v.second, v.comment,
  (SELECT count(DISTINCT d.key) FROM alfred_verdict d WHERE d.event_id = v.event_id AND d.user_id = v.user_id
    AND d.answer <> 'undo' AND NOT EXISTS
    (SELECT 1 FROM alfred_verdict w WHERE w.supersedes_id = d.id AND w.answer = 'undo'))
FROM alfred_verdict v JOIN alfred_user u ON u.id = v.user_id
WHERE v.event_id::text = ANY(%s) AND v.answer <> 'undo'
  AND NOT EXISTS (SELECT 1 FROM alfred_verdict w WHERE w.supersedes_id = v.id)"""


class Said(NamedTuple):
    """A standing verdict, and how many answers to its event this person gave without taking them back."""

    event: str
    user: str
    answer: str
    second: bool
    comment: str
    times: int


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    """Nobody's answers come to another for a second look: what a journey counts is its own."""
    with running() as one:
        one.ask("UPDATE alfred_camera SET second_share = 0, second_in_warm_up = false RETURNING id")
        yield one


def at_work(demo: Demo, browser: Browser, name: str, **wishes: Any) -> Page:
    """Signed in, an event on the stage, the next three fetched."""
    page = signed_in(demo, browser, name, **wishes)
    page.goto(demo.url + YARD)
    event_of(page)
    expect(page.locator("#ahead template")).to_have_count(3)
    return page


WAITING = """() => new Promise((done, fail) => {
  const asked = indexedDB.open("alfred-outbox");
  asked.onerror = fail;
  asked.onsuccess = () => {
    const counted = asked.result.transaction("answers").objectStore("answers").count();
    counted.onsuccess = () => { asked.result.close(); done(counted.result); };
  };
})"""
"""How many answers the browser's database keeps."""


def all_sent(demo: Demo, page: Page) -> None:
    demo.wait_for(lambda: page.evaluate(WAITING) == 0, 60, "end of the answers that wait")


def standing(demo: Demo, events: list[str]) -> list[Said]:
    return [Said(*row) for row in demo.ask(STANDING, events)]


def stored_once(demo: Demo, events: list[str], name: str) -> set[str]:
    """Every one of these events has one answer of this person's; returns which answers these are."""
    said = [one for one in standing(demo, events) if one.user == name]
    assert {one.event for one in said} == set(events)  # none lost
    assert {one.times for one in said} == {1}  # none doubled
    return {one.answer for one in said}


def refuse_answers(page: Page) -> None:
    """The server can't be reached with answers; all else works, so that a page can be loaded again."""
    page.context.route("**/verdict/", lambda route: route.abort())
    # An open page notices a little after the call has returned.
    page.wait_for_function("() => fetch('/nothing/verdict/').then(() => false, () => true)")


def accept_answers(page: Page) -> None:
    page.context.unroute("**/verdict/")


def test_sixty_events_by_keyboard_alone_are_each_stored_once(
    demo: Demo, browser: Browser, capsys: pytest.CaptureFixture[str]
) -> None:
    context = new_context(browser)
    context.add_init_script(STOPWATCH)
    ana = sign_in(demo, context.new_page(), "ana")
    seen = [press(ana, "a" if turn % 20 == 19 else "n") for turn in range(60)]
    assert len(set(seen)) == 60
    all_sent(demo, ana)
    stored_once(demo, seen, "ana")
    assert {one.event for one in standing(demo, seen) if one.answer == "anomaly"} == set(seen[19::20])
    took = ana.evaluate("window.took")
    with capsys.disabled():
        sys.stdout.write(f"\nkey to next event painted: median {statistics.median(took):.0f} ms of {len(took)}\n")


def test_keys_held_down_in_haste_skip_and_repeat_nothing(demo: Demo, browser: Browser) -> None:
    """Faster than events can be fetched: the stage runs empty, and no event comes back that was answered."""
    ana = at_work(demo, browser, "ana")
    ana.evaluate(
        """() => { window.shown = [];
        const stage = document.querySelector("[data-slot]");
        const note = () => stage.querySelectorAll("[data-event]").forEach((s) => window.shown.push(s.dataset.event));
        note();
        new MutationObserver(note).observe(stage, { childList: true }); }"""
    )
    for _ in range(3000):
        ana.keyboard.press("n")
        if ana.evaluate("window.shown.length") > 20:
            break
    event_of(ana)
    all_sent(demo, ana)
    *seen, _ = ana.evaluate("window.shown")
    assert len(seen) == len(set(seen)) >= 20
    stored_once(demo, seen, "ana")


def test_twenty_answers_are_taken_back_in_reverse(demo: Demo, browser: Browser) -> None:
    ana = at_work(demo, browser, "ana")
    given = [answer(demo, ana, "n") for _ in range(20)]
    for event in reversed(given):
        ana.keyboard.press("z")
        wait_for_event(ana, event)
        event_of(ana)
    assert standing(demo, given) == []
    assert [answer(demo, ana, "n") for _ in range(4)] == given[:4]  # what was held ahead comes in its order
    expect(ana.locator("#ahead template")).to_have_count(3)  # those given away are fetched ahead again


def test_undo_pressed_in_haste_takes_back_one_answer_each_time(demo: Demo, browser: Browser) -> None:
    ana = at_work(demo, browser, "ana")
    given = [answer(demo, ana, "n") for _ in range(5)]
    for _ in range(3):
        ana.keyboard.press("z")
    wait_for_event(ana, given[2])
    expect(ana.locator(f"#ahead [data-queued='{given[2]}']")).to_have_count(0)
    assert {one.event for one in standing(demo, given)} == set(given[:2])
    assert [press(ana, "n") for _ in range(3)] == given[2:]
    all_sent(demo, ana)


def test_an_answer_to_an_event_that_another_took_over_is_kept_as_a_second(demo: Demo, browser: Browser) -> None:
    ana = at_work(demo, browser, "ana")
    event = event_of(ana)
    demo.ask(
        "UPDATE alfred_lease l SET expires_at = now() - interval '1 second' FROM alfred_user u"
        " WHERE u.id = l.user_id AND u.username = 'ana' AND released_at IS NULL RETURNING l.id"
    )
    ben = at_work(demo, browser, "ben")
    assert answer(demo, ben, "n") == event
    assert press(ana, "a") == event
    all_sent(demo, ana)
    said = {(one.user, one.answer, one.second) for one in standing(demo, [event])}
    assert said == {("ben", "normal", False), ("ana", "anomaly", True)}
    given = [event, *(answer(demo, ana, "n") for _ in range(4))]  # those she had fetched ahead, and on
    stored_once(demo, given, "ana")
    ben.context.close()


def test_a_killed_web_server_loses_and_doubles_nothing(demo: Demo, browser: Browser) -> None:
    ana = at_work(demo, browser, "ana")
    given: list[str] = []
    for turn in range(30):
        if turn in (10, 20):  # whole process group: no worker of it answers on
            web = [pid for pid, command in demo.children().items() if "granian" in command]
            assert web
            for pid in web:
                os.kill(pid, signal.SIGKILL)
        given.append(press(ana, "n"))
    assert len(set(given)) == 30
    all_sent(demo, ana)
    stored_once(demo, given, "ana")


def test_an_event_whose_poses_did_not_come_can_be_answered_once_they_do(demo: Demo, browser: Browser) -> None:
    ana = at_work(demo, browser, "ana")
    ana.route("**/poses.json", lambda route: route.abort())
    ana.reload()
    expect(ana.locator("[data-note]")).to_have_text("Waiting for the server…")
    ana.unroute("**/poses.json")
    answer(demo, ana, "n")


def test_answers_given_offline_for_a_minute_wait_are_counted_and_sent(demo: Demo, browser: Browser) -> None:
    ana = at_work(demo, browser, "ana")
    ana.context.set_offline(True)
    given = [press(ana, "n"), press(ana, "a")]
    expect(ana.locator("[data-unsent]")).to_have_text("2 answers wait to be sent.")
    given += [press(ana, "n"), press(ana, "n")]
    expect(ana.locator("[data-waits]")).not_to_be_empty()  # nothing more was fetched ahead: it says so
    expect(ana.locator("[data-unsent]")).to_have_text("4 answers wait to be sent.")
    ana.wait_for_timeout(60_000)  # long enough for every pause between tries
    assert standing(demo, given) == []
    ana.context.set_offline(False)
    expect(ana.locator("[data-unsent]")).to_be_hidden()
    event_of(ana)  # the work goes on by itself
    stored_once(demo, given, "ana")


def test_answers_that_wait_outlive_a_reload_and_are_not_asked_again(demo: Demo, browser: Browser) -> None:
    ana = at_work(demo, browser, "ana")
    refuse_answers(ana)
    given = [press(ana, "n"), press(ana, "n")]
    expect(ana.locator("[data-unsent]")).to_have_text("2 answers wait to be sent.")
    ana.reload()
    expect(ana.locator("[data-unsent]")).to_have_text("2 answers wait to be sent.")
    given.append(press(ana, "n"))
    accept_answers(ana)
    all_sent(demo, ana)
    assert len(set(given)) == 3
    stored_once(demo, given, "ana")


def test_nobody_sends_what_another_left_waiting_in_the_same_browser(demo: Demo, browser: Browser) -> None:
    page = at_work(demo, browser, "ana")
    page.on("dialog", lambda dialog: dialog.accept())
    refuse_answers(page)
    given = [press(page, "a"), press(page, "a")]
    page.click("text=Sign out")
    page.wait_for_url("**/login/**")
    accept_answers(page)
    sign_in(demo, page, "ben")
    page.goto(demo.url + YARD)
    his = answer(demo, page, "n")  # by then anything that was to be sent from here has been sent
    expect(page.locator("[data-unsent]")).to_be_hidden()
    assert {(one.user, one.answer) for one in standing(demo, [*given, his])} == {("ben", "normal")}
    page.click("text=Sign out")
    sign_in(demo, page, "ana")
    all_sent(demo, page)
    assert stored_once(demo, given, "ana") == {"anomaly"}


@pytest.fixture
def phone(demo: Demo, browser: Browser) -> Page:
    return at_work(demo, browser, "ana", viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)


SWIPE = """(dx) => {
  const stage = document.querySelector(".stage");
  const box = stage.getBoundingClientRect();
  const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
  const at = (type, far) => {
    const finger = new Touch({ identifier: 1, target: stage, clientX: x + far, clientY: y });
    const touches = type === "touchend" ? [] : [finger];
    stage.dispatchEvent(new TouchEvent(type, { bubbles: true, touches, changedTouches: [finger] }));
  };
  at("touchstart", 0);
  at("touchmove", dx / 2);
  at("touchmove", dx);
  at("touchend", dx);
}"""
"""One finger over the stage, from within the page: from outside it may, on a busy machine, last as a long press."""


@pytest.mark.parametrize("dx, said", [(-140, "normal"), (140, "anomaly")])
def test_a_swipe_over_the_stage_answers(demo: Demo, phone: Page, dx: int, said: str) -> None:
    event = event_of(phone)
    phone.evaluate(SWIPE, dx)
    phone.wait_for_function("id => document.querySelector('section[data-event]')?.dataset.event !== id", arg=event)
    all_sent(demo, phone)
    assert stored_once(demo, [event], "ana") == {said}


def test_on_a_phone_nothing_scrolls_sideways(phone: Page) -> None:
    phone.locator(".finer summary").click()
    wide = phone.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0


def test_on_a_phone_buttons_are_large_enough_for_a_thumb(phone: Page) -> None:
    phone.locator(".finer summary").click()
    low = phone.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll("#review button")]
        .filter((b) => b.checkVisibility()).map((b) => [b.textContent.trim(), b.getBoundingClientRect().height])
        .filter(([, height]) => height < 44))"""
    )
    assert low == {}


TIMES = [0.0, 0.04, 0.08, 0.2, 0.24, 0.5, 0.54, 0.56, 0.6, 0.9, 1.0, 1.04, 1.3, 1.34, 1.38, 1.42, 1.7, 1.9, 1.94, 2.0]
"""Frames of a film whose rate varies by more than ten times, s."""


def poses(offset: float) -> dict[str, Any]:
    """One person whose every x is 10 × the frame's number, at each frame's time in the recording."""
    return {
        "width": 96, "height": 64, "start": offset, "end": offset + TIMES[-1], "duration": 60.0, "shape": [],
        "asked": [offset, offset + TIMES[-1]], "peak": offset,
        "people": [{
            "name": "A", "asked": True, "pts": [round(offset + t, 4) for t in TIMES],
            "xy": [[10.0 * i, 10.0] * 17 for i in range(len(TIMES))], "confidence": [[90] * 17] * len(TIMES),
        }],
    }  # fmt: skip


FILM = """async ([offset, moments]) => {
  const { Player } = await import("/static/annotator/player.js");
  localStorage.setItem("alfred-ground", "video");
  const stage = document.querySelector("[data-player]").cloneNode(true);
  Object.assign(stage.dataset, { poses: `/film-${offset}.json`, video: `/film-${offset}.mp4`, offset });
  stage.removeAttribute("data-raw");
  document.body.prepend(stage);
  const player = new Player(stage);
  await player.load();
  player.pause();
  const until = async (met) => { while (!met()) await new Promise(requestAnimationFrame); };
  await until(() => player.video.readyState >= 2 && !player.video.seeking);
  // The picture itself says its number: its grey is 20 + 5 × the number.
  const paper = new OffscreenCanvas(96, 64).getContext("2d", { willReadFrequently: true });
  const onScreen = () => {
    paper.drawImage(player.video, 0, 0, 96, 64);
    return (paper.getImageData(80, 50, 1, 1).data[1] - 20) / 5;
  };
  const found = [];
  for (const moment of moments) {
    const shown = new Promise((done) => player.video.requestVideoFrameCallback((_, frame) => done(frame.mediaTime)));
    player.go(offset + moment);
    const time = await shown;
    await until(() => !player.video.seeking && Math.abs(player.t - offset - time) < 1e-6);
    const now = player.at(player.data.people[0]);
    found.push({ moment, time, picture: onScreen(), drawn: now && now.xy[0] / 10 });
  }
  return found;
}"""


@pytest.mark.parametrize("offset", [0.0, 7.32])
def test_over_a_film_of_varying_rate_the_poses_drawn_are_those_of_the_picture(
    demo: Demo, browser: Browser, tmp_path: Path, offset: float
) -> None:
    ana = at_work(demo, browser, "ana")
    film = clips.make(tmp_path / "varying.mp4", times=TIMES, options={"crf": "4"})
    ana.route(f"**/film-{offset:g}.json", lambda route: route.fulfill(json=poses(offset)))
    ana.route(f"**/film-{offset:g}.mp4", lambda route: _film(route, film))
    moments = [1.35, 0.05, 0.21, 0.95, 0.55, 1.95, 1.6, 0.4, 0.02, 1.1]
    for frame in ana.evaluate(FILM, [offset, moments]):
        wanted = max(i for i, t in enumerate(TIMES) if t <= frame["moment"] + 0.001)
        assert abs(frame["picture"] - wanted) < 0.5, frame  # the film stands where it was told to
        assert frame["drawn"] is not None, frame
        assert abs(frame["drawn"] - frame["picture"]) < 1, frame


def _film(route: Route, film: Path) -> None:
    route.fulfill(body=film.read_bytes(), content_type="video/mp4")


@pytest.fixture
def ben(demo: Demo, browser: Browser) -> Iterator[Page]:
    """At work; his keys are the shipped ones again after."""
    page = at_work(demo, browser, "ben")
    yield page
    demo.ask(
        "DELETE FROM alfred_preferences p USING alfred_user u WHERE u.id = p.user_id AND u.username = 'ben' RETURNING 1"
    )
    page.context.close()


def nothing_answered(page: Page, event: str, before: int, demo: Demo) -> None:
    """A later, harmless key has done its work, and the event stands unanswered."""
    playing = page.locator("[data-action=play]")
    was = playing.inner_text()
    page.keyboard.press(" ")
    expect(playing).not_to_have_text(was)
    assert event_of(page) == event
    assert said_of(demo, event) == before


def test_a_key_that_was_moved_answers_and_its_old_key_does_not(demo: Demo, ben: Page) -> None:
    ben.goto(f"{demo.url}/keys/")
    ben.select_option("[name=normal]", "j")
    ben.click("button:has-text('Keep')")
    ben.goto(demo.url + YARD)
    expect(ben.locator("[data-key=normal]").first).to_have_text("J")
    event = event_of(ben)
    ben.keyboard.press("n")
    nothing_answered(ben, event, said_of(demo, event), demo)
    assert answer(demo, ben, "j") == event
    assert stored_once(demo, [event], "ben") == {"normal"}


def test_two_actions_on_one_key_are_refused_with_a_sentence(demo: Demo, ben: Page) -> None:
    ben.goto(f"{demo.url}/keys/")
    ben.select_option("[name=normal]", "a")
    ben.click("button:has-text('Keep')")
    expect(ben.locator("#main .field-error").first).to_have_text("A is the key of two actions: normal, and anomaly.")


def test_with_single_keys_off_letters_do_nothing_and_buttons_answer(demo: Demo, ben: Page) -> None:
    ben.goto(f"{demo.url}/keys/")
    ben.uncheck("[name=single]")
    ben.click("button:has-text('Keep')")
    ben.goto(demo.url + YARD)
    event = event_of(ben)
    for letter in "nau1":
        ben.keyboard.press(letter)
    nothing_answered(ben, event, said_of(demo, event), demo)
    ben.click("[data-answer=unsure]")
    all_sent(demo, ben)
    assert stored_once(demo, [event], "ben") == {"unsure"}


def test_writing_a_comment_answers_nothing_and_the_comment_is_kept(demo: Demo, ben: Page) -> None:
    event = event_of(ben)
    ben.keyboard.press("c")
    expect(ben.locator("[data-comment]")).to_be_focused()
    ben.keyboard.type("a man and a sunshade, 1 nap")
    expect(ben.locator("[data-comment]")).to_have_value("a man and a sunshade, 1 nap")
    ben.keyboard.press("Enter")
    nothing_answered(ben, event, said_of(demo, event), demo)
    assert answer(demo, ben, "n") == event
    assert stored_once(demo, [event], "ben") == {"normal"}
    assert {one.comment for one in standing(demo, [event])} == {"a man and a sunshade, 1 nap"}
    expect(ben.locator("[data-comment]")).to_have_value("")


def test_a_letter_answers_while_a_list_has_the_focus_and_changes_nothing_in_it(demo: Demo, ben: Page) -> None:
    event = event_of(ben)
    ben.locator("details.finer > summary").click()
    reason = ben.locator("[data-reason]")
    chosen = reason.locator("option").nth(2).get_attribute("value")
    reason.select_option(chosen)
    reason.focus()
    assert answer(demo, ben, "n") == event
    given = demo.ask("SELECT DISTINCT reason FROM alfred_verdict WHERE event_id::text = %s", event)
    assert given == [(chosen,)]
