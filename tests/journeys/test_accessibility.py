"""Every page, for every role: what axe-core finds, that nothing is cut off, that the focus can be seen.

All rules in the dark on a wide screen and in the light on a phone; in the light on a wide screen the colours alone,
for the rest is the same there. German, whose words are longer, is only looked at for its width.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, BrowserContext, Locator, Page
from pytest_django.live_server_helper import LiveServer

from alfred.services import lease
from tests.journeys.every_page import ROLES, House, house
from tests.journeys.on_the_page import event_of, new_context

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

WIDE, PHONE = {"width": 1280, "height": 860}, {"width": 360, "height": 740}
THUMB = 44
"""px that a button under a thumb has at least."""
UPRIGHT = ((360, 740), (390, 844))
STREAMS = re.compile(r"/(stream|progress)/")
RULES = {"target-size": {"enabled": True}}
"""On top of those that axe applies by itself."""
AXE = """async (options) => (await axe.run({ resultTypes: ["violations"], ...options })).violations
  .filter((found) => ["serious", "critical"].includes(found.impact))
  .flatMap((found) => found.nodes.map((node) =>
    `${found.id}: ${node.target} ${node.html.slice(0, 120)} (${node.any[0]?.message ?? found.help})`))"""
SHAPE = """() => ({
  lang: document.documentElement.lang, mains: document.querySelectorAll("main").length,
  h1s: document.querySelectorAll("h1").length, moving: document.getAnimations().length })"""
SHIFTED = """() => new Promise((done) => {
  const seen = [];
  new PerformanceObserver((list) => seen.push(...list.getEntries())).observe({ type: "layout-shift", buffered: true });
  setTimeout(() => done(seen.reduce((sum, one) => sum + one.value, 0)), 20);
})"""
"""How much of the page moved while it came, as the browser counts it (0.1 is called good)."""
FOCUS = """() => [
    ...document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']")
  ]
  .filter((one) => !one.disabled && one.checkVisibility({ visibilityProperty: true })).filter((one) => {
    one.focus({ focusVisible: true, preventScroll: true });
    const { outlineStyle, outlineWidth } = getComputedStyle(one);
    return document.activeElement === one && (outlineStyle === "none" || parseFloat(outlineWidth) < 2);
  }).map((one) => one.outerHTML.slice(0, 120))"""
TOO_WIDE = "document.scrollingElement.scrollWidth - innerWidth"
AT_REST = """() => [...document.querySelectorAll("[data-note]")].every((note) => note.textContent !== "loading…")
  && [...document.querySelectorAll("[data-chart], [data-scores]")].every((chart) => !chart.querySelector("script"))"""
LAID_OUT = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


@pytest.fixture
def place() -> House:
    return house()


def context_of(browser: Browser, server: LiveServer, session: str = "", **wishes: Any) -> BrowserContext:
    """Signed in; without the streams, which this plain server can't serve."""
    context = new_context(browser, **{"reduced_motion": "reduce", "color_scheme": "dark", "viewport": WIDE, **wishes})
    if session:
        context.add_cookies([{"name": "sessionid", "value": session, "url": server.url}])
    context.route(STREAMS, lambda route: route.abort())
    return context


def seen_as(page: Page, size: Any, scheme: Any) -> None:
    page.set_viewport_size(size)
    page.emulate_media(color_scheme=scheme)
    page.evaluate(LAID_OUT)


def axe(page: Page, **options: Any) -> list[str]:
    return [str(found) for found in page.evaluate(AXE, {"rules": RULES, **options})]


