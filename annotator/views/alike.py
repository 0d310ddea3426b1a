"""Look-alikes: check some, confirm the others with them."""

from __future__ import annotations

from uuid import UUID, uuid4

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from alfred.models import Answer, Batch, Event
from alfred.services import batches, look_alikes
from annotator.access import event_for, person
from annotator.forms import AlikeForm


@require_GET
def page(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Those to be looked at, or why there are none."""
    event = event_for(request, pk)
    try:
        found = look_alikes.find(person(request), event.pk)
    except look_alikes.NotAlike as error:
        return render(request, "annotator/alike.html", {"why": str(error), "like": event})
    answers = (Answer.NORMAL, Answer.ANOMALY, Answer.UNSURE)
    shown = {"found": found, "like": event, "key": uuid4(), "answers": answers}
    return render(request, "annotator/alike.html", shown | {"others": len(found.events) - len(found.checked)})


@require_POST
def confirm(request: HttpRequest, pk: UUID) -> HttpResponse:
    event_for(request, pk)
    form = AlikeForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("Every one of those shown has to be judged; nothing was changed."))
        return redirect("alike", pk)
    said = form.cleaned_data
    try:
        done = look_alikes.confirm(person(request), said["token"], said["answers"], said["key"])
    except look_alikes.NotAlike as error:
        messages.error(request, str(error))
        return redirect("alike", pk)
    except Event.DoesNotExist:
        raise Http404 from None
    if done.batch is None:
        messages.warning(
            request, _("Not all of them were normal, so nothing else was confirmed; your answers are kept.")
        )
    else:
        messages.success(
            request,
            _(
                "%(n)d look-alikes were confirmed as normal without a look; at most %(most)d of them may be anomalies"
                " (95 %%). Undo takes them back together."
            )
            % {"n": done.together, "most": done.at_most},
        )
    if done.gone:
        messages.warning(request, _("%(n)d others are being judged by somebody already.") % {"n": done.gone})
    return redirect("review")


@require_POST
def undo(request: HttpRequest, pk: int) -> HttpResponse:
    try:
        batches.take_back(person(request), pk)
        messages.success(request, _("Taken back: all of them wait again."))
    except Batch.DoesNotExist:
        raise Http404 from None
    except batches.NothingToUndo as error:
        messages.error(request, str(error))
    return redirect("my-work")
