"""Headers and HTML of every page: strict policy, nothing inline, one main and one h1, labels; hostile names escaped."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.forms.models import model_to_dict
from django.test import Client, RequestFactory, override_settings
from django.urls import reverse
from django.views.defaults import server_error

from alfred.models import AuditEntry, Camera, Job, Recording, Round, Slice
from alfred.services import add_camera
from tests import world
from tests.annotator import stage
from tests.annotator.pages import Page
from tests.annotator.stage import Scene

pytestmark = pytest.mark.django_db


def urls(where: Scene) -> dict[str, str]:
    """All pages that answer with HTML, by name; fragments begin with a dash."""
    slug, row = where.camera.slug, where.round.pk
    return {
        "review": reverse("review"),
        "cameras": reverse("cameras"),
        "words": reverse("words"),
        "add a camera": reverse("camera-add"),
        "camera": reverse("camera", args=[slug]),
        "camera with refused files": reverse("camera", args=[slug]) + "?refused",
        "report": reverse("report", args=[slug]),
        "recording": reverse("recording", args=[where.recording.pk]),
        "recording without poses": reverse("recording", args=[where.refused.pk]),
        "round": reverse("round", args=[row]),
        "replay": reverse("round-replay", args=[row]),
        "not found": reverse("recording", args=[10**9]),
        "-next": reverse("review-next"),
        "-camera": reverse("camera-status", args=[slug]),
        "-round": reverse("round-status", args=[row]),
    }


def everything(client: Client, where: Scene) -> dict[str, Any]:
    """Each page in the states it has, as one admin meets them."""
    found = {name: client.get(url) for name, url in urls(where).items()}
    found["form with errors"] = client.post(reverse("camera-add"), {"name": "", "time_zone": "Mars"})
    client.post(reverse("review-release"))
    where.camera.events.update(state="decided")
    found["-nothing to do"] = client.get(reverse("review-next"))
    Round.objects.filter(camera=where.camera).update(state=Round.State.TRAINING)
    Job.objects.create(
        camera=where.camera, kind="round", subject=where.round.pk, key="r", state="running", total=9, done=1, attempts=2
    )
    found["running round"] = client.get(reverse("round", args=[where.round.pk]))
    found["refused post"] = Client(enforce_csrf_checks=True).post(reverse("login"))
    found["sign in"] = Client().get(reverse("login"))
    found["sign in failed"] = Client().post(reverse("login"), {"username": "a", "password": "b"})
    return found


@pytest.fixture
def answers() -> dict[str, Any]:
    where = stage.scene("Gate")
    client = Client()
    client.force_login(world.people(where.camera).admin)
    return everything(client, where)


def test_every_page_has_its_parts(answers: dict[str, Any]) -> None:
    answers["error"] = server_error(RequestFactory().get("/"))
    for name, response in answers.items():
        page = Page(response.content.decode())
        assert page.inline_code() == [], name
        assert page.nameless_controls() == [], name
        assert page.doubled_ids() == [], name
        assert page.unclosed == [], name
        if name.startswith("-"):
            assert not page.all("html") and not page.all("main") and not page.all("h1"), name
            continue
        assert len(page.all("main")) == 1, name
        assert len(page.all("h1")) == 1 and page.all("h1")[0].within("main"), name
        assert page.all("h1")[0].text.strip(), name
        assert page.all("html")[0].attributes.get("lang") == "en", name
        assert page.all("title")[0].text.strip(), name
        for heading in page.all("h3"):
            assert page.all("h2"), f"{name}: {heading.text} stands under no h2"


def test_the_reader_of_pages_sees_what_it_looks_for() -> None:
    page = Page('<p style="x"><b onclick="y">z</b><script>1</script><style></style><a href="JavaScript:1">q</a></p>')
    assert len(page.inline_code()) == 5
    assert (
        len(
            Page(
                '<input name="a"><label>b <input></label><button></button><select id="c"></select>'
            ).nameless_controls()
        )
        == 3
    )
    assert Page("<p><b></p>").unclosed and Page('<i id="a"></i><i id="a"></i>').doubled_ids() == ["a"]


def test_headers_of_every_answer(answers: dict[str, Any]) -> None:
    client = Client()
    answers["redirect"] = client.get(reverse("cameras"))
    answers["health"] = client.get(reverse("health"))
    answers["wrong method"] = client.post(reverse("review-next"))
    for name, response in answers.items():
        policy = directives(response.headers["Content-Security-Policy"])
        assert policy["default-src"] == ["'none'"], name
        assert policy["script-src"] == policy["style-src"] == ["'self'"], name
        assert policy["frame-ancestors"] == policy["base-uri"] == ["'none'"], name
        assert policy["form-action"] == policy["connect-src"] == ["'self'"], name
        assert "unsafe" not in response.headers["Content-Security-Policy"], name
        assert response.headers["X-Content-Type-Options"] == "nosniff", name
        assert response.headers["X-Frame-Options"] == "DENY", name
        assert "no-store" in response.headers["Cache-Control"], name
        assert response.headers["Referrer-Policy"] == "same-origin", name
        assert response.headers["Cross-Origin-Opener-Policy"] == "same-origin", name


def directives(policy: str) -> dict[str, list[str]]:
    return {part.split()[0]: part.split()[1:] for part in policy.split(";")}


def test_htmx_evaluates_nothing(answers: dict[str, Any]) -> None:
    config = next(
        t for t in Page(answers["review"].content.decode()).all("meta") if t.attributes.get("name") == "htmx-config"
    )
    assert '"allowEval": false' in config.attributes["content"]
    assert '"includeIndicatorStyles": false' in config.attributes["content"]


def test_everything_loaded_is_our_own(answers: dict[str, Any]) -> None:
    for name, response in answers.items():
        for tag in Page(response.content.decode()).tags:
            for attribute in ("src", "href", "action", "hx-get", "hx-post", "data-live"):
                assert not tag.attributes.get(attribute, "").startswith(("http", "//")), (name, tag.attributes)


PAYLOADS = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "';alert(1)//", "{{ 7|add:7 }}{% now 'Y' %}")


def planted(page: Page) -> list[str]:
    """Sources of pictures that are none of ours; a camera's page shows its background plates."""
    sources = [tag.attributes.get("src", "") for tag in page.all("img")]
    return [source for source in sources if not re.fullmatch(r"/plates/[0-9]+\.jpg", source)]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_hostile_names_are_only_text(payload: str) -> None:
    where = stage.scene("Gate")
    cast = world.people(where.camera)
    Camera.objects.filter(pk=where.camera.pk).update(name=payload)
    Recording.objects.filter(camera=where.camera).update(name=f"{payload}.mp4")
    Recording.objects.filter(pk=where.refused.pk).update(quarantined=payload)
    Round.objects.filter(pk=where.round.pk).update(message=payload, left_out={payload: 1})
    type(cast.admin).objects.filter(pk=cast.admin.pk).update(username=payload)
    client = Client()
    client.force_login(cast.admin)
    pages = everything(client, where)
    shown = 0
    for name, response in pages.items():
        text = response.content.decode()
        page = Page(text)
        assert page.inline_code() == [] and page.unclosed == [], name
        assert planted(page) == [], name
        if "<" in payload:
            assert payload not in text, name
        shown += payload in "".join(tag.text for tag in page.tags if not tag.inside)
    assert shown >= 8  # and they are shown, as what they are


