"""`manage.py ingest CAMERA PATH…`: add files or folders to a camera."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from alfred.detectors import registry
from alfred.models import Camera
from alfred.services import add_camera
from alfred.services.ingest import files_of, ingest, passed_over


def _resolution(text: str) -> tuple[int, int]:
    try:
        width, _, height = text.lower().partition("x")
        return int(width), int(height)
    except ValueError:
        raise ArgumentTypeError("use WIDTHxHEIGHT, e.g. 1920x1080") from None


class Command(BaseCommand):
    help = "Add video files, folders, or tracked poses (AlphaPose JSON, mocap-cctv .npz) to a camera."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("camera", help="name or slug; made when there is none and --create is given")
        parser.add_argument("paths", nargs="+", type=Path)
        parser.add_argument("--create", action="store_true", help="make the camera when it does not exist")
        parser.add_argument("--keep-video", action="store_true", help="with --create: keep the video under the poses")
        parser.add_argument("--detector", help="with --create: what scores its poses, see `manage.py detectors`")
        parser.add_argument("--slice", type=int, dest="slice_ordinal", help="the slice these files make up")
        parser.add_argument("--as-validation", action="store_true", help="use the files' labels as the validation set")
        parser.add_argument("--fps", type=float, help="frame rate of pose files that name none (default 30)")
        parser.add_argument("--resolution", type=_resolution, help="picture size of pose files that name none")

    def handle(self, *args: Any, **options: Any) -> None:
        for root in options["paths"]:
            if not root.exists():
                raise CommandError(f"{root}: there is no such file or folder.")
        camera = self._camera(options)
        refused = 0
        for root in options["paths"]:
            files = files_of(root)
            if not files:
                raise CommandError(f"{root}: no video or pose file in this folder.")
            for path in passed_over(root):
                self.stdout.write(f"{path.name!a}: passed over, neither a video nor a pose file by its ending.")
            for path in files:
                try:
                    found = ingest(
                        camera,
                        path,
                        slice_ordinal=options["slice_ordinal"],
                        as_validation=options["as_validation"],
                        fps=options["fps"],
                        resolution=options["resolution"],
                    )
                except (ValueError, OSError) as error:
                    refused += 1
                    self.stdout.write(self.style.ERROR(f"{path.name!a}: {error}"))
                    continue
                refused += found.refused
                self.stdout.write((self.style.ERROR if found.refused else self.style.SUCCESS)(found.message))
        if refused:
            raise CommandError(f"{refused} file{'s were' if refused > 1 else ' was'} refused; the others are in work.")

    def _camera(self, options: dict[str, Any]) -> Camera:
        name = options["camera"]
        camera = Camera.objects.filter(slug=name).first() or Camera.objects.filter(name=name).first()
        if camera is None:
            if not options["create"]:
                known = ", ".join(Camera.objects.values_list("slug", flat=True)) or "none yet"
                raise CommandError(f"There is no camera {name!r} (there are: {known}). Add --create to make it.")
            privacy = Camera.Privacy.VIDEO if options["keep_video"] else Camera.Privacy.POSES_ONLY
            slice_by = Camera.SliceBy.DAY if options["slice_ordinal"] is None else Camera.SliceBy.IMPORTED
            detector = options["detector"] or Camera.DETECTOR
            if detector not in registry.with_source_weights():
                known = ", ".join(registry.with_source_weights())
                raise CommandError(f"There is no detector {detector!r} with source weights (there are: {known}).")
            camera = add_camera.add(name=name, privacy=privacy, slice_by=slice_by, detector=detector)
        return camera
