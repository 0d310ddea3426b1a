"""Alerts: what was flagged high, newest first, as it comes in."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from alfred.models import Segment
from alfred.models.people import cameras_of
from alfred.services import alerts, pose_window, trial
from annotator.access import alert_for, chosen_camera, person


@require_GET
def page(request: HttpRequest) -> HttpResponse:
    cameras = {"cameras": cameras_of(person(request))}
    return render(request, "annotator/alerts.html", _wall(request) | cameras)


@require_GET
def wall(request: HttpRequest) -> HttpResponse:
    """The part of the page that moves."""
    return render(request, "annotator/partials/_wall.html", _wall(request))


def _wall(request: HttpRequest) -> dict[str, Any]:
    camera, user = chosen_camera(request), person(request)
    with_seen = request.GET.get("seen") == "yes"
    rows = list(alerts.newest(user, camera)[: alerts.MOST])
    groups = alerts.groups(rows)
    shown = groups if with_seen else [group for group in groups if not group.seen_by]
    return {
        "groups": shown,
        "hidden": len(groups) - len(shown),
        "with_seen": with_seen,
        "hour": alerts.last_hour(user, camera),
        "chosen": camera,
        "most": alerts.MOST,
        "cut": len(rows) == alerts.MOST,
    }


@require_GET
def poses(request: HttpRequest, pk: int) -> JsonResponse:
    """Three seconds for the loop on the wall."""
    return JsonResponse(pose_window.of_moment(alert_for(request, pk)))


@require_POST
def acknowledge(request: HttpRequest, pk: int) -> HttpResponse:
    """Seen, for all who watch the camera; `seen=no` takes it back."""
    alert_for(request, pk)
    alerts.acknowledge(person(request), pk, seen=request.POST.get("seen") != "no")
    if request.headers.get("HX-Request"):
        return render(request, "annotator/partials/_wall.html", _wall(request))
    return redirect("alerts")


@require_POST
def judge(request: HttpRequest, pk: int) -> HttpResponse:
    """Put the alert on this person's stage; not yet on that of who is new."""
    if trial.due(person(request)):
        return redirect("trial")
    try:
        alerts.judge(person(request), pk)
    except Segment.DoesNotExist:
        raise Http404 from None
    except alerts.AlreadyJudged as error:
        messages.error(request, str(error))
        return redirect("alerts")
    return redirect("review")