def test_a_reason_is_only_text() -> None:
    where = stage.scene("Gate")
    client = Client()
    client.force_login(world.people(where.camera).admin)
    payload = PAYLOADS[1]
    client.post(reverse("roll-back", args=["gate"]), {"deployment": where.deployments[0].pk, "reason": payload})
    client.post(reverse("round-reject", args=[where.round.pk]), {"reason": payload})
    for url in (
        reverse("camera", args=["gate"]),
        reverse("report", args=["gate"]),
        reverse("round", args=[where.round.pk]),
    ):
        text = client.get(url).content.decode()
        assert payload not in text and planted(Page(text)) == [], url
        assert "&lt;img src=x onerror" in text, url
    assert {"deploy", "reject"} <= set(AuditEntry.objects.values_list("action", flat=True))


def test_a_spreadsheet_computes_nothing() -> None:
    where = stage.scene("Gate")
    Camera.objects.filter(pk=where.camera.pk).update(name="=HYPERLINK(1)")
    client = Client()
    client.force_login(world.people(where.camera).admin)
    response = client.get(reverse("report-csv", args=["gate"]))
    assert response.headers["Content-Disposition"] == 'attachment; filename="gate-report.csv"'
    cells = [cell for line in response.content.decode().splitlines() for cell in line.split(",")]
    assert any(cell.startswith("'=HYPERLINK") for cell in cells)
    assert not any(cell.strip('"')[:1] in ("=", "@", "+") for cell in cells)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("../../x.mp4", "x.mp4"),
        ("..\\..\\x.mp4", "x.mp4"),
        ("/etc/cron.d/x.mp4", "x.mp4"),
        (".-x.mp4", "x.mp4"),
        ("a\0b\n.mp4", "ab.mp4"),
        ("视" * 130 + ".mp4", None),
        ("...", "upload"),
    ],
)
def test_upload_names_stay_names(sent: str, kept: str | None) -> None:
    where = stage.scene("Gate")
    client = Client()
    client.force_login(world.people(where.camera).admin)
    file = SimpleUploadedFile("x", b"this is text and no video at all\n" * 9)
    file.name = sent  # the builder itself would clean it
    url = reverse("camera-upload", args=["gate"])
    response = client.post(url, {"uploads": file}, follow=True)
    assert response.status_code == 200
    row = Recording.objects.latest("id")
    assert row.name == kept if kept else len(row.name.encode()) <= 200 and row.name.endswith("视.mp4")
    assert row.quarantined and row.source == ""
    notice = next(t.text for t in Page(response.content.decode()).all("p") if "notice" in t.attributes.get("class", ""))
    assert notice.startswith(row.name) and row.quarantined in notice


