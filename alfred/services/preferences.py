"""Which key does what, for one person. Actions and keys come from closed lists: no text of theirs reaches a page."""

from __future__ import annotations

from collections.abc import Mapping

from alfred.models import Preferences, User

DEFAULTS = {
    "normal": "n", "anomaly": "a", "unsure": "u", "skip": "s", "undo": "z", "play": "Space", "back": "Comma",
    "forth": "Period", "slower": "BracketLeft", "faster": "BracketRight", "zoom": "x", "view": "v", "trail": "t",
    "from": "i", "until": "o", "comment": "c", "guide": "g", "alike": "b",
}  # fmt: skip
"""Action → key, as shipped. Arrow keys, Backspace (undo), 1 to 9 (kinds of anomaly) and ? (help) can't be moved."""

WORDS = {
    "normal": "normal", "anomaly": "anomaly", "unsure": "unsure", "skip": "skip: somebody else looks",
    "undo": "undo the last answer", "play": "play or pause", "back": "one frame back", "forth": "one frame on",
    "slower": "slower", "faster": "faster", "zoom": "zoom to the person, or the whole view",
    "view": "change what lies under the poses", "trail": "show where people came from",
    "from": "what I judge begins here", "until": "what I judge ends here", "comment": "write a comment",
    "guide": "the camera's guide", "alike": "look-alikes of the last one, if it was normal",
}  # fmt: skip

KEYS = {
    **{letter: letter.upper() for letter in "abcdefghijklmnopqrstuvwxyz"},
    "Space": "space", "Comma": ",", "Period": ".", "BracketLeft": "[", "BracketRight": "]", "Minus": "-", "Equal": "=",
    "Slash": "/", "Semicolon": ";", "Enter": "Enter", "Insert": "Insert", "Home": "Home", "End": "End",
    "PageUp": "Page up", "PageDown": "Page down",
    **{f"F{n}": f"F{n}" for n in (2, 4, 6, 7, 8, 9, 10)},
}  # fmt: skip
"""Keys that an action may have, and how each is shown."""


class KeyTaken(ValueError):
    """Two actions would have one key; the message says which."""


def keys_of(user: User) -> dict[str, str]:
    """Action → key. What was stored and is no longer known falls back to the default."""
    row = Preferences.objects.filter(user=user).first()
    own = row.keys if row else {}
    return {action: str(own[action]) if own.get(action) in KEYS else key for action, key in DEFAULTS.items()}


def single_keys(user: User) -> bool:
    """Whether single letters and digits do something."""
    row = Preferences.objects.filter(user=user).first()
    return row.single_keys if row else True


def keep(user: User, keys: Mapping[str, str], *, single: bool) -> None:
    """Keep a person's keys. Raises ValueError for an unknown action or key, KeyTaken where two actions share one."""
    unknown = [f"{action}: {key}" for action, key in keys.items() if action not in DEFAULTS or key not in KEYS]
    if unknown:
        raise ValueError(f"no such action or key: {', '.join(unknown)}")
    mine = DEFAULTS | dict(keys)
    for action, key in mine.items():
        others = [other for other, taken in mine.items() if taken == key and other != action]
        if others:
            raise KeyTaken(f"{KEYS[key]} is the key of two actions: {WORDS[action]}, and {WORDS[others[0]]}.")
    Preferences.objects.update_or_create(user=user, defaults={"keys": mine, "single_keys": single})
