"""Which language a page is in: the person's own choice, else what the browser asks for, else English."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.signals import user_logged_in
from django.http import HttpRequest
from django.middleware.locale import LocaleMiddleware
from django.utils import translation

from alfred.models import User
from alfred.services import preferences

KEY = "language"


class Language(LocaleMiddleware):
    """The choice lies in the session, which every request of a signed-in person reads anyway: no query of its own."""

    def process_request(self, request: HttpRequest) -> None:
        chosen = request.session.get(KEY, "")
        if chosen not in dict(settings.LANGUAGES):
            super().process_request(request)
            return
        translation.activate(chosen)
        request.LANGUAGE_CODE = chosen


def choose(request: HttpRequest, language: str) -> None:
    """From the next page on; "" is what the browser asks for."""
    request.session[KEY] = language


def _recall(request: HttpRequest, user: User, **_: Any) -> None:
    choose(request, preferences.language_of(user))


def recall_at_sign_in() -> None:
    """Whoever signs in gets the language they chose, on whichever computer."""
    user_logged_in.connect(_recall, dispatch_uid="alfred-language")
