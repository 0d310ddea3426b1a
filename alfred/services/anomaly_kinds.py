"""The list of kinds of anomaly that people name with a key."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction

from alfred.models import AnomalyKind, User, audit

WITH_KEYS = 9


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
