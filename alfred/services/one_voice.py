"""No person alone says what a round learns: of its confirmed false alarms at most a share rests on one person's word.

What is over it is held back from this round and goes to a second person; once that one has answered, it is a late label
of the next round. Where nobody else may judge on the camera the rule can't hold, and is not applied.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping

import numpy as np
from django.db.models import F, Value
from django.db.models.functions import Random

from alfred.core.methodologies import Label
from alfred.models import Answer, Camera, Event, Lane, Membership, Round, SegmentScore, User, Verdict, audit
from alfred.services import labels


def excess(mine: int, of: int, share: float) -> int:
    """How many of one person's `mine` must go so that at most `share` of what is left of `of` is theirs."""
    if share >= 1 or mine <= share * of:
        return 0
    return min(mine, math.ceil((mine - share * of) / (1 - share) - 1e-9))


def held_back(row: Round, said: Mapping[int, Label]) -> set[int]:
    """False alarms that wait for a second person, drawn from those of whoever gave too many; their events are queued.

    The caller holds a transaction. The same round draws the same ones.
    """
    camera = row.camera
    normal = [segment for segment, label in said.items() if label == Label.NORMAL]
    false_alarms = sorted(
        SegmentScore.objects.filter(segment_id__in=normal, flagged=True).values_list("segment_id", flat=True)
    )
    alone = _by_one_person(false_alarms)
    most = max(alone, key=lambda user: (len(alone[user]), -user), default=None)
    if most is None or not _somebody_else(camera, most):
        return set()
    over = excess(len(alone[most]), len(false_alarms), camera.one_voice_share)
    if not over:
        return set()
    chosen = np.random.default_rng(row.seed).choice(sorted(alone[most]), size=over, replace=False).tolist()
    _ask_second(chosen, most)
    who = User.objects.get(pk=most).username
    audit.record("second looks asked", camera=camera, by=None, round=row.ordinal, segments=over, judged_by=who)
    return set(chosen)


def _by_one_person(segments: list[int]) -> dict[int, set[int]]:
    """Of these segments those that rest on one person's word, by person; rulings and scripts are no such word."""
    said: dict[int, set[int]] = defaultdict(set)
    settled: set[int] = set()
    rows = labels.standing(Verdict.objects.filter(segment_id__in=segments, answer=Answer.NORMAL), together=True)
    for segment, user, ruled, scripted in rows.values_list("segment_id", "user_id", "adjudicates", "scripted"):
        said[segment].add(user)
        if ruled or scripted:
            settled.add(segment)
    found: dict[int, set[int]] = defaultdict(set)
    for segment, people in said.items():
        if len(people) == 1 and segment not in settled:
            found[next(iter(people))].add(segment)
    return found


def _somebody_else(camera: Camera, user: int) -> bool:
    return Membership.objects.filter(camera=camera, user__is_active=True).exclude(user=user).exists()


def _ask_second(segments: list[int], user: int) -> None:
    """Put the events of these answers into the queue of a second person."""
    rows = Event.objects.filter(verdicts__segment_id__in=segments, verdicts__user=user, state=Event.State.DECIDED)
    ids = rows.exclude(lane=Lane.KNOWN).values_list("pk", flat=True)
    further_back = F("place") + (Value(1.0) - F("place")) * Random()
    Event.objects.filter(pk__in=list(ids)).update(state=Event.State.SECOND, place=further_back)
