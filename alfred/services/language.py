"""What lower layers and stored rows say in English, in the language of whoever reads the page."""

from __future__ import annotations

from django.utils.translation import gettext, ngettext

from alfred.core.phrases import Phrase


def translated(words: str) -> str:
    """A phrase from its template; a plain text if it is one of those known word for word, else as it is.

    What is stored stays as it was written: sentences with numbers or names in them, and whatever people wrote.
    """
    if isinstance(words, Phrase):
        return words.translated(gettext, ngettext)
    return gettext(words) if words else ""
