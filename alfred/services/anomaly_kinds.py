"""The list of kinds of anomaly that people name with a key."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction
from django.utils.translation import pgettext, pgettext_lazy

from alfred.models import AnomalyKind, User, audit

WITH_KEYS = 9
AS_SHIPPED = (
    pgettext_lazy("kind of anomaly", "throwing"),
    pgettext_lazy("kind of anomaly", "raising hands"),
    pgettext_lazy("kind of anomaly", "lying"),
    pgettext_lazy("kind of anomaly", "falling"),
    pgettext_lazy("kind of anomaly", "punching"),
    pgettext_lazy("kind of anomaly", "kicking"),
    pgettext_lazy("kind of anomaly", "pushing"),
    pgettext_lazy("kind of anomaly", "strangling"),
    pgettext_lazy("kind of anomaly", "running"),
    pgettext_lazy("kind of anomaly", "other"),
)
"""Those a new installation has; pages show them in their own language, what an admin adds as it was written."""


def in_words(kind: str) -> str:
    """A kind in the language of the page, where it is one of those shipped."""
    return pgettext("kind of anomaly", kind)


def in_use() -> list[str]:
    return list(AnomalyKind.objects.filter(in_use=True).values_list("name", flat=True))


@transaction.atomic
def replace(names: Sequence[str], *, by: User) -> None:
    """These kinds, in this order; others can't be chosen any more. Answers keep the words they were given with."""
    before = in_use()
    AnomalyKind.objects.update(in_use=False)
    for place, name in enumerate(dict.fromkeys(names)):
        AnomalyKind.objects.update_or_create(name=name, defaults={"place": place, "in_use": True})
    audit.record("change kinds of anomaly", by=by, before=before, after=list(dict.fromkeys(names)))
