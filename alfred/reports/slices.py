"""A slice as it ran: what scored it, how much was flagged, and its counts."""

from __future__ import annotations

from dataclasses import dataclass

from alfred.core.phrases import phrase
from alfred.reports.figures import BasisCounts


@dataclass(frozen=True)
class SliceFigures:
    """A slice as it ran: by which versions and θ (label, θ, segments), how much was flagged, and the counts.

    `current`: all of it was scored by the present detector with a θ found on the camera's present validation set;
    `series` names the detector and validation set it belongs to. `recent`: closed within the last 28 days.
    """

    ordinal: int
    closed: bool
    segments: int
    flagged: int
    versions: list[tuple[str, float, int]]
    current: bool
    counts: list[BasisCounts]
    unscored: int = 0
    asked: int = 0
    recent: bool = True
    series: str = ""

    @property
    def version(self) -> str:
        """Every version that scored a part of it, in order."""
        return ", ".join(dict.fromkeys(label for label, _, _ in self.versions))

    @property
    def thetas(self) -> list[float]:
        """Every θ a part of it ran with, rising."""
        return sorted({theta for _, theta, _ in self.versions})

    @property
    def theta(self) -> float | None:
        """θ, where the whole slice ran with one."""
        return self.thetas[0] if len(self.thetas) == 1 else None

    @property
    def theta_words(self) -> str:
        """θ for people: one value, or the range of those that were in force."""
        if len(self.thetas) < 2:
            return f"{self.thetas[0]:.3f}" if self.thetas else "n/a"
        return phrase("{low:.3f} to {high:.3f}", low=self.thetas[0], high=self.thetas[-1])

    @property
    def share(self) -> float | None:
        return self.flagged / self.segments if self.segments else None
