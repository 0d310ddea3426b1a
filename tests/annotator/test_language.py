"""Pages in German: their headings, that no English is left on them, and who decides which language a page is in."""

from __future__ import annotations

import re

import pytest
from django.conf import settings
from django.db import connection
from django.forms import BaseForm
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import translation
from django.utils.functional import Promise

from alfred.models import Answer, Membership, Preferences, Role, User
from alfred.services import preferences
from annotator import forms
from tests import world
from tests.annotator import stage
from tests.annotator.pages import Page
from tests.annotator.test_report_page import running
from tests.house.catalogue import LOCALE, entries

pytestmark = pytest.mark.django_db
GERMAN = {"HTTP_ACCEPT_LANGUAGE": "de-AT,de;q=0.9,en;q=0.5"}
PO = LOCALE / "de" / "LC_MESSAGES" / "django.po"
PLACE = re.compile(r"%\(\w+\)[+.0-9]*[a-z]|\{\w+(?::[^}]*)?\}")


def signed_in(user: User, **headers: str) -> Client:
    client = Client(**(headers or GERMAN))  # type: ignore[arg-type]
    client.force_login(user)
    return client


@pytest.fixture
def where() -> stage.Scene:
    """A camera with one of everything, answered in part."""
    scene = stage.scene("Tor", events=3)
    alice = world.person("reviewer")
    Membership.objects.create(user=alice, camera=scene.camera, role=Role.ANNOTATOR)
    world.answer(alice, scene.events[0], Answer.ANOMALY)
    return scene


def at(where: stage.Scene) -> dict[str, tuple[str, str]]:
    """Page → its address and its heading."""
    slug = [where.camera.slug]
    return {
        "cameras": (reverse("cameras"), "Kameras"),
        "camera": (reverse("camera", args=slug), "Tor"),
        "camera-add": (reverse("camera-add"), "Kamera hinzufügen"),
        "guide": (reverse("guide", args=slug), "Tor: Leitfaden"),
        "report": (reverse("report", args=slug), "Bericht · Tor"),
        "round": (reverse("round", args=[where.round.pk]), "Runde 1 · Tor"),
        "round-replay": (reverse("round-replay", args=[where.round.pk]), "Nachrechnung von Runde 1 · Tor"),
        "recording": (reverse("recording", args=[where.recording.pk]), where.recording.name),
        "kinds": (reverse("kinds"), "Arten von Anomalien"),
        "keys": (reverse("keys"), "Tasten"),
        "words": (reverse("words"), "Begriffe"),
        "channels": (reverse("channels"), "Alarmkanäle"),
        "alerts": (reverse("alerts"), "Alarme"),
        "review": (reverse("review"), "Prüfen"),
        "adjudication": (reverse("adjudication"), "Klärung"),
        "my-work": (reverse("my-work"), "Meine Arbeit"),
    }


PAGES = [
    "cameras", "camera", "camera-add", "guide", "report", "round", "round-replay", "recording", "kinds", "keys",
    "words", "channels", "alerts", "review", "adjudication", "my-work",
]  # fmt: skip


@pytest.mark.parametrize("name", PAGES)
def test_pages_are_german(where: stage.Scene, name: str) -> None:
    address, heading = at(where)[name]
    response = signed_in(world.people().admin).get(address)
    assert response.status_code == 200 and response.headers["Content-Language"] == "de"
    html = response.content.decode()
    page = Page(html)
    assert page.all("html")[0].attributes["lang"] == "de"
    assert heading in " ".join(page.all("h1")[0].text.split())
    assert english_on(html) == []


def english_on(html: str) -> list[str]:
    """Our own English sentences that stand on a page, whatever stands in their places."""
    text = " ".join(re.sub(r"<(script|style)\b.*?</\1>", " ", html, flags=re.DOTALL).split())
    plain = " ".join(Page(text).all("body")[0].text.split()) + " " + " ".join(_said(Page(text)))
    found = []
    for entry in entries(PO):
        wanted = PLACE.sub("\0", entry.fields["msgid"].replace("%%", "%"))
        if len(re.findall(r"[A-Za-z]{2,}", wanted)) < 3 or entry.fields["msgid"] in entry.translations:
            continue
        if re.search(r".{0,60}?".join(re.escape(" ".join(p.split())) for p in wanted.split("\0")), plain):
            found.append(entry.fields["msgid"])
    return found


def _said(page: Page) -> list[str]:
    names = ("aria-label", "title", "placeholder", "data-confirm")
    return [tag.attributes[name] for tag in page.tags for name in names if name in tag.attributes]


def test_a_report_with_figures_is_german() -> None:
    camera = world.camera("Tor")
    running(camera, 4)
    html = signed_in(world.people(camera).sue).get(reverse("report", args=[camera.slug])).content.decode()
    assert "Tor hat einen EBI von" in html and "letzte 28 Tage" in html
    assert english_on(html) == []


def test_the_csv_is_the_same_in_every_language() -> None:
    camera = world.camera("Tor")
    running(camera, 3)
    sue = world.people(camera).sue
    for table in ("", "?table=thresholds"):
        address = reverse("report-csv", args=[camera.slug]) + table
        assert signed_in(sue).get(address).content == signed_in(sue, HTTP_ACCEPT_LANGUAGE="en").get(address).content