def looked_over(page: Page, url: str) -> Iterator[str]:
    """Everything that is wrong with one page."""
    seen_as(page, WIDE, "dark")
    answer = page.goto(url)
    page.wait_for_function(AT_REST)
    page.evaluate(AXE_SCRIPT)
    shape = page.evaluate(SHAPE)
    if shape != {"lang": "en", "mains": 1, "h1s": 1, "moving": 0}:
        yield f"{answer and answer.status}: {json.dumps(shape)}"
    if (shifted := page.evaluate(SHIFTED)) > 0.02:
        yield f"moved by {shifted:.3f} while it came"
    yield from (f"wide, dark: {found}" for found in axe(page))
    yield from (f"the focus can't be seen on {one}" for one in page.evaluate(FOCUS))
    seen_as(page, WIDE, "light")
    yield from (f"wide, light: {found}" for found in axe(page, runOnly=["color-contrast"], rules={}))
    seen_as(page, PHONE, "light")
    yield from (f"phone, light: {found}" for found in axe(page))
    if (wide := page.evaluate(TOO_WIDE)) > 0:
        yield f"{wide} px too wide for a phone"


def watched(page: Page, server: LiveServer) -> list[str]:
    """Fills with what went wrong behind the pages: answers of a broken server, other hosts, what the CSP refused."""
    wrong: list[str] = []
    page.on("response", lambda r: wrong.append(f"{r.status} of {r.url}") if r.status >= 500 else None)
    page.on("request", lambda r: wrong.append(r.url) if not r.url.startswith((server.url, "blob:", "data:")) else None)
    page.on("console", lambda said: wrong.append(said.text) if "Content Security Policy" in said.text else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    return wrong


def test_every_page_can_be_used_by_all(live_server: LiveServer, browser: Browser, place: House) -> None:
    wrong = []
    for role in ROLES:
        page = context_of(browser, live_server, place.cookie(role)).new_page()
        behind = watched(page, live_server)
        for name, path in place.addresses(role).items():
            if role in place.users:
                lease.release(place.users[role])
            wrong += [f"{role}, {name}: {found}" for found in looked_over(page, live_server.url + path)]
            wrong += [f"{role}, {name}: {found}" for found in behind]
            behind.clear()
        page.context.close()
    assert not wrong, "\n" + "\n".join(wrong)


def test_german_words_fit_on_a_phone(live_server: LiveServer, browser: Browser, place: House) -> None:
    wrong = []
    for role in ROLES:
        page = context_of(browser, live_server, place.cookie(role), locale="de-AT", viewport=PHONE).new_page()
        for name, path in place.addresses(role).items():
            if role in place.users:
                lease.release(place.users[role])
            page.goto(live_server.url + path)
            page.evaluate(LAID_OUT)
            if (lang := page.evaluate("document.documentElement.lang")) != "de":
                wrong.append(f"{role}, {name}: in {lang}")
            if (wide := page.evaluate(TOO_WIDE)) > 0:
                wrong.append(f"{role}, {name}: {wide} px too wide")
        page.context.close()
    assert not wrong, "\n" + "\n".join(wrong)


def sides(one: Locator) -> tuple[float, float]:
    """Top and bottom on the screen, px."""
    box = one.bounding_box()
    assert box is not None
    return box["y"], box["y"] + box["height"]


def test_on_a_phone_the_answers_are_under_the_thumb_and_the_stage_in_view(
    live_server: LiveServer, browser: Browser, place: House
) -> None:
    """Without scrolling; at work on its side, too (the trial says first what it is)."""
    for role, path, sizes in (
        ("annotator", "/review/", (*UPRIGHT, (740, 360))),
        ("newcomer", "/trial/", UPRIGHT),
    ):
        page = context_of(browser, live_server, place.cookie(role), has_touch=True, is_mobile=True).new_page()
        for width, height in sizes:
            page.set_viewport_size({"width": width, "height": height})
            page.goto(live_server.url + path)
            if role == "annotator":
                event_of(page)
            answers_under_the_thumb(page, height)


def answers_under_the_thumb(page: Page, height: int) -> None:
    """All below the stage in the lower half of the screen; scrolled to the end they cover nothing."""
    top, bottom = sides(page.locator(".stage"))
    assert top >= 0
    buttons = page.locator("button.answer")
    for button in buttons.all():
        above, below = sides(button)
        assert below - above >= THUMB and below <= height, (height, button.inner_text())
        assert above >= max(bottom, height / 2), (height, button.inner_text())
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    page.evaluate(LAID_OUT)
    assert sides(buttons.last)[1] <= sides(page.locator("footer"))[0]
