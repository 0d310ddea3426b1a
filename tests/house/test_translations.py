"""Every word of the pages is there in every language, compiled, and none is left that no page says any more."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

from tests.house.catalogue import LOCALE, entries
from tests.house.catalogue import compiled as read_mo
from tests.house.source import CHECKOUT, tracked

FILES = sorted(LOCALE.rglob("*.po"))
PARTS = re.compile(r"%\(\w+\)[+.0-9]*[a-z]|\{\w+(?::[^}]*)?\}|<[a-z][^>]*>")


def test_each_language_has_its_files() -> None:
    languages = {code for code, _ in settings.LANGUAGES} - {settings.LANGUAGE_CODE}
    assert {(path.parts[-3], path.stem) for path in FILES} == {
        (language, domain) for language in languages for domain in ("django", "djangojs")
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_nothing_is_untranslated_or_doubtful(path: Path) -> None:
    found = entries(path)
    assert [e.key for e in found if not all(e.translations) or "fuzzy" in e.flags] == []
    assert "#~" not in path.read_text()


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_parts_and_marks_stay_in_translations(path: Path) -> None:
    """A name in a sentence that is lost or misspelt would be an error on the page, or a number nobody is told."""
    wrong = []
    for entry in entries(path):
        asked = set(PARTS.findall(entry.fields["msgid"] + entry.fields.get("msgid_plural", "")))
        wrong += [(entry.key, text) for text in entry.translations if set(PARTS.findall(text)) != asked]
    assert wrong == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_what_is_compiled_says_what_is_written(path: Path) -> None:
    written = {entry.key: entry.translations for entry in entries(path)}
    assert read_mo(path.with_suffix(".mo")) == written, "run `manage.py translations`"


@pytest.mark.skipif(not shutil.which("xgettext"), reason="GNU gettext is not installed (apt.txt)")
def test_the_files_hold_what_the_sources_say(tmp_path: Path) -> None:
    """Collected anew from a copy of what git holds, nothing comes or goes."""
    for file in tracked():
        if file.startswith(("alfred/", "annotator/", "workers/", "templates/", "manage.py")):
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(CHECKOUT / file, tmp_path / file)
    command = [sys.executable, "manage.py", "translations"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for path in FILES:
        anew = {entry.key for entry in entries(tmp_path / path.relative_to(CHECKOUT))}
        held = {entry.key for entry in entries(path)}
        assert (anew - held, held - anew) == (set(), set()), "run `manage.py translations` and fill in what is empty"
