"""What happened can't be edited or deleted: neither through the models nor in SQL, in any of the tables."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import pytest
from django.apps import apps
from django.db import DatabaseError, connection, models, transaction

from alfred.models import (
    Answer,
    AuditEntry,
    Candidate,
    Deployment,
    Evaluation,
    EventSegment,
    LabelSnapshot,
    Lane,
    Membership,
    Round,
    Segment,
    SegmentScore,
    SliceCounts,
    SnapshotLabel,
    User,
    ValidationMember,
    ValidationSet,
    Verdict,
)
from alfred.models.detectors import in_force
from tests import world

pytestmark = pytest.mark.django_db

TABLES: tuple[str, ...] = importlib.import_module("alfred.migrations.0002_append_only").TABLES


@pytest.fixture
def history() -> None:
    """One row, at least, in every append-only table."""
    view = world.camera()
    cast = world.people(view)
    recording = world.scored(view, minutes=0.5)
    event = recording.event_set.get_queryset().first()
    assert event is not None
    world.answer(cast.alice, event, Answer.NORMAL)
    deployment = in_force(view.pk)
    assert deployment is not None and recording.slice is not None
    segment = Segment.objects.filter(camera=view).earliest("id")
    made = Round.objects.create(
        camera=view, ordinal=1, slice=recording.slice, methodology="active_learning", base=deployment
    )
    snapshot = LabelSnapshot.objects.create(round=made, digest="0" * 64)
    SnapshotLabel.objects.create(snapshot=snapshot, segment=segment, label=0)
    chosen = ValidationSet.objects.create(camera=view, number=1)
    ValidationMember.objects.create(
        validation_set=chosen, segment=segment, anomalous=False, weight=1.0, origin="warmup"
    )
    Evaluation.objects.create(
        camera=view,
        version=deployment.version,
        threshold=deployment.threshold,
        validation_set=chosen,
        role="deployed",
        figures={},
    )
    SliceCounts.objects.create(
        slice=recording.slice, deployment=deployment, unit="segment", basis="judged", tp=1, fp=1, blocks=[]
    )


def model_of(table: str) -> type[models.Model]:
    return apps.get_model("alfred", table)


@pytest.mark.usefixtures("history")
def test_every_append_only_table_refuses_updates_and_deletes() -> None:
    """One test for all tables: making the rows is the costly part."""
    assert len(TABLES) == 18
    for table in TABLES:
        model = model_of(table)
        row = model._default_manager.first()
        assert row is not None, f"the test made no row of {table}"
        attempts = attempts_on(table, row)
        for name, attempt in attempts.items():
            with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
                attempt()
            assert model._default_manager.filter(pk=row.pk).exists(), f"{name} of {table}"


def attempts_on(table: str, row: models.Model) -> dict[str, Callable[[], object]]:
    """Every way to change or remove the row, or all of them; none of these would change a value."""
    rows, key = type(row)._default_manager.all(), row._meta.pk
    return {
        "save": row.save,
        "update": lambda: rows.filter(pk=row.pk).update(**{key.name: models.F(key.name)}),
        "queryset delete": lambda: rows._raw_delete(using="default"),
        "SQL update": lambda: sql(f"UPDATE alfred_{table} SET {key.column} = {key.column}"),
        "SQL delete": lambda: sql(f"DELETE FROM alfred_{table}"),
    }


def sql(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.mark.usefixtures("history")
def test_deleting_through_a_model_is_refused_too() -> None:
    for row in (Verdict.objects.first(), AuditEntry.objects.first(), SliceCounts.objects.first()):
        assert row is not None
        with pytest.raises(DatabaseError), transaction.atomic():
            row.delete()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("history")
def test_only_erasing_opens_the_door_and_only_for_its_own_transaction() -> None:
    row = AuditEntry.objects.latest("id")
    with transaction.atomic():
        sql("SET LOCAL alfred.erasing = 'on'")
        row.details = {"erased": 1}
        row.save()
        counts = SliceCounts.objects.all()
        assert counts._raw_delete(using="default") == 1
    row.refresh_from_db()
    assert row.details == {"erased": 1} and not SliceCounts.objects.exists()
    with pytest.raises(DatabaseError, match="append-only"):
        row.save()
    with transaction.atomic():
        sql("SET LOCAL alfred.erasing = 'yes'")  # nothing but the one word opens it
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            row.save()


def test_keys_point_backwards_and_deleting_never_spreads() -> None:
    """No cascade from anything into history; the people on a camera are the one thing that goes with it."""
    cascades = {
        (model.__name__, field.name)
        for model in apps.get_app_config("alfred").get_models()
        for field in model._meta.get_fields()
        if isinstance(field, models.ForeignKey) and field.remote_field.on_delete is not models.PROTECT
    }
    tied_to_an_account = {f for f in cascades if f[0] in {"User_groups", "User_user_permissions"}}
    tied_to_an_account |= {("Preferences", "user"), ("GuideSeen", "user")}  # how a person likes to work, what they read
    assert cascades - tied_to_an_account == {("Membership", "user"), ("Membership", "camera")}
    order = [
        "Camera", "Slice", "Recording", "PoseExtraction", "Track", "Segment", "Scoring", "SegmentScore", "Event",
        "Verdict", "LabelSnapshot",
    ]  # fmt: skip
    for later, name in enumerate(order):
        model = apps.get_model("alfred", name)
        targets = {f.related_model.__name__ for f in model._meta.get_fields() if isinstance(f, models.ForeignKey)}
        assert not targets & set(order[later + 1 :]), f"{name} points forwards"


@pytest.mark.usefixtures("history")
def test_a_camera_or_person_with_history_can_not_be_deleted() -> None:
    verdict = Verdict.objects.get()
    for row in (verdict.event.camera, verdict.user, verdict.segment.recording, verdict.event):
        with pytest.raises(models.ProtectedError):
            row.delete()
    assert Membership.objects.count() == 3


@pytest.mark.usefixtures("history")
def test_what_the_rows_themselves_refuse() -> None:
    """Constraints that hold whoever writes: π, unscored and flagged, labels, weights, doubles."""
    score = SegmentScore.objects.select_related("deployment", "slice").first()
    event_segment = EventSegment.objects.first()
    asked = Candidate.objects.filter(asked=True).first()
    deployment = Deployment.objects.first()
    assert score and event_segment and asked and deployment
    candidate = {
        "segment": score.segment,
        "slice": score.slice,
        "deployment": score.deployment,
        "lane": Lane.AUDIT,
        "seed": 1,
    }
    impossible: dict[str, models.Model] = {
        "probability_is_one": Candidate(**candidate, probability=1.01, asked=False),
        "asked_had_a_chance": Candidate(**candidate, probability=0.0, asked=True),
        "drawn_once_a_lane": Candidate(**{**candidate, "lane": Lane.WARMUP}, probability=0.5, asked=False),
        "asked_once_a_lane": EventSegment(
            event=event_segment.event, segment=event_segment.segment, lane=event_segment.lane
        ),
        "weights_are_positive": ValidationMember(
            validation_set=ValidationSet.objects.create(camera=deployment.camera, number=7, frozen_at=deployment.since),
            segment=score.segment,
            anomalous=True,
            weight=0.0,
            origin="warmup",
        ),
        "one_validation_set_in_the_making": ValidationSet(camera=deployment.camera, number=8),
        "a_deployment_ordinal_once": Deployment(
            camera=deployment.camera,
            ordinal=deployment.ordinal,
            version=deployment.version,
            threshold=deployment.threshold,
            why="again",
        ),
        "label_is_known": SnapshotLabel(
            snapshot=LabelSnapshot.objects.get(), segment=Segment.objects.latest("id"), label=4
        ),
        "a_key_writes_once": _verdict_again(),
        "counted_once": _counts_again(),
    }
    for name, row in impossible.items():
        with pytest.raises(DatabaseError, match=name), transaction.atomic():
            row.save(force_insert=True)
    Candidate(**candidate, probability=0.0, asked=False).save()  # what is possible is let in


def _verdict_again() -> Verdict:
    row = Verdict.objects.get()
    return Verdict(event=row.event, segment=row.segment, user=row.user, answer=Answer.ANOMALY, key=row.key)


def _counts_again() -> SliceCounts:
    row = SliceCounts.objects.get()
    return SliceCounts(
        slice=row.slice, deployment=row.deployment, unit=row.unit, basis=row.basis, tp=0, fp=0, blocks=[]
    )


@pytest.mark.usefixtures("history")
def test_unscored_is_never_flagged() -> None:
    score = SegmentScore.objects.latest("id")
    with transaction.atomic():
        sql("SET LOCAL alfred.erasing = 'on'")
        SegmentScore.objects.filter(pk=score.pk)._raw_delete(using="default")
    again = SegmentScore(
        segment=score.segment, scoring=score.scoring, deployment=score.deployment, slice=score.slice, value=None
    )
    again.flagged = True
    with pytest.raises(DatabaseError, match="unscored_is_not_flagged"), transaction.atomic():
        again.save(force_insert=True)
    again.flagged = False
    again.save(force_insert=True)


@pytest.mark.usefixtures("history")
def test_one_live_round_a_camera() -> None:
    first = Round.objects.get()
    again = {
        "camera": first.camera,
        "slice": first.slice,
        "methodology": first.methodology,
        "base": first.base,
    }
    for state in ("queued", "training", "candidate"):
        with pytest.raises(DatabaseError, match="one_live_round_a_camera"), transaction.atomic():
            Round.objects.create(**again, ordinal=2, state=state)
    Round.objects.create(**again, ordinal=2, state="failed")  # ended ones are no hindrance
    Round.objects.filter(pk=first.pk).update(state="rejected")
    assert Round.objects.create(**again, ordinal=3).state == "queued"


@pytest.mark.usefixtures("history")
def test_one_live_lease_an_event() -> None:
    from django.utils import timezone

    from alfred.models import Event, Lease

    event = Event.objects.earliest("place")
    alice, bob = User.objects.get(username="alice"), User.objects.get(username="bob")
    held = Lease.objects.create(event=event, user=alice, expires_at=timezone.now())
    with pytest.raises(DatabaseError, match="one_live_lease_an_event"), transaction.atomic():
        Lease.objects.create(event=event, user=bob, expires_at=timezone.now())
    held.released_at = timezone.now()
    held.save()
    assert Lease.objects.create(event=event, user=bob, expires_at=timezone.now()).pk


def test_the_same_work_is_queued_once() -> None:
    from alfred.models import Job
    from alfred.models.work import queue

    view = world.camera()
    first = queue(view.pk, Job.Kind.EXTRACT, 1)
    assert queue(view.pk, Job.Kind.EXTRACT, 1) == first
    assert queue(view.pk, Job.Kind.EXTRACT, 2) != first
    with pytest.raises(DatabaseError, match="key"), transaction.atomic():
        Job.objects.create(camera=view, kind="extract", subject=1, key=first.key)
