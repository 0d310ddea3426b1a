"""A camera's guide: read while judging, written by its supervisors."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from alfred.models import GuideVersion, Role
from alfred.models.people import cameras_of
from alfred.services import guide
from annotator.access import camera_for, person
from annotator.forms import GuideForm


@require_GET
def panel(request: HttpRequest, slug: str) -> HttpResponse:
    """What the review page lays beside the stage."""
    camera = camera_for(request, slug)
    return render(request, "annotator/partials/_guide.html", {"camera": camera, "guide": guide.present(camera)})


@require_POST
def saw(request: HttpRequest, slug: str) -> HttpResponse:
    found = guide.present(camera_for(request, slug))
    if found:
        guide.saw(person(request), found)
    return HttpResponse(status=204)


def page(request: HttpRequest, slug: str) -> HttpResponse:
    """Everybody of the camera reads; its supervisors write the next version."""
    camera, user = camera_for(request, slug), person(request)
    may_write = cameras_of(user, Role.SUPERVISOR).filter(pk=camera.pk).exists()
    present = guide.present(camera)
    form = GuideForm(request.POST or None, initial={"text": present.text if present else ""})
    if request.method == "POST":
        camera_for(request, slug, Role.SUPERVISOR)
        if form.is_valid():
            made = guide.write(camera, form.cleaned_data["text"], by=user)
            said = _("Version %(number)d is in force. Everybody sees it once, at their next event.")
            messages.success(request, said % {"number": made.number})
            return redirect("guide", slug)
    shown = {"camera": camera, "guide": present, "form": form if may_write else None, "help": guide.HELP}
    older = GuideVersion.objects.filter(camera=camera).select_related("by").order_by("-number")[1:20]
    return render(request, "annotator/guide.html", shown | {"older": older}, status=422 if form.errors else 200)
