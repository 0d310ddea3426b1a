"""How a person likes to work."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from alfred.models import Answer, Event
from alfred.services import anomaly_kinds, correct, my_work, preferences
from annotator import language
from annotator.access import admin_only, event_for, person
from annotator.forms import CorrectionForm, KeysForm, KindsForm


def keys(request: HttpRequest) -> HttpResponse:
    """Which key does what."""
    user = person(request)
    mine = preferences.keyboard(user)
    initial = mine.map | {"single": mine.single}
    form = KeysForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        chosen = {action: form.cleaned_data[action] for action in preferences.DEFAULTS}
        try:
            preferences.keep(user, chosen, single=form.cleaned_data["single"])
        except preferences.KeyTaken as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, _("Kept. The keys hold on every computer you sign in on."))
            return redirect("review")
    return render(request, "annotator/keys.html", {"form": form}, status=422 if form.errors else 200)


@require_POST
def speak(request: HttpRequest) -> HttpResponse:
    """The language of the pages, from now on and wherever this person signs in; then back to where they were."""
    wanted, back = request.POST.get("language", ""), request.POST.get("back", "")
    try:
        preferences.speak(person(request), wanted)
    except ValueError:
        raise Http404 from None
    language.choose(request, wanted)
    is_ours = back.startswith("/") and url_has_allowed_host_and_scheme(back, allowed_hosts=None)
    return HttpResponseRedirect(back if is_ours else reverse("home"))


def work(request: HttpRequest) -> HttpResponse:
    """What I did today, and what can still be taken back."""
    can_be = {"can_be": [Answer.NORMAL, Answer.ANOMALY, Answer.UNSURE]}
    return render(request, "annotator/work.html", my_work.today(person(request), my_work.midnight()) | can_be)


@require_POST
def correct_view(request: HttpRequest, pk: UUID) -> HttpResponse:
    """An answer that undo can't reach any more: a supervisor rules on it."""
    form = CorrectionForm(request.POST)
    if not form.is_valid():
        event_for(request, pk)
        messages.error(request, _("The correction was not understood; nothing was changed."))
        return redirect("my-work")
    try:
        correct.ask(person(request), pk, Answer(form.cleaned_data["answer"]), form.cleaned_data["comment"])
        said = _("A supervisor will see both and rule. Until then your answer stands as it was.")
        messages.success(request, said)
    except Event.DoesNotExist:
        raise Http404 from None
    except correct.CantCorrect as error:
        messages.error(request, str(error))
    return redirect("my-work")


@admin_only
def kinds(request: HttpRequest) -> HttpResponse:
    """The kinds of anomaly people can name."""
    form = KindsForm(request.POST or None, initial={"kinds": "\n".join(anomaly_kinds.in_use())})
    if request.method == "POST" and form.is_valid():
        anomaly_kinds.replace(form.cleaned_data["kinds"], by=person(request))
        messages.success(request, _("Kept. People see the new list from their next page on."))
        return redirect("kinds")
    return render(request, "annotator/kinds.html", {"form": form}, status=422 if form.errors else 200)
