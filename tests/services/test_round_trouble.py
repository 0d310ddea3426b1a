"""Rounds that are killed, cancelled, diverge, or find nothing to learn: each ends defined, and says so."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from alfred.detectors import training
from alfred.detectors.stg_nf.detector import StgNf
from alfred.models import (
    Answer,
    DetectorVersion,
    Evaluation,
    Event,
    Job,
    LabelSnapshot,
    Lane,
    Replay,
    SegmentScore,
    Threshold,
)
from alfred.services import deploy, jobs, round_facts, run_round
from alfred.services.launch_round import cancel_round, launch
from alfred.services.storage import artifacts
from tests import world
from tests.services.round_stage import Stage, run_launched, stage

pytestmark = pytest.mark.django_db


class Killed(Exception):
    """The process ends here."""


KILLED_AT = (
    "freezing the labels",  # nothing stored yet
    "training",  # the snapshot is stored
    "training, loss",  # in the middle of it
    "calibrating",  # the version is stored
    "scoring the labelled segments, new",
    "evaluating",  # θ is stored
    "replaying",  # in the middle of it
    "scoring the labelled segments, deployed",  # the replay is stored
    "candidate",  # all is stored; only the job's row is not closed
)


def test_a_round_killed_in_every_state_ends_as_one_candidate() -> None:
    scene = stage(minutes=0.7)
    world.judge_all(scene.view, scene.cast.alice)
    made = launch(scene.view.pk, None)
    job = world.job_of(made.pk, "round")
    version = None
    for place in KILLED_AT:
        told: list[str] = []

        def dies(done: int, total: int, text: str, place: str = place, told: list[str] = told) -> None:
            told.append(text)
            if text.startswith(place):
                raise Killed

        with pytest.raises(Killed):
            world.run(job, dies)
        made.refresh_from_db()
        assert made.state == state_while(place), place
        if version is not None:  # what was made stays, and nothing is made again
            assert made.version == version and not any(text.startswith("training") for text in told), place
        version = made.version
        Job.objects.filter(pk=job.pk).update(state="queued")
        job.refresh_from_db()
    assert version is not None
    again: list[str] = []
    world.run(job, lambda done, total, text: again.append(text))
    made.refresh_from_db()
    assert again == [] and (job.state, job.attempts, made.state) == ("done", len(KILLED_AT) + 1, "candidate")
    assert DetectorVersion.objects.filter(camera=scene.view).count() == 1
    assert Evaluation.objects.filter(round=made).count() == 2
    assert Threshold.objects.filter(version=version).count() == 1
    assert LabelSnapshot.objects.filter(round=made).count() == Replay.objects.filter(round=made).count() == 1
    assert not run_round._kept(made.pk).exists()


def state_while(place: str) -> str:
    """The round's state as somebody sees it while a step says this."""
    first = place.partition(",")[0]
    known = {
        "freezing the labels": "snapshot",
        "scoring the labelled segments": "calibrating",
        "replaying": "evaluating",
    }
    return "evaluating" if place.endswith("deployed") else known.get(first, first)


def diverges(monkeypatch: pytest.MonkeyPatch, at: int) -> list[float]:
    """Gradients blow up from step `at` on; the losses before that are noted."""
    real, seen = training._step, list[float]()

    def step(module: Any, loss: Any, batch: Any, optimiser: Any, clip: float, number: int) -> float:
        if number >= at:
            for group in optimiser.param_groups:
                group["lr"] = 1e30
        seen.append(real(module, loss, batch, optimiser, clip, number))
        return seen[-1]

    monkeypatch.setattr(training, "_step", step)
    return seen


def test_a_training_that_diverges_fails_with_its_loss_curve_and_the_camera_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene = stage(minutes=0.4)
    base = scene.deployed
    made = launch(scene.view.pk, None)
    losses = diverges(monkeypatch, at=8)
    job = world.run(world.job_of(made.pk, "round"))
    made.refresh_from_db()
    assert (job.state, job.attempts, made.state) == ("failed", 1, "failed")
    assert re.match(r"Training failed: the loss is (nan|inf) at step \d+; .* What was in force stays", made.message)
    assert made.losses == pytest.approx(losses, abs=1e-3) and len(losses) >= 7 and np.isfinite(losses).all()
    assert made.version is None and not run_round._kept(made.pk).joinpath("stage-1.safetensors").exists()
    # the camera goes on, and so do rounds
    monkeypatch.undo()
    newer = world.scored(scene.view, seed=10, minutes=0.3, slice_ordinal=1)
    assert {s.deployment_id for s in SegmentScore.objects.filter(segment__recording=newer)} == {base.pk}
    run_launched(launch(scene.view.pk, None))


