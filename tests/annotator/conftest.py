"""A camera with everything a page can show, and its people."""

from __future__ import annotations

import pytest

from tests import world
from tests.annotator import stage
from tests.annotator.stage import Scene


@pytest.fixture
def gate() -> Scene:
    return stage.scene("Gate")


@pytest.fixture
def cast(gate: Scene) -> world.People:
    return world.people(gate.camera)
