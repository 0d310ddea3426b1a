"""A detector in a package of its own: built as a wheel, installed, found by its entry point, used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "tests/example_plugin/still_people.py"
INFO = "still_people-1.0.dist-info"


def wheel(folder: Path, entry: str = "still_people = still_people:StillPeople") -> Path:
    """What a build tool makes of the plug-in."""
    path = folder / "still_people-1.0-py3-none-any.whl"
    files = {
        "still_people.py": PLUGIN.read_text(),
        f"{INFO}/METADATA": "Metadata-Version: 2.1\nName: still_people\nVersion: 1.0\n",
        f"{INFO}/WHEEL": "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{INFO}/entry_points.txt": f"[alfred.detectors]\n{entry}\n",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        archive.writestr(f"{INFO}/RECORD", "".join(f"{name},,\n" for name in [*files, f"{INFO}/RECORD"]))
    return path


def installed(folder: Path, **wheel_settings: str) -> Path:
    """A site folder with the plug-in in it."""
    site = folder / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-compile"]
    subprocess.run([*pip, "--target", str(site), str(wheel(folder, **wheel_settings))], check=True)
    return site


def run(site: Path, state: Path, *command: str) -> str:
    environment = os.environ | {"PYTHONPATH": f"{site}:{ROOT}", "ALFRED_TESTING": "1", "ALFRED_STATE_DIR": str(state)}
    found = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, check=True, capture_output=True, text=True
    )
    return found.stdout


def test_an_installed_detector_is_listed_and_used(tmp_path: Path) -> None:
    site = installed(tmp_path)
    rows = {row["name"]: row for row in json.loads(run(site, tmp_path / "var", "manage.py", "detectors", "--json"))}
    assert rows["still_people"]["window"] == "8 samples at 10 fps"
    assert rows["still_people"]["family"] == "prediction"
    assert rows["stg_nf"]["parameters"] == 616 and "stg_nf-30fps-1" in rows["stg_nf"]["source weights"]
    code = (
        "import numpy as np; from alfred.detectors import registry\n"
        "windows = np.zeros((2, 2, 8, 18), np.float32); windows[1, :, ::2] = 1\n"
        "print(registry.create('still_people').score(windows).tolist())"
    )
    assert run(site, tmp_path / "var", "-c", code).strip() == "[0.0, 1.0]"


@pytest.mark.parametrize("entry", ["still_people = nowhere:Nothing", "stg_nf = still_people:StillPeople"])
def test_a_package_that_is_broken_or_takes_a_name_changes_nothing_else(tmp_path: Path, entry: str) -> None:
    site = installed(tmp_path, entry=entry)
    rows = {row["name"]: row for row in json.loads(run(site, tmp_path / "var", "manage.py", "detectors", "--json"))}
    assert rows["stg_nf"]["parameters"] == 616
    if "still_people" in rows:
        assert "can't be made" in rows["still_people"]["family"]
