"""The camera's page: what a round would take, failed work and its way back, refused files, terms and times."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from alfred.models import Camera, Job, Recording, Round, Slice
from alfred.services import camera_overview, launch_round
from tests import world
from tests.annotator import stage
from tests.annotator.pages import Page
from tests.annotator.stage import Scene

pytestmark = pytest.mark.django_db


def words(response: Any) -> str:
    """The text of an answer on one line; cells of a table stand apart."""
    text = re.sub(r"</t[dhr]>", " ", response.content.decode())
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", text))


def page(client: Client, query: str = "") -> Any:
    return client.get(reverse("camera", args=["gate"]) + query)


def ready_for_a_round(where: Scene) -> Slice:
    """The candidate is rejected; a newer slice is open, with one recording of two segments."""
    Round.objects.filter(pk=where.round.pk).update(state=Round.State.REJECTED)
    piece = Slice.objects.create(camera=where.camera, ordinal=1)
    recording, extraction = stage.record(where.camera, piece, start=20.0)
    stage.score(extraction, where.deployments[-1], list(recording.segments.all()))
    return piece


def test_launching_says_what_it_closes_and_does_that(gate: Scene, cast: world.People) -> None:
    admin = world.signed_in(cast.admin)
    piece = ready_for_a_round(gate)
    said = words(page(admin))
    assert "This closes slice 1 (1 recording, 2 segments) and trains on it." in said
    assert "Close and launch a round" in said
    launched = launch_round.launch(gate.camera.pk, cast.admin)
    piece.refresh_from_db()
    assert launched.slice == piece and piece.closed_at is not None
    after = words(page(admin))
    assert "Running: round 2" in after and "launch a round" not in after.lower()


def test_a_slice_left_open_before_is_named_too(gate: Scene, cast: world.People) -> None:
    ready_for_a_round(gate)
    Slice.objects.filter(camera=gate.camera, ordinal=0).update(closed_at=None)
    assert "This closes slices 0 and 1 and trains on slice 1 (" in words(page(world.signed_in(cast.admin)))
    launch_round.launch(gate.camera.pk, None)
    assert not Slice.objects.filter(camera=gate.camera, closed_at=None).exists()


def test_a_closed_slice_is_trained_on_without_closing_anything(gate: Scene, cast: world.People) -> None:
    piece = ready_for_a_round(gate)
    Slice.objects.filter(pk=piece.pk).update(closed_at=timezone.now())
    said = words(page(world.signed_in(cast.admin)))
    assert "This trains on slice 1, which is closed already (1 recording, 2 segments)." in said
    assert "This closes" not in said and "Launch a round" in said


def test_no_round_can_begin_while_recordings_are_in_work(gate: Scene, cast: world.People) -> None:
    piece = ready_for_a_round(gate)
    stage.record(gate.camera, piece, start=40.0)  # extracted, not yet scored
    said = words(page(world.signed_in(cast.admin)))
    assert "1 of its recordings is still being worked on" in said and "launch a round" not in said.lower()


def test_a_candidate_and_nothing_new_are_said(gate: Scene, cast: world.People) -> None:
    sue = world.signed_in(cast.sue)
    assert "A candidate waits for a decision: round 1." in words(page(sue))
    Round.objects.filter(pk=gate.round.pk).update(state=Round.State.PROMOTED)
    assert "Nothing to train on" in words(page(sue))
    ready_for_a_round(gate)
    assert "An admin launches it." in words(page(sue))
    assert reverse("round-launch", args=["gate"]) not in page(sue).content.decode()


def failed(where: Scene, kind: str, subject: int, **more: Any) -> Job:
    facts = {"key": f"{kind}:{subject}:x", "state": Job.State.FAILED, "error": f"no {kind} today", **more}
    return Job.objects.create(camera=where.camera, kind=kind, subject=subject, **facts)


@pytest.mark.parametrize("kind", ["calibrate", "rendition"])
def test_failed_work_is_listed_with_its_reason_and_can_be_tried_again(
    gate: Scene, cast: world.People, kind: str
) -> None:
    subject = gate.camera.pk if kind == "calibrate" else gate.recording.pk
    job = failed(gate, kind, subject, attempts=3)
    admin, url = world.signed_in(cast.admin), reverse("job-retry", args=[job.pk])
    assert f"no {kind} today" in words(page(admin))
    assert f'action="{url}"' in page(admin).content.decode()
    seen = page(world.signed_in(cast.sue)).content.decode()
    assert f"no {kind} today" in seen and url not in seen
    assert "waiting for a worker again" in words(admin.post(url, follow=True))
    job.refresh_from_db()
    assert (job.state, job.attempts, job.error) == (Job.State.QUEUED, 0, "")
    assert f"no {kind} today" not in words(page(admin))


def test_what_was_done_since_and_rounds_are_not_listed(gate: Scene, cast: world.People) -> None:
    failed(gate, "calibrate", gate.camera.pk)
    Job.objects.create(camera=gate.camera, kind="calibrate", subject=gate.camera.pk, key="later", state=Job.State.DONE)
    failed(gate, "round", gate.round.pk)
    said = words(page(world.signed_in(cast.admin)))
    assert "no calibrate today" not in said and "no round today" not in said


def test_what_cannot_be_tried_again_is_said(gate: Scene, cast: world.People) -> None:
    job = failed(gate, "score", gate.recording.pk)  # its slice is closed and its poses are stored
    said = words(world.signed_in(cast.admin).post(reverse("job-retry", args=[job.pk]), follow=True))
    assert "can't be tried again" in said.replace("&#x27;", "'")
    job.refresh_from_db()
    assert job.state == Job.State.FAILED


def test_failed_work_takes_as_many_queries_for_12_as_for_2(gate: Scene, cast: world.People) -> None:
    admin = world.signed_in(cast.admin)

    def cost() -> int:
        with CaptureQueriesContext(connection) as found:
            page(admin)
        return len(found)

    failed(gate, "calibrate", gate.camera.pk)
    few = cost()
    for i in range(10):
        recording, _ = stage.record(gate.camera, gate.slice, start=10.0 * (i + 1))
        failed(gate, "rendition", recording.pk)
    assert cost() == few
    assert len(camera_overview.failed_jobs(gate.camera)) == 12


def test_refused_files_are_counted_and_shown_when_asked(gate: Scene, cast: world.People) -> None:
    admin = world.signed_in(cast.admin)
    Job.objects.all().delete()
    plain = words(page(admin))
    assert "broken.mp4" not in plain and "Show 1 refused file" in plain
    shown = page(admin, "?refused")
    assert "broken.mp4" in words(shown) and "Not a video." in words(shown) and "Hide 1 refused file" in words(shown)
    assert 'hx-get="/cameras/gate/status/?refused"' in shown.content.decode()  # it stays so while work goes on
    status = admin.get(reverse("camera-status", args=["gate"]) + "?refused")
    assert "broken.mp4" in words(status)
    Recording.objects.filter(pk=gate.refused.pk).delete()
    assert "refused file" not in words(page(admin))


def upload(client: Client, path: Any, **data: Any) -> Any:
    file = SimpleUploadedFile(path.name, path.read_bytes())
    return client.post(
        reverse("camera-upload", args=["gate"]), {"uploads": file, "slice_ordinal": 1, **data}, follow=True
    )


def test_an_upload_says_its_frame_rate_and_size(gate: Scene, cast: world.People, tmp_path: Any) -> None:
    admin = world.signed_in(cast.admin)
    path = world.npz(tmp_path / "walk.npz", world.walkers(seconds=6.0))
    shown = words(upload(admin, path, fps="15", resolution="1280 × 720"))
    row = Recording.objects.latest("id")
    assert (row.fps, row.width, row.height) == (15.0, 1280, 720)
    assert "came without a frame rate" not in shown


def test_an_assumed_frame_rate_is_said_at_once_and_later(gate: Scene, cast: world.People, tmp_path: Any) -> None:
    admin = world.signed_in(cast.admin)
    path = world.npz(tmp_path / "walk.npz", world.walkers(seconds=6.0))
    assert "walk.npz came without a frame rate and is taken as 30 fps." in words(upload(admin, path))
    row = Recording.objects.latest("id")
    world.run_all(gate.camera, "extract")
    url = reverse("recording", args=[row.pk])
    assert "taken as 30 fps" in words(admin.get(url))
    Recording.objects.filter(pk=row.pk).update(fps=12.5)
    assert "12.5 fps, given with the file" in words(admin.get(url))
    Recording.objects.filter(pk=row.pk).update(fps=30, origin=Recording.Origin.VIDEO)
    assert "30 fps, from the video" in words(admin.get(url))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"fps": "0"}, "Frame rate, fps (optional): "),
        ({"fps": "many"}, "Frame rate, fps (optional): "),
        ({"resolution": "720p"}, "Picture size, px (optional): Write it as width x height"),
        ({"resolution": "0x720"}, "Picture size, px (optional): "),
    ],
)
def test_a_rate_or_size_that_is_none(
    gate: Scene, cast: world.People, tmp_path: Any, data: dict[str, str], said: str
) -> None:
    before = Recording.objects.count()
    path = world.npz(tmp_path / "walk.npz", world.walkers(seconds=6.0))
    assert said in words(upload(world.signed_in(cast.admin), path, **data))
    assert Recording.objects.count() == before


def test_poses_of_a_pose_file_are_read_not_extracted(gate: Scene, cast: world.People) -> None:
    admin = world.signed_in(cast.admin)
    job = Job.objects.create(camera=gate.camera, kind="extract", subject=gate.recording.pk, key="e", state="running")
    assert "extract poses: running" in words(page(admin))
    Recording.objects.filter(pk=gate.recording.pk).update(origin=Recording.Origin.POSES)
    assert "read poses: running" in words(page(admin)) and "extract poses" not in words(page(admin)).replace(
        words(page(admin)).split("Recordings")[0], ""
    )
    Job.objects.filter(pk=job.pk).update(state="failed")
    assert "read poses" in words(page(admin))


def test_times_are_the_cameras_and_name_their_zone(gate: Scene, cast: world.People) -> None:
    Camera.objects.filter(pk=gate.camera.pk).update(time_zone="Asia/Tokyo")
    for url in (reverse("camera", args=["gate"]), reverse("round", args=[gate.round.pk])):
        said = words(world.signed_in(cast.sue).get(url))
        times = re.findall(r"\d{4}-\d\d-\d\d \d\d:\d\d( \w+)?", said)
        assert times and set(times) == {" JST"}, url
        assert not re.search(r"(?<!\d-)\b\d\d-\d\d \d\d:\d\d", said)


def test_a_rollback_names_a_deployment_that_the_page_shows(gate: Scene, cast: world.People) -> None:
    admin = world.signed_in(cast.admin)
    data = {"deployment": gate.deployments[0].pk, "reason": "calmer"}
    shown = Page(admin.post(reverse("roll-back", args=["gate"]), data, follow=True).content.decode())
    assert "deployment" in [t.text for t in shown.all("th")]
    rows = [t.text.strip() for t in shown.all("tr") if re.match(r"\s*[0-2]2", t.text)]
    assert [row[0] for row in rows] == ["2", "1", "0"]
    assert re.search(r"rolled back to .*deployment 0.* calmer", rows[0]) and "in force" in rows[0]
    assert not any("in force" in row for row in rows[1:])


def test_every_wide_table_can_be_reached_by_keyboard(gate: Scene, cast: world.People) -> None:
    admin = world.signed_in(cast.admin)
    failed(gate, "calibrate", gate.camera.pk)
    for url in (
        reverse("cameras"),
        reverse("camera", args=["gate"]),
        reverse("round", args=[gate.round.pk]),
        reverse("recording", args=[gate.recording.pk]),
    ):
        found = Page(admin.get(url).content.decode())
        boxes = [t for t in found.all("div") if "scroll" in t.attributes.get("class", "").split()]
        assert boxes, url
        for box in boxes:
            assert box.attributes.get("tabindex") == "0" and box.attributes.get("role") == "region", url
            assert box.attributes.get("aria-label"), url


def test_terms_lead_to_their_meaning(gate: Scene, cast: world.People) -> None:
    sue = world.signed_in(cast.sue)
    meanings = Page(sue.get(reverse("words")).content.decode())
    anchors = {t.attributes["id"] for t in meanings.tags if "id" in t.attributes}
    wanted = {"ebi", "fpr", "fnr", "theta", "slice", "round", "validation-set", "warm-up", "provisional"}
    assert wanted <= anchors
    used = set()
    for url in (reverse("cameras"), reverse("camera", args=["gate"]), reverse("round", args=[gate.round.pk])):
        found = Page(sue.get(url).content.decode())
        links = [t for t in found.all("a") if t.attributes.get("class") == "word"]
        assert all(t.attributes["title"] and t.attributes["href"].startswith("/words/#") for t in links)
        used |= {t.attributes["href"].partition("#")[2] for t in links}
        assert any(t.attributes.get("href") == "/words/" for t in found.all("a")), url
    assert used <= anchors and {"theta", "ebi", "fpr", "fnr", "round", "validation-set"} <= used
