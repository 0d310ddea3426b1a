"""A small simulated camera with a validation set and a slice to train on, for the tests of rounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from alfred.models import Camera, Deployment, Recording, Round
from alfred.models.detectors import in_force
from tests import world


@dataclass
class Stage:
    view: Camera
    cast: world.People
    recording: Recording

    @property
    def deployed(self) -> Deployment:
        found = in_force(self.view.pk)
        assert found is not None
        return found


def stage(minutes: float = 1.5, **policies: Any) -> Stage:
    """A camera with an imported validation set, a slice scored with its θ, and the flagged ones judged."""
    view = world.camera(**policies)
    cast = world.people(view)
    world.stream(view, seed=8, minutes=1, anomaly_share=0.3, as_validation=True)
    recording = world.scored(view, seed=9, minutes=minutes, anomaly_share=0.1, slice_ordinal=0)
    return Stage(view, cast, recording)


def run_launched(made: Round) -> Round:
    job = world.run(world.job_of(made.pk, "round"))
    made.refresh_from_db()
    assert (job.state, made.state) == ("done", "candidate"), (job.error, made.message)
    return made
