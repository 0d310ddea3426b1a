"""A version's weights as a detector ready to score, kept warm in the process that loaded it. Needs torch."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from django.conf import settings

from alfred.detectors import registry
from alfred.detectors.base import Detector
from alfred.models import DetectorVersion
from alfred.services.storage import artifacts


@lru_cache(maxsize=4)
def _load(detector: str, path: Path) -> Detector:
    made = registry.create(detector, device=settings.DEVICE)
    made.load(path)
    return made


def load(version: DetectorVersion) -> Detector:
    """For scoring only: the object is shared, so whoever trains loads its own (`load_fresh`)."""
    return _load(version.detector, weights_path(version))


def load_fresh(version: DetectorVersion) -> Detector:
    """A copy of one's own, to train on."""
    made = registry.create(version.detector, device=settings.DEVICE)
    made.load(weights_path(version))
    return made


def weights_path(version: DetectorVersion) -> Path:
    """Where the safetensors file lies: shipped, or an artifact."""
    if version.source:
        return registry.SOURCE / version.source
    return artifacts().path(version.artifact)
