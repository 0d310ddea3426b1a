"""How far a camera's validation set is, for its page: confirmed by class, what they are worth, when it will be done."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Min
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from alfred.core.sampling import effective_sample_size
from alfred.models import Camera, ValidationMember, ValidationSet
from alfred.services import build_validation

DAY = timedelta(days=1)
FIRST_FEW = 3
"""Confirmed of a class on the first day: with fewer each answer would change the estimate by half."""


@dataclass(frozen=True)
class ClassFacts:
    """One class of a set: how many members, of which imported, and how many equally weighted ones say as much."""

    n: int
    imported: int
    effective: float

    def days_left(self, needed: int, days: float) -> float | None:
        """At the pace of what was confirmed so far; None while nothing was."""
        if self.n >= needed:
            return 0.0
        confirmed = self.n - self.imported
        return (needed - self.n) * days / confirmed if confirmed else None


@dataclass(frozen=True)
class WarmUp:
    """A set in the making. `anew`: warm-up was opened again, and an older set is in force. `began`: its first draw."""

    normal: ClassFacts
    anomalous: ClassFacts
    needed: int
    anew: ValidationSet | None
    began: datetime | None

    @property
    def normals(self) -> int:
        return self.normal.n

    @property
    def anomalies(self) -> int:
        return self.anomalous.n

    @property
    def days(self) -> float:
        """How long it has been going on; at least a day, so that the first minutes promise nothing."""
        return max(1.0, (timezone.now() - self.began) / DAY) if self.began else 1.0

    @property
    def days_left(self) -> float | None:
        """Until both classes are complete; None where nothing can be said."""
        left = [one.days_left(self.needed, self.days) for one in (self.normal, self.anomalous)]
        known = [days for days in left if days is not None]
        return max(known) if len(known) == len(left) else None

    @property
    def _fewest(self) -> int:
        classes = (self.normal, self.anomalous)
        return min((one.n - one.imported for one in classes if one.n < self.needed), default=FIRST_FEW)

    @property
    def estimate(self) -> str:
        """When it will be complete, in words."""
        if self.began is None:
            return _("Nothing has been asked yet: the next recording that is scored begins it.")
        left = self.days_left
        if left is not None and timezone.now() - self.began < DAY and self._fewest < FIRST_FEW:
            return _("Begun less than a day ago, with few confirmed: too early to say when it will be complete.")
        if left is not None:
            n = max(1, round(left))
            return ngettext(
                "At the pace so far it is complete in about %(n)d day.",
                "At the pace so far it is complete in about %(n)d days.",
                n,
            ) % {"n": n}
        lacks_normals, lacks_anomalies = (one.n <= one.imported for one in (self.normal, self.anomalous))
        if lacks_normals and lacks_anomalies:
            return _("No normal and no anomaly confirmed yet: it can't be said when it will be complete.")
        if lacks_normals:
            return _("No normal confirmed yet: it can't be said when it will be complete.")
        return _("No anomaly confirmed yet: it can't be said when it will be complete.")


def in_the_making(camera: Camera) -> WarmUp | None:
    """The camera's set in the making; None while there is none."""
    if not build_validation.warming_up(camera.pk):
        return None
    members = build_validation.members_so_far(camera)
    began = build_validation.drawn(camera.pk).aggregate(began=Min("created_at"))["began"]
    anew = build_validation.made_anew(camera.pk)
    return WarmUp(*_by_class(members), camera.val_min, anew, began)


def frozen(present: ValidationSet | None) -> dict[str, ClassFacts] | None:
    """Both classes of a frozen set."""
    if present is None:
        return None
    normal, anomalous = _by_class(present.members.only("anomalous", "weight", "origin"))
    return {"normal": normal, "anomalous": anomalous}


def _by_class(members: Iterable[ValidationMember]) -> tuple[ClassFacts, ClassFacts]:
    rows = list(members)
    normal, anomalous = ([m for m in rows if m.anomalous is value] for value in (False, True))
    return _class(normal), _class(anomalous)


def _class(members: list[ValidationMember]) -> ClassFacts:
    imported = sum(m.origin == ValidationMember.Origin.GROUND_TRUTH for m in members)
    return ClassFacts(len(members), imported, effective_sample_size([m.weight for m in members]))
