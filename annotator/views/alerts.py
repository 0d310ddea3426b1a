"""Alerts: what was flagged high, newest first."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from alfred.models import Segment
from alfred.models.people import cameras_of
from alfred.services import alerts
from annotator.access import chosen_camera, person


@require_GET
def page(request: HttpRequest) -> HttpResponse:
    camera, user = chosen_camera(request), person(request)
    rows = list(alerts.newest(user, camera)[: alerts.MOST])
    shown = {"groups": alerts.groups(rows), "cameras": cameras_of(user), "chosen": camera, "most": alerts.MOST}
    return render(request, "annotator/alerts.html", shown | {"cut": len(rows) == alerts.MOST})


@require_POST
def judge(request: HttpRequest, pk: int) -> HttpResponse:
    """Put the alert on this person's stage."""
    try:
        alerts.judge(person(request), pk)
    except Segment.DoesNotExist:
        raise Http404 from None
    except alerts.AlreadyJudged as error:
        messages.error(request, str(error))
        return redirect("alerts")
    return redirect("review")
