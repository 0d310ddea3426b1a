"""The replay of a round: its sentence on the round's page, its lists, and the manifest as a file."""

from __future__ import annotations

import csv
import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from alfred.models import AuditEntry, Job, Replay, ReplayChange, Round, Segment, SegmentScore
from alfred.services import replay_facts, round_facts
from alfred.services.storage import artifacts
from tests import world
from tests.annotator import stage
from tests.annotator.pages import Page
from tests.annotator.stage import Scene

pytestmark = pytest.mark.django_db

NOW = 0.9173
"""A replayed score below the candidate's θ of 1.9."""


@pytest.fixture
def gate() -> Scene:
    return stage.scene("Gate", events=6)


def client_of(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def replayed(where: Scene, labels: list[int], **more: Any) -> Replay:
    """All segments of the scene were flagged: the first of them no longer are, with these labels."""
    changed = where.segments[: len(labels)]
    lost = [s.pk for s, label in zip(changed, labels, strict=True) if label == 1]
    counted = {words: labels.count(code) for code, words in ((-1, "nothing"), (0, "normal"), (1, "anomaly"))}
    figures = {
        "slices": [0], "recordings": 1, "segments": len(where.segments), "unscored": 0, "confirmed": 4,
        "flagged_then": len(where.segments), "flagged_now": len(where.segments) - len(labels), "no_longer": counted,
        "newly": {"nothing": 0}, "lost": len(lost), "found": 0, "lost_segments": lost, "found_segments": [],
    }  # fmt: skip
    row = where.round
    assert row.version is not None and row.threshold is not None
    made = Replay.objects.create(
        camera=where.camera, version=row.version, threshold=row.threshold, round=row, figures=figures | more
    )
    made.slices.add(where.slice)
    for segment, label in zip(changed, labels, strict=True):
        ReplayChange.objects.create(replay=made, segment=segment, now_flagged=False, value=NOW, label=label)
    return made


def test_the_rounds_page_says_what_replay_found_and_leads_there(gate: Scene, cast: world.People) -> None:
    replayed(gate, [1, 0, -1])
    text = client_of(cast.sue).get(reverse("round", args=[gate.round.pk])).content.decode()
    assert (
        "Over slice 0 (6 segments) 3 would no longer be flagged and 0 newly would; "
        "of 4 confirmed anomalies 1 would be lost and 0 found."
    ) in text
    assert f'href="{reverse("round-replay", args=[gate.round.pk])}"' in text
    assert "Replay over the last" not in text  # that is for admins
    assert "Replay over the last" in client_of(cast.admin).get(reverse("round", args=[gate.round.pk])).content.decode()


def test_lists_tabs_and_links(gate: Scene, cast: world.People) -> None:
    made = replayed(gate, [1, 0, -1])
    client, url = client_of(cast.sue), reverse("round-replay", args=[gate.round.pk])
    tabs = ["no longer flagged (3)", "newly flagged (0)", "anomalies lost (1)", "anomalies found (0)"]
    expected = {"": 3, "no-longer": 3, "newly": 0, "lost": 1, "found": 0, "nonsense": 3}
    for show, n in expected.items():
        page = Page(client.get(url, {"show": show}).content.decode())
        shown = [t.text.strip() for t in page.all("a") if "show=" in t.attributes.get("href", "")]
        assert shown == tabs
        rows = [t for t in page.all("tr") if t.within("tbody")]
        assert len(rows) == n, show
        if not n:
            assert any(replay_facts.NOTHING[show] in t.text for t in page.all("p")), show
    text = client.get(url, {"show": "lost", "of": str(made.pk)}).content.decode()
    start = f"{gate.segments[0].start_pts:.3f}"
    assert f'href="{reverse("recording", args=[gate.recording.pk])}#t={start}"' in text
    # both scores, each beside the θ it was compared with
    for number in ("4.821", f"{stage.SCORE - stage.THETA:+.3f}", "0.917", f"{NOW - 1.9:+.3f}", gate.recording.name):
        assert number in text, number


def test_an_earlier_replay_can_be_opened_again(gate: Scene, cast: world.People) -> None:
    first, second = replayed(gate, [1]), replayed(gate, [0, 0], slices=[0, 1])
    other = stage.scene("Yard")
    foreign = replayed(other, [1])
    client, url = client_of(cast.sue), reverse("round-replay", args=[gate.round.pk])
    assert "no longer flagged (2)" in client.get(url).content.decode()
    assert "no longer flagged (1)" in client.get(url, {"of": first.pk}).content.decode()
    for wrong in (foreign.pk, "x", 10**30):  # not this round's: the newest is shown
        assert "no longer flagged (2)" in client.get(url, {"of": str(wrong)}).content.decode()
    assert "2 slices" in client.get(url, {"of": second.pk}).content.decode()


def test_any_number_of_rows_costs_as_many_queries(gate: Scene, cast: world.People) -> None:
    made = replayed(gate, [1])
    client, url = client_of(cast.sue), reverse("round-replay", args=[gate.round.pk])

    def cost(page: str = "1") -> tuple[int, int]:
        with CaptureQueriesContext(connection) as seen:
            text = client.get(url, {"page": page}).content.decode()
        return len(seen), len([t for t in Page(text).all("tr") if t.within("tbody")])

    few = cost()
    names = [f.attname for f in Segment._meta.concrete_fields if f.attname not in ("id", "ordinal")]
    copied = {name: getattr(gate.segments[0], name) for name in names}
    more = Segment.objects.bulk_create([Segment(**copied, ordinal=n) for n in range(1, 71)])
    SegmentScore.objects.bulk_create(
        SegmentScore(
            segment=s, scoring=gate.scoring, deployment=gate.deployments[-1], slice=gate.slice, value=2.0, flagged=True
        )
        for s in more
    )
    ReplayChange.objects.bulk_create(
        ReplayChange(replay=made, segment=s, now_flagged=False, value=NOW, label=-1) for s in more
    )
    assert few[1] == 1
    assert cost() == (few[0], replay_facts.PAGE)
    assert cost("2") == (few[0], 21) and cost("99") == cost("2")
    assert few[0] <= 12
    assert "Page 2 of 2" in client.get(url, {"page": "2"}).content.decode()


def test_without_a_replay(gate: Scene, cast: world.People) -> None:
    text = client_of(cast.sue).get(reverse("round-replay", args=[gate.round.pk])).content.decode()
    assert "Nothing replayed yet" in text
    assert "Not replayed yet." in client_of(cast.sue).get(reverse("round", args=[gate.round.pk])).content.decode()


def test_annotators_see_nothing_of_it(gate: Scene, cast: world.People) -> None:
    replayed(gate, [1])
    for name in ("round-replay", "round-manifest-csv"):
        assert client_of(cast.alice).get(reverse(name, args=[gate.round.pk])).status_code == 404


def test_asking_for_a_replay(gate: Scene, cast: world.People) -> None:
    client, row = client_of(cast.admin), gate.round.pk
    url = reverse("round-replay-launch", args=[row])
    for wrong in ("", "0", "31", "x"):
        shown = client.post(url, {"slices": wrong}, follow=True).content.decode()
        assert "Slices: " in shown and not Job.objects.filter(kind="replay").exists()
    shown = client.post(url, {"slices": "2"}, follow=True).content.decode()
    assert "A replay waits for a worker." in shown
    assert Job.objects.get(kind="replay").subject == row
    assert AuditEntry.objects.filter(action="launch replay", by=cast.admin).exists()
    Job.objects.update(state="failed", error="The poses are gone.")
    assert "The last replay failed: The poses are gone." in client.get(reverse("round", args=[row])).content.decode()
    Round.objects.filter(pk=row).update(state="training")
    assert "Replay over the last" not in client.get(reverse("round", args=[row])).content.decode()


def test_the_manifest_as_csv_says_what_the_parquet_says(gate: Scene, cast: world.People) -> None:
    client = client_of(cast.sue)
    response: Any = client.get(reverse("round-manifest-csv", args=[gate.round.pk]))
    assert response.headers["Content-Disposition"] == 'attachment; filename="round-1-manifest.csv"'
    rows = list(csv.DictReader(io.StringIO(b"".join(response.streaming_content).decode())))
    stored = pq.read_table(artifacts().path(gate.round.manifest)).to_pylist()
    assert rows == [{name: str(value) for name, value in row.items()} for row in stored]
    assert "Parquet</a>" in client.get(reverse("round", args=[gate.round.pk])).content.decode()
    Round.objects.filter(pk=gate.round.pk).update(manifest="")
    assert client.get(reverse("round-manifest-csv", args=[gate.round.pk])).status_code == 404
    assert "manifest.csv" not in client.get(reverse("round", args=[gate.round.pk])).content.decode()


def test_the_csv_comes_in_pieces(gate: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(round_facts, "CSV_ROWS", 2)
    keys = artifacts()
    with keys.temporary(".parquet") as path:
        pq.write_table(pa.table({"segment": list(range(5)), "reason": ["unscored"] * 5}), path)
        gate.round.manifest = keys.put_file(gate.camera.slug, path, ".parquet")
    pieces = list(round_facts.manifest_as_csv(gate.round))
    assert [piece.count(b"\n") for piece in pieces] == [3, 2, 1]
    assert b"".join(pieces).count(b"segment") == 1
