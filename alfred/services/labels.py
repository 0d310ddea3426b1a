"""What people said of segments, as labels: decided in this one place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable

from django.db.models import Exists, OuterRef, Q, QuerySet

from alfred.core.methodologies import Label
from alfred.models import Answer, Lane, Verdict


def standing(segments: QuerySet[Verdict] | None = None, *, together: bool = False) -> QuerySet[Verdict]:
    """Verdicts that nothing supersedes and that are no undo; of an adjudicated segment the ruling alone.

    Never answers to known items, whose truth was there before. `together`: also those given to look-alikes without a
    look of their own (`Batch`), which train and count nowhere; who has looked since has the word.
    """
    rows = Verdict.objects.all() if segments is None else segments
    rows = rows.exclude(event__lane=Lane.KNOWN)
    if together:
        looked = Verdict.objects.filter(segment=OuterRef("segment"), batch=None, superseded_by__isnull=True)
        looked = looked.filter(answer__in=(Answer.NORMAL, Answer.ANOMALY)).exclude(event__lane=Lane.KNOWN)
        rows = rows.exclude(Q(batch__isnull=False) & Exists(looked))
    else:
        rows = rows.filter(batch__isnull=True)
    ruling = Verdict.objects.filter(segment=OuterRef("segment"), adjudicates=True, superseded_by__isnull=True)
    overruled = Q(adjudicates=False) & Exists(ruling.exclude(answer=Answer.UNDO))
    return rows.filter(superseded_by__isnull=True).exclude(answer=Answer.UNDO).exclude(overruled)


def of_verdicts(rows: Iterable[tuple[int, str]]) -> dict[int, Label]:
    """(segment, answer) pairs → label: normal or anomaly where all who decided agree, else unresolved.

    Skips say nothing; who was unsure leaves it to a second person.
    """
    said: dict[int, set[str]] = defaultdict(set)
    skipped: set[int] = set()
    for segment, answer in rows:
        if answer == Answer.SKIP:
            skipped.add(segment)
        else:
            said[segment].add(answer)
    labels = {segment: _label(answers) for segment, answers in said.items()}
    return labels | {segment: Label.UNRESOLVED for segment in skipped if segment not in said}


def _label(answers: set[str]) -> Label:
    decided = answers - {Answer.UNSURE}
    if decided == {Answer.NORMAL}:
        return Label.NORMAL
    if decided == {Answer.ANOMALY}:
        return Label.ANOMALY
    return Label.UNRESOLVED


def of_slice(slice_id: int) -> dict[int, Label]:
    """Labels of the slice's segments as they stand now."""
    return of_slices([slice_id]).get(slice_id, {})


def given_in(lanes: Collection[Lane]) -> Exists:
    """Whether somebody's own answer to the segment stands that was given in one of these lanes, ruled on or not."""
    own = Verdict.objects.filter(segment=OuterRef("segment"), superseded_by__isnull=True, adjudicates=False)
    return Exists(own.filter(event__lane__in=lanes).exclude(answer=Answer.UNDO))


def of_slices(
    slice_ids: Collection[int], *, together: bool = False, lanes: Collection[Lane] | None = None
) -> dict[int, dict[int, Label]]:
    """The same for many slices, by slice, in one query; slices that nobody answered in are left out.

    `lanes`: only of segments that somebody answered in one of these, whatever was said of them elsewhere too.

    What was confirmed with its look-alikes is unresolved here: nobody looked at it, and a figure that left it out would
    say that only the others were flagged. `together`: it is normal, as training takes it.
    """
    rows: dict[int, list[tuple[int, str]]] = defaultdict(list)
    said = standing(together=True).filter(segment__slice_id__in=slice_ids)
    said = said if lanes is None else said.filter(given_in(lanes))
    for slice_id, segment, answer, batch in said.values_list("segment__slice_id", "segment_id", "answer", "batch_id"):
        rows[slice_id or 0].append((segment, answer if batch is None or together else Answer.UNSURE))
    return {slice_id: of_verdicts(pairs) for slice_id, pairs in rows.items()}


def of_warm_up(camera_id: int) -> dict[int, Label]:
    """Labels given in the camera's warm-up lane as they stand now."""
    rows = standing().filter(given_in([Lane.WARMUP]), event__camera_id=camera_id)
    return of_verdicts(rows.values_list("segment_id", "answer"))
