"""Twenty known items for who is new: judged before anything real, and nothing of it counts."""

from __future__ import annotations

import random
from dataclasses import dataclass

from django.db import IntegrityError, transaction

from alfred.models import Answer, Camera, Segment, TrialAnswer, User, Verdict
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
    cameras = _cameras(user)
    if user.is_admin or not cameras:
        return False
    if TrialAnswer.objects.filter(user=user).count() >= ITEMS:
        return False
    if Verdict.objects.filter(user=user)[:EXPERIENCED].count() >= EXPERIENCED:
        return False
    return len(_items(user, cameras)) >= ITEMS


def _cameras(user: User) -> list[Camera]:
    return list(cameras_of(user).filter(trial_first=True).order_by("pk")[:CAMERAS])


def _items(user: User, cameras: list[Camera]) -> dict[int, bool]:
    """The person's own draw, the same at every look: of both classes alike, as far as there are both."""
    truths = {segment: is_one for camera in cameras for segment, is_one in known_items.truths(camera.pk).items()}
    rng = random.Random(user.pk)
    sides = [sorted(s for s, is_one in truths.items() if is_one is anomalous) for anomalous in (False, True)]
    for side in sides:
        rng.shuffle(side)
    half = ITEMS // 2
    anomalies = sides[1][: max(half, ITEMS - len(sides[0]))]
    chosen = anomalies + sides[0][: ITEMS - len(anomalies)]
    rng.shuffle(chosen)
    return {segment: truths[segment] for segment in chosen}


def next_item(user: User) -> Segment | None:
    """The next one to be judged; None when the trial is over, or there is nothing to judge."""
    given = set(TrialAnswer.objects.filter(user=user).values_list("segment_id", flat=True))
    if len(given) >= ITEMS:
        return None
    left = [segment for segment in _items(user, _cameras(user)) if segment not in given]
    return item_for(user, left[0]) if left else None


def item_for(user: User, segment_id: int) -> Segment:
    """An item of this person's trial. Raises Segment.DoesNotExist for any other."""
    if segment_id not in _items(user, _cameras(user)):
        raise Segment.DoesNotExist
    return Segment.objects.select_related("camera", "recording", "track").get(pk=segment_id)


def answer(user: User, segment_id: int, said: Answer) -> None:
    """Keep the first answer to an item; another one changes nothing. Raises Segment.DoesNotExist for what is none."""
    segment = item_for(user, segment_id)
    truth = _items(user, _cameras(user))[segment.pk]
    try:
        with transaction.atomic():
            TrialAnswer.objects.create(user=user, segment=segment, anomalous=truth, answer=said)
    except IntegrityError:
        return


def results(user: User) -> list[Result]:
    """All that was answered, in its order."""
    rows = TrialAnswer.objects.filter(user=user).select_related("segment__camera").order_by("id")
    return [Result(row.segment.camera.name, row.anomalous, row.answer) for row in rows]
