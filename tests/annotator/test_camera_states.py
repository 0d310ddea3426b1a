"""What the camera's page says of states in which the loop goes on and gets nowhere; drift; warm-up opened again."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from alfred.models import Answer, Camera, Candidate, Drift, Evaluation, Lane, Round, Segment, User, Verdict
from alfred.models.detectors import in_force
from alfred.services import build_validation
from tests import crowd, world
from tests.annotator import stage
from tests.annotator.pages import Page

pytestmark = pytest.mark.django_db


def words(user: User, view: Camera) -> str:
    client = Client()
    client.force_login(user)
    text = re.sub(r"</t[dhr]>", " ", client.get(reverse("camera", args=[view.slug])).content.decode())
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", text)).replace("&#x27;", "'")


def age(days: float) -> None:
    """Everything people said lies further back by so many days (the rows are append-only to the product, not here)."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL alfred.erasing = 'on'")
    for model in (Verdict, Candidate):
        for row in model.objects.all():
            model.objects.filter(pk=row.pk).update(created_at=row.created_at - timedelta(days=days))


def answered(who: User, segments: list[Segment], answer: Answer = Answer.NORMAL, lane: Lane = Lane.REVIEW) -> None:
    for segment in segments:
        crowd.said(who, segment, answer, lane)


def in_warm_up(view: Camera, who: User, normals: int, anomalies: int) -> None:
    found = crowd.seen(view, crowd.piece(view, view.slices.count()), [0.5] * (normals + anomalies))
    now = in_force(view.pk)
    assert now is not None
    for segment in found:
        Candidate.objects.create(
            segment=segment, slice=segment.slice, deployment=now, lane=Lane.WARMUP, probability=0.5, asked=True, seed=1
        )
    answered(who, found[:normals], lane=Lane.WARMUP)
    answered(who, found[normals:], Answer.ANOMALY, Lane.WARMUP)


def test_a_warm_up_that_never_completes_and_a_camera_without_anomalies() -> None:
    view = crowd.camera()
    cast = world.people(view)
    assert "Nothing has been asked yet" in words(cast.sue, view)
    in_warm_up(view, cast.alice, 30, 0)
    said = words(cast.sue, view)
    assert "normals 30 of 50, worth 30" in said and "anomalies 0 of 50" in said
    assert "No anomaly confirmed yet: it can't be said" in said and "Warm-up has run" not in said
    age(21)
    in_warm_up(view, cast.alice, 3, 0)
    said = words(cast.sue, view)
    assert "Warm-up has run for 21 days and has 33 normals and 0 anomalies of 50 each. Import labelled clips" in said
    assert "Nobody has found an anomaly for 21 days (33 events answered since). θ keeps to the alert budget" in said
    in_warm_up(view, cast.alice, 0, 1)
    said = words(cast.sue, view)
    assert "Nobody has found" not in said
    assert "At this pace it takes 1029 more days." in said  # 49 more, one in 21 days


def test_answers_from_which_nothing_is_learned() -> None:
    view = crowd.camera()
    cast = world.people(view)
    found = crowd.seen(view, crowd.piece(view, 0, closed_h=1), [2.0] * 12)
    answered(cast.alice, found, Answer.UNSURE)
    said = words(cast.sue, view)
    assert "Of the last 12 segments answered, 12 have no usable answer: most are 'unsure'." in said
    disputed = crowd.seen(view, crowd.piece(view, 1, closed_h=1), [2.0] * 30)
    answered(cast.alice, disputed)
    assert "no usable answer" not in words(cast.sue, view)
    answered(cast.bob, disputed, Answer.ANOMALY)
    assert "30 have no usable answer: people contradict each other on 30 of them" in words(cast.sue, view)


def test_slices_with_nobody() -> None:
    view = crowd.camera()
    sue = world.people(view).sue
    for ordinal in range(4):
        row = crowd.piece(view, ordinal, closed_h=9 - ordinal)
        if ordinal in (0, 2):
            crowd.seen(view, row)
    said = words(sue, view)
    assert (
        "Nobody was seen in slices 1 and 3: nothing to ask, count or train on." in said
        and "Does the camera" not in said
    )
    crowd.piece(view, 4, closed_h=1)
    assert "slices 1, 3 and 4: nothing to ask, count or train on. Does the camera still see" in words(sue, view)


