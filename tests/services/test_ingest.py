"""Taking files in: what becomes of good ones, of the same one again, of a folder; what the command says."""

from __future__ import annotations

import json
import threading
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from alfred.models import AuditEntry, Camera, Job, Recording, Slice, User
from alfred.services import slices
from alfred.services.ingest import Ingested, ingest
from alfred.services.storage import artifacts, digest_of
from tests import world
from tests.video import clips

pytestmark = pytest.mark.django_db


def alphapose(path: Path) -> Path:
    """Two people in AlphaPose's tracked-person layout."""
    poses = world.walkers(people_seen=2, seconds=5)
    people: dict[str, dict[str, Any]] = {}
    for i in range(len(poses)):
        pose = {"keypoints": poses.keypoints[i].ravel().tolist(), "scores": 0.9}
        people.setdefault(str(poses.track[i]), {})[str(poses.frame[i])] = pose
    path.write_text(json.dumps(people))
    return path


def test_a_video_becomes_a_recording_with_its_facts_and_a_job(tmp_path: Path) -> None:
    view = world.camera()
    by = world.person("dora")
    path = clips.make(tmp_path / "gate.mp4", width=96, height=64, fps=10, frames=20)
    found = ingest(view, path, slice_ordinal=3, by=by)
    row = found.recording
    assert (found.is_new, found.refused) == (True, False)
    assert (row.origin, row.purpose, row.name) == ("video", "stream", "gate.mp4")
    assert (row.width, row.height, row.fps, row.duration_s) == (96, 64, 10.0, 2.0)
    assert row.slice is not None and row.slice.ordinal == 3
    assert row.size == path.stat().st_size
    assert artifacts().open(row.source).read() == path.read_bytes()
    job = Job.objects.get(camera=view)
    assert (job.kind, job.subject, job.state) == ("extract", row.pk, "queued")
    assert AuditEntry.objects.get(action="ingest").by == by
    assert found.message == "gate.mp4: added (video 96×64, 2.0 s at 10 fps)."


def test_alphapose_poses_are_taken_in_at_the_rate_that_is_given(tmp_path: Path) -> None:
    view = world.camera()
    row = world.ingest_poses(view, alphapose(tmp_path / "people.json"), fps=25.0, slice_ordinal=0).recording
    assert (row.origin, row.fps, row.width, row.height) == ("poses", 25.0, 1280, 720)
    assert row.duration_s == pytest.approx(75 / 25)  # 75 frames of each person
    world.run_all(view, "extract")
    extraction = row.extractions.get()
    assert (extraction.n_poses, extraction.n_tracks, extraction.extractor) == (150, 2, "imported")


def test_labelled_poses_say_how_many_are_anomalous(tmp_path: Path) -> None:
    poses = world.walkers(people_seen=1, seconds=4)
    labels = np.zeros(len(poses), np.uint8)
    labels[10:20] = 1
    found = world.ingest_poses(world.camera(), world.npz(tmp_path / "a.npz", poses, labels), slice_ordinal=0)
    assert found.message == "a.npz: added (60 poses of 1 tracks at 15 fps, 10 poses labelled anomalous)."


def test_the_same_bytes_are_one_recording_within_a_camera_and_two_across(tmp_path: Path) -> None:
    here, there = world.camera("Here"), world.camera("There")
    path = world.npz(tmp_path / "a.npz", world.walkers())
    first = world.ingest_poses(here, path)
    again = world.ingest_poses(here, path, name="other-name.npz")
    assert (again.is_new, again.recording) == (False, first.recording)
    assert again.message == "other-name.npz: It is there already; nothing was added."
    other = world.ingest_poses(there, path)
    assert other.is_new and other.recording != first.recording
    # Whoever may see one camera learns nothing of the other: two files, one for each.
    assert other.recording.source.startswith("there/") and first.recording.source.startswith("here/")
    assert [Job.objects.filter(camera=c).count() for c in (here, there)] == [1, 1]


