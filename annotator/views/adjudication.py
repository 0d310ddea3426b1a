"""Where answers differ: a supervisor sees both and rules."""

from __future__ import annotations

from uuid import UUID, uuid4

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from alfred.models import Answer, Event
from alfred.services import agreement, correct, pose_window
from annotator.access import person
from annotator.forms import RulingForm


@require_GET
def index(request: HttpRequest) -> HttpResponse:
    """The oldest dispute with its answers; how many there are."""
    rows = agreement.disputed(person(request))
    return render(request, "annotator/adjudication.html", _shown(request, rows.first()) | {"waiting": rows.count()})


@require_GET
def page(request: HttpRequest, pk: UUID) -> HttpResponse:
    rows = agreement.disputed(person(request))
    return render(
        request,
        "annotator/adjudication.html",
        _shown(request, get_object_or_404(rows, pk=pk)) | {"waiting": rows.count()},
    )


@require_POST
def rule(request: HttpRequest, pk: UUID) -> HttpResponse:
    form = RulingForm(request.POST)
    if not form.is_valid():
        get_object_or_404(agreement.disputed(person(request)), pk=pk)
        messages.error(request, _("The ruling was not understood; nothing was changed."))
        return redirect("adjudication")
    said = form.cleaned_data
    ruled = Answer(said["answer"])
    try:
        agreement.adjudicate(person(request), pk, ruled, said["key"], said["comment"])
    except Event.DoesNotExist:
        raise Http404 from None
    messages.success(
        request, _("Ruled: %(answer)s. It counts instead of the answers that differed.") % {"answer": ruled.label}
    )
    return redirect("adjudication")


def _shown(request: HttpRequest, event: Event | None) -> dict[str, object]:
    if event is None:
        return {"event": None}
    said = agreement.answers(event) + correct.pending_of(event)
    return {
        "event": event,
        "party": person(request).username in {name for name, *_ in said},
        "facts": pose_window.event_facts(event),
        "said": said,
        "key": uuid4(),
    }
