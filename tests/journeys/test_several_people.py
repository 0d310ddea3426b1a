"""What takes more than one person, in a real browser: second looks and rulings, newcomers, alerts, look-alikes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from alfred.core.methodologies import Label
from alfred.models import Answer, Batch, Camera, Event, Lane, Verdict
from alfred.services import labels, look_alikes, preferences, trial
from tests import world
from tests.annotator import stage
from tests.journeys.every_page import known_clips
from tests.services import round_stage

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

PAINTED = "() => document.querySelector('[data-people]')?.textContent"


@pytest.fixture
def pages(browser: Browser, live_server: Any) -> Iterator[Any]:
    """Sign somebody in, in a browser of their own; whatever the page complains of fails the test."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def sign_in(name: str) -> Page:
        contexts.append(browser.new_context(base_url=live_server.url))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto("/login/")
        page.fill("[name=username]", name)
        page.fill("[name=password]", world.PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url(lambda now: "/login/" not in now)
        return page

    yield sign_in
    for context in contexts:
        context.close()
    assert complaints == []


def answered(page: Page, verdicts: int) -> None:
    """Wait until the server has so many verdicts."""
    for _ in range(100):
        if Verdict.objects.count() >= verdicts:
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"{Verdict.objects.count()} verdicts, not {verdicts}")


def test_unsure_goes_to_a_second_person_and_then_to_a_supervisor_who_rules(pages: Any) -> None:
    view = stage.scene("Gate", events=1).camera
    world.people(view, password=world.PASSWORD)
    event = Event.objects.get()
    asked = event.segments.count()
    for n, (name, key) in enumerate((("alice", "u"), ("bob", "a")), start=1):
        page = pages(name)
        page.goto("/review/")
        page.wait_for_function(PAINTED)
        assert name == "alice" or "unsure" not in page.content().lower().split("<main")[1].split("data-answers")[0]
        page.keyboard.press(key)
        answered(page, n * asked)
    event.refresh_from_db()
    assert event.state == Event.State.DECIDED  # one was unsure, the other was not: that settles it
    segment = event.segments.all()[0]
    assert labels.of_slice(segment.slice_id or 0)[segment.pk] == Label.ANOMALY
    Camera.objects.update(second_share=1.0)
    other = stage.scene("Yard", events=1)
    Camera.objects.filter(pk=other.camera.pk).update(second_share=1.0)
    cast = {name: world.User.objects.get(username=name) for name in ("alice", "bob", "sue")}
    world.join(world.People(**cast, charlie=cast["sue"], admin=cast["sue"]), other.camera)
    (dispute,) = other.events
    world.answer(cast["alice"], dispute, Answer.NORMAL)
    world.answer(cast["bob"], dispute, Answer.ANOMALY, details=world.record_verdict.Details(comment="she falls"))
    page = pages("sue")
    page.goto("/adjudication/")
    expect(page.locator("main")).to_contain_text("she falls")
    page.wait_for_function("() => document.querySelector('[data-time]')?.textContent")
    page.keyboard.press("c")
    page.keyboard.type("on the ground")  # letters are words here, and Enter rules nothing
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_contain_text("she falls")
    page.keyboard.press("a")
    expect(page.locator("main")).to_contain_text("No answers differ")
    dispute.refresh_from_db()
    assert dispute.state == Event.State.DECIDED
    ruling = Verdict.objects.filter(event=dispute, adjudicates=True, user=cast["sue"]).get()
    assert (ruling.answer, ruling.comment) == (Answer.ANOMALY, "on the ground")


def test_a_newcomer_judges_known_clips_first_and_sees_how_it_went(pages: Any) -> None:
    world.people(known_clips(), password=world.PASSWORD)
    page = pages("alice")
    page.goto("/review/")
    for n in range(trial.ITEMS):
        expect(page.locator("main")).to_contain_text(f"{n} / {trial.ITEMS}")
        page.wait_for_function("() => document.querySelector('[data-time]')?.textContent.includes('/')")
        page.keyboard.press("a" if n % 2 else "n")
    expect(page.get_by_role("heading", name="How it went")).to_be_visible()
    assert page.locator("tbody tr").count() == trial.ITEMS
    assert Verdict.objects.count() == 0
    page.get_by_role("link", name="Begin to review").click()
    expect(page.locator("[data-empty]")).to_be_visible()


