"""The background plate on the pages: who sees which, what admins are told and can do."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoCaptureOnCommitCallbacks

from alfred.models import Camera, Job, Plate, Recording
from alfred.services.storage import artifacts
from tests import world
from tests.annotator.pages import Page
from tests.annotator.stage import NEW_PICTURE, PICTURE, Scene

pytestmark = pytest.mark.django_db


def picture(client: Client, plate: Plate) -> tuple[int, bytes]:
    response = client.get(reverse("plate", args=[plate.pk]))
    if response.status_code == 200:
        assert response["Content-Type"] == "image/jpeg" and response["Cache-Control"] == "private, no-store"
        assert response["X-Content-Type-Options"] == "nosniff" and "ETag" not in response
    return response.status_code, b"".join(response) if response.streaming else b""


def page(client: Client) -> str:
    return client.get(reverse("camera", args=["gate"])).content.decode()


def test_what_is_not_approved_only_admins_see(gate: Scene, cast: world.People) -> None:
    used, waiting = gate.plates
    for user in (cast.alice, cast.sue):
        assert picture(world.signed_in(user), used) == (200, PICTURE)
        assert picture(world.signed_in(user), waiting)[0] == 404
    admin = world.signed_in(cast.admin)
    assert picture(admin, used) == (200, PICTURE) and picture(admin, waiting) == (200, NEW_PICTURE)
    assert picture(world.signed_in(cast.charlie), used)[0] == 404


def test_an_approved_one_takes_the_place_of_the_one_before(
    gate: Scene, cast: world.People, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    used, waiting = gate.plates
    with django_capture_on_commit_callbacks(execute=True):
        world.signed_in(cast.admin).post(reverse("plate-approve", args=[waiting.pk]))
    alice = world.signed_in(cast.alice)
    assert picture(alice, used)[0] == 404 and picture(alice, waiting) == (200, NEW_PICTURE)
    assert not artifacts().exists(used.artifact)
    review = alice.get(reverse("review")).content.decode()
    assert f'data-plate="{reverse("plate", args=[waiting.pk])}"' in review


def test_taken_back_it_is_gone_everywhere(gate: Scene, cast: world.People) -> None:
    used, alice = gate.plates[0], world.signed_in(cast.alice)
    places = [reverse("review"), reverse("recording", args=[gate.recording.pk])]
    sue = world.signed_in(cast.sue)
    assert "data-plate" in alice.get(places[0]).content.decode() and "data-plate" in sue.get(places[1]).content.decode()
    response = world.signed_in(cast.admin).post(reverse("plate-remove", args=[used.pk]), follow=True)
    assert "The picture is deleted." in response.content.decode()
    assert picture(alice, used)[0] == 404 and not artifacts().exists(used.artifact)
    assert "data-plate" not in alice.get(places[0]).content.decode() + sue.get(places[1]).content.decode()


def test_a_file_that_is_missing_is_not_found(gate: Scene, cast: world.People) -> None:
    artifacts().delete(gate.plates[0].artifact)
    assert picture(world.signed_in(cast.alice), gate.plates[0])[0] == 404


def test_it_lies_under_no_recording_of_another_shape(gate: Scene, cast: world.People) -> None:
    alice = world.signed_in(cast.alice)
    for size, lies in (((640, 360), True), ((1290, 720), True), ((1280, 960), False), ((720, 1280), False)):
        Recording.objects.filter(pk=gate.recording.pk).update(width=size[0], height=size[1])
        assert ("data-plate" in alice.get(reverse("review")).content.decode()) == lies, size


def test_a_camera_that_keeps_no_video_shows_none(gate: Scene, cast: world.People) -> None:
    Camera.objects.update(privacy=Camera.Privacy.POSES_ONLY)
    assert "data-plate" not in world.signed_in(cast.alice).get(reverse("review")).content.decode()
    text = page(world.signed_in(cast.admin))
    assert "This camera keeps poses only, no video" in text and reverse("plate-ask", args=["gate"]) not in text
    refused = world.signed_in(cast.admin).post(reverse("plate-ask", args=["gate"]), follow=True)
    assert "This camera keeps poses only, no video" in refused.content.decode()
    assert not Job.objects.filter(kind=Job.Kind.PLATE).exists()


def test_the_section_is_for_admins_and_says_where_things_stand(gate: Scene, cast: world.People) -> None:
    admin = world.signed_in(cast.admin)
    assert "Background plate" not in page(world.signed_in(cast.sue))
    text = page(admin)
    assert "Not approved: only admins see it." in text and "Approved by sceneshifter" in text
    asked = admin.post(reverse("plate-ask", args=["gate"]), follow=True).content.decode()
    assert "The picture is being made." in asked and "Being made:" in asked and "Cancel" in asked
    assert "load delay:2s" in asked and "load delay:2s" not in text  # the page looks again while it is being made
    job = Job.objects.get(kind=Job.Kind.PLATE)
    Job.objects.filter(pk=job.pk).update(state=Job.State.RUNNING, done=10, total=40)
    assert '<progress max="40" value="10"' in page(admin)
    Job.objects.filter(pk=job.pk).update(state=Job.State.FAILED, error="No <empty> scene.")
    text = page(admin)
    assert "It could not be made. No &lt;empty&gt; scene." in text
    assert "make the background plate" not in text  # no second time, among the work that failed
    Plate.objects.all().delete()
    assert "Make a picture" in page(admin)
    for state in (text, asked):
        found = Page(state)
        assert found.inline_code() == [] and found.nameless_controls() == [] and found.doubled_ids() == []
