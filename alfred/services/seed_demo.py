"""What the demo starts with: accounts, simulated cameras, and a camera for each real video handed over."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from django.conf import settings

from alfred.models import Camera, Role, User
from alfred.pose.simulate import simulate
from alfred.services import add_camera
from alfred.services.ingest import Ingested, ingest

FPS, WIDTH, HEIGHT = 15.0, 1280, 720
SAMPLE = Path("/usr/share/doc/opencv-doc/examples/data/vtest.avi")
"""Real footage that Debian's opencv-doc brings, where it is installed."""


EXPLORED = {"trial_first": False, "one_voice_share": 1.0}
"""Who looks at the demo does so alone, and wants to get on."""


@dataclass(frozen=True)
class Account:
    name: str
    password: str
    words: str


def accounts() -> list[Account]:
    """Make the demo's people where they are missing; passwords are random and known only here, once."""
    made = []
    for name, words in (
        ("admin", "runs cameras and rounds"),
        ("ana", "annotator"),
        ("ben", "annotator"),
        ("sue", "supervisor"),
    ):
        if User.objects.filter(username=name).exists():
            continue
        password = secrets.token_urlsafe(9)
        if name == "admin":
            User.objects.create_superuser(name, password=password)
        else:
            User.objects.create_user(name, password=password)
        made.append(Account(name, password, words))
    return made


def camera(name: str, **policies: Any) -> Camera:
    """The demo's camera of that name, with its people on it."""
    found = Camera.objects.filter(name=name).first()
    if found is None:
        found = add_camera.add(name=name, **EXPLORED | policies)
    for person in User.objects.filter(username__in=("ana", "ben", "sue")):
        add_camera.allow(person, found, Role.SUPERVISOR if person.username == "sue" else Role.ANNOTATOR)
    return found


def simulated_camera(name: str, **policies: Any) -> Camera:
    """A camera whose stream is simulated, and says so."""
    return camera(name, is_simulated=True, slice_by=Camera.SliceBy.IMPORTED, **policies)


def simulated_stream(
    to: Camera,
    *,
    seed: int,
    minutes: float,
    anomaly_share: float,
    slice_ordinal: int | None = None,
    as_validation: bool = False,
    view_seed: int = 0,
) -> Ingested:
    """Simulate a stretch with its ground truth and ingest it as a file like any other."""
    stream = simulate(
        seed=seed,
        minutes=minutes,
        anomaly_share=anomaly_share,
        fps=FPS,
        width=WIDTH,
        height=HEIGHT,
        view_seed=view_seed,
    )
    name = "simulated-validation.npz" if as_validation else f"simulated-slice-{slice_ordinal}.npz"
    with TemporaryDirectory(dir=settings.FILE_UPLOAD_TEMP_DIR) as folder:
        path = Path(folder) / name
        poses = stream.poses
        np.savez_compressed(
            path,
            scene=np.zeros(len(poses), np.int16),
            frame_index=poses.frame.astype(np.int32),
            track_id=poses.track,
            keypoints=poses.keypoints,
            bbox=poses.bbox,
            label=stream.labels,
            action=stream.actions,
        )
        return ingest(
            to,
            path,
            slice_ordinal=None if as_validation else slice_ordinal,
            as_validation=as_validation,
            fps=FPS,
            resolution=(WIDTH, HEIGHT),
        )


def real_footage(path: Path, **policies: Any) -> tuple[Camera, Ingested]:
    """A camera of its own for a video file; it keeps the video, so that the overlay can be checked by eye."""
    made = camera(f"Real: {path.stem}", privacy=Camera.Privacy.VIDEO, **policies)
    return made, ingest(made, path)
