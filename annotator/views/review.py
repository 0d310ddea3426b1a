"""Reviewing: the next event, the answer, undo. Blind: nothing here tells score, θ, lane or model."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET, require_POST
from django_htmx.http import reswap, trigger_client_event

from alfred.models import Answer, Event
from alfred.models.people import cameras_of
from alfred.services import lease, pose_window, record_verdict
from annotator.access import camera_for, chosen_camera, event_for, person
from annotator.forms import VerdictForm
from annotator.media import file_response


def page(request: HttpRequest) -> HttpResponse:
    camera = chosen_camera(request)
    if camera:
        camera_for(request, camera)
    return render(request, "annotator/review.html", _next(request, camera) | {"cameras": cameras_of(person(request))})


@require_GET
def next_fragment(request: HttpRequest) -> HttpResponse:
    return render(request, "annotator/partials/_event.html", _next(request, chosen_camera(request)))


@require_POST
def verdict(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Write the answer; the page then asks for the next event. The same key again answers 200 and writes nothing."""
    form = VerdictForm(request.POST)
    if not form.is_valid():
        event_for(request, pk)
        return HttpResponse("The answer was not understood: reload the page.", status=400, content_type="text/plain")
    said = form.cleaned_data
    try:
        found = record_verdict.record(
            person(request), pk, Answer(said["answer"]), said["key"], active_ms=said["active_ms"] or 0
        )
    except Event.DoesNotExist:
        raise Http404 from None
    response = HttpResponse(status=201 if found.is_new else 200)
    return reswap(trigger_client_event(response, "alfred:next", {}), "none")


@require_POST
def undo(request: HttpRequest) -> HttpResponse:
    """Bring back one's last answer's event; when that can't be, say why and change nothing."""
    taken_back = record_verdict.last_own(person(request))
    try:
        event = record_verdict.undo(person(request))
    except record_verdict.NothingToUndo as error:
        response = HttpResponse(status=200)
        return reswap(trigger_client_event(response, "alfred:say", {"text": str(error)}), "none")
    shown = _shown(request, event, chosen_camera(request)) | {"taken_back": taken_back}
    return render(request, "annotator/partials/_event.html", shown)


@require_POST
def heartbeat(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"renewed": lease.renew(person(request))})


@require_POST
def release(request: HttpRequest) -> HttpResponse:
    lease.release(person(request))
    return HttpResponse(status=204)


@require_GET
def poses(request: HttpRequest, pk: UUID) -> JsonResponse:
    """What the stage draws: numbers of everybody in view, the asked ones marked; the strip's shape."""
    return JsonResponse(pose_window.of_event(event_for(request, pk)))


@require_GET
def video(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    file = pose_window.open_video(event_for(request, pk).recording)
    if file is None:
        raise Http404
    return file_response(request, file, "video/mp4")


def _next(request: HttpRequest, camera: str) -> dict[str, Any]:
    event = lease.next_event(person(request), camera)
    return _shown(request, event, camera) if event else _nothing(request, camera)


def _shown(request: HttpRequest, event: Event, camera: str) -> dict[str, Any]:
    return {
        "event": event,
        "facts": pose_window.event_facts(event),
        "key": uuid4(),
        "last": record_verdict.last_own(person(request)),
        "waiting": lease.waiting(person(request), camera),
        "count_up_to": lease.COUNT_UP_TO,
        "chosen": camera,
    }


def _nothing(request: HttpRequest, camera: str) -> dict[str, Any]:
    """Why there is nothing to show, told apart."""
    user = person(request)
    held, seconds = lease.held_by_others(user, camera)
    return {
        "event": None,
        "held": held,
        "seconds": round(seconds) if seconds else None,
        "elsewhere": lease.waiting(user) if camera else 0,
        "no_camera": not cameras_of(user).exists(),
        "last": record_verdict.last_own(user),
        "chosen": camera,
    }
