"""Two people on one event: who gets a second look, what becomes of it, how far people agree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from alfred.core.agreement import cohen_kappa
from alfred.core.methodologies import Label
from alfred.models import Answer, Camera, Event, Lane, Lease, Role, User, Verdict, audit
from alfred.models.people import cameras_of
from alfred.services import correct, labels, plates

LOTS = 10_000


def wants_second(event: Event, answer: Answer) -> bool:
    """Whether a second person judges the event too: where the first was unsure, else by lot.

    The lot is fixed by the event's random id. Of a known item the truth is known already.
    """
    if event.lane == Lane.KNOWN:
        return False
    if answer == Answer.UNSURE:
        return True
    if event.lane == Lane.WARMUP and event.camera.second_in_warm_up:
        return True
    return event.id.int % LOTS < event.camera.second_share * LOTS


def settle(event: Event) -> None:
    """After an answer to what another had answered: decided where they agree, else for a supervisor."""
    rows = labels.standing(Verdict.objects.filter(event=event)).exclude(answer=Answer.SKIP)
    found = labels.of_verdicts(rows.values_list("segment_id", "answer"))
    differ = Label.UNRESOLVED in found.values()
    event.state = Event.State.DISPUTED if differ else Event.State.DECIDED
    event.decided_at = event.decided_at or timezone.now()
    event.save(update_fields=["state", "decided_at"])


def disputed(user: User) -> QuerySet[Event]:
    """Events of the cameras this person supervises whose answers differ, the oldest first."""
    rows = Event.objects.filter(state=Event.State.DISPUTED, camera__in=cameras_of(user, Role.SUPERVISOR))
    rows = rows.select_related("camera", "recording", "clip").annotate(plate=plates.shown_with())
    return rows.order_by("decided_at", "pk")


def answers(event: Event) -> list[tuple[str, str, str]]:
    """(who, what, comment) of each person's present answer, in the order given; several parts of one are joined."""
    rows = Verdict.objects.filter(event=event, superseded_by__isnull=True).exclude(answer=Answer.UNDO)
    by_user: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in rows.select_related("user").order_by("id"):
        by_user[verdict.user.username].append(verdict)
    return [(name, _joined(said), next((v.comment for v in said if v.comment), "")) for name, said in by_user.items()]


def _joined(said: list[Verdict]) -> str:
    words = dict.fromkeys(v.get_answer_display() + (f" ({v.kind})" if v.kind else "") for v in said)
    return ", ".join(words)


@transaction.atomic
def adjudicate(user: User, event_id: UUID, answer: Answer, key: UUID, comment: str = "") -> None:
    """A supervisor's ruling: it alone counts from now on; what others said stays on record.

    The same key again changes nothing. Raises Event.DoesNotExist for what is not theirs to rule on.
    """
    rows = Event.objects.filter(camera__in=cameras_of(user, Role.SUPERVISOR)).select_for_update(of=("self",))
    event = rows.get(pk=event_id)
    if Verdict.objects.filter(event=event, user=user, key=key).exists():
        return
    if event.state != Event.State.DISPUTED:
        raise Event.DoesNotExist
    earlier = Verdict.objects.filter(event=event, adjudicates=True, superseded_by__isnull=True)
    ruled = {v.segment_id: v for v in earlier}
    Verdict.objects.bulk_create(
        Verdict(
            event=event, segment_id=segment, user=user, answer=answer, key=key, comment=comment, adjudicates=True,
            second=True, supersedes=ruled.get(segment),
        )
        for segment in _to_rule_on(event)
    )  # fmt: skip
    event.state = Event.State.DECIDED
    event.save(update_fields=["state"])
    audit.record("adjudicate", camera=event.camera, by=user, event=str(event.pk), answer=str(answer))


def _to_rule_on(event: Event) -> list[int]:
    """The segments on which answers differ; where a correction is asked for, all that were answered.

    What all agree on stays as it is, and what nobody judged stays without a label.
    """
    rows = labels.standing(Verdict.objects.filter(event=event)).exclude(answer=Answer.SKIP)
    found = labels.of_verdicts(rows.values_list("segment_id", "answer"))
    differ = [segment for segment, label in found.items() if label == Label.UNRESOLVED]
    return sorted(found if correct.pending(event).exists() or not differ else differ)


@dataclass(frozen=True)
class Pair:
    """Two people who judged the same segments of a camera: how many, on how many they agree, Cohen's κ."""

    people: tuple[str, str]
    segments: int
    agreed: int
    kappa: float | None


def pairs(camera: Camera) -> list[Pair]:
    """Every two people with segments in common, the most in common first; adjudications are no opinion.

    What somebody judged by choice is left out: of clear cases people agree more than of others.
    """
    rows = Verdict.objects.filter(event__camera=camera, superseded_by__isnull=True, adjudicates=False)
    by_choice = Lease.objects.filter(event=OuterRef("event"), user=OuterRef("user"), chosen=True)
    rows = rows.filter(batch__isnull=True).exclude(Q(event__lane__in=(Lane.KNOWN, Lane.ALERT)) | Exists(by_choice))
    rows = rows.filter(answer__in=(Answer.NORMAL, Answer.ANOMALY), scripted=False)
    twice = rows.filter(second=True).values("segment")
    said: dict[int, dict[str, int]] = defaultdict(dict)
    for segment, name, answer in rows.filter(segment__in=twice).values_list("segment", "user__username", "answer"):
        said[segment][name] = int(answer == Answer.ANOMALY)
    return sorted(_pairs(said), key=lambda pair: (-pair.segments, pair.people))


def _pairs(said: Mapping[int, Mapping[str, int]]) -> list[Pair]:
    found: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for by_person in said.values():
        for a, b in combinations(sorted(by_person), 2):
            found[a, b].append((by_person[a], by_person[b]))
    return [Pair(who, len(both), sum(a == b for a, b in both), cohen_kappa(both)) for who, both in found.items()]
