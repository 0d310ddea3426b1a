"""What the people who run a camera should know of it, in words: states in which it goes on but gets nowhere."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Exists, Max, Min, OuterRef, Q
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from alfred.core.methodologies import Label
from alfred.models import Answer, Camera, Deployment, Evaluation, Event, Round, Segment, Slice, Verdict
from alfred.services import labels
from alfred.services.warm_up_facts import WarmUp

QUIET_DAYS = 14
"""So long without an anomaly is worth a word."""
LONG_DAYS = 14
"""Warm-up that has run so long is worth a word, if it is to take as long again or nothing can be said."""
LAST_EVENTS = 30
"""How many events back answers are looked at; fewer than `SOME` say nothing."""
SOME = 10
UNUSABLE = 0.8
"""The share of answers without a label from which nothing is learned."""
LAST_SLICES = 10


@dataclass(frozen=True)
class Notice:
    """A sentence or two for the page; `serious` where the camera's figures are wrong or none."""

    words: str
    serious: bool = False


def notices(
    camera: Camera, present: Deployment | None, warm_up: WarmUp | None, newest_round: Round | None
) -> list[Notice]:
    """All that is worth saying; as many queries for a busy camera as for a quiet one."""
    found = [
        _below_chance(present),
        _never_complete(warm_up),
        _no_anomalies(camera, warm_up),
        _nothing_usable(camera),
        _nobody(camera),
        _round_failed(camera, newest_round),
    ]
    return [notice for notice in found if notice]


def _below_chance(present: Deployment | None) -> Notice | None:
    """Shown, and in the way of promotion by policy only: people are asked and rounds run all the same."""
    if present is None:
        return None
    row = Evaluation.objects.filter(camera=present.camera_id, threshold=present.threshold).order_by("-id").first()
    auc = row.figures.get("auc_roc") if row else None
    eer = present.threshold.details.get("eer")
    said = [
        words
        for words, is_so in (
            (_("AUC-ROC is %(value).2f") % {"value": auc or 0}, auc is not None and auc < 0.5),
            (_("the equal error rate is %(value).2f") % {"value": eer or 0}, eer is not None and eer > 0.5),
        )
        if is_so
    ]
    if not said:
        return None
    return Notice(
        _(
            "On this camera the scores rank anomalies below normal segments: %(why)s. People are asked and"
            " rounds can run all the same, but θ separates little here: another detector may suit this view better."
        )
        % {"why": _(" and ").join(said)},
        serious=True,
    )


def _never_complete(warm_up: WarmUp | None) -> Notice | None:
    if warm_up is None or warm_up.began is None or warm_up.days < LONG_DAYS:
        return None
    left = warm_up.days_left
    if left is not None and left < warm_up.days:
        return None
    counts = {"normals": warm_up.normals, "anomalies": warm_up.anomalies, "needed": warm_up.needed}
    said = [
        _(
            "Warm-up has run for %(days).0f days and has %(normals)d normals and %(anomalies)d anomalies of"
            " %(needed)d each."
        )
        % (counts | {"days": warm_up.days}),
        "" if left is None else _("At this pace it takes %(days).0f more days.") % {"days": left},
        _(
            "Import labelled clips of this view, such as staged falls, or lower what makes the validation set complete"
            " (Policies)."
        ),
    ]
    return Notice(" ".join(filter(None, said)))


def _no_anomalies(camera: Camera, warm_up: WarmUp | None) -> Notice | None:
    said = labels.standing(Verdict.objects.filter(event__camera=camera)).order_by()
    times = said.aggregate(first=Min("created_at"), last=Max("created_at", filter=Q(answer=Answer.ANOMALY)))
    since = times["last"] or times["first"]
    if since is None or timezone.now() - since < timedelta(days=QUIET_DAYS):
        return None
    after = said.filter(created_at__gt=since) if times["last"] else said
    answered = after.values("event").distinct().count()
    if not answered:
        return None
    begins = ngettext(
        "Nobody has found an anomaly for %(days)d days (%(n)d event answered since).",
        "Nobody has found an anomaly for %(days)d days (%(n)d events answered since).",
        answered,
    ) % {"days": (timezone.now() - since).days, "n": answered}
    if warm_up is not None and warm_up.anew is None:
        tail = _("θ keeps to the alert budget, and FNR and EBI stay n/a. Rounds still learn from false alarms.")
    else:
        tail = _("What the camera misses can't be read from its alerts: see the audit in its report.")
    return Notice(f"{begins} {tail}")


def _nothing_usable(camera: Camera) -> Notice | None:
    decided = Event.objects.filter(camera=camera, state__in=Event.ANSWERED, decided_at__isnull=False)
    last = list(decided.order_by("-decided_at").values_list("pk", flat=True)[:LAST_EVENTS])
    said: dict[int, set[str]] = defaultdict(set)
    rows = list(labels.standing(Verdict.objects.filter(event__in=last)).order_by().values_list("segment_id", "answer"))
    for segment, answer in rows:
        said[segment].add(answer)
    unresolved = [s for s, label in labels.of_verdicts(rows).items() if label == Label.UNRESOLVED]
    if len(last) < SOME or len(unresolved) < UNUSABLE * len(said):
        return None
    disputed = sum({Answer.NORMAL, Answer.ANOMALY} <= said[s] for s in unresolved)
    why = (
        _("people contradict each other on %(n)d of them") % {"n": disputed}
        if disputed * 2 > len(unresolved)
        else _("most are 'unsure'")
    )
    return Notice(
        _(
            "Of the last %(all)d segments answered, %(n)d have no usable answer: %(why)s. They neither train"
            " nor count. Look at some together, and agree on what is normal here."
        )
        % {"all": len(said), "n": len(unresolved), "why": why}
    )


def _nobody(camera: Camera) -> Notice | None:
    people = Exists(Segment.objects.filter(slice=OuterRef("pk")))
    rows = Slice.objects.filter(camera=camera, closed_at__isnull=False).annotate(people=people)
    last = list(rows.order_by("-ordinal").values_list("ordinal", "people")[:LAST_SLICES])
    empty = sorted(ordinal for ordinal, seen in last if not seen)
    if not empty:
        return None
    listed = ", ".join(map(str, empty[:-1])) + _(" and ") + str(empty[-1]) if len(empty) > 1 else str(empty[0])
    begins = ngettext(
        "Nobody was seen in slice %(listed)s: nothing to ask, count or train on.",
        "Nobody was seen in slices %(listed)s: nothing to ask, count or train on.",
        len(empty),
    ) % {"listed": listed}
    tail = "" if any(seen for _ordinal, seen in last[:2]) else " " + _("Does the camera still see where people walk?")
    return Notice(begins + tail)


def _round_failed(camera: Camera, newest: Round | None) -> Notice | None:
    if newest is None or newest.state != Round.State.FAILED:
        return None
    by_policy = camera.round_policy != Camera.RoundPolicy.BY_HAND
    why = {"round": newest.ordinal, "slice": newest.slice.ordinal, "why": newest.message.rstrip(".") or _("no reason")}
    said = _("Round %(round)d on slice %(slice)d failed: %(why)s. What was in force stays.") % why
    again = _("The policy starts none on this slice again; launch one by hand, or wait for the next slice.")
    return Notice(f"{said} {again}" if by_policy else said)
