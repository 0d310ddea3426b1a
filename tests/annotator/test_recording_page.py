"""The recording's page: people that lead to their moment, scores over time, and who may see them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from alfred.models import Recording, Scoring, Track
from alfred.services import pose_window, recording_facts
from tests import world
from tests.annotator import stage
from tests.annotator.pages import Page
from tests.annotator.stage import Scene

pytestmark = pytest.mark.django_db


def get(recording: Recording, user: Any) -> Any:
    return world.signed_in(user).get(reverse("recording", args=[recording.pk]))


def recorded(where: Scene, spans: list[tuple[float, float]], values: Sequence[float | None] | None = None) -> Recording:
    """Another recording of two people, in view at these times, with these scores."""
    recording, extraction = stage.record(where.camera, where.slice, start=50.0, spans=spans)
    if values is not None:
        stage.score(extraction, where.deployments[-1], list(recording.segments.order_by("id")), values)
    return recording


def test_people_lead_to_their_first_and_last_moment(gate: Scene) -> None:
    recording = recorded(gate, [(62.04, 754.32), (0.0, 59.96)])
    page = Page(get(recording, world.people(gate.camera).sue).content.decode())
    spots = [(t.attributes["data-seek-to"], t.attributes["aria-label"], t.text) for t in page.all("button")
             if t.attributes.get("aria-label", "").startswith("Person")]  # fmt: skip
    assert spots == [
        ("0.000", "Person 1, first seen at 0:00.0", "0:00.0"),
        ("59.960", "Person 1, last seen at 1:00.0", "1:00.0"),
        ("62.040", "Person 2, first seen at 1:02.0", "1:02.0"),
        ("754.320", "Person 2, last seen at 12:34.3", "12:34.3"),
    ]


def test_people_keep_their_number_in_every_stretch(gate: Scene) -> None:
    """The list's number is the one drawn, whoever is first in the stretch that is loaded."""
    recording = recorded(gate, [(52.0, 54.4), (50.0, 54.4)])
    first, second = Track.objects.filter(extraction__recording=recording).order_by("number")
    assert {p["name"]: p["pk"] for p in recording_facts.people_seen(recording)} == {"1": second.pk, "2": first.pk}
    drawn = {p["name"]: p["xy"][0][0] for p in pose_window.of_recording(recording, 50.0, 54.0)["people"]}
    assert set(drawn) == {"1", "2"}
    assert drawn["2"] < drawn["1"]  # the walkers stand side by side, by track


def test_the_curve_is_the_highest_score_at_each_moment(gate: Scene) -> None:
    curve = recording_facts.score_curve(recorded(gate, [(0.0, 4.4), (2.0, 3.4)], [1.0, 3.0]))
    assert curve is not None
    assert curve["time"] == [0, 1, 2, 3, 4]
    assert curve["score"] == [1.0, 1.0, 3.0, 3.0, 1.0]
    assert curve["theta"] == stage.THETA
    assert [(s["score"], s["flagged"]) for s in curve["segments"]] == [(3.0, True), (1.0, False)]


def test_a_moment_with_nobody_scored_is_a_gap(gate: Scene) -> None:
    curve = recording_facts.score_curve(recorded(gate, [(0.0, 0.9), (3.0, 3.9)], [1.0, 2.0]))
    assert curve is not None and curve["score"] == [1.0, None, None, 2.0, None]


def test_supervisors_and_admins_see_the_scores_and_annotators_do_not(gate: Scene) -> None:
    cast = world.people(gate.camera)
    for user in (cast.sue, cast.admin):
        page = Page(get(gate.recording, user).content.decode())
        data = next(t.text for t in page.all("script") if t.attributes.get("type") == "application/json")
        assert set(json.loads(data)) == {"time", "score", "theta"}
        assert page.inline_code() == []
        assert f"{stage.SCORE:.3f}" in "".join(t.text for t in page.all("td"))
    assert get(gate.recording, cast.alice).status_code == 404


def test_a_recording_without_scores_has_no_curve(gate: Scene) -> None:
    recording = recorded(gate, [(50.0, 54.4), (50.0, 54.4)], [None, None])
    assert recording_facts.score_curve(recording) is None
    text = get(recording, world.people(gate.camera).sue).content.decode()
    assert "data-scores" not in text and "uPlot" not in text and "data-seek-to" in text


def test_as_many_queries_for_12_people_as_for_2(gate: Scene) -> None:
    admin = world.people(gate.camera).admin
    crowd, extraction = stage.record(gate.camera, gate.slice, people_seen=12, start=30.0)
    stage.score(extraction, gate.deployments[-1], list(crowd.segments.all()))
    assert Scoring.objects.count() == 2

    def cost(pk: int) -> int:
        client = Client()
        client.force_login(admin)
        with CaptureQueriesContext(connection) as found:
            assert client.get(reverse("recording", args=[pk])).status_code == 200
        return len(found)

    assert cost(gate.recording.pk) == cost(crowd.pk) <= 14