def test_the_wall_loops_and_is_acknowledged(pages: Any) -> None:
    where = stage.scene("Gate", events=1)
    world.people(where.camera, password=world.PASSWORD)
    page = pages("alice")
    page.route("**/alerts/stream/**", lambda route: route.abort())  # the test's server can't stream; see test_progress
    page.goto("/alerts/")
    cards = page.locator("[data-alert]")
    before = cards.count()
    assert before >= 1
    drawn = "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((v) => v > 0)"
    page.wait_for_function(f"() => [...document.querySelectorAll('canvas[data-loop]')].some({drawn})")
    cards.first.get_by_role("button", name="Acknowledge").click()
    expect(cards).to_have_count(before - 1)
    page.goto("/alerts/?seen=yes")
    expect(cards.first).to_contain_text("seen by alice")
    cards.first.get_by_role("button", name="Not seen after all").click()
    expect(cards.first).not_to_contain_text("seen by")


def test_look_alikes_by_keyboard_and_all_of_them_back(pages: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look_alikes, "ALIKE", 99.0)
    found = round_stage.stage(minutes=3, review_budget=10_000)
    for user in world.User.objects.all():
        user.set_password(world.PASSWORD)
        user.save()
    alone = [e for e in Event.objects.filter(lane=Lane.REVIEW) if e.segments.values("track").distinct().count() == 1]
    world.answer(found.cast.alice, alone[0], Answer.NORMAL)
    preferences.keep(found.cast.alice, preferences.DEFAULTS | {"normal": "j", "alike": "m"}, single=True)
    page = pages("alice")
    page.goto("/review/")
    page.wait_for_function(PAINTED)
    page.keyboard.press("m")
    page.wait_for_url("**/alike/")
    expect(page.locator(".alert.now")).to_have_count(1)  # the page's script is there
    choices = page.locator("fieldset")
    shown = choices.count()
    assert shown >= 4
    expect(page.locator("[data-key=normal]")).to_have_text("J")
    page.keyboard.press("n")
    assert page.locator("fieldset input:checked").count() == 0
    for _ in range(shown):
        page.keyboard.press("j")
    assert page.locator("fieldset input:checked").count() == shown
    page.keyboard.press("Enter")
    page.wait_for_url("**/review/")
    expect(page.locator("#notices")).to_contain_text("were confirmed as normal without a look")
    batch = Batch.objects.get()
    assert batch.checked == shown
    page.goto("/work/")
    page.get_by_role("button", name="Take all of them back").first.click()
    expect(page.locator("#notices")).to_contain_text("all of them wait again")
    waiting = Event.objects.filter(verdicts__batch=batch, state=Event.State.OPEN).distinct()
    assert waiting.count() == batch.events - batch.checked


def test_the_undo_line_says_all_that_one_key_said(pages: Any) -> None:
    found = round_stage.stage(minutes=3, review_budget=10_000)
    found.cast.alice.set_password(world.PASSWORD)
    found.cast.alice.save()
    tracks = {event.pk: event.segments.values("track").distinct().count() for event in Event.objects.all()}
    several = next(pk for pk, n in tracks.items() if n > 1)
    Event.objects.exclude(pk=several).update(state=Event.State.DECIDED)
    page = pages("alice")
    page.goto("/review/")
    page.wait_for_function(PAINTED)
    page.locator("details.finer > summary").click()
    page.locator("[data-parts] select").first.select_option("anomaly")
    page.keyboard.press("n")
    undo = page.locator("[data-tail] .undo")
    expect(undo).to_contain_text("anomaly and normal")
    answered(page, tracks[several])
    page.reload()
    expect(undo).to_contain_text("anomaly and normal")  # the server's own words
    page.keyboard.press("z")
    expect(undo).to_contain_text("anomaly and normal. It is on the stage again.")
