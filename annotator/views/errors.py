"""Pages of what went wrong."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

from alfred import __version__


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Made without the request: Django calls this in a thread whose database connection nobody would give back."""
    return HttpResponse(render_to_string("404.html", {"version": __version__}), status=404)
