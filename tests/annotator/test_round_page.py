"""The round's page: plain words, one labelled reason an action, and what is in force once the round is over."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from alfred.models import Evaluation, Round
from alfred.services import deploy
from tests import world
from tests.annotator import stage
from tests.annotator.pages import Page
from tests.annotator.stage import Scene

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin(gate: Scene) -> Client:
    client = Client()
    client.force_login(world.people(gate.camera).admin)
    return client


def get(where: Scene, client: Client) -> Any:
    return client.get(reverse("round", args=[where.round.pk]))


def words(response: Any) -> str:
    text = re.sub(r"</(t[dhr]|li|p|h2)>", " ", response.content.decode())
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", text))


def test_each_decision_has_its_own_labelled_reason(gate: Scene, admin: Client) -> None:
    page = Page(get(gate, admin).content.decode())
    labels = [t.inside[-1].text.strip() for t in page.all("input") if t.attributes.get("name") == "reason"]
    assert labels == ["Reason for promoting (optional)", "Reason for rejecting (needed)"]


def test_why_a_reason_is_needed_is_said(gate: Scene, admin: Client) -> None:
    deploy.roll_back(gate.camera.pk, gate.deployments[0].pk, None, "")
    assert "needed: another version came into force meanwhile" in words(get(gate, admin))
    where = stage.scene("Yard")
    row = Evaluation.objects.get(round=where.round, role="candidate")
    figures = {**row.figures, "gates": [{"name": "finite", "holds": False, "words": "No."}]}
    Round.objects.filter(pk=where.round.pk).update(state=Round.State.REJECTED)
    again = Round.objects.create(
        camera=where.camera, ordinal=2, slice=where.slice, methodology="al_light", base=where.deployments[-1],
        state=Round.State.CANDIDATE, version=where.round.version, threshold=where.round.threshold,
    )  # fmt: skip
    Evaluation.objects.create(
        camera=where.camera, version=row.version, threshold=row.threshold, validation_set=row.validation_set,
        round=again, role="candidate", figures=figures,
    )  # fmt: skip
    assert "needed: not all checks hold" in words(admin.get(reverse("round", args=[again.pk])))


def test_no_code_words(gate: Scene, admin: Client) -> None:
    Round.objects.filter(pk=gate.round.pk).update(left_out={"ground_truth": 3, "pseudo-normal": 12})
    said = words(get(gate, admin))
    assert "active learning" in said and "left out: ground truth" in said
    assert not re.search(r"\b[a-z]+_[a-z]+\b", said)
    assert "A candidate is ready: promote or reject it." in said and "candidate ready" in said


def test_after_promotion_the_old_version_is_no_longer_called_deployed(gate: Scene, admin: Client) -> None:
    assert f"deployed {stage.LABEL}" in words(get(gate, admin))
    deploy.promote(gate.round.pk, None)
    said = words(get(gate, admin))
    assert f"deployed {stage.LABEL}" not in said and f"in force then: {stage.LABEL}" in said
    assert f"promoted: {stage.CANDIDATE_LABEL}" in said
    assert f"In force on this camera now: {stage.CANDIDATE_LABEL} with θ = 1.900" in said
    deploy.roll_back(gate.camera.pk, gate.deployments[0].pk, None, "")
    assert f"In force on this camera now: {stage.OLDER_LABEL} with θ = 2.655" in words(get(gate, admin))


def test_a_rejected_candidate_is_called_that(gate: Scene, admin: Client) -> None:
    deploy.reject(gate.round.pk, None, "no better")
    said = words(get(gate, admin))
    assert "Rejected: what was in force stayed. no better" in said
    assert f"rejected: {stage.CANDIDATE_LABEL}" in said and f"In force on this camera now: {stage.LABEL}" in said
