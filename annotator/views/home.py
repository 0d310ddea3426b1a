"""The door: where you land, health, signing out."""

from __future__ import annotations

from django.contrib.auth import logout
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from alfred.services import lease
from annotator.access import person
from annotator.glossary import GLOSSARY


def home(request: HttpRequest) -> HttpResponse:
    """Admins land on cameras, everybody else on the next event."""
    return redirect("cameras" if person(request).is_admin else "review")


@login_not_required
def health(request: HttpRequest) -> HttpResponse:
    """Says that the process answers, and nothing else."""
    return HttpResponse("ok", content_type="text/plain")


def words(request: HttpRequest) -> HttpResponse:
    """What the terms on the pages mean."""
    return render(request, "annotator/words.html", {"words": GLOSSARY.values()})


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """Others may have this person's event at once."""
    lease.release(person(request))
    logout(request)
    return redirect("login")
