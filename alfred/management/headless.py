"""The demo without a browser: ingest, warm-up, round, report; exits with the reason when a stage failed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings

from alfred.models import Camera, User
from alfred.reports.as_csv import to_csv
from alfred.services import seed_demo
from alfred.services import walk as steps
from alfred.services.deploy import Refused
from alfred.services.ingest import ingest
from alfred.services.report import camera_report
from alfred.services.walk import Seen, StageFailed

WALK_ERRORS = (StageFailed, Refused)
REAL_BUDGET = 12
"""Few are asked about short real footage: tracks that warm-up asks about never train, and some must be left to."""


def walk(videos: list[Path], say: Callable[[str], None], write: Callable[[str], object]) -> None:
    """Everything, camera by camera, then one summary each."""
    seed_demo.accounts()
    reviewer = steps.script_reviewer()
    footage = list(videos) or ([seed_demo.SAMPLE] if seed_demo.SAMPLE.is_file() else [])
    cameras = [_take(path, say) for path in footage]
    seen = [_simulated(reviewer, say), *(_real(camera, reviewer, say) for camera in cameras)]
    write("")
    for one in seen:
        for line in summary(one):
            write(line)


def _take(path: Path, say: Callable[[str], None]) -> Camera:
    camera, taken = seed_demo.real_footage(path, review_budget=REAL_BUDGET)
    say(taken.message)
    if taken.refused:
        raise StageFailed(taken.message)
    return camera


def _simulated(reviewer: User, say: Callable[[str], None]) -> Seen:
    """Warm-up on slice 0, θ from it, slice 1 reviewed, one round, slice 2 by the new version."""
    camera = seed_demo.simulated_camera("Simulated walk")
    seen = Seen(camera)
    for ordinal, (seed, minutes, share) in enumerate(((31, 12.0, 0.25), (32, 8.0, 0.05), (33, 8.0, 0.05))):
        taken = seed_demo.simulated_stream(
            camera, seed=seed, minutes=minutes, anomaly_share=share, slice_ordinal=ordinal, view_seed=3
        )
        say(taken.message)
        steps.wait(camera, f"slice {ordinal}", say)
        seen.answers += steps.review_all(camera, reviewer, seed)
        steps.wait(camera, "calibration", say)
        if ordinal == 1:
            steps.run_round(camera, seen, say)
    steps.look(seen)
    return seen


def _real(camera: Camera, reviewer: User, say: Callable[[str], None]) -> Seen:
    """Real footage: no ground truth, so the script calls everything normal, and no EBI follows."""
    seen = Seen(camera)
    steps.wait(camera, "poses and scores", say)
    steps.look(seen)
    if seen.segments == 0:
        seen.notes.append(
            "no segment could be scored: "
            + ("nobody was seen" if seen.tracks == 0 else "tracks are too short or too slow")
        )
        return seen
    seen.answers = steps.review_all(camera, reviewer, camera.pk)
    steps.wait(camera, "calibration", say)
    try:
        steps.run_round(camera, seen, say)
    except StageFailed as error:
        if "Nothing to train on" not in str(error):
            raise
        seen.notes.append(str(error))
    return seen


def rehearse(
    name: str, validation: Path, slices: list[Path], noise: float, say: Callable[[str], None], **policies: Any
) -> Seen:
    """Prequential: each slice is scored and reviewed before a round trains on it; candidates are always promoted."""
    reviewer = steps.script_reviewer()
    camera = seed_demo.camera(name, slice_by=Camera.SliceBy.IMPORTED, review_budget=100_000, **policies)
    seen = Seen(camera)
    _ingest(camera, validation, say, as_validation=True)
    steps.wait(camera, "the validation set", say)
    for ordinal, path in enumerate(slices):
        _ingest(camera, path, say, slice_ordinal=ordinal)
        steps.wait(camera, f"slice {ordinal}", say)
        seen.answers += steps.review_all(camera, reviewer, ordinal, noise)
        made = steps.run_round(camera, seen, say)
        say(f"{name}, round {made.ordinal}: EBI on the validation set {_ebi(seen.before)} → {_ebi(seen.after)}")
    steps.look(seen)
    return seen


def _ingest(camera: Camera, path: Path, say: Callable[[str], None], **how: Any) -> None:
    taken = ingest(camera, path, **how)
    say(taken.message)
    if taken.refused:
        raise StageFailed(taken.message)


def summary(seen: Seen) -> list[str]:
    camera = seen.camera
    share = f"{seen.share_flagged:.1%}" if seen.share_flagged is not None else "n/a"
    path = settings.STATE_DIR / "reports" / f"{camera.slug}.csv"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.write_text(to_csv(camera_report(camera)))
    lines = [
        f"{camera.name} ({camera.kind} data)",
        f"  people: {seen.tracks} tracks, {seen.poses} poses, {seen.segments} segments scored",
        f"  flagged on arrival: {share}",
        f"  answers by the scripted reviewer: {seen.answers}",
        f"  EBI on the validation set: before {_ebi(seen.before)}, after the round {_ebi(seen.after)}",
        f"  in force now: {seen.in_force or 'what came with the product; no round promoted anything'}",
        f"  report: {path}",
    ]
    return lines + [f"  note: {note}" for note in ([seen.sentence] if seen.sentence else []) + seen.notes]


def _ebi(figures: dict[str, Any] | None) -> str:
    value = figures.get("ebi") if figures else None
    if figures is None or not isinstance(value, float):
        return "n/a"
    interval = figures["intervals"]["ebi"]
    if interval["low"] is None:
        return f"{value * 100:.1f} ({interval['reason']})"
    return f"{value * 100:.1f} ({interval['low'] * 100:.1f} to {interval['high'] * 100:.1f})"
