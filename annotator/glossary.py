"""The terms that stand on pages, each in a plain sentence or two: the page of words, and the hint on a term."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise


@dataclass(frozen=True)
class Word:
    """A term: the anchor it has on the page of words, how it is written, a short sentence, and what else to know."""

    key: str
    term: StrOrPromise
    short: StrOrPromise
    more: StrOrPromise = ""


_WORDS = (
    Word(
        "score",
        _("score"),
        _("A number for how unusual a person's movement looks to the detector. Higher is more unusual."),
        _("A segment's score is its 5th highest pose score, so that a single odd frame decides nothing."),
    ),
    Word(
        "theta",
        _("θ (threshold)"),
        _("The score from which a segment is flagged."),
        _("Each camera has its own θ, and every new version of the detector gets a new one."),
    ),
    Word(
        "segment",
        _("segment"),
        _("Up to about 4 seconds of one person's movement: what is judged, counted and trained on."),
    ),
    Word(
        "kappa",
        _("Cohen's κ"),
        _("How far two people agree beyond chance: 1 is always, 0 no more than chance would."),
        _("n/a where both gave all segments one and the same answer: chance alone explains that."),
    ),
    Word(
        "known-item",
        _("known item"),
        _(
            "An event whose truth is known before anybody judges it, mixed into the queue unmarked: from it the "
            "share of anomalies that the team misses is known."
        ),
        _("It trains nothing and counts in no other figure."),
    ),
    Word(
        "event",
        _("event"),
        _("What one screen of the review shows: one or a few segments that belong together."),
    ),
    Word(
        "flagged",
        _("flagged"),
        _("A segment whose score is θ or more: the detector takes it for an anomaly."),
    ),
    Word(
        "fpr",
        _("FPR (false positive rate)"),
        _("The share of normal segments that were flagged all the same. Lower is better."),
    ),
    Word(
        "fnr",
        _("FNR (false negative rate)"),
        _("The share of anomalies that were not flagged. Lower is better."),
    ),
    Word(
        "ebi",
        _("EBI (Error Balance Index)"),
        _("One figure from 0 to 100, higher is better: it is high only where both FPR and FNR are low."),
        _("The range in brackets is its 95 % interval: how far chance in the data may have moved it."),
    ),
    Word(
        "validation-set",
        _("validation set"),
        _("Segments of this camera with known answers, on which θ is found. They are never trained on."),
    ),
    Word(
        "in-sample",
        _("in-sample"),
        _("Measured on the same segments on which θ was found, so the figures look a little better than they will be."),
    ),
    Word(
        "warm-up",
        _("warm-up"),
        _(
            "The time in which a new camera's validation set is gathered: people are asked about a sample over "
            "all scores."
        ),
        _("It ends when enough normal segments and enough anomalies are confirmed."),
    ),
    Word(
        "effective",
        _("worth (effective sample size)"),
        _(
            "How many segments of equal weight would say as much: rarely drawn ones speak for many, and so say "
            "less each."
        ),
    ),
    Word(
        "drift",
        _("drift"),
        _("What the camera sees has become unlike the time its validation set was made in."),
        _("Measured a slice: the population stability index (PSI) of scores and of where people are and how tall."),
    ),
    Word(
        "provisional",
        _("provisional"),
        _("A θ to begin with, while too few anomalies are confirmed to balance the two kinds of error."),
        _("Until then θ is the one that came with the detector, or keeps to the camera's alert budget."),
    ),
    Word(
        "slice",
        _("slice"),
        _("A stretch of a camera's recordings, such as a day. Once closed it takes no more recordings and is counted."),
    ),
    Word(
        "round",
        _("round"),
        _(
            "One retraining: the last slice is closed, the detector learns from it, a new θ is found, and an "
            "admin decides whether the result is used."
        ),
    ),
    Word(
        "candidate",
        _("candidate"),
        _("The new version that a round has made, waiting to be promoted or rejected."),
    ),
    Word(
        "replay",
        _("replay"),
        _("A version run over footage that was scored before: what it would flag there beside what was flagged then."),
    ),
    Word(
        "deployment",
        _("deployment (in force)"),
        _("The version and θ that a camera uses from a moment on. Going back to an earlier pair is a new deployment."),
    ),
    Word(
        "version",
        _("version"),
        _("A state of the detector's weights: the one shipped, then v1, v2 and so on, by round."),
    ),
    Word(
        "coverage",
        _("coverage"),
        _("The share of poses that have a score. The others are counted nowhere."),
    ),
    Word(
        "quarantined",
        _("refused file"),
        _("A file that could not be used. The reason stands beside it."),
    ),
    Word(
        "ground-truth",
        _("ground truth"),
        _("Answers that came with a file. Neither the detector nor the people who review see them before they answer."),
    ),
    Word(
        "judged",
        _("judged"),
        _("Counted from the answers people gave."),
    ),
    Word(
        "estimated",
        _("estimated"),
        _("Computed from a random sample of answers, each weighted by how likely it was to be asked."),
    ),
    Word(
        "audit",
        _("audit"),
        _(
            "A few segments drawn at random from those nobody would be asked about, and shown to people like all "
            "others."
        ),
        _("It is how anomalies that were missed become known. In a review an audited segment looks like any other."),
    ),
    Word(
        "stratum",
        _("stratum"),
        _("A part of a slice from which audits are drawn with equal chances, such as what lies just below θ."),
    ),
    Word(
        "prevalence",
        _("prevalence"),
        _("The share of anomalies among all segments that have a score."),
    ),
    Word(
        "label-noise",
        _("label noise"),
        _("The share of anomalies among the unflagged segments. The detector learns from these as if all were normal."),
        _("Those that the audit finds are taken out before it learns."),
    ),
    Word(
        "band",
        _("band (AL-Light)"),
        _(
            "The lower part of the flagged scores, where false alarms are expected: only what lies in it is "
            "asked about."
        ),
        _("What lies above is not asked; a random part of it is audited when the slice closes."),
    ),
    Word(
        "share-saved",
        _("share saved"),
        _("The share of the flagged segments that people were not asked about in review."),
        _("It says nothing alone: look at EBI beside it."),
    ),
)

GLOSSARY = {word.key: word for word in _WORDS}
