"""Rounds: launch, watch, cancel, decide; and rolling back."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from alfred.models import Deployment, Round
from alfred.models.detectors import in_force
from alfred.services import deploy, launch_round, round_facts
from alfred.services.deploy import Refused
from alfred.services.storage import artifacts
from annotator.access import admin_only, camera_for, person, round_for
from annotator.forms import ReasonForm, RollBackForm
from annotator.media import file_response


def page(request: HttpRequest, pk: int) -> HttpResponse:
    return render(request, "annotator/round.html", _facts(round_for(request, pk)))


def status(request: HttpRequest, pk: int) -> HttpResponse:
    return render(request, "annotator/partials/_round_status.html", _facts(round_for(request, pk)))


def _facts(row: Round) -> dict[str, Any]:
    """What the page shows. A page of a round long over must not call what it began from deployed."""
    present = in_force(row.camera_id)
    frame = {"round": row, "camera": row.camera, "present": present}
    return frame | {"base_in_force": bool(present and present.pk == row.base_id)} | round_facts.facts(row)


@admin_only
@require_POST
def launch_view(request: HttpRequest, slug: str) -> HttpResponseBase:
    camera = camera_for(request, slug)
    try:
        row = launch_round.launch(camera.pk, person(request))
    except Refused as error:
        messages.error(request, str(error))
        return redirect("camera", slug)
    return redirect("round", row.pk)


@admin_only
@require_POST
def cancel_view(request: HttpRequest, pk: int) -> HttpResponseBase:
    row = round_for(request, pk)
    try:
        launch_round.cancel_round(row.pk, person(request))
        messages.success(request, "The round is being cancelled; what is in force stays.")
    except Refused as error:
        messages.error(request, str(error))
    return redirect("round", pk)


@admin_only
@require_POST
def promote_view(request: HttpRequest, pk: int) -> HttpResponseBase:
    row = round_for(request, pk)
    form = ReasonForm(request.POST)
    try:
        deploy.promote(row.pk, person(request), form.cleaned_data["reason"] if form.is_valid() else "")
        messages.success(request, f"{row.version} is in force on {row.camera} with its own threshold.")
    except Refused as error:
        messages.error(request, str(error))
    return redirect("round", pk)


@admin_only
@require_POST
def reject_view(request: HttpRequest, pk: int) -> HttpResponseBase:
    row = round_for(request, pk)
    form = ReasonForm(request.POST)
    try:
        deploy.reject(row.pk, person(request), form.cleaned_data["reason"] if form.is_valid() else "")
        messages.success(request, "The candidate was turned down; what is in force stays.")
    except Refused as error:
        messages.error(request, str(error))
    return redirect("round", pk)


@admin_only
@require_POST
def roll_back_view(request: HttpRequest, slug: str) -> HttpResponseBase:
    camera = camera_for(request, slug)
    form = RollBackForm(request.POST)
    if not form.is_valid():
        raise Http404
    try:
        made = deploy.roll_back(
            camera.pk, form.cleaned_data["deployment"], person(request), form.cleaned_data["reason"]
        )
        messages.success(request, f"{made.version} is in force again, with its θ = {made.theta:.3f}.")
    except Deployment.DoesNotExist:
        raise Http404 from None
    except Refused as error:
        messages.error(request, str(error))
    return redirect("camera", slug)


def manifest(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Every segment of the round's slice and why it trained or not."""
    row = round_for(request, pk)
    if not row.manifest:
        raise Http404
    response = file_response(request, artifacts().open(row.manifest), "application/vnd.apache.parquet")
    response.headers["Content-Disposition"] = f'attachment; filename="round-{row.ordinal}-manifest.parquet"'
    return response