def test_several_files_at_once_and_none() -> None:
    where = stage.scene("Gate")
    client, url = Client(), reverse("camera-upload", args=["gate"])
    client.force_login(world.people(where.camera).admin)
    before = Recording.objects.count()
    texts = [b"one text", b"another text", b"one text"]
    files = [SimpleUploadedFile(f"{i}.mp4", text) for i, text in enumerate(texts)]
    client.post(url, {"uploads": files})
    assert Recording.objects.count() == before + 2  # the same bytes twice are one
    shown = client.post(url, {}, follow=True).content.decode()
    assert "Files: This field is required." in shown


def test_good_poses_are_taken_in_and_queued(tmp_path: Any) -> None:
    where = stage.scene("Gate")
    client = Client()
    client.force_login(world.people(where.camera).admin)
    path = world.npz(tmp_path / "walk.npz", world.walkers(seconds=6.0))
    file = SimpleUploadedFile("walk.npz", path.read_bytes())
    response = client.post(reverse("camera-upload", args=["gate"]), {"uploads": file, "slice_ordinal": 1}, follow=True)
    row = Recording.objects.latest("id")
    assert not row.quarantined, row.quarantined
    assert Job.objects.get(subject=row.pk, kind="extract").state == "queued"
    assert Slice.objects.get(pk=row.slice_id).ordinal == 1
    assert "walk.npz: added" in response.content.decode()
    assert AuditEntry.objects.filter(action="ingest", camera=where.camera, by__username="admin").exists()


def test_too_large_an_upload_is_refused_with_a_sentence() -> None:
    where = stage.scene("Gate")
    client, url = Client(), reverse("camera-upload", args=["gate"])
    client.force_login(world.people(where.camera).admin)
    before = Recording.objects.count()
    with override_settings(MAX_UPLOAD_MB=1):
        file = SimpleUploadedFile("big.mp4", b"\0" * (2**20 + 1))
        shown = client.post(url, {"uploads": file}, follow=True).content.decode()
    assert "big.mp4: larger than 1 MB; use `manage.py ingest` on the server." in shown
    assert Recording.objects.count() == before


@pytest.mark.parametrize("ordinal", ["-1", "10000000000000", "x"])
def test_a_slice_number_that_is_none(ordinal: str) -> None:
    where = stage.scene("Gate")
    client = Client()
    client.force_login(world.people(where.camera).admin)
    data = {"uploads": SimpleUploadedFile("a.mp4", b""), "slice_ordinal": ordinal}
    shown = client.post(reverse("camera-upload", args=["gate"]), data, follow=True).content.decode()
    assert "Slice number (empty: the open slice): " in shown
    assert Recording.objects.filter(camera=where.camera).count() == 2


@pytest.mark.parametrize(
    "change",
    [
        {"methodology": "x"},
        {"queue_weight": 0},
        {"round_policy": "never"},
        {"review_budget": -1},
        {"alert_share": "2"},
        {"val_min": "nan"},
    ],
)
def test_policies_out_of_range_change_nothing(change: dict[str, Any]) -> None:
    where = stage.scene("Gate")
    client = Client()
    client.force_login(world.people(where.camera).admin)
    good = model_to_dict(where.camera, fields=add_camera.POLICIES) | {"methodology": "continual", "review_budget": 10}
    shown = client.post(reverse("camera-policies", args=["gate"]), good | change, follow=True).content.decode()
    label = {
        "alert_share": "Alert budget",
        "val_min": "Validation set",
        "review_budget": "Review budget",
        "queue_weight": "Weight in the queue",
        "round_policy": "Rounds",
    }
    assert label.get(next(iter(change)), "Methodology") + ":" in shown
    where.camera.refresh_from_db()
    assert where.camera.methodology == "active_learning" and where.camera.review_budget == 300
    client.post(reverse("camera-policies", args=["gate"]), good)
    where.camera.refresh_from_db()
    assert (where.camera.methodology, where.camera.review_budget) == ("continual", 10)