def test_numbers_are_written_alike_in_every_language(where: stage.Scene) -> None:
    html = signed_in(world.people().admin).get(reverse("round", args=[where.round.pk])).content.decode()
    assert f"{stage.THETA:.3f}" in html and f"{stage.THETA:.3f}".replace(".", ",") not in html


@pytest.mark.parametrize(
    ("asked", "language"), [("de", "de"), ("de-CH", "de"), ("fr", "en"), ("", "en"), ("en-GB,de;q=0.5", "en")]
)
def test_the_browser_decides(asked: str, language: str) -> None:
    html = Client(HTTP_ACCEPT_LANGUAGE=asked).get(reverse("login")).content.decode()
    assert f'<html lang="{language}">' in html


def test_ones_own_choice_overrules_the_browser_wherever_one_signs_in() -> None:
    user = world.people().admin
    client = signed_in(user)
    response = client.post(reverse("language"), {"language": "en", "back": "/keys/"})
    assert response.headers["Location"] == "/keys/"
    assert '<html lang="en">' in client.get(reverse("keys")).content.decode()
    elsewhere = signed_in(user)
    html = elsewhere.get(reverse("keys")).content.decode()
    assert '<html lang="en">' in html and '<option value="en" lang="en" selected>' in html
    elsewhere.post(reverse("language"), {"language": ""})
    assert '<html lang="de">' in elsewhere.get(reverse("keys")).content.decode()
    assert preferences.language_of(user) == ""


def test_a_language_keeps_the_keys_and_keys_the_language() -> None:
    user = world.people().admin
    preferences.keep(user, {"normal": "j"}, single=False)
    preferences.speak(user, "de")
    preferences.keep(user, {"normal": "k"}, single=True)
    row = Preferences.objects.get(user=user)
    assert (row.language, row.keys["normal"], row.single_keys) == ("de", "k", True)


@pytest.mark.parametrize("wanted", ["fr", "../de", "de\0"])
def test_there_is_no_other_language(wanted: str) -> None:
    user = world.people().admin
    assert signed_in(user).post(reverse("language"), {"language": wanted}).status_code == 404
    assert preferences.language_of(user) == ""


@pytest.mark.parametrize(
    "back", ["https://elsewhere.example/", "//elsewhere.example", "javascript:alert(1)", "home", ""]
)
def test_choosing_leads_nowhere_else(back: str) -> None:
    response = signed_in(world.people().admin).post(reverse("language"), {"language": "de", "back": back})
    assert response.headers["Location"] == "/"


def test_a_language_costs_no_query() -> None:
    user = world.people().admin
    counts = []
    for language in ("", "de"):
        preferences.speak(user, language)
        client = signed_in(user)
        with CaptureQueriesContext(
            connection,
        ) as asked:
            client.get(reverse("words"))
        counts.append(len(asked))
    assert counts[0] == counts[1]


def test_scripts_get_their_words_on_pages_that_are_not_english() -> None:
    user = world.people().admin
    assert reverse("catalogue") not in signed_in(user, HTTP_ACCEPT_LANGUAGE="en").get("/keys/").content.decode()
    for page in ("/keys/", "/review/", "/alerts/"):  # scripts take their words while they load
        html = signed_in(user).get(page).content.decode()
        scripts = re.findall(r'<script src="([^"]+)"', html)
        mine = [at for at, script in enumerate(scripts) if "annotator/" in script]
        assert mine and scripts.index(reverse("catalogue")) < min(mine), page
    script = Client(**GERMAN).get(reverse("catalogue"))  # type: ignore[arg-type]
    assert script.headers["Content-Type"].startswith("text/javascript") and "Abspielen" in script.content.decode()


def test_every_field_has_a_name_in_every_language(where: stage.Scene) -> None:
    """Django makes a name of a field that has none, in English."""
    made: list[BaseForm] = [forms.CameraForm(), forms.PoliciesForm(instance=where.camera), forms.UploadForm()]
    made += [forms.GuideForm(), forms.KindsForm(), forms.KeysForm(), forms.ChannelForm()]
    nameless = [
        f"{type(form).__name__}.{name}"
        for form in made
        for name, field in form.fields.items()
        if not isinstance(field.label, Promise)
    ]
    assert nameless == []


def test_what_is_stored_stays_english(where: stage.Scene) -> None:
    """A row is written once and read by many."""
    client = signed_in(world.people().admin)
    client.post(reverse("round-promote", args=[where.round.pk]), {"reason": "so"})
    assert where.camera.deployments.get(ordinal=where.round.base.ordinal + 1).why.startswith("round 1 promoted.")


def test_errors_of_forms_are_german() -> None:
    with translation.override("de"):
        errors = forms.CameraForm({"name": "x", "time_zone": "Nowhere/Town"}).errors
        assert str(errors["time_zone"][0]).startswith("Keine Zeitzone")


def test_every_language_is_offered_by_its_own_name() -> None:
    html = signed_in(world.people().admin).get(reverse("words")).content.decode()
    assert all(name in html for _, name in settings.LANGUAGES)
