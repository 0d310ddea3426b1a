"""Cameras: the list, one camera's page, its policies, uploads."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from alfred.models import Camera, Recording, Role
from alfred.models.people import cameras_of
from alfred.services import add_camera, camera_overview, ingest, plates, reopen_warm_up
from alfred.services.deploy import Refused
from annotator.access import admin_only, camera_for, person
from annotator.forms import CameraForm, PoliciesForm, ReasonForm, UploadForm


def index(request: HttpRequest) -> HttpResponse:
    rows = camera_overview.overview(cameras_of(person(request), Role.SUPERVISOR))
    return render(request, "annotator/cameras.html", {"rows": rows})


@admin_only
def add(request: HttpRequest) -> HttpResponseBase:
    form = CameraForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        camera = add_camera.add(by=person(request), **form.cleaned_data)
        return redirect("camera", camera.slug)
    return render(request, "annotator/camera_add.html", {"form": form})


def detail(request: HttpRequest, slug: str) -> HttpResponse:
    camera = camera_for(request, slug, Role.SUPERVISOR)
    forms = {"upload_form": UploadForm(), "policies_form": PoliciesForm(instance=camera)}
    return render(request, "annotator/camera.html", _facts(request, camera) | forms)


def status(request: HttpRequest, slug: str) -> HttpResponse:
    """The part of the camera's page that moves while work goes on."""
    camera = camera_for(request, slug, Role.SUPERVISOR)
    return render(request, "annotator/partials/_camera_status.html", _facts(request, camera))


def _facts(request: HttpRequest, camera: Camera) -> dict[str, Any]:
    facts = camera_overview.camera_facts(camera, with_refused="refused" in request.GET)
    plate = plates.facts(camera) if person(request).is_admin else None
    return {"camera": camera, "plate": plate} | facts


def _refusal(form: forms.BaseForm) -> str:
    """What was wrong with a form, field by field, by the names that stand on the page."""
    return " ".join(f"{form[name].label}: {errors[0]}" for name, errors in form.errors.items())


@admin_only
@require_POST
def policies(request: HttpRequest, slug: str) -> HttpResponseBase:
    camera = camera_for(request, slug)
    form = PoliciesForm(request.POST, instance=Camera.objects.get(pk=camera.pk))
    if form.is_valid():
        add_camera.change(camera, by=person(request), **form.cleaned_data)
        messages.success(request, _("Saved."))
    else:
        messages.error(request, _refusal(form))
    return redirect("camera", slug)


@require_POST
def reopen_view(request: HttpRequest, slug: str) -> HttpResponseBase:
    camera = camera_for(request, slug, Role.SUPERVISOR)
    form = ReasonForm(request.POST)
    try:
        made = reopen_warm_up.reopen(camera.pk, person(request), form.cleaned_data["reason"] if form.is_valid() else "")
        said = _("Warm-up is open again; version %(number)d of the validation set is being made.")
        messages.success(request, said % {"number": made.number})
    except Refused as error:
        messages.error(request, str(error))
    return redirect("camera", slug)


@require_POST
def call_off_view(request: HttpRequest, slug: str) -> HttpResponseBase:
    camera = camera_for(request, slug, Role.SUPERVISOR)
    try:
        reopen_warm_up.call_off(camera.pk, person(request))
        messages.success(request, _("The new version was called off; the validation set in force stays."))
    except Refused as error:
        messages.error(request, str(error))
    return redirect("camera", slug)


@admin_only
@require_POST
def upload(request: HttpRequest, slug: str) -> HttpResponseBase:
    camera = camera_for(request, slug)
    form = UploadForm(request.POST, request.FILES)
    if not form.is_valid():
        messages.error(request, _refusal(form))
        return redirect("camera", slug)
    for file in form.cleaned_data["uploads"]:
        try:
            found = _take(request, camera, file, form.cleaned_data)
        except ValueError as error:
            messages.error(request, f"{file.name}: {error}")
            continue
        (messages.error if found.refused else messages.success)(request, found.message)
        if _rate_was_assumed(found, form.cleaned_data):
            messages.warning(
                request,
                _(
                    "%(name)s came without a frame rate and is taken as %(fps)g fps."
                    " If it was filmed at another rate, all its times are wrong."
                )
                % {"name": found.recording.name, "fps": found.recording.fps},
            )
    return redirect("camera", slug)


def _rate_was_assumed(found: ingest.Ingested, wishes: dict[str, object]) -> bool:
    """An upload has no note of its frame rate beside it, so a pose file's is what the form says, or assumed."""
    is_poses = found.recording.origin == Recording.Origin.POSES
    return found.is_new and not found.refused and is_poses and not wishes["fps"]


def _take(request: HttpRequest, camera: Camera, file: UploadedFile[Any], wishes: dict[str, Any]) -> ingest.Ingested:
    """Put the upload under its own name in a folder of its own, and ingest it from there."""
    name = Path(file.name or "upload").name.lstrip(".-") or "upload"
    if (file.size or 0) > settings.MAX_UPLOAD_MB * 2**20:
        raise ValueError(
            _("larger than %(most)d MB; use `manage.py ingest` on the server.") % {"most": settings.MAX_UPLOAD_MB}
        )
    with TemporaryDirectory(dir=settings.FILE_UPLOAD_TEMP_DIR) as folder:
        path = Path(folder) / name.encode()[-200:].decode(errors="ignore")  # file systems count bytes
        with path.open("wb") as target:
            for block in file.chunks():
                target.write(block)
        return ingest.ingest(
            camera,
            path,
            slice_ordinal=wishes["slice_ordinal"],
            as_validation=wishes["as_validation"],
            by=person(request),
            fps=wishes["fps"],
            resolution=wishes["resolution"],
        )
