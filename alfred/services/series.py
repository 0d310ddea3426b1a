"""Which figures of a camera belong together: a new validation set or detector begins a new series."""

from __future__ import annotations

from dataclasses import dataclass

from alfred.models import Deployment
from alfred.models.detectors import in_force
from alfred.services import build_validation


@dataclass(frozen=True)
class PresentSeries:
    """The present detector, with thresholds found on the validation set in force (None: there is none yet)."""

    present: Deployment | None
    set_id: int | None

    def holds(self, row: Deployment) -> bool:
        """Whether what this deployment scored belongs to it."""
        same_set = self.set_id is not None and row.threshold.validation_set_id == self.set_id
        return same_set and self.present is not None and row.version.detector == self.present.version.detector

    def is_deployed(self, row: Deployment) -> bool:
        """Whether it was scored by the version now in force besides."""
        return self.holds(row) and self.present is not None and row.version_id == self.present.version_id


def present_series(camera_id: int) -> PresentSeries:
    """The camera's series now."""
    frozen = build_validation.frozen_set(camera_id)
    return PresentSeries(in_force(camera_id), frozen.pk if frozen else None)
