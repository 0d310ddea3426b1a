"""`manage.py person NAME --camera SLUG --role annotator`: make a person, or give one a role on a camera."""

from __future__ import annotations

import secrets
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import Q

from alfred.models import Camera, Role, User
from alfred.services import add_camera


class Command(BaseCommand):
    help = "Make a person (the password is printed once) and give them a role on cameras."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--camera", nargs="*", default=[], help="names or slugs of the cameras")
        parser.add_argument("--role", choices=Role.values, default=Role.ANNOTATOR)

    def handle(self, *args: Any, **options: Any) -> None:
        wanted = set(options["camera"])
        cameras = list(Camera.objects.filter(Q(slug__in=wanted) | Q(name__in=wanted)))
        missing = wanted - {c.slug for c in cameras} - {c.name for c in cameras}
        if missing:
            known = ", ".join(Camera.objects.values_list("slug", flat=True)) or "none yet"
            raise CommandError(f"There is no camera {', '.join(sorted(missing))} (there are: {known}).")
        user = User.objects.filter(username=options["name"]).first()
        if user is None:
            password = secrets.token_urlsafe(9)
            user = User.objects.create_user(options["name"], password=password)
            self.stdout.write(f"{user.username}: password {password} (shown once)")
        for camera in cameras:
            add_camera.allow(user, camera, Role(options["role"]))
            self.stdout.write(f"{user.username}: {options['role']} on {camera.name}")
