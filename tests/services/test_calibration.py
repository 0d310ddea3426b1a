"""Warm-up → validation set → θ: weights 1/π, the policy that applies, and θ against an independent computation."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from alfred.core.eer import eer_threshold
from alfred.models import (
    Answer,
    Camera,
    Candidate,
    Deployment,
    Evaluation,
    Event,
    Job,
    SegmentScore,
    SegmentTruth,
    Threshold,
    User,
    ValidationMember,
    ValidationSet,
)
from alfred.models.detectors import in_force
from alfred.services import build_validation, labels
from tests import world

pytestmark = pytest.mark.django_db


def in_force_on(view: Camera) -> Deployment:
    found = in_force(view.pk)
    assert found is not None
    return found


def answer_by(view: Camera, who: User, anomalies: int, normals: int) -> None:
    """Answer so many open events each way, whatever is true of them: the higher half as anomalies, mixed."""
    rows = [
        (SegmentScore.objects.get(segment__events=e).value or 0.0, e)
        for e in Event.objects.filter(camera=view, state="open")
    ]
    rows.sort(key=lambda r: r[0])
    # Every third of the high ones is called normal, and takes its place among the low ones: classes overlap.
    high, low = rows[-(anomalies + normals // 3) :], rows[: -(anomalies + normals // 3)]
    said = [(e, Answer.NORMAL if n % 3 == 0 else Answer.ANOMALY) for n, (_, e) in enumerate(high)]
    said += [(e, Answer.NORMAL) for _, e in low]
    counts = {Answer.ANOMALY: anomalies, Answer.NORMAL: normals}
    for event, answer in said:
        if counts[answer]:
            counts[answer] -= 1
            world.answer(who, event, answer)
    assert not any(counts.values()), counts


def stream_weights(answered: set[int]) -> dict[int, float]:
    """By hand: how many scored segments of its stratum each answered one stands for, N_h / answered_h."""
    rows = list(Candidate.objects.filter(lane="warmup"))

    def peers(c: Candidate) -> list[Candidate]:
        return [o for o in rows if (o.seed, o.stratum) == (c.seed, c.stratum)]

    return {
        c.segment_id: len(peers(c)) / sum(o.segment_id in answered for o in peers(c))
        for c in rows
        if c.segment_id in answered
    }


def independent_eer(view: Camera) -> float:
    """Argmin |FPR − FNR| by scikit-learn over the frozen set, with scores stored on arrival and weights 1/π."""
    members = list(ValidationMember.objects.filter(validation_set__camera=view))
    score = dict(SegmentScore.objects.values_list("segment_id", "value"))
    stands_for = stream_weights({m.segment_id for m in members})
    y = np.array([m.anomalous for m in members])
    s = np.array([score[m.segment_id] for m in members], np.float64)
    w = np.array([stands_for[m.segment_id] for m in members])
    assert len(np.unique(s)) == len(s)  # no ties among the scores
    fpr, tpr, theta = roc_curve(y, s, sample_weight=w, drop_intermediate=False)
    gap = np.abs(fpr - (1 - tpr))
    assert np.sum(np.isclose(gap, gap.min(), atol=1e-12)) == 1  # and none for the best threshold
    return float(theta[np.argmin(gap)])


def test_warm_up_freezes_the_set_and_finds_the_equal_error_rate() -> None:
    view = world.camera(val_min=12, review_budget=45)
    cast = world.people(view)
    world.scored(view, seed=3, minutes=3)
    source = in_force_on(view)
    answer_by(view, cast.alice, anomalies=11, normals=20)
    assert build_validation.frozen_set(view.pk) is None
    assert build_validation.progress(view) == build_validation.Progress(20, 11, 12)
    last = Event.objects.filter(camera=view, state="open").first()
    assert last is not None
    world.answer(cast.alice, last, Answer.ANOMALY)
    frozen = build_validation.frozen_set(view.pk)
    assert frozen is not None and (frozen.number, frozen.origin) == (1, "warmup")
    # Nothing labelled is thrown away, each with its weight in the stream and the verdict it stands on.
    members = list(frozen.members.select_related("verdict"))
    assert len(members) == 32 and sum(m.anomalous for m in members) == 12
    assert {m.segment_id: m.weight for m in members} == pytest.approx(stream_weights({m.segment_id for m in members}))
    assert len({round(m.weight, 6) for m in members}) > 1  # strata differ in their chances
    for m in members:
        assert m.verdict is not None and m.verdict.segment_id == m.segment_id
        assert m.verdict.answer == ("anomaly" if m.anomalous else "normal")
    world.run_all(view)
    now = in_force_on(view)
    assert now.version == source.version and now.ordinal > source.ordinal
    assert (now.threshold.policy, now.threshold.validation_set) == ("eer", frozen)
    assert now.theta == pytest.approx(independent_eer(view), rel=1e-6)
    details = now.threshold.details
    assert (details["normals"], details["anomalies"], details["needed"]) == (20, 12, 12)
    weights = np.array([m.weight for m in members if not m.anomalous])
    assert details["effective_normals"] == pytest.approx(weights.sum() ** 2 / (weights**2).sum())
    figures = Evaluation.objects.get(threshold=now.threshold).figures
    assert (figures["fpr"], figures["fnr"]) == pytest.approx((details["fpr"], details["fnr"]))
    assert figures["normals"] == 20 and figures["anomalies"] == 12 and figures["unit"] == "segments"
    # The set is frozen: further answers change neither it nor θ.
    for event in Event.objects.filter(camera=view, state="open"):
        world.answer(cast.bob, event, Answer.ANOMALY)
    world.run_all(view)
    assert ValidationMember.objects.count() == 32 and in_force_on(view) == now


def test_unresolved_answers_are_no_members() -> None:
    view = world.camera(val_min=2, review_budget=20)
    cast = world.people(view)
    world.scored(view, seed=3, minutes=1)
    events = list(Event.objects.filter(camera=view))
    unsure, disputed, skipped, *rest = events
    world.answer(cast.alice, unsure, Answer.UNSURE)
    world.answer(cast.alice, disputed, Answer.NORMAL)
    world.answer(cast.bob, disputed, Answer.ANOMALY)
    world.answer(cast.alice, skipped, Answer.SKIP)
    for event, said in zip(rest, (Answer.NORMAL, Answer.NORMAL, Answer.ANOMALY, Answer.ANOMALY), strict=False):
        # bob was too late, and has nothing to say of it
        world.answer(cast.alice, event, said)
        world.answer(cast.bob, event, Answer.SKIP)
    frozen = build_validation.frozen_set(view.pk)
    assert frozen is not None
    inside = set(frozen.members.values_list("segment_id", flat=True))
    assert inside == {e.segments.get().pk for e in rest[:4]}
    stands_on = frozen.members.values_list("verdict__user__username", "verdict__answer", "anomalous")
    assert set(stands_on) == {("alice", "normal", False), ("alice", "anomaly", True)}


def test_below_ten_anomalies_theta_keeps_to_the_alert_budget() -> None:
    view = world.camera(alert_share=0.1, review_budget=200)
    cast = world.people(view)
    world.scored(view, seed=3, minutes=2)
    answer_by(view, cast.alice, anomalies=9, normals=21)
    world.run_all(view)
    now = in_force_on(view)
    assert (now.threshold.policy, now.threshold.validation_set) == ("budget", None)
    assert "21 normal and 9 anomalous" in now.why
    said = labels.of_warm_up(view.pk)
    rows = SegmentScore.objects.filter(segment__in=[s for s, label in said.items() if label == 0])
    weight = stream_weights({s for s, label in said.items() if label in (0, 1)})
    values = np.array([r.value for r in rows], np.float64)
    weights = np.array([weight[r.segment_id] for r in rows])

    def share(theta: float) -> float:
        return float(weights[values >= theta].sum() / weights.sum())

    assert share(now.theta) <= 0.1
    below = values[values < now.theta * (1 - 1e-6)]  # scored anew in other batches: float32 differs
    assert share(below.max()) > 0.1  # the next lower one would flag too much
    # no EER from a set like this: no FPR, FNR to show
    assert "eer" not in now.threshold.details and not Evaluation.objects.exists()


def test_from_ten_of_each_the_equal_error_rate_is_preliminary() -> None:
    view = world.camera(review_budget=200)
    cast = world.people(view)
    world.scored(view, seed=3, minutes=2)
    answer_by(view, cast.alice, anomalies=10, normals=20)
    world.run_all(view)
    now = in_force_on(view)
    assert (now.threshold.policy, now.threshold.validation_set) == ("preliminary", None)
    assert {"fpr", "fnr", "eer", "eer_interpolated"} <= set(now.threshold.details)
    assert not ValidationSet.objects.exists()


def test_a_camera_with_no_answers_keeps_the_source_theta() -> None:
    from alfred.models.work import queue

    view = world.camera()
    world.scored(view, minutes=0.3)
    before = in_force_on(view)
    world.run(queue(view.pk, Job.Kind.CALIBRATE, view.pk, key="by hand"))
    assert in_force_on(view) == before and before.threshold.policy == "source"
    assert Threshold.objects.count() == 1


def test_calibrating_again_without_news_appends_nothing() -> None:
    from alfred.models.work import queue

    view = world.camera(val_min=3)
    world.scored(view, seed=8, minutes=1, anomaly_share=0.4, as_validation=True)
    before = in_force_on(view)
    assert before.threshold.policy == "eer"
    world.run(queue(view.pk, Job.Kind.CALIBRATE, view.pk, key="again"))
    assert in_force_on(view) == before and Deployment.objects.count() == 2 and ValidationSet.objects.count() == 1


def test_an_imported_set_has_weight_one_and_its_own_origin() -> None:
    view = world.camera()
    world.scored(view, seed=8, minutes=1.5, anomaly_share=0.4, as_validation=True)
    frozen = ValidationSet.objects.get(camera=view)
    truth = dict(SegmentTruth.objects.values_list("segment_id", "anomalous"))
    assert frozen.origin == "imported" and frozen.frozen_at is not None
    assert dict(frozen.members.values_list("segment_id", "anomalous")) == truth
    assert set(frozen.members.values_list("weight", "origin")) == {(1.0, "ground_truth")}
    assert not frozen.members.filter(verdict__isnull=False).exists()
    # one more file makes a new version of the set; the old one stays what it was
    members = frozen.members.count()
    world.scored(view, seed=9, minutes=0.5, anomaly_share=0.4, as_validation=True)
    newer = build_validation.frozen_set(view.pk)
    assert newer is not None and newer.number == 2 and newer.members.count() > members
    assert frozen.members.count() == members
    assert in_force_on(view).threshold.validation_set == newer


def test_theta_of_the_hand_worked_case() -> None:
    """The design's own example, through the function that calibration uses."""
    found = eer_threshold(
        np.array([0.1, 0.2, 0.3, 0.35, 0.8, 0.3, 0.7, 0.9]), np.array([0, 0, 0, 0, 0, 1, 1, 1], bool), None
    )
    assert (found.value, found.fpr, found.fnr) == pytest.approx((0.35, 0.4, 1 / 3))  # type: ignore[union-attr]  # it has one
