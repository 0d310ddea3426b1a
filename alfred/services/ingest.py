"""Take a file in: look at it, name it by its digest, store it, queue the work. Bad files are refused with a reason."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from alfred.models import Camera, Job, Recording, User, audit
from alfred.models.work import queue
from alfred.pose.formats.inspect import BadFile, FileFacts, inspect_safely
from alfred.services import slices
from alfred.services.language import translated
from alfred.services.storage import artifacts, digest_of

SUFFIXES = frozenset({".avi", ".json", ".m4v", ".mkv", ".mov", ".mp4", ".mpg", ".mpeg", ".npz", ".ts", ".webm"})
NOTES = ("_meta.json",)
"""Endings of files that describe others in the same folder and hold no poses."""


@dataclass(frozen=True)
class Ingested:
    """What became of a file: its recording, whether it is new, and the sentence to tell."""

    recording: Recording
    is_new: bool
    message: str

    @property
    def refused(self) -> bool:
        return bool(self.recording.quarantined)


def files_of(path: Path) -> list[Path]:
    """The file itself, or what a folder holds that looks like footage or poses, by name."""
    if not path.is_dir():
        return [path]
    return [p for p in _in_folder(path) if _looks_usable(p)]


def passed_over(path: Path) -> list[Path]:
    """What a folder holds besides, by name: neither footage nor poses by its ending."""
    return [p for p in _in_folder(path) if not _looks_usable(p) and not p.name.endswith(NOTES)] if path.is_dir() else []


def _in_folder(path: Path) -> list[Path]:
    return [p for p in sorted(path.rglob("*")) if p.is_file()]


def _looks_usable(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.endswith(NOTES)


def ingest(
    camera: Camera,
    path: Path,
    *,
    name: str = "",
    slice_ordinal: int | None = None,
    as_validation: bool = False,
    start_at: datetime | None = None,
    by: User | None = None,
    fps: float | None = None,
    resolution: tuple[int, int] | None = None,
) -> Ingested:
    """Add one file to a camera. The same bytes twice are one recording.

    A file that can't be used leaves a quarantined row with the reason, and nothing else; offered again (as what it
    is, this time), it is looked at again. `fps` and `resolution` are for pose files that name none.
    """
    name = (name or path.name)[:255]
    digest = digest_of(path)
    known = _taken(camera, digest)
    if known:
        return _there_already(known, name)
    try:
        facts = inspect_safely(path, fps=fps, resolution=resolution)
        if as_validation and not facts.has_labels:
            raise BadFile(
                "It holds no ground truth, so it can't be a validation set; ingest it without --as-validation."
            )
        return _store(camera, path, name, digest, facts, slice_ordinal, as_validation, start_at, by)
    except BadFile as error:
        return _refuse(camera, path, name, digest, str(error), by)


def _taken(camera: Camera, digest: str) -> Recording | None:
    """The recording of these bytes, where they were taken in: such a one has its job, a refused one has none."""
    known = Recording.objects.filter(camera=camera, sha256=digest).first()
    if known and known.quarantined and not Job.objects.filter(kind=Job.Kind.EXTRACT, subject=known.pk).exists():
        return None
    return known


def _there_already(known: Recording, name: str) -> Ingested:
    said = translated(known.quarantined) or _("It is there already; nothing was added.")
    return Ingested(known, False, f"{name}: {said}")


def _store(
    camera: Camera,
    path: Path,
    name: str,
    digest: str,
    facts: FileFacts,
    slice_ordinal: int | None,
    as_validation: bool,
    start_at: datetime | None,
    by: User | None,
) -> Ingested:
    if not as_validation:
        slices.refuse_closed(camera, slice_ordinal)  # before the bytes are kept
    key = artifacts().put_file(camera.slug, path, path.suffix.lower() if path.suffix.lower() in SUFFIXES else "")
    # A file handed over now was seen before now: its last frame is taken to be the moment of ingest.
    start = start_at or timezone.now() - timedelta(seconds=facts.duration_s)
    with transaction.atomic():
        locked = Camera.objects.select_for_update().get(pk=camera.pk)
        known = _taken(locked, digest)
        if known:  # the same bytes came in twice at the same moment
            return _there_already(known, name)
        recording, _new = Recording.objects.update_or_create(
            camera=locked,
            sha256=digest,
            defaults={
                "slice": None if as_validation else slices.join(locked, start, slice_ordinal),
                "purpose": Recording.Purpose.VALIDATION if as_validation else Recording.Purpose.STREAM,
                "origin": facts.origin,
                "name": name,
                "size": path.stat().st_size,
                "source": key,
                "width": facts.width,
                "height": facts.height,
                "fps": facts.fps,
                "duration_s": facts.duration_s,
                "start_at": start,
                "clock_known": start_at is not None,
                "quarantined": "",
            },
        )
        audit.record("ingest", camera=locked, by=by, recording=recording.pk, name=name)
        queue(locked.pk, Job.Kind.EXTRACT, recording.pk)
    return Ingested(recording, True, _("%(name)s: added (%(what)s).") % {"name": name, "what": translated(facts.words)})


def _refuse(camera: Camera, path: Path, name: str, digest: str, reason: str, by: User | None) -> Ingested:
    reason = reason.removeprefix(f"{path.name}").lstrip(": ").strip() if reason.startswith(path.name) else reason
    reason = reason[:1].upper() + reason[1:]
    with transaction.atomic():
        locked = Camera.objects.select_for_update().get(pk=camera.pk)
        known = _taken(locked, digest)
        if known:  # the same bytes came in otherwise at the same moment
            return _there_already(known, name)
        recording, is_new = Recording.objects.get_or_create(
            camera=locked,
            sha256=digest,
            defaults={
                "origin": Recording.Origin.VIDEO,
                "name": name,
                "size": path.stat().st_size,
                "start_at": timezone.now(),
                "quarantined": reason,
            },
        )
        if recording.quarantined != reason:
            recording.quarantined = reason
            recording.save(update_fields=["quarantined"])
        audit.record("refuse", camera=locked, by=by, recording=recording.pk, name=name, reason=reason)
    return Ingested(recording, is_new, f"{name}: {reason}")
