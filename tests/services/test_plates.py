"""Background plates: made of a camera's own video without its people, approved one at a time, deleted if taken back."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import av
import numpy as np
import pytest
from django.db import IntegrityError, transaction
from pytest_django import DjangoCaptureOnCommitCallbacks

from alfred.models import AuditEntry, Camera, Job, Plate, Recording, Rendition, User
from alfred.models.work import StaleAttemptError
from alfred.services import make_plate, plates
from alfred.services.deploy import Refused
from alfred.services.jobs import JobContext
from alfred.services.storage import artifacts
from alfred.video.rendition import make_rendition
from tests import world
from tests.video import clips as files

pytestmark = pytest.mark.django_db

SMALLER = 4
"""The playable file is so much smaller than the recording whose pixels the poses stand in."""
SKIN = np.array([250, 40, 200])
SECONDS = 20.0


def scenery(width: int, height: int) -> files.Image:
    image = np.empty((height, width, 3), np.uint8)
    image[:] = np.linspace(60, 160, width).astype(np.uint8)[None, :, None]
    return image


def passing(index: int, width: int, height: int) -> files.Image:
    """What a camera sees of `world.walkers`: two people going to the right at 20 px/s."""
    image = scenery(width, height)
    for track in range(2):
        middle = 200 + 200 * track + 20 * index / world.FPS
        left, right = (round((middle + side) / SMALLER) for side in (-36, 36))
        image[292 // SMALLER : 452 // SMALLER, left:right] = SKIN
    return image


def filmed(view: Camera, folder: Path, **walkers: Any) -> Recording:
    """A recording with its poses, and a film of them to play."""
    poses = world.npz(folder / "poses.npz", world.walkers(seconds=SECONDS, **walkers))
    recording = world.ingest_poses(view, poses, slice_ordinal=0).recording
    world.run(world.job_of(recording.pk, "extract"))
    size = {"width": world.WIDTH // SMALLER, "height": world.HEIGHT // SMALLER}
    film = files.make(folder / "a.mp4", frames=round(SECONDS * world.FPS), fps=round(world.FPS), draw=passing, **size)
    make_rendition(film, folder / "out.mp4")
    key = artifacts().put_file(view.slug, folder / "out.mp4", ".mp4")
    Rendition.objects.create(recording=recording, artifact=key)
    return recording


@pytest.fixture
def view(tmp_path: Path) -> Camera:
    view = world.camera(f"Gate {uuid4().hex}", privacy=Camera.Privacy.VIDEO)  # with a folder of its own
    filmed(view, tmp_path)
    return view


@pytest.fixture
def admin() -> User:
    return User.objects.create_superuser("admin")


def made(view: Camera, admin: User) -> Plate:
    """Asked for, and made."""
    plate = plates.request(view, admin)
    job = world.run(world.job_of(plate.pk, "plate"))
    assert (job.state, job.error) == ("done", "")
    plate.refresh_from_db()
    return plate


def stored(view: Camera) -> set[Path]:
    return set((artifacts().root / view.slug).rglob("*.jpg"))


def acts(view: Camera) -> list[str]:
    """What the audit trail says of plates, oldest first."""
    rows = AuditEntry.objects.filter(camera=view, action__endswith="plate").order_by("id")
    return list(rows.values_list("action", flat=True))


def test_the_picture_is_the_scene_without_who_walked_through(view: Camera, admin: User) -> None:
    said: list[tuple[int, int, str]] = []
    plate = plates.request(view, admin)
    assert (plate.artifact, plate.made_at) == ("", None)
    world.run(world.job_of(plate.pk, "plate"), lambda *report: said.append(report))
    plate.refresh_from_db()
    assert (plate.width, plate.height, plate.frames) == (320, 180, 41)
    assert 0 < plate.covered < 0.02  # where one of them followed the other
    assert plate.made_at is not None and (plate.made_by, plate.approved_at) == (admin, None)
    assert plate.recording == Recording.objects.get() and said[-1] == (41, 41, "frame 41 of 41")
    (frame,) = av.CodecContext.create("mjpeg", "r").decode(av.Packet(artifacts().path(plate.artifact).read_bytes()))
    image = frame.to_ndarray(format="rgb24").astype(int)
    assert np.abs(image - scenery(320, 180)).max() < 16  # coded twice over
    assert acts(view) == ["ask for plate", "make plate"]


def test_nobody_sees_it_before_it_is_approved(view: Camera, admin: User) -> None:
    plate = made(view, admin)
    recording = Recording.objects.get()
    assert plates.approved_of(view) is None and plates.under(recording) is None
    plates.approve(plate.pk, admin)
    plates.approve(plate.pk, admin)
    approved = plates.approved_of(view)
    assert approved == plate and approved is not None and approved.approved_by == admin
    assert plates.under(recording) == plate.pk
    assert acts(view) == ["ask for plate", "make plate", "approve plate"]


def test_the_one_before_is_deleted_when_the_next_is_approved(
    view: Camera, admin: User, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    older = made(view, admin)
    plates.approve(older.pk, admin)
    other = artifacts().put_bytes(view.slug, b"another picture", ".jpg")
    newer = made(view, admin)
    Plate.objects.filter(pk=newer.pk).update(artifact=other)
    with django_capture_on_commit_callbacks(execute=True):
        plates.approve(newer.pk, admin)
        assert artifacts().exists(older.artifact)  # a transaction that fails yet has lost nothing
    assert list(Plate.objects.all()) == [newer] and plates.approved_of(view) == newer
    assert not artifacts().exists(older.artifact) and artifacts().exists(other)
    details = AuditEntry.objects.filter(action="approve plate").latest("id").details
    assert (details["artifact"], details["replaces"]) == (other, older.artifact)


def test_killed_before_the_file_of_the_one_before_is_deleted_it_goes_with_the_next(view: Camera, admin: User) -> None:
    older = made(view, admin)
    plates.approve(older.pk, admin)
    other = artifacts().put_bytes(view.slug, b"another picture", ".jpg")
    newer = made(view, admin)
    Plate.objects.filter(pk=newer.pk).update(artifact=other)
    plates.approve(newer.pk, admin)  # what waits for its commit never runs
    assert artifacts().exists(older.artifact)
    plates.refuse(newer.pk, admin)
    assert stored(view) == set()


def test_made_anew_of_the_same_recording_it_is_the_same_file_and_stays(view: Camera, admin: User) -> None:
    older = made(view, admin)
    plates.approve(older.pk, admin)
    newer = made(view, admin)
    assert newer.artifact == older.artifact
    plates.approve(newer.pk, admin)
    assert artifacts().exists(newer.artifact)
    again = made(view, admin)
    plates.refuse(again.pk, admin)
    assert artifacts().exists(newer.artifact)
    plates.refuse(newer.pk, admin)
    assert stored(view) == set() and not Plate.objects.exists()


def test_taken_back_nothing_is_left_but_the_trail(view: Camera, admin: User) -> None:
    refused = made(view, admin)
    plates.refuse(refused.pk, admin)
    plates.refuse(refused.pk, admin)
    assert stored(view) == set()
    removed = made(view, admin)
    plates.approve(removed.pk, admin)
    plates.refuse(removed.pk, admin)
    assert stored(view) == set() and plates.approved_of(view) is None and not Plate.objects.exists()
    assert [act for act in acts(view) if not act.startswith(("ask", "make"))] == [
        "refuse plate", "approve plate", "remove plate",
    ]  # fmt: skip
    with pytest.raises(Refused, match="not there any more"):
        plates.approve(removed.pk, admin)


def test_asked_twice_it_is_made_once(view: Camera, admin: User) -> None:
    first = plates.request(view, admin)
    assert plates.request(view, admin) == first
    with pytest.raises(Refused, match="not made yet"):
        plates.approve(first.pk, admin)
    assert [job.subject for job in world.waiting(view, "plate")] == [first.pk]


def test_a_camera_without_video_is_refused_with_a_reason(admin: User, tmp_path: Path) -> None:
    keeps_none = world.camera("Hall", privacy=Camera.Privacy.POSES_ONLY)
    filmed(keeps_none, tmp_path)
    with pytest.raises(Refused, match="keeps poses only"):
        plates.request(keeps_none, admin)
    with pytest.raises(Refused, match="No recording of this camera has both"):
        plates.request(world.camera("Yard", privacy=Camera.Privacy.VIDEO), admin)
    assert not Plate.objects.exists() and not Job.objects.filter(kind="plate").exists()


def test_what_keeps_it_from_being_made_is_said_and_it_can_be_asked_for_again(view: Camera, admin: User) -> None:
    plate = plates.request(view, admin)
    Camera.objects.filter(pk=view.pk).update(privacy=Camera.Privacy.POSES_ONLY)
    job = world.run(world.job_of(plate.pk, "plate"))
    assert job.state == "failed" and job.error.startswith("This camera keeps poses only")
    Camera.objects.filter(pk=view.pk).update(privacy=Camera.Privacy.VIDEO)
    film = artifacts().path(Rendition.objects.get().artifact)
    whole = film.read_bytes()
    film.write_bytes(b"damaged")
    plate = plates.request(view, admin)
    job = world.run(world.job_of(plate.pk, "plate"))
    assert job.state == "failed" and job.error.startswith("poses.npz: It is not a video")
    film.write_bytes(whole)
    assert made(view, admin).artifact and Plate.objects.count() == 1


def test_a_place_that_is_never_empty_gives_none(view: Camera, admin: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make_plate, "ROOM", 20.0)  # all of the picture is near somebody
    plate = plates.request(view, admin)
    job = world.run(world.job_of(plate.pk, "plate"))
    assert job.state == "failed" and job.error.startswith("People stood everywhere in the picture")
    assert stored(view) == set()


def test_taken_back_while_it_is_made_it_leaves_no_pixels(
    view: Camera, admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    plate = plates.request(view, admin)
    job = world.job_of(plate.pk, "plate")
    assert job.claim("one:1")
    real = make_plate.as_jpeg

    def meanwhile(image: Any) -> bytes:
        plates.refuse(plate.pk, admin)
        return real(image)

    monkeypatch.setattr(make_plate, "as_jpeg", meanwhile)
    with pytest.raises(StaleAttemptError):
        make_plate.run(JobContext(job.pk, job.attempts, lambda *_: None), plate.pk)
    make_plate.run(JobContext(job.pk, job.attempts, lambda *_: None), plate.pk)  # and is not made later
    assert stored(view) == set() and not Plate.objects.exists()
    assert acts(view) == ["ask for plate", "call off plate"]


def test_a_worker_killed_after_writing_leaves_no_picture_that_nobody_knows_of(
    view: Camera, admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    plate = plates.request(view, admin)
    job = world.job_of(plate.pk, "plate")
    assert job.claim("one:1")

    def killed(*_: Any, **__: Any) -> None:
        raise RuntimeError("as if it had been killed: nothing is tidied up")

    with monkeypatch.context() as patch:
        patch.setattr(make_plate.audit, "record", killed)
        patch.setattr(plates, "delete_file", lambda *_: None)
        with pytest.raises(RuntimeError):
            make_plate.run(JobContext(job.pk, job.attempts, lambda *_: None), plate.pk)
    assert len(stored(view)) == 1
    plates.refuse(plate.pk, admin)
    assert stored(view) == set()


def test_the_database_allows_one_approved_and_one_to_approve(view: Camera, admin: User) -> None:
    approved = made(view, admin)
    plates.approve(approved.pk, admin)
    plates.request(view, admin)
    approved.refresh_from_db()
    people = {"camera": view, "made_by": admin}
    decided = {"approved_by": admin, "approved_at": approved.approved_at}
    for name, row in (
        ("one_approved_plate_a_camera", Plate(artifact="x", **people, **decided)),
        ("one_plate_a_camera_to_approve", Plate(**people)),
        ("only_a_plate_that_is_made_is_approved", Plate(**people, **decided)),
    ):
        with pytest.raises(IntegrityError, match=name), transaction.atomic():
            row.save(force_insert=True)
