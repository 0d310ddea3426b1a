"""How a person likes to work."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from alfred.services import anomaly_kinds, my_work, preferences
from annotator.access import admin_only, person
from annotator.forms import KeysForm, KindsForm


def keys(request: HttpRequest) -> HttpResponse:
    """Which key does what."""
    user = person(request)
    initial = preferences.keys_of(user) | {"single": preferences.single_keys(user)}
    form = KeysForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        chosen = {action: form.cleaned_data[action] for action in preferences.DEFAULTS}
        try:
            preferences.keep(user, chosen, single=form.cleaned_data["single"])
        except preferences.KeyTaken as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, "Kept. The keys hold on every computer you sign in on.")
            return redirect("review")
    return render(request, "annotator/keys.html", {"form": form}, status=422 if form.errors else 200)


def work(request: HttpRequest) -> HttpResponse:
    """What I did today, and what can still be taken back."""
    return render(request, "annotator/work.html", my_work.today(person(request), my_work.midnight()))


@admin_only
def kinds(request: HttpRequest) -> HttpResponse:
    """The kinds of anomaly people can name."""
    form = KindsForm(request.POST or None, initial={"kinds": "\n".join(anomaly_kinds.in_use())})
    if request.method == "POST" and form.is_valid():
        anomaly_kinds.replace(form.cleaned_data["kinds"], by=person(request))
        messages.success(request, "Kept. People see the new list from their next page on.")
        return redirect("kinds")
    return render(request, "annotator/kinds.html", {"form": form}, status=422 if form.errors else 200)
