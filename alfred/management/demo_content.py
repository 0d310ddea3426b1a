"""What `make demo` shows: a simulated camera ready for rounds, one in warm-up, and real footage where there is some."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from alfred.models import Recording
from alfred.services import seed_demo


def prepare(videos: list[Path], say: Callable[[str], None]) -> list[seed_demo.Account]:
    """Make what is missing; starting again finds everything there and is quick."""
    accounts = seed_demo.accounts()
    hall = seed_demo.simulated_camera("Simulated hall")
    if not Recording.objects.filter(camera=hall).exists():
        say("Simulating a hall: a labelled validation set and ten minutes to review.")
        seed_demo.simulated_stream(hall, seed=11, minutes=12, anomaly_share=0.3, as_validation=True, view_seed=1)
        seed_demo.simulated_stream(hall, seed=12, minutes=10, anomaly_share=0.05, slice_ordinal=0, view_seed=1)
    yard = seed_demo.simulated_camera("Simulated yard")
    if not Recording.objects.filter(camera=yard).exists():
        say("Simulating a yard in warm-up: a sample over the whole score range waits for you.")
        seed_demo.simulated_stream(yard, seed=21, minutes=8, anomaly_share=0.2, slice_ordinal=0, view_seed=2)
    footage = list(videos) or ([seed_demo.SAMPLE] if seed_demo.SAMPLE.is_file() else [])
    for path in footage:
        _, taken = seed_demo.real_footage(path)
        say(taken.message)
    if not footage and not Recording.objects.filter(camera__is_simulated=False).exists():
        say("No real footage here: add some with `make demo VIDEO=/path/to/file.mp4`, or upload it on a camera's page.")
    return accounts
