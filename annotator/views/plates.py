"""A camera's background plate: asked for, looked at, approved and taken back by admins; seen by its people."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from alfred.models import Plate
from alfred.services import plates
from alfred.services.deploy import Refused
from annotator.access import admin_only, camera_for, person, plate_for
from annotator.media import file_response


@require_GET
def picture(request: HttpRequest, pk: int) -> HttpResponseBase:
    """The JPEG under the skeletons; before it is approved, for admins alone."""
    file = plates.open_picture(plate_for(request, pk))
    if file is None:
        raise Http404
    return file_response(request, file, "image/jpeg")


@admin_only
@require_POST
def ask(request: HttpRequest, slug: str) -> HttpResponse:
    try:
        plates.request(camera_for(request, slug), person(request))
        messages.success(request, _("The picture is being made. Nobody but admins sees it until it is approved."))
    except Refused as error:
        messages.error(request, str(error))
    return _back(slug)


@admin_only
@require_POST
def approve(request: HttpRequest, pk: int) -> HttpResponse:
    slug = _slug(pk)
    try:
        plates.approve(pk, person(request))
        messages.success(request, _("Approved: everybody who reviews this camera may lay the poses over it now."))
    except Refused as error:
        messages.error(request, str(error))
    return _back(slug)


@admin_only
@require_POST
def remove(request: HttpRequest, pk: int) -> HttpResponse:
    slug = _slug(pk)
    plates.refuse(pk, person(request))
    messages.success(request, _("The picture is deleted."))
    return _back(slug)


def _slug(pk: int) -> str:
    return get_object_or_404(Plate.objects.select_related("camera"), pk=pk).camera.slug


def _back(slug: str) -> HttpResponse:
    response = redirect("camera", slug)
    response["Location"] += "#plate"
    return response
