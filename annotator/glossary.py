"""The terms that stand on pages, each in a plain sentence or two: the page of words, and the hint on a term."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Word:
    """A term: the anchor it has on the page of words, how it is written, a short sentence, and what else to know."""

    key: str
    term: str
    short: str
    more: str = ""


_WORDS = (
    Word(
        "score",
        "score",
        "A number for how unusual a person's movement looks to the detector. Higher is more unusual.",
        "A segment's score is its 5th highest pose score, so that a single odd frame decides nothing.",
    ),
    Word(
        "theta",
        "θ (threshold)",
        "The score from which a segment is flagged.",
        "Each camera has its own θ, and every new version of the detector gets a new one.",
    ),
    Word(
        "segment",
        "segment",
        "Up to about 4 seconds of one person's movement: what is judged, counted and trained on.",
    ),
    Word(
        "kappa",
        "Cohen's κ",
        "How far two people agree beyond chance: 1 is always, 0 no more than chance would.",
        "n/a where both gave all segments one and the same answer: chance alone explains that.",
    ),
    Word(
        "known-item",
        "known item",
        "An event whose truth is known before anybody judges it, mixed into the queue unmarked: from it the share of"
        " anomalies that the team misses is known.",
        "It trains nothing and counts in no other figure.",
    ),
    Word("event", "event", "What one screen of the review shows: one or a few segments that belong together."),
    Word("flagged", "flagged", "A segment whose score is θ or more: the detector takes it for an anomaly."),
    Word(
        "fpr",
        "FPR (false positive rate)",
        "The share of normal segments that were flagged all the same. Lower is better.",
    ),
    Word("fnr", "FNR (false negative rate)", "The share of anomalies that were not flagged. Lower is better."),
    Word(
        "ebi",
        "EBI (Error Balance Index)",
        "One figure from 0 to 100, higher is better: it is high only where both FPR and FNR are low.",
        "The range in brackets is its 95 % interval: how far chance in the data may have moved it.",
    ),
    Word(
        "validation-set",
        "validation set",
        "Segments of this camera with known answers, on which θ is found. They are never trained on.",
    ),
    Word(
        "in-sample",
        "in-sample",
        "Measured on the same segments on which θ was found, so the figures look a little better than they will be.",
    ),
    Word(
        "warm-up",
        "warm-up",
        "The time in which a new camera's validation set is gathered: people are asked about a sample over all scores.",
        "It ends when enough normal segments and enough anomalies are confirmed.",
    ),
    Word(
        "effective",
        "worth (effective sample size)",
        "How many segments of equal weight would say as much: rarely drawn ones speak for many, and so say less each.",
    ),
    Word(
        "drift",
        "drift",
        "What the camera sees has become unlike the time its validation set was made in.",
        "Measured a slice: the population stability index (PSI) of scores and of where people are and how tall.",
    ),
    Word(
        "provisional",
        "provisional",
        "A θ to begin with, while too few anomalies are confirmed to balance the two kinds of error.",
        "Until then θ is the one that came with the detector, or keeps to the camera's alert budget.",
    ),
    Word(
        "slice",
        "slice",
        "A stretch of a camera's recordings, such as a day. Once closed it takes no more recordings and is counted.",
    ),
    Word(
        "round",
        "round",
        "One retraining: the last slice is closed, the detector learns from it, a new θ is found, and an admin decides"
        " whether the result is used.",
    ),
    Word("candidate", "candidate", "The new version that a round has made, waiting to be promoted or rejected."),
    Word(
        "replay",
        "replay",
        "A version run over footage that was scored before: what it would flag there beside what was flagged then.",
    ),
    Word(
        "deployment",
        "deployment (in force)",
        "The version and θ that a camera uses from a moment on. Going back to an earlier pair is a new deployment.",
    ),
    Word("version", "version", "A state of the detector's weights: the one shipped, then v1, v2 and so on, by round."),
    Word("coverage", "coverage", "The share of poses that have a score. The others are counted nowhere."),
    Word("quarantined", "refused file", "A file that could not be used. The reason stands beside it."),
    Word(
        "ground-truth",
        "ground truth",
        "Answers that came with a file. Neither the detector nor the people who review see them before they answer.",
    ),
    Word("judged", "judged", "Counted from the answers people gave."),
    Word(
        "estimated",
        "estimated",
        "Computed from a random sample of answers, each weighted by how likely it was to be asked.",
    ),
    Word(
        "audit",
        "audit",
        "A few segments drawn at random from those nobody would be asked about, and shown to people like all others.",
        "It is how anomalies that were missed become known. In a review an audited segment looks like any other.",
    ),
    Word(
        "stratum",
        "stratum",
        "A part of a slice from which audits are drawn with equal chances, such as what lies just below θ.",
    ),
    Word("prevalence", "prevalence", "The share of anomalies among all segments that have a score."),
    Word(
        "label-noise",
        "label noise",
        "The share of anomalies among the unflagged segments. The detector learns from these as if all were normal.",
        "Those that the audit finds are taken out before it learns.",
    ),
    Word(
        "band",
        "band (AL-Light)",
        "The lower part of the flagged scores, where false alarms are expected: only what lies in it is asked about.",
        "What lies above is not asked; a random part of it is audited when the slice closes.",
    ),
    Word(
        "share-saved",
        "share saved",
        "The share of the flagged segments that people were not asked about in review.",
        "It says nothing alone: look at EBI beside it.",
    ),
)

GLOSSARY = {word.key: word for word in _WORDS}
