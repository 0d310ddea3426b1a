"""What replays found, for pages: one sentence, and the list of segments whose flag is another. Needs no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery

from alfred.core.methodologies import Label
from alfred.core.phrases import phrase
from alfred.models import Job, Replay, ReplayChange, Round, Track

PAGE = 50

KINDS = {
    "no-longer": phrase("no longer flagged"),
    "newly": phrase("newly flagged"),
    "lost": phrase("anomalies lost"),
    "found": phrase("anomalies found"),
}
"""The lists of a replay, by the word in the address."""

NOTHING = {
    "no-longer": phrase("Everything that was flagged on the day would be flagged again."),
    "newly": phrase("Nothing is flagged that was not flagged on the day."),
    "lost": phrase("No confirmed anomaly is lost."),
    "found": phrase("No confirmed anomaly is found that was not flagged on the day."),
}

SAID = {
    Label.NONE: phrase("nothing yet"),
    Label.NORMAL: phrase("normal"),
    Label.ANOMALY: phrase("anomaly"),
    Label.UNRESOLVED: phrase("unresolved"),
}


@dataclass(frozen=True)
class Row:
    """A segment whose flag is another: `then` and `now` are its scores, each beside the θ it was compared with."""

    recording: Any
    start: float
    person: int
    then: float | None
    theta_then: float
    now: float
    theta_now: float
    now_flagged: bool
    said: str

    @property
    def margin_then(self) -> str:
        return _above(self.then, self.theta_then)

    @property
    def margin_now(self) -> str:
        return _above(self.now, self.theta_now)


def _above(score: float | None, theta: float) -> str:
    """How far above θ, with its sign."""
    return "n/a" if score is None or not math.isfinite(score) else f"{score - theta:+.3f}"


def of_round(row: Round) -> dict[str, Any]:
    """What the round's page says of replays: the newest in a sentence, and whether one is being made."""
    newest = Replay.objects.filter(round=row).order_by("-pk").first()
    job = Job.objects.filter(kind=Job.Kind.REPLAY, subject=row.pk).order_by("-pk").first()
    return {
        "newest": newest,
        "sentence": sentence(newest.figures) if newest else "",
        "job": job if job and job.state != Job.State.DONE else None,
    }


def sentence(figures: dict[str, Any]) -> str:
    """What a replay found, in words."""
    slices = figures["slices"]
    if not slices:
        over = phrase("no slice")
    elif len(slices) == 1:
        over = phrase("slice {ordinal}", ordinal=slices[0])
    else:
        over = phrase("slices {first} to {last}", first=slices[0], last=slices[-1])
    known = figures["confirmed"]
    anomalies = phrase("nobody has confirmed an anomaly there, so none could be lost")
    if known:
        anomalies = phrase(
            "of {known} confirmed anomalies {lost} would be lost and {found} found",
            known=known,
            lost=figures["lost"],
            found=figures["found"],
        )
    return phrase(
        "Over {over} ({segments} segments) {fewer} would no longer be flagged and {more} newly would; {anomalies}.",
        over=over,
        segments=figures["segments"],
        fewer=sum(figures["no_longer"].values()),
        more=sum(figures["newly"].values()),
        anomalies=anomalies,
    )


def replays_of(row: Round) -> list[Replay]:
    """The round's replays, the newest first."""
    return list(Replay.objects.filter(round=row).select_related("version", "threshold").order_by("-pk"))


def counts(replay: Replay) -> dict[str, int]:
    """How many segments, or anomalies, each list is about: as the sentence counts them."""
    stored = replay.changes.aggregate(
        gone=Count("pk", filter=Q(now_flagged=False)), new=Count("pk", filter=Q(now_flagged=True))
    )
    return {
        "no-longer": stored["gone"],
        "newly": stored["new"],
        "lost": replay.figures["lost"],
        "found": replay.figures["found"],
    }


def listed(replay: Replay, kind: str) -> QuerySet[ReplayChange]:
    """The changes of one list, in the order of the stream. An anomaly is listed by its segments that changed."""
    rows = replay.changes.filter(now_flagged=kind in ("newly", "found"))
    if kind in ("lost", "found"):
        rows = rows.filter(segment__in=replay.figures[f"{kind}_segments"])
    return rows.order_by("segment__recording_id", "segment__start_pts", "segment_id")


def page(replay: Replay, kind: str, number: str | None) -> tuple[Page[Any], list[Row]]:
    """One page of a list: the paginator's page, and its rows. A page number that is none is the first or the last."""
    # A person is numbered by first appearance, as on the recording's page.
    before = Track.objects.filter(extraction=OuterRef("segment__track__extraction")).filter(
        Q(start_pts__lt=OuterRef("segment__track__start_pts"))
        | Q(start_pts=OuterRef("segment__track__start_pts"), number__lte=OuterRef("segment__track__number"))
    )
    person = before.order_by().values("extraction").annotate(n=Count("pk")).values("n")
    related = ("segment__recording", "segment__track", "segment__score__deployment__threshold")
    rows = listed(replay, kind).select_related(*related).annotate(person=Subquery(person))
    found = Paginator(rows, PAGE).get_page(number)
    return found, [_row(replay, change) for change in found.object_list]


def _row(replay: Replay, change: Any) -> Row:
    segment, score = change.segment, change.segment.score
    return Row(
        recording=segment.recording,
        start=segment.start_pts,
        person=change.person,
        then=score.value,
        theta_then=score.deployment.theta,
        now=change.value,
        theta_now=replay.threshold.value,
        now_flagged=change.now_flagged,
        said=SAID[Label(change.label)],
    )
