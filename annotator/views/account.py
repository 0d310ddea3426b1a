"""How a person likes to work."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from alfred.services import preferences
from annotator.access import person
from annotator.forms import KeysForm


def keys(request: HttpRequest) -> HttpResponse:
    """Which key does what."""
    user = person(request)
    initial = preferences.keys_of(user) | {"single": preferences.single_keys(user)}
    form = KeysForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        chosen = {action: form.cleaned_data[action] for action in preferences.DEFAULTS}
        try:
            preferences.save(user, chosen, single=form.cleaned_data["single"])
        except preferences.KeyTaken as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, "Kept. The keys hold on every computer you sign in on.")
            return redirect("review")
    return render(request, "annotator/keys.html", {"form": form}, status=422 if form.errors else 200)
