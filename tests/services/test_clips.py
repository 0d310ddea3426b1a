"""Clips of events: cut where video is kept, once each, gone a week after the answer."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from alfred.models import Camera, Clip, Event, Job, Lane, Rendition
from alfred.models.work import StaleAttemptError
from alfred.services import clips, make_clips
from alfred.services.storage import artifacts
from alfred.video.rendition import make_rendition
from tests import crowd, world
from tests.video import clips as files

pytestmark = pytest.mark.django_db


@pytest.fixture
def view(tmp_path: Path) -> Camera:
    """A camera that keeps video, with two open events on a recording of eight seconds."""
    view = crowd.camera(privacy=Camera.Privacy.VIDEO)
    segments = crowd.seen(view, crowd.piece(view, 0), [1.5, 2.5], each=2)
    make_rendition(files.make(tmp_path / "a.mp4", frames=80, fps=10), tmp_path / "out.mp4")
    key = artifacts().put_file(view.slug, tmp_path / "out.mp4", ".mp4")
    Rendition.objects.create(recording=segments[0].recording, artifact=key)
    for segment in (segments[0], segments[3]):
        crowd.asked(segment)
    return view


def cut(view: Camera) -> None:
    recording = Event.objects.first().recording_id  # type: ignore[union-attr]
    clips.queue_for(view.pk, recording, list(clips.wanting(recording)))
    world.run_all(view)


def test_each_event_gets_its_seconds_blurred_and_raw(view: Camera) -> None:
    cut(view)
    rows = list(Clip.objects.select_related("event").order_by("event__start_pts"))
    assert [row.offset_pts for row in rows] == pytest.approx([0.0, 3.0], abs=0.11)
    for row in rows:
        assert row.blurred != row.raw and artifacts().exists(row.blurred) and artifacts().exists(row.raw)
    cut(view)
    assert Clip.objects.count() == 2


def test_one_clip_that_cannot_be_cut_keeps_no_other_from_being_cut(view: Camera) -> None:
    Event.objects.filter(start_pts=0).update(start_pts=90.0, end_pts=94.0)  # after the end of the film
    cut(view)
    assert Clip.objects.count() == 1
    assert "1 of 2 clips are missing: the clip at 90.0 s could not be cut" in Job.objects.get(kind="clips").error


def test_a_poses_only_camera_gets_none(view: Camera) -> None:
    Camera.objects.update(privacy=Camera.Privacy.POSES_ONLY)
    cut(view)
    assert not Clip.objects.exists()


def test_clips_are_deleted_a_week_after_the_answer_and_shared_files_stay(view: Camera) -> None:
    cut(view)
    first, second = Clip.objects.order_by("event__start_pts")
    Clip.objects.filter(pk=second.pk).update(raw=first.raw)
    long_ago = timezone.now() - clips.KEPT - timedelta(hours=1)
    Event.objects.filter(pk=first.event_id).update(state=Event.State.DECIDED, decided_at=long_ago)
    assert clips.discard_old() == 1
    assert list(Clip.objects.values_list("pk", flat=True)) == [second.pk]
    assert not artifacts().exists(first.blurred) and artifacts().exists(first.raw)
    assert clips.discard_old() == 0


def test_an_opened_event_asks_for_its_clip(view: Camera) -> None:
    from alfred.models import SegmentScore
    from alfred.services import open_review

    score = SegmentScore.objects.select_related("segment").last()
    assert score is not None
    import numpy as np

    open_review.open_events([[score]], view, Lane.AUDIT, np.random.default_rng(1))
    assert [job.kind for job in world.waiting(view)] == ["clips"]


def test_a_clip_nobody_answers_goes_after_four_weeks(view: Camera) -> None:
    cut(view)
    assert clips.discard_old() == 0
    Event.objects.update(state=Event.State.SECOND, opened_at=timezone.now() - clips.LONGEST - timedelta(hours=1))
    assert clips.discard_old() == 2 and not Clip.objects.exists()


def test_a_cancelled_job_leaves_no_pixels_without_a_row(view: Camera, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path for path in artifacts().root.rglob("*") if path.is_file()}

    def refused(*_: object) -> None:
        raise StaleAttemptError("cancelled")

    monkeypatch.setattr(make_clips, "fence", refused)
    cut(view)
    assert not Clip.objects.exists()
    assert {path for path in artifacts().root.rglob("*") if path.is_file()} == before
