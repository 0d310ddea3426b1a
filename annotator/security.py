"""What every answer carries, and that every page asks who you are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "font-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)


class ContentSecurityPolicy:
    """No inline script or style, nothing from elsewhere; pages of people's data are kept by no cache."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        response.headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
        if not request.path.startswith("/static/"):
            response.headers.setdefault("Cache-Control", "private, no-store")
        return response


class LoginRequiredByDefault(LoginRequiredMiddleware):
    """Every view needs a login unless it says otherwise (`login_not_required`)."""

    def process_view(
        self, request: HttpRequest, view_func: Callable[..., HttpResponseBase], view_args: Any, view_kwargs: Any
    ) -> HttpResponseBase | None:
        """A script is told 403: following a redirect it would take the login page for its answer."""
        refusal = super().process_view(request, view_func, view_args, view_kwargs)
        scripted = request.headers.get("HX-Request") or "text/html" not in request.headers.get("Accept", "text/html")
        if refusal is not None and scripted:
            return HttpResponse(_("Sign in again."), status=403, content_type="text/plain; charset=utf-8")
        return refusal
