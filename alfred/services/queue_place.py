"""Where new events stand in the queue: start-time fair queueing over cameras, random within a camera's batch.

Every camera has a virtual clock that advances by 1 / its weight for each event it opens; events are handed out by
their place on it, the smallest first. A camera that opens a thousand events at once stands a thousand places ahead of
itself, not of the others: one that opens a single event later gets the very next places. None starves, since places
only grow and a new event never goes before the present head of the queue. Lanes look alike, so they do not count.

Source: Goyal, Vin and Cheng, "Start-time fair queueing", SIGCOMM 1996, section 2.
"""

from __future__ import annotations

import numpy as np
from django.db.models import Max, Min

from alfred.models import Camera, Event


def places(camera: Camera, n: int, rng: np.random.Generator) -> list[float]:
    """Places of `n` new events of the camera, in random order."""
    if not n:
        return []
    step = 1.0 / camera.queue_weight
    begin = max(_head(), _last_of(camera))
    return [begin + step * (nth + 1) for nth in rng.permutation(n).tolist()]


def _head() -> float:
    """The clock of the whole queue: the place of its first waiting event, or of the last one there was."""
    waiting = Event.objects.filter(state__in=Event.WAITING).aggregate(first=Min("place"))["first"]
    if waiting is not None:
        return float(waiting)
    return float(Event.objects.aggregate(last=Max("place"))["last"] or 0.0)


def _last_of(camera: Camera) -> float:
    """Where the camera's own waiting events end."""
    last = Event.objects.filter(camera=camera, state__in=Event.WAITING).aggregate(last=Max("place"))["last"]
    return float(last or 0.0)
