"""Reviewing: the next event, the answer, undo. Blind: nothing here tells score, θ, lane or model."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from alfred.models import Answer, Event, FalseAlarm
from alfred.models.people import cameras_of
from alfred.services import (
    anomaly_kinds,
    batches,
    guide,
    lease,
    pose_window,
    preferences,
    raw_view,
    record_verdict,
    trial,
)
from annotator.access import camera_for, chosen_camera, event_for, person, same_person
from annotator.forms import RawReasonForm, ReleaseForm, VerdictForm
from annotator.media import file_response


def page(request: HttpRequest) -> HttpResponse:
    camera, user = chosen_camera(request), person(request)
    if camera:
        camera_for(request, camera)
    if not request.session.get("no_trial"):
        if trial.due(user):
            return redirect("trial")
        request.session["no_trial"] = True
    around = {
        "cameras": cameras_of(user),
        "kinds": anomaly_kinds.in_use()[: anomaly_kinds.WITH_KEYS],
        "reasons": FalseAlarm.choices,
        "keyboard": preferences.keyboard(user),
        "key_names": preferences.KEYS,
        "key_words": preferences.WORDS,
    }
    return render(request, "annotator/review.html", _next(request, camera) | around)


@require_GET
@same_person
def next_fragment(request: HttpRequest) -> HttpResponse:
    return render(request, "annotator/partials/_next.html", _next(request, chosen_camera(request)))


@require_GET
@same_person
def more(request: HttpRequest) -> HttpResponse:
    """Events to fetch ahead, those the page has already (`have`) left out; and what undo would take back."""
    camera, user = chosen_camera(request), person(request)
    have = set(request.GET.getlist("have")[: lease.MOST_HELD])
    held = lease.hold(user, camera, extend=False)  # the heartbeat does that
    ahead = [{"event": event, "facts": pose_window.event_facts(event)} for event in held if str(event.pk) not in have]
    last = record_verdict.last_own(user)
    return render(request, "annotator/partials/_ahead.html", {"ahead": ahead, "last": last, "waiting": None})


@require_POST
@same_person
def verdict(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Write the answer: 201. The same key again answers 200 and writes nothing."""
    form = VerdictForm(request.POST)
    if not form.is_valid():
        event_for(request, pk)
        return _refused(_("The answer was not understood: reload the page."), 400)
    said = form.cleaned_data
    try:
        found = record_verdict.record(
            person(request),
            pk,
            Answer(said["answer"]),
            said["key"],
            active_ms=said["active_ms"] or 0,
            details=form.details(),
        )
    except Event.DoesNotExist:
        raise Http404 from None
    except record_verdict.NothingLeft as error:
        return _refused(str(error), 422)
    return HttpResponse(status=201 if found.is_new else 200)


@require_POST
@same_person
def undo(request: HttpRequest) -> HttpResponse:
    """Bring back one's last answer's event; when that can't be, say why and change nothing."""
    user = person(request)
    taken_back = record_verdict.last_own(user)
    try:
        event = record_verdict.undo(user)
    except batches.NothingToUndo as error:
        return _refused(str(error), 409)
    camera = chosen_camera(request)
    shown = _shown(request, event, camera, lease.waiting(user, camera)) | {"taken_back": taken_back}
    return render(request, "annotator/partials/_next.html", shown)


def _refused(why: str, status: int) -> HttpResponse:
    return HttpResponse(why, status=status, content_type="text/plain; charset=utf-8")


@require_POST
@same_person
def heartbeat(request: HttpRequest) -> JsonResponse:
    """Renew all leases; say which are held, how many events wait, and whose guide has changed."""
    user = person(request)
    held = lease.renew(user)
    return JsonResponse(
        {
            "held": [str(pk) for pk in held],
            "waiting": lease.waiting(user, chosen_camera(request)),
            "unseen": list(guide.unseen(user).values_list("slug", flat=True)),
        }
    )


@require_POST
@same_person
def release(request: HttpRequest) -> HttpResponse:
    """The page was left. A reload asks again within seconds and finds its place; others get what is free after that."""
    form = ReleaseForm(request.POST)
    events = form.cleaned_data["events"] if form.is_valid() else None
    lease.release(person(request), after_s=lease.RELOAD_S, events=events)
    return HttpResponse(status=204)


@require_GET
def poses(request: HttpRequest, pk: UUID) -> JsonResponse:
    """What the stage draws: numbers of everybody in view, the asked ones marked; the strip's shape."""
    return JsonResponse(pose_window.of_event(event_for(request, pk)))


@require_GET
def clip(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """Blurred."""
    return _clip(request, event_for(request, pk), raw=False)


@require_GET
def raw_clip(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """As filmed, for who has said why; every look is noted."""
    event, user = event_for(request, pk), person(request)
    reason = raw_view.reason_of(user, event.camera)
    if not reason:
        return _refused(_("Say first why you need to see the people as they were filmed."), 403)
    raw_view.note(user, event, reason)
    return _clip(request, event, raw=True)


@require_POST
def ask_raw(request: HttpRequest, pk: UUID) -> HttpResponse:
    event, form = event_for(request, pk), RawReasonForm(request.POST)
    if not form.is_valid():
        return _refused(_("A reason of at least five letters is needed."), 422)
    raw_view.allow(person(request), event.camera, form.cleaned_data["reason"])
    return HttpResponse(status=204)


def _clip(request: HttpRequest, event: Event, *, raw: bool) -> HttpResponseBase:
    file = pose_window.open_clip(event, raw=raw)
    if file is None:
        raise Http404
    return file_response(request, file, "video/mp4")


def _next(request: HttpRequest, camera: str) -> dict[str, Any]:
    event, waiting = lease.next_and_waiting(person(request), camera)
    return _shown(request, event, camera, waiting) if event else _nothing(request, camera)


def _shown(request: HttpRequest, event: Event, camera: str, waiting: int) -> dict[str, Any]:
    return {
        "event": event,
        "facts": pose_window.event_facts(event),
        "last": record_verdict.last_own(person(request)),
        "waiting": waiting,
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
