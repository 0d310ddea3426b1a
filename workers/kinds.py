"""Each kind of job: its queue, the service that does it, and how long an attempt may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """`call` is module:function, run in the worker's child; limits in seconds and MiB of resident memory."""

    queue: str
    call: str
    seconds: int
    mebibytes: int = 6000


KINDS = {
    "extract": Kind("pose", "alfred.services.extract_poses:run", 24 * 3600),
    "score": Kind("score", "alfred.services.score:run", 4 * 3600),
    "calibrate": Kind("score", "alfred.services.calibrate:run", 3600),
    "round": Kind("train", "alfred.services.run_round:run", 12 * 3600),
    "replay": Kind("score", "alfred.services.replay:run", 12 * 3600),
    "clips": Kind("io", "alfred.services.make_clips:run", 3600),
    "plate": Kind("io", "alfred.services.make_plate:run", 3600),
    "rendition": Kind("io", "alfred.services.make_rendition:run", 24 * 3600),
}
