"""Rounds: launch, watch, cancel, decide; and rolling back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

from django import forms
from django.contrib import messages
from django.core.handlers.asgi import ASGIRequest
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from alfred.models import Deployment, Round
from alfred.models.detectors import in_force
from alfred.services import deploy, launch_replay, launch_round, replay_facts, round_facts
from alfred.services.deploy import Refused
from alfred.services.storage import artifacts
from annotator.access import admin_only, camera_for, person, round_for
from annotator.forms import ReasonForm, RollBackForm
from annotator.media import file_response


class ReplayForm(forms.Form):
    slices = forms.IntegerField(min_value=1, max_value=launch_replay.MOST_SLICES)


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
        messages.success(request, _("The round is being cancelled; what is in force stays."))
    except Refused as error:
        messages.error(request, str(error))
    return redirect("round", pk)


@admin_only
@require_POST
def promote_view(request: HttpRequest, pk: int) -> HttpResponseBase:
    row = round_for(request, pk)
    form = ReasonForm(request.POST)
    try:
        said = {"version": row.version, "camera": row.camera}
        deploy.promote(row.pk, person(request), form.cleaned_data["reason"] if form.is_valid() else "")
        messages.success(request, _("%(version)s is in force on %(camera)s with its own threshold.") % said)
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
        messages.success(request, _("The candidate was turned down; what is in force stays."))
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
        said = {"version": made.version, "theta": made.theta}
        messages.success(request, _("%(version)s is in force again, with its θ = %(theta).3f.") % said)
    except Deployment.DoesNotExist:
        raise Http404 from None
    except Refused as error:
        messages.error(request, str(error))
    return redirect("camera", slug)


@admin_only
@require_POST
def replay_launch_view(request: HttpRequest, pk: int) -> HttpResponseBase:
    row = round_for(request, pk)
    form = ReplayForm(request.POST)
    try:
        if not form.is_valid():
            raise Refused(_("Slices: %(why)s") % {"why": form.errors["slices"][0]})
        launch_replay.launch(row.pk, form.cleaned_data["slices"], person(request))
        messages.success(request, _("The replay waits for a worker; what it finds will stand on this page."))
    except Refused as error:
        messages.error(request, str(error))
    return redirect("round", pk)


def replay(request: HttpRequest, pk: int) -> HttpResponse:
    """What a replay of the round's version found, a list at a time: ?of=, ?show=, ?page=."""
    row = round_for(request, pk)
    made = replay_facts.replays_of(row)
    frame = {"round": row, "camera": row.camera, "replay": None}
    if not made:
        return render(request, "annotator/replay.html", frame)
    chosen = next((one for one in made if str(one.pk) == request.GET.get("of")), made[0])
    show = request.GET.get("show", "")
    show = show if show in replay_facts.KINDS else "no-longer"
    counted = replay_facts.counts(chosen)
    page, rows = replay_facts.page(chosen, show, request.GET.get("page"))
    more = {
        "replay": chosen,
        "others": made if len(made) > 1 else [],
        "sentence": replay_facts.sentence(chosen.figures),
        "tabs": [(key, words, counted[key]) for key, words in replay_facts.KINDS.items()],
        "show": show,
        "heading": replay_facts.KINDS[show],
        "nothing": replay_facts.NOTHING[show],
        "page": page,
        "rows": rows,
    }
    return render(request, "annotator/replay.html", frame | more)


def manifest(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Every segment of the round's slice and why it trained or not."""
    row = round_for(request, pk)
    if not row.manifest:
        raise Http404
    response = file_response(request, artifacts().open(row.manifest), "application/vnd.apache.parquet")
    response.headers["Content-Disposition"] = f'attachment; filename="round-{row.ordinal}-manifest.parquet"'
    return response


def manifest_csv(request: HttpRequest, pk: int) -> HttpResponseBase:
    """The same as CSV, some rows at a time: under ASGI Django would read a synchronous iterator to its end first."""
    row = round_for(request, pk)
    if not row.manifest:
        raise Http404
    blocks = round_facts.manifest_as_csv(row)
    streamed = _in_threads(blocks) if isinstance(request, ASGIRequest) else blocks
    response = StreamingHttpResponse(streamed, content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="round-{row.ordinal}-manifest.csv"'
    return response


async def _in_threads(blocks: Iterator[bytes]) -> AsyncIterator[bytes]:
    while block := await asyncio.to_thread(next, blocks, b""):
        yield block