def test_weights_that_blow_up_in_the_last_step_are_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss of a step is that of the weights before it: it does not show what the last step did."""
    scene = stage(minutes=0.3)
    made = launch(scene.view.pk, None)
    fine_tune = StgNf.fine_tune

    def spoils(self: StgNf, windows: Any, **more: Any) -> Any:
        log = fine_tune(self, windows, **more)
        with torch.no_grad():
            next(iter(self.model.parameters())).fill_(float("nan"))
        return log

    monkeypatch.setattr(StgNf, "fine_tune", spoils)
    world.run(world.job_of(made.pk, "round"))
    made.refresh_from_db()
    assert made.state == "failed" and made.version is None
    assert made.message.startswith("Training failed: its weights can't be used, ")
    assert "not finite" in made.message


def test_cancelled_while_it_trains_a_round_stores_nothing_more() -> None:
    scene = stage(minutes=0.3)
    made = launch(scene.view.pk, None)
    job = world.job_of(made.pk, "round")

    def cancels(done: int, total: int, text: str) -> None:
        if text.startswith("training, loss") and not job.cancel_requested:
            cancel_round(made.pk, None)
            job.cancel_requested = True

    world.run(job, cancels)
    jobs.fail(job, "cancelled", permanent=True)  # what the worker does when its child says so, or was killed
    made.refresh_from_db()
    assert (made.state, made.version, made.message) == ("cancelled", None, "cancelled")
    assert not DetectorVersion.objects.filter(camera=scene.view).exists()


def test_a_slice_with_nothing_to_train_on_fails_with_the_reasons() -> None:
    scene = stage(minutes=0.4)
    first = scene.deployed
    low = Threshold.objects.create(camera=scene.view, version=first.version, policy="eer", value=-1000.0)
    deploy.append(scene.view, first.version, low, "flags everything", None)
    world.scored(scene.view, seed=11, minutes=0.3, slice_ordinal=1)
    made = launch(scene.view.pk, None)
    job = world.run(world.job_of(made.pk, "round"))
    made.refresh_from_db()
    assert (job.state, job.attempts, made.state) == ("failed", 1, "failed")
    assert made.message.startswith("Nothing to train on: of the slice's segments ")
    assert "are flagged, not judged" in made.message and made.ended_at is not None
    assert scene.deployed.threshold == low


def answers(scene: Stage, *said: Answer) -> list[Event]:
    """Every open review event of the slice, answered by each of these in turn, by one person after another."""
    events = list(Event.objects.filter(camera=scene.view, lane=Lane.REVIEW))
    for event in events:
        for user, answer in zip((scene.cast.alice, scene.cast.bob), said, strict=False):
            world.answer(user, event, answer)
    return events


@pytest.mark.parametrize("said", [(Answer.UNSURE,), (Answer.NORMAL, Answer.ANOMALY)], ids=["unsure", "contradicting"])
def test_answers_that_settle_nothing_train_nothing(said: tuple[Answer, ...]) -> None:
    scene = stage(minutes=0.5, detector="memory")
    asked = {s for e in answers(scene, *said) for s in e.segments.values_list("pk", flat=True)}
    assert len(asked) > 2
    made = run_launched(launch(scene.view.pk, None))
    table = pq.read_table(artifacts().path(made.manifest)).to_pydict()
    reason = dict(zip(table["segment"], table["reason"], strict=True))
    assert {reason[s] for s in asked} == {"unresolved"}
    assert "confirmed FP" not in made.left_out and made.left_out["pseudo-normal"] > 0
    (note,) = round_facts.facts(made)["notes"]
    assert note.startswith(f"{len(asked)} of the segments are unresolved: people were unsure, skipped them, or contra")
    assert Replay.objects.get().figures["confirmed"] == 0


def test_a_slice_nobody_judged_is_said_so() -> None:
    scene = stage(minutes=0.4, detector="memory")
    made = run_launched(launch(scene.view.pk, None))
    (note,) = round_facts.facts(made)["notes"]
    assert note.startswith("Nobody has judged anything of this slice: ")
    assert f"{made.left_out['flagged, not judged']} flagged segments were left out" in note
    gate = next(g for g in deploy.checks_of(made) if g["name"] == "replay")
    assert gate["holds"] and gate["words"].startswith("No confirmed anomaly in the replayed slices")