@pytest.mark.django_db(transaction=True)
def test_the_same_file_twice_at_once_is_one_recording(tmp_path: Path) -> None:
    view = world.camera()
    path = world.npz(tmp_path / "a.npz", world.walkers())
    found: list[Ingested] = []
    start = threading.Barrier(3)

    def add() -> None:
        try:
            start.wait()
            found.append(world.ingest_poses(view, path, slice_ordinal=0))
        finally:
            connection.close()

    threads = [threading.Thread(target=add) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(f.is_new for f in found) == [False, False, True]
    assert Recording.objects.count() == Job.objects.count() == 1


def test_by_day_the_open_slice_takes_what_comes() -> None:
    view = world.camera(slice_by=Camera.SliceBy.DAY)
    first = world.stream(view, seed=1, minutes=0.5, slice_ordinal=None)
    second = world.stream(view, seed=2, minutes=0.5, slice_ordinal=None)
    assert first.slice == second.slice
    assert first.slice is not None and first.slice.day == first.start_at.date()
    world.run_all(view)
    slices.close(first.slice.pk)
    late = world.stream(view, seed=3, minutes=0.5, slice_ordinal=None)
    assert late.slice is not None and late.slice.ordinal == first.slice.ordinal + 1


def test_a_closed_slice_takes_nothing_more(tmp_path: Path) -> None:
    view = world.camera("Closing")
    row = world.scored(view, minutes=0.5, slice_ordinal=4)
    assert row.slice_id is not None
    slices.close(row.slice_id)
    path = world.npz(tmp_path / "a.npz", world.walkers())
    with pytest.raises(ValueError, match="slice 4 of Closing is closed; use the next number"):
        world.ingest_poses(view, path, slice_ordinal=4)
    assert Recording.objects.filter(camera=view).count() == 1
    assert not artifacts().exists(f"closing/{digest_of(path)[:2]}/{digest_of(path)}.npz")  # nor are its bytes kept
    said = StringIO()
    with pytest.raises(CommandError, match="1 file was refused"):
        call_command("ingest", "closing", str(path), "--slice", "4", stdout=said)
    assert "slice 4 of Closing is closed" in said.getvalue()
    assert world.ingest_poses(view, path, slice_ordinal=5).is_new  # nothing of the refusal stays in the way


def test_validation_files_belong_to_no_slice(tmp_path: Path) -> None:
    view = world.camera()
    poses = world.walkers()
    path = world.npz(tmp_path / "val.npz", poses, np.zeros(len(poses)))
    row = world.ingest_poses(view, path, as_validation=True).recording
    assert (row.purpose, row.slice) == ("validation", None)
    assert not Slice.objects.exists()


def test_a_validation_file_needs_ground_truth_and_may_come_again_as_what_it_is(tmp_path: Path) -> None:
    view = world.camera()
    path = world.npz(tmp_path / "a.npz", world.walkers())
    found = world.ingest_poses(view, path, as_validation=True)
    assert found.refused and "no ground truth" in found.message
    assert not Job.objects.exists()
    # "ingest it without --as-validation", says the refusal: so that has to work.
    again = world.ingest_poses(view, path, slice_ordinal=0)
    assert not again.refused and again.is_new, again.message
    assert Job.objects.get().subject == again.recording.pk
    assert Recording.objects.filter(camera=view).count() == 1


def run_command(*arguments: str) -> tuple[str, str]:
    """What `manage.py ingest` prints, and the error it ends with."""
    out = StringIO()
    try:
        call_command("ingest", *arguments, stdout=out, no_color=True)
    except CommandError as error:
        return out.getvalue(), str(error)
    return out.getvalue(), ""


def test_the_command_takes_a_folder_and_leaves_notes_alone(tmp_path: Path) -> None:
    folder = tmp_path / "footage" / "inner"
    folder.mkdir(parents=True)
    world.npz(folder / "b_1.npz", world.walkers(people_seen=1))
    clips.make(tmp_path / "footage" / "a.mp4")
    (folder / "b_meta.json").write_text('{"fps": 15, "resolution": [1280, 720]}')
    (folder / "readme.txt").write_text("not footage")
    out, error = run_command("Yard", str(tmp_path / "footage"), "--create", "--slice", "2")
    assert error == ""
    lines = out.strip().splitlines()
    assert [line.split(":")[0] for line in lines] == ["'readme.txt'", "a.mp4", "b_1.npz"]
    assert "passed over" in lines[0]
    view = Camera.objects.get(name="Yard")
    assert (view.privacy, view.slice_by) == ("poses_only", "imported")
    assert {r.slice.ordinal for r in view.recordings.all() if r.slice} == {2}
    # b_meta.json beside it said the frame rate
    assert view.recordings.get(name="b_1.npz").fps == 15.0


def test_a_person_is_given_cameras_by_name_or_slug() -> None:
    world.camera("North gate"), world.camera("Yard")
    out = StringIO()
    call_command("person", "ida", "--camera", "North gate", "yard", "--role", "supervisor", stdout=out)
    assert "password" in out.getvalue()
    assert set(User.objects.get(username="ida").memberships.values_list("camera__slug", "role")) == {
        ("north-gate", "supervisor"),
        ("yard", "supervisor"),
    }
    with pytest.raises(CommandError, match="There is no camera South"):
        call_command("person", "ida", "--camera", "South", stdout=out)


def test_the_command_goes_on_after_a_bad_file_and_fails_at_the_end(tmp_path: Path) -> None:
    folder = tmp_path / "footage"
    folder.mkdir()
    (folder / "a.mp4").write_bytes(b"")
    (folder / "b.mp4").write_text("hello\n" * 100)
    clips.make(folder / "c.mp4")
    out, error = run_command("Yard", str(folder), "--create")
    lines = out.strip().splitlines()
    assert [line.split(":")[0] for line in lines] == ["a.mp4", "b.mp4", "c.mp4"]
    assert "empty (0 bytes)" in lines[0] and "added (" in lines[2]
    assert error == "2 files were refused; the others are in work."
    assert Job.objects.filter(kind="extract").count() == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nowhere", "X"), "There is no camera 'nowhere' (there are: gate). Add --create to make it."),
        (("gate", "X/missing.mp4"), "missing.mp4: there is no such file or folder."),
        (("gate", "X"), "no video or pose file in this folder."),
        (("gate", "X", "--resolution", "wide"), "use WIDTHxHEIGHT, e.g. 1920x1080"),
    ],
)
def test_the_command_says_what_is_wrong_with_what_was_typed(
    tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    world.camera()
    _, error = run_command(*(a.replace("X", str(tmp_path), 1) if a.startswith("X") else a for a in arguments))
    assert words in error
    assert not Recording.objects.exists()
