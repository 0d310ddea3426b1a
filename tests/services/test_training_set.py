"""What a round may train on, where clocks are unknown or the validation set is still in the making."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from alfred.models import Candidate, Event, Lane, Round, Segment
from alfred.services import training_set
from alfred.services.launch_round import launch
from alfred.services.storage import artifacts
from tests import world

pytestmark = pytest.mark.django_db


def reasons_of(row: Round) -> dict[int, str]:
    table = pq.read_table(artifacts().path(row.manifest))
    return dict(zip(table["segment"].to_pylist(), table["reason"].to_pylist(), strict=True))


def test_tracks_asked_about_in_warm_up_never_train() -> None:
    """They may become members of the validation set that is being made."""
    view = world.camera(review_budget=12)
    cast = world.people(view)
    world.scored(view, seed=3, minutes=2)
    for event in Event.objects.filter(camera=view)[:10]:
        world.answer(cast.alice, event)
    row = launch(view.pk, cast.admin)
    world.run_all(view)
    row.refresh_from_db()
    assert row.state == "candidate", row.message
    asked = set(Candidate.objects.filter(lane=Lane.WARMUP, asked=True).values_list("segment__track_id", flat=True))
    track = dict(Segment.objects.values_list("pk", "track_id"))
    trained = {s for s, reason in reasons_of(row).items() if reason in ("pseudo-normal", "confirmed FP")}
    assert trained and asked
    assert not asked & {track[s] for s in trained}


def test_recordings_of_unknown_time_overlap_nothing_but_themselves() -> None:
    """Two files handed over at the same moment were not filmed at the same moment."""
    view = world.camera()
    first = world.stream(view, seed=1, minutes=0.3, slice_ordinal=0)
    second = world.stream(view, seed=2, minutes=0.3, slice_ordinal=0)
    assert not first.clock_known
    apart = abs(training_set._clock(first) - training_set._clock(second))
    assert apart > 24 * 3600
    first.clock_known = second.clock_known = True
    assert training_set._clock(second) - training_set._clock(first) == pytest.approx(
        (second.start_at - first.start_at).total_seconds()
    )
