"""Ask for one's own answer to be changed when undo no longer can: a supervisor sees both and rules."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction
from django.db.models import Max, QuerySet
from django.utils.translation import gettext as _

from alfred.models import Answer, Correction, Event, Lane, User, Verdict
from alfred.models.people import cameras_of


class CantCorrect(Exception):
    """The answer can't be corrected; the message says why."""


@transaction.atomic
def ask(user: User, event_id: UUID, answer: Answer, comment: str = "") -> Correction:
    """What was said stands until a supervisor has ruled. Raises Event.DoesNotExist for one that is not theirs."""
    rows = Event.objects.filter(camera__in=cameras_of(user)).select_for_update(of=("self",))
    event = rows.select_related("camera").get(pk=event_id)
    own = Verdict.objects.filter(event=event, user=user, superseded_by__isnull=True).exclude(answer=Answer.UNDO)
    if not own.exists():
        raise CantCorrect(_("You have no answer on this event that could be corrected."))
    if set(own.values_list("answer", flat=True)) == {answer}:
        raise CantCorrect(_("Your answer is %(answer)s already.") % {"answer": answer.label})
    if pending(event).filter(user=user).exists():
        raise CantCorrect(_("A supervisor has your correction already and will rule on it."))
    made = Correction.objects.create(event=event, user=user, answer=answer, comment=comment)
    if event.lane != Lane.KNOWN and event.state != Event.State.DISPUTED:
        event.state = Event.State.DISPUTED
        event.save(update_fields=["state"])
    return made


def pending_of(event: Event) -> list[tuple[str, str, str]]:
    """(who, what, comment) of each correction asked for and not ruled on, in the order they came."""
    rows = pending(event).select_related("user").order_by("id")
    asks = _("asks to change it to %(answer)s")
    return [(row.user.username, asks % {"answer": row.get_answer_display()}, row.comment) for row in rows]


def pending(event: Event) -> QuerySet[Correction]:
    """Corrections since the newest ruling on the event."""
    ruled = Verdict.objects.filter(event=event, adjudicates=True).aggregate(at=Max("created_at"))["at"]
    rows = Correction.objects.filter(event=event)
    return rows.filter(created_at__gt=ruled) if ruled else rows
