"""What people do in the browser, and how a test knows that the page and the server have followed."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.journeys.running_demo import Demo

PATIENCE_MS = 60_000
"""A busy machine of two cores is slow, not wrong."""
STOPWATCH = """
let pressed = null;
window.took = [];
addEventListener("keydown", (e) => { if ("na".includes(e.key)) pressed = performance.now(); }, true);
document.addEventListener("alfred:loaded", () => {
  const since = pressed;
  pressed = null;
  if (since !== null) requestAnimationFrame(() => setTimeout(() => window.took.push(performance.now() - since)));
});
"""
"""From a key to the moment after the next event's first frame was painted, ms."""


def new_context(browser: Browser, **wishes: Any) -> BrowserContext:
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 860}, **wishes})
    context.set_default_timeout(PATIENCE_MS)
    return context


def sign_in(demo: Demo, page: Page, name: str) -> Page:
    """By keyboard: the name has the focus already."""
    page.goto(f"{demo.url}/login/")
    expect(page.locator("[name=username]")).to_be_focused()
    page.keyboard.type(name)
    page.keyboard.press("Tab")
    page.keyboard.type(demo.passwords()[name])
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "/login/" not in url)
    return page


def signed_in(demo: Demo, browser: Browser, name: str, **wishes: Any) -> Page:
    return sign_in(demo, new_context(browser, **wishes).new_page(), name)


def event_of(page: Page) -> str:
    """The id of the event on the stage, once its people are drawn: before that a key answers nothing."""
    shown = page.wait_for_function(
        "() => { const s = document.querySelector('section[data-event]');"
        " return s?.querySelector('[data-people]').textContent && s.dataset.event; }"
    )
    return str(shown.json_value())


def wait_for_event(page: Page, event: str) -> None:
    page.wait_for_function("id => document.querySelector('section[data-event]')?.dataset.event === id", arg=event)


def press(page: Page, key: str) -> str:
    """Press an answer's key and wait until its event has left the stage; returns that event."""
    before = event_of(page)
    page.keyboard.press(key)
    page.wait_for_function("id => document.querySelector('section[data-event]')?.dataset.event !== id", arg=before)
    return before


def said_of(demo: Demo, event: str) -> int:
    """How many times something was said of an event, undone or not."""
    return demo.number("SELECT count(DISTINCT key) FROM alfred_verdict WHERE event_id::text = %s", event)


def answer(demo: Demo, page: Page, key: str) -> str:
    """Press an answer's key, wait for another event and for the server to have the answer; returns the answered one."""
    event = event_of(page)
    known = said_of(demo, event)
    assert press(page, key) == event
    event_of(page)
    demo.wait_for(lambda: said_of(demo, event) > known, 60, f"answer for {event}")
    return event
