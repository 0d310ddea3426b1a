"""Replay: what a version would flag of slices that were scored before, against the stored scores themselves."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from alfred.core.methodologies import Label
from alfred.models import (
    Answer,
    Camera,
    Event,
    Job,
    Replay,
    ReplayChange,
    Round,
    SegmentScore,
    Slice,
    Threshold,
)
from alfred.models.detectors import in_force
from alfred.services import labels, launch_replay, replay, replay_facts, slices
from alfred.services.deploy import Refused
from alfred.services.recording_facts import people_seen
from tests import world

pytestmark = pytest.mark.django_db


@pytest.fixture
def view() -> Camera:
    """Two closed slices of two recordings each; events answered by ground truth, one as unsure."""
    view = world.camera(val_min=4, review_budget=200)
    cast = world.people(view)
    world.stream(view, seed=8, minutes=0.6, anomaly_share=0.3, as_validation=True)
    world.run_all(view)
    for part in range(2):
        for seed in range(2):
            world.scored(view, seed=20 + 2 * part + seed, minutes=0.4, anomaly_share=0.3, slice_ordinal=part)
        slices.close(Slice.objects.get(camera=view, ordinal=part).pk)
    first = Event.objects.filter(camera=view, lane="review").order_by("place")[0]
    world.answer(cast.alice, first, Answer.UNSURE)
    world.judge_all(view, cast.alice)
    return view


def replayed(view: Camera, theta: float, told: list[tuple[int, int]] | None = None) -> replay.Found:
    deployed = in_force(view.pk)
    assert deployed is not None
    parts = list(Slice.objects.filter(camera=view).order_by("ordinal"))
    return replay.replay(
        view, deployed.version, theta, parts, lambda done, total, text: told.append((done, total)) if told else None
    )


def test_the_deployed_version_flags_again_what_it_flagged(view: Camera) -> None:
    deployed = in_force(view.pk)
    assert deployed is not None
    found = replayed(view, deployed.theta)
    assert found.changes == []
    stored = SegmentScore.objects.filter(slice__camera=view)
    assert found.figures["segments"] == stored.count()
    assert found.figures["flagged_then"] == found.figures["flagged_now"] == stored.filter(flagged=True).count() > 4
    assert found.figures["unscored"] == stored.filter(value=None).count()
    assert (found.figures["slices"], found.figures["recordings"]) == ([0, 1], 4)
    assert found.figures["confirmed"] > 1 and found.figures["lost"] == found.figures["found"] == 0


def test_another_threshold_changes_what_lies_between(view: Camera) -> None:
    """By hand from the stored scores: the version is the same, so only θ moves flags."""
    rows = {s.segment_id: s for s in SegmentScore.objects.filter(slice__camera=view).select_related("segment")}
    flagged = sorted(s.value for s in rows.values() if s.flagged and s.value is not None)
    said = {s: label for part in labels.of_slices(list(Slice.objects.values_list("pk", flat=True))).values()
            for s, label in part.items()}  # fmt: skip
    assert Label.UNRESOLVED in said.values()
    for theta in (float(np.median(flagged)), flagged[0] - 1.0, flagged[-1] + 1.0):
        told = [(0, 1)]
        found = replayed(view, theta, told)
        now = {pk: s.value is not None and s.value >= theta for pk, s in rows.items()}
        assert {c.segment: c.now_flagged for c in found.changes} == {
            pk: now[pk] for pk, s in rows.items() if s.flagged != now[pk]
        }
        for c in found.changes:
            assert c.value == pytest.approx(rows[c.segment].value, abs=1e-5)
            assert c.label == said.get(c.segment, Label.NONE)
        gone = Counter(said.get(c.segment, Label.NONE) for c in found.changes if not c.now_flagged)
        assert found.figures["no_longer"] == {words: gone[label] for label, words in replay.SAID.items()}
        assert (found.figures["confirmed"], found.figures["lost"], found.figures["found"]) == by_hand(rows, said, now)
        assert told[-1][0] == told[-1][1] and len(told) == 5
        assert found == replayed(view, theta)  # and again the same
    nothing_left = replayed(view, flagged[-1] + 1.0)
    assert nothing_left.figures["lost"] > 1 and not nothing_left.replayed.holds


def by_hand(rows: dict[int, Any], said: dict[int, Label], now: dict[int, bool]) -> tuple[int, int, int]:
    """Confirmed anomalies as a graph: grown from any segment until nothing touches it any more."""
    left = {pk for pk, label in said.items() if label == Label.ANOMALY and pk in rows}
    of_event = {pk: set(rows[pk].segment.events.values_list("pk", flat=True)) for pk in left}

    def touch(a: int, b: int) -> bool:
        one, other = rows[a].segment, rows[b].segment
        beside = one.track_id == other.track_id and abs(one.ordinal - other.ordinal) == 1
        return beside or bool(of_event[a] & of_event[b])

    confirmed = lost = found = 0
    while left:
        group = {left.pop()}
        while more := {b for b in left if any(touch(a, b) for a in group)}:
            group |= more
            left -= more
        confirmed += 1
        then, after = any(rows[pk].flagged for pk in group), any(now[pk] for pk in group)
        lost += then and not after
        found += after and not then
    return confirmed, lost, found


def round_of(view: Camera, theta: float) -> Round:
    """A candidate whose version is the deployed one, with a θ of its own."""
    deployed = in_force(view.pk)
    assert deployed is not None
    threshold = Threshold.objects.create(camera=view, version=deployed.version, policy="eer", value=theta)
    return Round.objects.create(
        camera=view, ordinal=1, slice=Slice.objects.get(camera=view, ordinal=1), methodology="active_learning",
        base=deployed, version=deployed.version, threshold=threshold, state="candidate",
    )  # fmt: skip


def test_by_hand_over_the_last_slices(view: Camera) -> None:
    deployed = in_force(view.pk)
    assert deployed is not None
    made = round_of(view, deployed.theta + 0.5)
    sue = world.person("sue-2")
    for wrong in (0, launch_replay.MOST_SLICES + 1):
        with pytest.raises(Refused, match="1 to 30 slices"):
            launch_replay.launch(made.pk, wrong, sue)
    job = launch_replay.launch(made.pk, 1, sue)
    assert launch_replay.launch(made.pk, 1, sue) == job  # asked twice, queued once
    other = launch_replay.launch(made.pk, 2, sue)
    told: list[str] = []
    assert world.run(job, lambda done, total, text: told.append(text)).state == "done"
    assert told == ["recording 1 of 2", "recording 2 of 2"]
    stored = Replay.objects.get(round=made)
    assert (stored.version, stored.threshold) == (made.version, made.threshold)
    assert [part.ordinal for part in stored.slices.all()] == [1] == stored.figures["slices"]
    assert ReplayChange.objects.filter(replay=stored).count() == sum(stored.figures["no_longer"].values()) > 0
    # killed after it was stored and before the job was closed: nothing doubles
    Job.objects.filter(pk=job.pk).update(state="queued")
    job.refresh_from_db()
    assert world.run(job).state == "done" and Replay.objects.count() == 1
    # the other one is its own, and once done the same can be asked for anew
    assert world.run(other).state == "done"
    assert Replay.objects.filter(round=made).latest("pk").figures["slices"] == [0, 1]
    assert launch_replay.launch(made.pk, 1, sue) not in (job, other)
    assert replay_facts.of_round(made)["newest"] == Replay.objects.latest("pk")
    Round.objects.filter(pk=made.pk).update(state="evaluating")
    with pytest.raises(Refused, match="still running"):
        launch_replay.launch(made.pk, 1, sue)


def test_a_cancelled_replay_stores_nothing(view: Camera) -> None:
    made = round_of(view, 0.0)
    job = launch_replay.launch(made.pk, 2, None)

    def cancels(done: int, total: int, text: str) -> None:
        Job.objects.filter(pk=job.pk).update(cancel_requested=True)

    world.run(job, cancels)
    assert not Replay.objects.exists() and not ReplayChange.objects.exists()


def test_lists_hold_what_changed(view: Camera) -> None:
    flagged = [s.value or 0.0 for s in SegmentScore.objects.filter(slice__camera=view, flagged=True)]
    made = round_of(view, float(np.median(flagged)))
    world.run(launch_replay.launch(made.pk, 2, None))
    stored = Replay.objects.get()
    counted = replay_facts.counts(stored)
    for kind in replay_facts.KINDS:
        page, rows = replay_facts.page(stored, kind, None)
        assert page.paginator.count == counted[kind] == len(rows)
        for row in rows:
            assert row.now_flagged == (row.now >= row.theta_now) == (kind in ("newly", "found"))
            assert row.then is not None and (row.then >= row.theta_then) != row.now_flagged
            if kind in ("lost", "found"):
                assert row.said == "anomaly"
    lost = set(replay_facts.listed(stored, "lost").values_list("segment", flat=True))
    assert lost <= set(replay_facts.listed(stored, "no-longer").values_list("segment", flat=True))
    assert lost == set(stored.figures["lost_segments"]) & set(
        SegmentScore.objects.filter(flagged=True).values_list("segment", flat=True)
    )
    said = replay_facts.sentence(stored.figures)
    assert f"of {stored.figures['confirmed']} confirmed anomalies {stored.figures['lost']} would be lost" in said
    assert said.startswith("Over slices 0 to 1 (")
    # a person has the number that the recording's page gives
    change = replay_facts.listed(stored, "no-longer").select_related("segment__recording")[0]
    names = {one["pk"]: one["name"] for one in people_seen(change.segment.recording)}
    first = replay_facts.page(stored, "no-longer", "1")[1][0]
    assert (first.recording, first.start) == (change.segment.recording, change.segment.start_pts)
    assert str(first.person) == names[change.segment.track_id]