def test_scores_below_chance_are_said_and_block_nothing() -> None:
    where = stage.scene("Gate")
    cast = world.people(where.camera)
    assert "rank anomalies below" not in words(cast.sue, where.camera)
    present = where.deployments[-1]
    Evaluation.objects.create(
        camera=where.camera, version=present.version, threshold=present.threshold,
        validation_set=where.camera.validation_sets.get(), role="deployed",
        figures=stage.figures(stage.THETA) | {"auc_roc": 0.41},
    )  # fmt: skip
    Round.objects.update(state="rejected")
    piece = crowd.piece(where.camera, 1)
    crowd.seen(where.camera, piece, [2.0])
    said = words(cast.admin, where.camera)
    assert (
        "rank anomalies below normal segments: AUC-ROC is 0.41. People are asked and rounds can run all the same"
        in said
    )
    assert "Close and launch a round" in said


def test_a_failed_round_says_why_and_that_the_policy_waits() -> None:
    view = crowd.camera(round_policy=Camera.RoundPolicy.EVERY_SLICE)
    cast = world.people(view)
    row = crowd.piece(view, 0, closed_h=2)
    crowd.asked(crowd.seen(view, row, [2.0])[0])
    said = words(cast.sue, view)
    assert "Rounds start by policy: after every slice, once its reviews are in. Slice 0 has 1 event to review" in said
    failed = crowd.rounded(row, {}, "failed")
    Round.objects.filter(pk=failed.pk).update(message="The loss is not a number after step 12.")
    assert "Round 1 on slice 0 failed: The loss is not a number after step 12. What was in force stays." in words(
        cast.sue, view
    )
    assert "The policy starts none on this slice again" in words(cast.sue, view)


def test_drift_is_shown_with_what_to_do() -> None:
    view = crowd.camera(round_policy=Camera.RoundPolicy.EVERY_SLICE)
    sue = world.people(view).sue
    assert "Compared with the validation period, once there is" in words(sue, view)
    present = crowd.validated(view, crowd.seen(view, crowd.piece(view, 0, closed_h=9), [0.1, 2.0]))
    assert "No slice has been compared" in words(sue, view)
    for ordinal, x in ((1, 0.31), (2, 0.42)):
        row = crowd.piece(view, ordinal, closed_h=5)
        crowd.seen(view, row)
        Drift.objects.create(slice=row, validation_set=present, values={"x": x, "y": 0.02, "score": None})
        if ordinal == 1:
            assert "Has the camera moved?" not in words(sue, view)
    said = words(sue, view)
    assert "Drift in place against the validation period, on 2 slices in a row (PSI 0.42)." in said
    assert "open warm-up again" in said and "None starts while drift stands." in said
    assert "2 n/a n/a 0.42 ▲ 0.02 n/a 1 n/a n/a 0.31 ▲ 0.02 n/a" in said


def test_warm_up_is_opened_again_and_called_off_from_the_page() -> None:
    view = crowd.camera()
    cast = world.people(view)
    client = Client()
    client.force_login(cast.sue)
    reopen, call_off = (reverse(name, args=[view.slug]) for name in ("warm-up-reopen", "warm-up-call-off"))
    assert reopen not in client.get(reverse("camera", args=[view.slug])).content.decode()
    crowd.validated(view, crowd.seen(view, crowd.piece(view, 0, closed_h=9), [0.1, 2.0]))
    assert reopen in client.get(reverse("camera", args=[view.slug])).content.decode()
    client.post(reopen, {"reason": "new pole"})
    said = words(cast.sue, view)
    assert (
        "Version 2 is in the making since" in said and "Version 1 and its θ stay in force until it is complete." in said
    )
    assert "Version 1, warm-up: 1 normals, 1 anomalies, worth 1 and 1." in said and "normals 0 of 50" in said
    page = Page(client.get(reverse("camera", args=[view.slug])).content.decode())
    assert page.inline_code() == [] and page.nameless_controls() == [] and page.doubled_ids() == []
    client.post(call_off)
    assert build_validation.made_anew(view.pk) is None and "in the making" not in words(cast.sue, view)


def test_the_page_costs_as_many_queries_for_a_busy_camera() -> None:
    def cost(busy: Camera, admin: User) -> int:
        client = Client()
        client.force_login(admin)
        with CaptureQueriesContext(connection) as found:
            client.get(reverse("camera", args=[busy.slug]))
        return len(found)

    view = crowd.camera(round_policy=Camera.RoundPolicy.FALSE_ALARMS)
    cast = world.people(view)
    in_warm_up(view, cast.alice, 2, 1)
    crowd.said(cast.alice, crowd.seen(view, crowd.piece(view, 5, closed_h=2), [2.0])[0])
    few = cost(view, cast.admin)
    in_warm_up(view, cast.alice, 10, 5)
    for ordinal in range(6, 12):
        answered(cast.alice, crowd.seen(view, crowd.piece(view, ordinal, closed_h=2), [2.0, 2.0]))
    assert cost(view, cast.admin) == few
