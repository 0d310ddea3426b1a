"""Which key does what, for one person. Actions and keys come from closed lists: no text of theirs reaches a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.conf import settings
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from alfred.models import Preferences, User

DEFAULTS = {
    "normal": "n", "anomaly": "a", "unsure": "u", "skip": "s", "undo": "z", "play": "Space", "back": "Comma",
    "forth": "Period", "slower": "BracketLeft", "faster": "BracketRight", "zoom": "x", "view": "v", "trail": "t",
    "from": "i", "until": "o", "comment": "c", "guide": "g", "alike": "b",
}  # fmt: skip
"""Action → key, as shipped. Arrow keys, Backspace (undo), 1 to 9 (kinds of anomaly) and ? (help) can't be moved."""

WORDS = {
    "normal": _("normal"), "anomaly": _("anomaly"), "unsure": _("unsure"), "skip": _("skip: somebody else looks"),
    "undo": _("undo the last answer"), "play": _("play or pause"), "back": _("one frame back"),
    "forth": _("one frame on"), "slower": _("slower"), "faster": _("faster"),
    "zoom": _("zoom to the person, or the whole view"), "view": _("change what lies under the poses"),
    "trail": _("show where people came from"),
    "from": _("what I judge begins here"), "until": _("what I judge ends here"), "comment": _("write a comment"),
    "guide": _("the camera's guide"), "alike": _("look-alikes of the last one, if it was normal"),
}  # fmt: skip

KEYS = {
    **{letter: letter.upper() for letter in "abcdefghijklmnopqrstuvwxyz"},
    "Space": _("space"), "Comma": ",", "Period": ".", "BracketLeft": "[", "BracketRight": "]", "Minus": "-",
    "Equal": "=", "Slash": "/", "Semicolon": ";", "Enter": "Enter", "Insert": "Insert", "Home": "Home", "End": "End",
    "PageUp": _("Page up"), "PageDown": _("Page down"),
    **{f"F{n}": f"F{n}" for n in (2, 4, 6, 7, 8, 9, 10)},
}  # fmt: skip
"""Keys that an action may have, and how each is shown."""


class KeyTaken(ValueError):
    """Two actions would have one key; the message says which."""


@dataclass(frozen=True)
class Keyboard:
    """`map`: action → key; `single`: whether single letters and digits do something."""

    map: dict[str, str]
    single: bool


def keyboard(user: User) -> Keyboard:
    """A person's keys. What was stored and is no longer known falls back to the default."""
    row = Preferences.objects.filter(user=user).first()
    own = row.keys if row else {}
    mine = {action: str(own[action]) if own.get(action) in KEYS else key for action, key in DEFAULTS.items()}
    return Keyboard(mine, row.single_keys if row else True)


def keep(user: User, keys: Mapping[str, str], *, single: bool) -> None:
    """Keep a person's keys. Raises ValueError for an unknown action or key, KeyTaken where two actions share one."""
    unknown = [f"{action}: {key}" for action, key in keys.items() if action not in DEFAULTS or key not in KEYS]
    if unknown:
        raise ValueError(f"no such action or key: {', '.join(unknown)}")
    mine = DEFAULTS | dict(keys)
    for action, key in mine.items():
        others = [other for other, taken in mine.items() if taken == key and other != action]
        if others:
            said = gettext("%(key)s is the key of two actions: %(one)s, and %(other)s.")
            raise KeyTaken(said % {"key": KEYS[key], "one": WORDS[action], "other": WORDS[others[0]]})
    Preferences.objects.update_or_create(user=user, defaults={"keys": mine, "single_keys": single})


def language_of(user: User) -> str:
    """The language this person chose for the pages; "" is what the browser asks for."""
    row = Preferences.objects.filter(user=user).first()
    return row.language if row else ""


def speak(user: User, language: str) -> None:
    """Keep the language of a person's pages. Raises ValueError for one that there is not."""
    if language and language not in dict(settings.LANGUAGES):
        raise ValueError(f"no such language: {language}")
    Preferences.objects.update_or_create(user=user, defaults={"language": language})
