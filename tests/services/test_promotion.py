"""What goes in force: by hand, by policy, and back."""

from __future__ import annotations

import pytest
from django.utils import timezone

from alfred.core import drift as core_drift
from alfred.models import (
    AuditEntry,
    Camera,
    Deployment,
    DetectorVersion,
    Evaluation,
    Job,
    Round,
    SegmentScore,
    Threshold,
    ValidationSet,
)
from alfred.services import build_validation, deploy, drift
from alfred.services.deploy import Refused
from alfred.services.launch_round import launch
from tests import world
from tests.services.round_stage import Stage, run_launched, stage

pytestmark = pytest.mark.django_db


def test_promote_and_roll_back_append() -> None:
    scene = stage()
    world.judge_all(scene.view, scene.cast.alice)
    base = scene.deployed
    made = run_launched(launch(scene.view.pk, None))
    before = list(Deployment.objects.values())
    promoted = deploy.promote(made.pk, scene.cast.admin, "looks right")
    made.refresh_from_db()
    assert made.state == "promoted" and made.ended_at is not None
    assert (promoted.version, promoted.threshold) == (made.version, made.threshold)
    assert promoted.ordinal == base.ordinal + 1 and promoted.by == scene.cast.admin
    assert list(Deployment.objects.values())[: len(before)] == before  # nothing earlier was touched
    with pytest.raises(Refused, match="no candidate to promote"):
        deploy.promote(made.pk, scene.cast.admin, "again")
    # the next footage is scored by it
    newer = world.scored(scene.view, seed=10, minutes=0.4, slice_ordinal=1)
    used = SegmentScore.objects.filter(segment__recording=newer)
    assert {s.deployment_id for s in used} == {promoted.pk}
    # and back: the older version and its θ, appended again
    back = deploy.roll_back(scene.view.pk, base.pk, scene.cast.admin, "too many alerts")
    assert (back.version, back.threshold, back.restores) == (base.version, base.threshold, base)
    assert back.ordinal == promoted.ordinal + 1 and back.theta == base.theta
    assert "too many alerts" in back.why and scene.deployed == back
    with pytest.raises(Refused, match="in force already"):
        deploy.roll_back(scene.view.pk, base.pk, scene.cast.admin, "again")
    # what the sweep does next leaves that θ alone, though there is a set it was not found on; a newer one counts
    calibrations = Job.objects.filter(camera=scene.view, kind="calibrate", state="queued")
    number = ValidationSet.objects.filter(camera=scene.view).count()
    for frozen_at, asked in ((back.since, 0), (timezone.now(), 1)):
        number += 1
        ValidationSet.objects.create(camera=scene.view, number=number, origin="warmup", frozen_at=frozen_at)
        build_validation.advance_all()
        assert calibrations.count() == asked
    assert AuditEntry.objects.filter(camera=scene.view, action="deploy", by=scene.cast.admin).count() == 2


def candidate(
    scene: Stage,
    *,
    evaluated: bool = True,
    eer: float = 0.2,
    auc: float | None = 0.8,
    low: float | None = -0.1,
    **gate: bool,
) -> Round:
    """A round that waits for a decision, without the training: rows as a round leaves them."""
    base, part = scene.deployed, scene.recording.slice
    assert part is not None
    version = DetectorVersion.objects.create(
        camera=scene.view, detector="stg_nf", label="v9", parent=base.version, sha256="9" * 64, card={}
    )
    theta = Threshold.objects.create(camera=scene.view, version=version, policy="eer", value=1.0, details={"eer": eer})
    made = Round.objects.create(
        camera=scene.view, ordinal=9, slice=part, methodology="active_learning", base=base, version=version,
        threshold=theta, state="candidate",
    )  # fmt: skip
    said = {True: "Fine.", False: "It loses anomalies."}
    checks = [{"name": name, "holds": holds, "words": said[holds]} for name, holds in gate.items()]
    figures = {"auc_roc": auc, "gates": checks, "difference": {"low": low, "high": 0.1}}
    if evaluated:
        Evaluation.objects.create(
            camera=scene.view, version=version, threshold=theta, role="candidate", round=made,
            validation_set=scene.view.validation_sets.get(), figures=figures,
        )  # fmt: skip
    return made


