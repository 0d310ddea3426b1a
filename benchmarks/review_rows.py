"""A review queue of any length: cameras, people, tracks, segments and open events, written with generate_series."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alfred.models import User

_UNCOUNTED = ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE", "ROLLBACK")


def counts(sql: str) -> bool:
    """Whether a statement counts as a query: transactions and savepoints don't."""
    return not sql.startswith(_UNCOUNTED)


def fill(events: int, *, cameras: int = 20, people: int = 1) -> list[User]:
    """Fresh rows; returns the people, annotators on every camera. `cameras` divides `events`."""
    from django.db import connection

    from alfred.models import Camera, Membership, Role, User
    from alfred.services import add_camera

    users = [User.objects.create_user(f"ana {n}") for n in range(people)]
    for n in range(cameras):
        add_camera.add(name=f"Camera {n}")
    Membership.objects.bulk_create(
        Membership(user=user, camera=camera, role=Role.ANNOTATOR) for user in users for camera in Camera.objects.all()
    )
    with connection.cursor() as cursor:
        cursor.execute(_ROWS, {"each": events // cameras})
        cursor.execute("ANALYZE")
    return users


# The rows are right by construction: checking a million references to each parent takes most of the time.
_ROWS = """
SET session_replication_role = replica;
INSERT INTO alfred_slice (camera_id, ordinal, opened_at) SELECT c.id, 0, now() FROM alfred_camera c;
INSERT INTO alfred_recording (camera_id, slice_id, purpose, origin, name, sha256, size, source, width, height, fps,
    duration_s, start_at, clock_known, quarantined, created_at)
  SELECT s.camera_id, s.id, 'stream', 'poses', 'r', md5(s.id::text), 1, '', 1280, 720, 15, 600, now(), false, '', now()
  FROM alfred_slice s;
INSERT INTO alfred_poseextraction (recording_id, extractor, info, info_digest, artifact, n_frames, n_poses, n_tracks,
    created_at) SELECT r.id, 'x', '{}', 'x', 'x', 1, 1, 1, now() FROM alfred_recording r;
INSERT INTO alfred_track (camera_id, extraction_id, number, start_pts, end_pts, n_poses)
  SELECT r.camera_id, e.id, g, 0, 4, 60 FROM generate_series(1, %(each)s) g, alfred_poseextraction e
  JOIN alfred_recording r ON r.id = e.recording_id;
INSERT INTO alfred_segment (camera_id, track_id, ordinal, recording_id, slice_id, start_pts, end_pts, start_at, end_at,
    block, n_poses, x, y, person_height)
  SELECT t.camera_id, t.id, 0, r.id, r.slice_id, 0, 4, now(), now(), 0, 60, 1, 1, 100
  FROM alfred_track t JOIN alfred_poseextraction e ON e.id = t.extraction_id
  JOIN alfred_recording r ON r.id = e.recording_id;
INSERT INTO alfred_event (id, camera_id, recording_id, slice_id, lane, state, place, start_pts, end_pts, peak_pts,
    opened_at)
  SELECT md5(g.id::text)::uuid, g.camera_id, g.recording_id, g.slice_id, 'review', 'open', random(), 0, 4, 2, now()
  FROM alfred_segment g;
INSERT INTO alfred_eventsegment (event_id, segment_id, lane)
  SELECT md5(g.id::text)::uuid, g.id, 'review' FROM alfred_segment g;
RESET session_replication_role;
"""
