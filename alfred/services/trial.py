"""Twenty known items for who is new: judged before anything real, and nothing of it counts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from alfred.models import Answer, Segment, TrialAnswer, User, Verdict
from alfred.models.people import cameras_of
from alfred.services import known_items

ITEMS = 20
EXPERIENCED = 20
"""Verdicts after which nobody is new."""
CAMERAS = 10
"""Of so many of a person's cameras the items are drawn."""


@dataclass(frozen=True)
class Result:
    """What was said of one item, and what is true."""

    camera: str
    anomalous: bool
    answer: str

    @property
    def right(self) -> bool:
        return self.answer == (Answer.ANOMALY if self.anomalous else Answer.NORMAL)


def due(user: User) -> bool:
    """Whether this person is new and there are items enough; an admin is not asked."""
    return _is_open(user) and len(_items(user)) >= ITEMS


def _is_open(user: User) -> bool:
    """Only who is new gets to see what is true of an item: the same ones wait in the queues of the others."""
    if user.is_admin or TrialAnswer.objects.filter(user=user).count() >= ITEMS:
        return False
    return Verdict.objects.filter(user=user)[:EXPERIENCED].count() < EXPERIENCED


def _items(user: User) -> dict[int, bool]:
    """The person's own draw: of both classes alike, as far as there are both.

    By a hash of person and item, so that a new item takes the place of one at most.
    """
    cameras = cameras_of(user).filter(trial_first=True).order_by("pk").values_list("pk", flat=True)[:CAMERAS]
    truths = known_items.truths(*cameras)
    sides = [[s for s, is_one in truths.items() if is_one is anomalous] for anomalous in (False, True)]
    for side in sides:
        side.sort(key=lambda segment: _lot(user, segment, "drawn"))
    half = ITEMS // 2
    anomalies = sides[1][: max(half, ITEMS - len(sides[0]))]
    chosen = anomalies + sides[0][: ITEMS - len(anomalies)]
    return {segment: truths[segment] for segment in sorted(chosen, key=lambda s: _lot(user, s, "turn"))}


def _lot(user: User, segment: int, what: str) -> bytes:
    return hashlib.blake2b(f"{what} {user.pk} {segment}".encode(), digest_size=8).digest()


def next_item(user: User) -> Segment | None:
    """The next one to be judged; None when the trial is over, or there is nothing to judge."""
    if not _is_open(user):
        return None
    given = set(TrialAnswer.objects.filter(user=user).values_list("segment_id", flat=True))
    left = next((segment for segment in _items(user) if segment not in given), None)
    return None if left is None else _segments().get(pk=left)


def item_for(user: User, segment_id: int) -> Segment:
    """An item of this person's trial. Raises Segment.DoesNotExist for any other."""
    if not _is_open(user) or segment_id not in _items(user):
        raise Segment.DoesNotExist
    return _segments().get(pk=segment_id)


def _segments() -> QuerySet[Segment]:
    return Segment.objects.select_related("camera", "recording", "track")


def answer(user: User, segment_id: int, said: Answer) -> None:
    """Keep the first answer to an item; another one changes nothing, nor does one to what is no item any more.

    Raises Segment.DoesNotExist for what is on no camera of theirs.
    """
    Segment.objects.get(pk=segment_id, camera__in=cameras_of(user))
    truth = _items(user).get(segment_id) if _is_open(user) else None
    if truth is None:
        return
    try:
        with transaction.atomic():
            TrialAnswer.objects.create(user=user, segment_id=segment_id, anomalous=truth, answer=said)
    except IntegrityError:
        return


def results(user: User) -> list[Result]:
    """All that was answered, in its order, as far as it is on cameras that are still theirs."""
    rows = TrialAnswer.objects.filter(user=user, segment__camera__in=cameras_of(user)).order_by("id")
    found = rows.values_list("segment__camera__name", "anomalous", "answer")
    return [Result(name, anomalous, said) for name, anomalous, said in found]
