"""Files of translations, read without GNU gettext: what stands in a .po, and what its compiled .mo says."""

from __future__ import annotations

import ast
import gettext
from dataclasses import dataclass, field
from pathlib import Path

from tests.house.source import CHECKOUT

LOCALE = CHECKOUT / "annotator" / "locale"


@dataclass
class Entry:
    """A message as it stands in a .po: its fields by their name, and its flags."""

    fields: dict[str, str] = field(default_factory=dict)
    flags: set[str] = field(default_factory=set)

    @property
    def key(self) -> str:
        """As gettext keys it: the context before the message, an end-of-transmission between."""
        context = self.fields.get("msgctxt")
        return self.fields["msgid"] if context is None else f"{context}\x04{self.fields['msgid']}"

    @property
    def translations(self) -> list[str]:
        return [text for name, text in self.fields.items() if name.startswith("msgstr")]


def entries(path: Path) -> list[Entry]:
    """All messages of a .po but its header."""
    found: list[Entry] = []
    for block in path.read_text().split("\n\n"):
        entry, last = Entry(), ""
        for line in block.splitlines():
            if line.startswith("#,"):
                entry.flags |= {flag.strip() for flag in line[2:].split(",")}
            elif line.startswith('"'):
                entry.fields[last] += ast.literal_eval(line)
            elif not line.startswith("#"):
                last, _, text = line.partition(" ")
                entry.fields[last] = ast.literal_eval(text)
        if entry.fields.get("msgid"):
            found.append(entry)
    return found


def compiled(path: Path) -> dict[str, list[str]]:
    """What a .mo says, by key; several translations where the words depend on a number."""
    with path.open("rb") as file:
        catalog = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]
    said: dict[str, list[str]] = {}
    for key, text in catalog.items():
        if key:
            said.setdefault(key[0] if isinstance(key, tuple) else key, []).append(text)
    return said
