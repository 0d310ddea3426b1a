"""An HTML reader for tests: which tags a page has, what names its fields, and what a strict policy would block."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
FIELDS = {"input", "select", "textarea"}


@dataclass
class Tag:
    """One element: its attributes, its text, and the elements it stands in."""

    name: str
    attributes: dict[str, str]
    inside: list[Tag]
    text: str = ""

    def within(self, name: str) -> bool:
        return any(tag.name == name for tag in self.inside)


@dataclass
class Page(HTMLParser):
    """Everything of one HTML answer, in document order."""

    html: str
    tags: list[Tag] = field(default_factory=list)
    unclosed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._open: list[Tag] = []
        self.feed(self.html)
        self.close()
        self.unclosed += [tag.name for tag in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        made = Tag(tag, {name: value or "" for name, value in attrs}, list(self._open))
        self.tags.append(made)
        if tag not in VOID:
            self._open.append(made)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(Tag(tag, {name: value or "" for name, value in attrs}, list(self._open)))

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open[-1].name != tag:
            self.unclosed.append(tag)
            return
        self._open.pop()

    def handle_data(self, data: str) -> None:
        for tag in self._open:
            tag.text += data

    def all(self, name: str) -> list[Tag]:
        return [tag for tag in self.tags if tag.name == name]

    def inline_code(self) -> list[str]:
        """What a Content-Security-Policy without unsafe-inline forbids."""
        found = [f"<style> in {tag.inside[-1].name}" for tag in self.all("style")]
        for tag in self.tags:
            is_data = tag.attributes.get("type") == "application/json"
            if tag.name == "script" and "src" not in tag.attributes and not is_data:
                found.append(f"inline script: {tag.text[:40]}")
            for name, value in tag.attributes.items():
                if name == "style" or name.startswith(("on", "hx-on")) or "javascript:" in value.lower():
                    found.append(f"{tag.name} {name}={value[:40]}")
        return found

    def nameless_controls(self) -> list[str]:
        """Fields without a label, buttons and links without words."""
        named_for = {tag.attributes.get("for") for tag in self.all("label") if tag.text.strip()}
        found = []
        for tag in self.tags:
            attributes = tag.attributes
            if tag.name in FIELDS and attributes.get("type") != "hidden" and not self._is_named(tag, named_for):
                found.append(f"{tag.name} {attributes}")
            if tag.name in ("button", "a") and not (tag.text.strip() or attributes.get("aria-label")):
                found.append(f"{tag.name} {attributes}")
            if tag.name == "img" and "alt" not in attributes:
                found.append(f"img {attributes}")
        return found

    @staticmethod
    def _is_named(tag: Tag, named_for: set[str | None]) -> bool:
        if tag.attributes.get("aria-label") or tag.attributes.get("id") in named_for - {None}:
            return True
        return any(outer.name == "label" and outer.text.strip() for outer in tag.inside)

    def doubled_ids(self) -> list[str]:
        ids = [tag.attributes["id"] for tag in self.tags if tag.attributes.get("id")]
        return sorted({name for name in ids if ids.count(name) > 1})


def without_ids(text: str) -> str:
    """The text with event ids, keys and tokens replaced: what is left must not tell one lane from another."""
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "ID", text)
    return re.sub(r"[A-Za-z0-9]{64}", "TOKEN", text)
