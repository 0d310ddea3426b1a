"""The report's page: what it says of each state of a camera, its query count, and its charts in a browser."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from playwright.sync_api import Browser, Route, sync_playwright

from alfred.models import Answer, Camera
from tests import world
from tests.annotator.pages import Page
from tests.conftest import CHROMIUM, CHROMIUM_ARGUMENTS
from tests.reports import camera_rows as rows

STATIC = Path(__file__).resolve().parents[2] / "annotator" / "static"
SCORES: list[float | None] = [None, 0.1, 0.2, 0.9, 0.8, 0.3, 0.95, 0.15, 0.7, 0.25] * 4
TRUTH = [n % 10 in (2, 3, 6, 8) for n in range(40)]

pytestmark = pytest.mark.django_db


def signed_in(view: Camera) -> Client:
    client = Client()
    client.force_login(world.people(view).sue)
    return client


def page_of(client: Client, view: Camera) -> str:
    response = client.get(reverse("report", args=[view.slug]))
    assert response.status_code == 200
    return response.content.decode()


def words(html: str, name: str = "main") -> str:
    return " ".join(Page(html).all(name)[0].text.split())


def running(view: Camera, slices: int, poses: str = "none") -> None:
    """Slices of a first series and, from the second on, of the present one, with ground truth.

    `poses` is the key of the stored file that all of them have.
    """
    first = rows.deployed(view, "v0", 0.22, rows.validation_set(view, 1))
    rows.sliced(first, 0, SCORES, TRUTH, days_ago=50, poses=poses)
    by = rows.deployed(view, "v0", 0.5, rows.validation_set(view, 2))
    for ordinal in range(1, slices):
        if ordinal == 4:
            by = rows.deployed(view, "v1", 0.75, by.threshold.validation_set)
        shifted = SCORES[-ordinal:] + SCORES[:-ordinal]
        rows.sliced(by, ordinal, shifted, TRUTH, days_ago=40 - 10 * min(ordinal, 3), poses=poses)


def test_the_page_asks_the_database_as_often_for_many_slices_as_for_two() -> None:
    few, many = world.camera("Few"), world.camera("Many")
    running(few, 2)
    running(many, 9)
    client = Client()
    client.force_login(world.people(few, many).sue)
    page_of(client, few)
    spent = []
    for view in (few, many):
        with CaptureQueriesContext(connection) as seen:
            page_of(client, view)
        spent.append(len(seen.captured_queries))
    assert spent[0] == spent[1] <= 35


def test_each_part_says_its_unit_and_what_is_left_out() -> None:
    view = world.camera("Gate")
    running(view, 6)
    html = page_of(signed_in(view), view)
    said = words(html)
    for expected in (
        "EBI, % (95 %)", "FPR, % (95 %)", "FNR, % (95 %)", "After each slice, %", "θ and share flagged, %",
        "last 28 days", "deployed version alone (v1)", "Earlier series", "stg_nf, validation set 1", "20 unscored",
    ):  # fmt: skip
        assert expected in said, expected
    assert "EBI of" in said and "95 % interval" in said
    assert [t.attributes["data-chart"] for t in Page(html).all("div") if "data-chart" in t.attributes] == [
        "rates",
        "theta",
    ]


def test_how_to_read_explains_every_term() -> None:
    view = world.camera("Gate")
    terms = Page(page_of(signed_in(view), view))
    reading = next(t for t in terms.all("details") if "How to read this" in t.text)
    for term in ("EBI", "FPR", "FNR", "judged", "estimated", "ground truth", "θ", "segment", "unscored", "n/a"):
        assert any(term in t.text for t in terms.all("dt") if reading in t.inside), term


def test_without_a_closed_slice_there_are_sentences_and_no_empty_tables_or_charts() -> None:
    view = world.camera("Gate")
    rows.sliced(rows.deployed(view, "v0", 0.5, rows.validation_set(view)), 0, SCORES, TRUTH, days_ago=None)
    html = page_of(signed_in(view), view)
    assert "No slice is closed yet; 36 scored segments wait in the open one." in words(html)
    assert not any("data-chart" in t.attributes for t in Page(html).all("div"))
    assert all(len([t for t in Page(html).all("tr") if table in t.inside]) > 1 for table in Page(html).all("table"))


def test_closed_slices_without_rates_get_a_sentence_for_a_curve() -> None:
    view = world.camera("Gate")
    rows.sliced(rows.deployed(view, "v0", 0.5, rows.validation_set(view)), 0, SCORES)
    html = page_of(signed_in(view), view)
    assert "No curve: without ground truth or audits" in words(html)
    assert [t.attributes["data-chart"] for t in Page(html).all("div") if "data-chart" in t.attributes] == ["theta"]


def test_unresolved_answers_over_2_percent_show_the_best_and_the_worst_case() -> None:
    view = world.camera("Gate")
    client = signed_in(view)
    _, segments = rows.sliced(rows.deployed(view, "v0", 0.5, rows.validation_set(view)), 0, SCORES)
    scored = {n for n, value in enumerate(SCORES) if value is not None}
    rows.drawn(segments, scored)
    answers = {n: Answer.ANOMALY if TRUTH[n] else Answer.NORMAL for n in scored} | {1: Answer.UNSURE, 3: Answer.UNSURE}
    rows.said(world.person("ed"), segments, answers)
    said = words(page_of(client, view))
    assert "2 unresolved (5.6 %)" in said and "worst" in said and "best" in said
    assert "5.6 % of the answers are unresolved" in said


def test_the_csv_and_its_columns() -> None:
    view = world.camera("Gate")
    running(view, 3)
    client = signed_in(view)
    table = client.get(reverse("report-csv", args=["gate"])).content.decode()
    header = next(csv.reader(io.StringIO(table)))
    explained = [t.text for t in Page(page_of(client, view)).all("dt")]
    assert set(header) <= set(explained)
    assert ",cumulative,segment,ground_truth," in table
    response = client.get(reverse("report-csv", args=["gate"]), {"table": "thresholds"})
    assert response.headers["Content-Disposition"] == 'attachment; filename="gate-thresholds.csv"'
    found = list(csv.DictReader(io.StringIO(response.content.decode())))
    assert [(r["version"], r["theta"]) for r in found] == [("v0", "0.22"), ("v0", "0.5")]


@pytest.fixture
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(CHROMIUM_ARGUMENTS))
        yield chromium
        chromium.close()


def drawn_page(browser: Browser, html: str, **context: Any) -> Any:
    """The page as a browser shows it, its files straight from the folder they are served from."""
    page = browser.new_context(**{"viewport": {"width": 1280, "height": 860}, **context}).new_page()

    def serve(route: Route) -> None:
        path = route.request.url.split("/static/")[-1].split("?")[0]
        if (STATIC / path).is_file():
            route.fulfill(path=STATIC / path)
        elif route.request.resource_type == "document":
            route.fulfill(body=html, content_type="text/html")
        else:
            route.fulfill(status=404)

    page.route("**/*", serve)
    page.goto("http://report.test/")
    page.wait_for_selector("main")
    return page


# What the axes say: the plot's scales, which uPlot's canvas does not let read.
SPY = """
window.plots = [];
let real;
Object.defineProperty(window, "uPlot", {configurable: true, get: () => real && function (...a) {
  const made = new real(...a); window.plots.push(made); return made; }, set: (v) => { real = v; }});
"""


@pytest.mark.browser
def test_one_slice_stands_in_the_middle_and_rates_share_one_scale(request: pytest.FixtureRequest) -> None:
    view = world.camera("Gate")
    rows.sliced(rows.deployed(view, "v0", 0.5, rows.validation_set(view)), 0, SCORES, TRUTH)
    html = page_of(signed_in(view), view)
    browser = request.getfixturevalue("browser")
    page = drawn_page(browser, html)
    page.add_init_script(SPY)
    page.reload()
    page.wait_for_function("window.plots.length === 2")
    scales = page.evaluate(
        "plots.map(p => Object.fromEntries(Object.entries(p.scales).map(([k, s]) => [k, [s.min, s.max]])))"
    )
    assert scales[0] == {"x": [-0.5, 0.5], "y": [0, 100]}
    assert scales[1]["x"] == [-0.5, 0.5] and scales[1]["share"] == [0, 100]
    assert page.evaluate("plots[0].data[0]") == [0]
