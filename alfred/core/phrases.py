"""English sentences that know what they were made of, so that a page can say them in another language.

What is said below the web app (rates, reports, drift) is a `Phrase`: to everybody a plain str, compared, stored and
written to CSV in English. A page asks it for the words of its reader with `translated`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

One = Callable[[str], str]
Several = Callable[[str, str, int], str]


class Phrase(str):
    """A template filled with its parts, which may be phrases themselves."""

    template: str
    many: str
    parts: Mapping[str, Any]

    def __new__(cls, template: str, many: str = "", **parts: Any) -> Phrase:
        chosen = many if many and parts["n"] != 1 else template
        made = super().__new__(cls, chosen.format(**parts) if parts else chosen)
        made.template, made.many, made.parts = template, many, parts
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        """Copied, or sent from one process of ours to another, it stays a phrase."""
        return _again, (self.template, self.many, dict(self.parts))

    def translated(self, one: One, several: Several) -> str:
        """The sentence by way of `gettext` and `ngettext`, or what stands in for them."""
        parts = {name: p.translated(one, several) if isinstance(p, Phrase) else p for name, p in self.parts.items()}
        template = several(self.template, self.many, self.parts["n"]) if self.many else one(self.template)
        return template.format(**parts) if parts else template


def _again(template: str, many: str, parts: Mapping[str, Any]) -> Phrase:
    return Phrase(template, many, **parts)


def phrase(template: str, **parts: Any) -> Phrase:
    """A sentence; `{name}` stands for its parts. xgettext collects the templates by this function's name."""
    return Phrase(template, **parts)


def counted(one: str, many: str, n: int, **parts: Any) -> Phrase:
    """The same where the words depend on a number, which is its part `n`."""
    return Phrase(one, many, n=n, **parts)


def together(parts: Sequence[str], between: str = " ") -> Phrase:
    """Sentences in a row."""
    return Phrase(between.join(f"{{p{i}}}" for i in range(len(parts))), **{f"p{i}": p for i, p in enumerate(parts)})


def listed(words: Sequence[str]) -> Phrase:
    """One, two and three."""
    if len(words) < 2:
        return together(words)
    return phrase("{first} and {last}", first=together(words[:-1], ", "), last=words[-1])
