"""Twenty known items for who is new."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from alfred.models import Answer, Segment
from alfred.services import plates, pose_window, trial
from annotator.access import person
from annotator.forms import TrialForm


@require_GET
def page(request: HttpRequest) -> HttpResponse:
    """The next item, or how it went."""
    user = person(request)
    done, item = trial.results(user), trial.next_item(user)
    shown = {"item": item, "done": done, "of": trial.ITEMS}
    if item:
        stage = {"poses_url": reverse("trial-poses", args=[item.pk]), "plate": plates.under(item.recording)}
        return render(request, "annotator/trial.html", shown | stage)
    anomalies = [one for one in done if one.anomalous]
    normals = [one for one in done if not one.anomalous]
    counts = {
        "anomalies": len(anomalies),
        "found": sum(one.right for one in anomalies),
        "normals": len(normals),
        "passed": sum(one.right for one in normals),
    }
    return render(request, "annotator/trial.html", shown | counts)


@require_GET
def poses(request: HttpRequest, pk: int) -> JsonResponse:
    try:
        return JsonResponse(pose_window.of_moment(trial.item_for(person(request), pk), seconds=6.0))
    except Segment.DoesNotExist:
        raise Http404 from None


@require_POST
def answer(request: HttpRequest, pk: int) -> HttpResponse:
    form = TrialForm(request.POST)
    if form.is_valid():
        try:
            trial.answer(person(request), pk, Answer(form.cleaned_data["answer"]))
        except Segment.DoesNotExist:
            raise Http404 from None
    return redirect("trial")