def test_a_gate_that_does_not_hold_needs_a_reason() -> None:
    scene = stage(minutes=0.3)
    made = candidate(scene, finite=True, better=False)
    with pytest.raises(Refused, match="Not all checks of this candidate hold"):
        deploy.promote(made.pk, scene.cast.admin)
    made.refresh_from_db()
    assert made.state == "candidate" and scene.deployed == made.base
    promoted = deploy.promote(made.pk, scene.cast.admin, "the camera was turned")
    assert "the camera was turned" in promoted.why and scene.deployed == promoted


def test_gates_that_hold_need_none_and_a_rejected_one_changes_nothing() -> None:
    scene = stage(minutes=0.3)
    made = candidate(scene, finite=True)
    deploy.reject(made.pk, scene.cast.admin, "not now")
    made.refresh_from_db()
    assert (made.state, made.message) == ("rejected", "not now") and scene.deployed == made.base
    with pytest.raises(Refused):
        deploy.promote(made.pk, scene.cast.admin, "after all")
    Round.objects.filter(pk=made.pk).update(state="candidate")
    assert deploy.promote(made.pk, scene.cast.admin).version == made.version


def test_another_deployment_meanwhile_needs_a_reason() -> None:
    scene = stage(minutes=0.3)
    made = candidate(scene, finite=True)
    first = Deployment.objects.get(camera=scene.view, ordinal=0)
    deploy.roll_back(scene.view.pk, first.pk, None, "")
    with pytest.raises(Refused, match="Another deployment was made since"):
        deploy.promote(made.pk, scene.cast.admin)
    assert deploy.promote(made.pk, scene.cast.admin, "still better").version == made.version


def policy(scene: Stage, monkeypatch: pytest.MonkeyPatch, made: Round, drifting: bool = False) -> Deployment | None:
    found = core_drift.Drift({"score": 0.7}, 2) if drifting else None
    monkeypatch.setattr(drift, "stands", lambda camera_id: found)
    Camera.objects.filter(pk=scene.view.pk).update(auto_promote=True)
    deployed = deploy.promote_by_policy(made.pk)
    made.refresh_from_db()
    return deployed


def test_a_candidate_is_promoted_by_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = stage(minutes=0.3)
    made = candidate(scene, finite=True)
    assert deploy.promote_by_policy(made.pk) is None  # the camera's policy is to wait for somebody
    made.refresh_from_db()
    assert (made.state, made.message) == ("candidate", "")
    promoted = policy(scene, monkeypatch, made)
    assert promoted is not None and scene.deployed == promoted
    assert (promoted.version, promoted.threshold, promoted.by) == (made.version, made.threshold, None)
    assert promoted.why == "round 9 promoted by policy: every check holds"
    assert made.state == "promoted" and made.ended_at is not None
    assert deploy.promote_by_policy(made.pk) is None and scene.deployed == promoted  # once


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("gate", "It loses anomalies."),
        ("no auc", "does not show whether its scores rank"),
        ("too few", "Too little data for a paired comparison"),
        ("eer", "Its equal error rate is 0.61: worse than chance."),
        ("drift", "Drift in scores"),
        ("another", "Another deployment was made since the round began."),
        ("no set", "There is no complete validation set to check it on."),
    ],
)
def test_a_policy_promotes_nothing_that_fails_a_check(monkeypatch: pytest.MonkeyPatch, case: str, words: str) -> None:
    scene = stage(minutes=0.3)
    eer, auc = 0.61 if case == "eer" else 0.2, None if case == "no auc" else 0.8
    made = candidate(
        scene,
        evaluated=case != "no set",
        eer=eer,
        auc=auc,
        finite=True,
        replay=case != "gate",
        low=None if case == "too few" else -0.1,
    )
    if case == "another":
        deploy.roll_back(scene.view.pk, Deployment.objects.get(camera=scene.view, ordinal=0).pk, None, "")
    deployed = scene.deployed
    assert policy(scene, monkeypatch, made, drifting=case == "drift") is None
    assert made.state == "candidate" and scene.deployed == deployed
    assert made.message.startswith(deploy.NOT_BY_POLICY) and words in made.message
    said = made.message
    assert policy(scene, monkeypatch, made, drifting=case == "drift") is None
    assert made.message == said  # told once
    # an admin still may, with a reason
    assert deploy.promote(made.pk, scene.cast.admin, "seen and fine").version == made.version
