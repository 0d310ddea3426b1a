"""Answers on their way, in a real browser: whose they are, and what the server fails on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from alfred.models import Verdict
from tests import world
from tests.annotator import stage

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

NEXT = "() => document.querySelector('[data-people]')?.textContent"


@pytest.fixture
def gate(live_server: Any) -> str:
    view = stage.scene("Gate", events=2).camera
    world.people(view, password=world.PASSWORD)
    return str(live_server.url)


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context()
    yield context
    context.close()


def signed_in(context: BrowserContext, url: str, name: str) -> Page:
    page = context.new_page()
    page.goto(f"{url}/login/")
    page.fill("[name=username]", name)
    page.fill("[name=password]", world.PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(lambda now: "/login/" not in now)
    return page


def given(page: Page, n: int, within_s: float = 40.0) -> list[tuple[str, str]]:
    """Verdicts in the database, once there are so many."""
    until = time.monotonic() + within_s
    while Verdict.objects.count() < n and time.monotonic() < until:
        page.wait_for_timeout(200)  # not sleep: routes are answered by this thread
    return list(Verdict.objects.order_by("id").values_list("user__username", "answer"))


def test_what_one_person_said_is_never_sent_as_another(gate: str, context: BrowserContext) -> None:
    page = signed_in(context, gate, "alice")
    context.route("**/verdict/", lambda route: route.abort())  # before the page: an open one notices it a little later
    page.goto(f"{gate}/review/")
    page.wait_for_function(NEXT)
    page.keyboard.press("n")
    expect(page.locator("[data-unsent]")).to_be_visible()
    context.clear_cookies()
    signed_in(context, gate, "bob").close()
    context.unroute("**/verdict/")
    page.evaluate("dispatchEvent(new Event('online'))")
    expect(page.locator("[data-unsent]")).to_contain_text("Another person has signed in")
    assert given(page, 0) == []
    context.clear_cookies()
    signed_in(context, gate, "alice").close()
    page.evaluate("dispatchEvent(new Event('online'))")
    assert given(page, 1) == [("alice", "normal")]


def test_an_answer_the_server_fails_on_keeps_no_other_from_being_sent(gate: str, context: BrowserContext) -> None:
    failing: list[str] = []

    def server(route: Route) -> None:
        if any(event in route.request.url for event in failing):
            route.fulfill(status=500, body="no")
        else:
            route.continue_()

    page = signed_in(context, gate, "alice")
    context.route("**/verdict/", server)
    page.goto(f"{gate}/review/")
    page.wait_for_function(NEXT)
    page.wait_for_function("() => document.querySelectorAll('#ahead template').length == 1")
    first = str(page.locator("section[data-event]").get_attribute("data-event"))
    failing.append(first)
    page.keyboard.press("a")
    page.wait_for_function(f"() => document.querySelector('section[data-event]')?.dataset.event !== '{first}'")
    page.wait_for_function(NEXT)
    page.keyboard.press("n")
    assert given(page, 1) == [("alice", "normal")]
    failing.clear()
    page.evaluate("dispatchEvent(new Event('online'))")
    assert given(page, 2) == [("alice", "normal"), ("alice", "anomaly")]
