"""What an audit says of the last weeks: strata in, rates and one sentence out. No ground truth is read here.

Slices are pooled by stratum where the chance π of being drawn and answered was alike; a busy day has more segments and
as many audits, and pooled with a quiet one it would count for too little. Groups whose π differs by more than a factor
of `ALIKE` are strata of their own; within one the pooling is an approximation. An audit without an answer makes the
sample smaller; those segments are taken to be like the answered ones. What was asked in a review and has no label is
not taken to be like anything: people answer event by event, which is no random sample of segments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from alfred.core.audit import AuditRates, RateEstimate, Stratum, audit_rates
from alfred.core.phrases import Phrase, counted, phrase, together
from alfred.core.rates import Counts
from alfred.reports.figures import Rate

ALERT, UNASKED, NEAR, MIDDLE, FAR = range(5)
"""The strata of a draw, as `AuditStratum.Kind`."""

ALIKE = 1.3

WORDS = {
    ALERT: phrase("flagged, above AL-Light's band"),
    UNASKED: phrase("flagged, not asked for want of budget"),
    NEAR: phrase("not flagged, nearest below θ"),
    MIDDLE: phrase("not flagged, further below θ"),
    FAR: phrase("not flagged, far below θ"),
}
FLAGGED = (ALERT, UNASKED)


@dataclass(frozen=True)
class Part:
    """Of `population` segments `drawn` were asked, `judged` of them have a label, `found` of those are anomalies."""

    population: int = 0
    drawn: int = 0
    judged: int = 0
    found: int = 0

    def __add__(self, other: Part) -> Part:
        return Part(
            self.population + other.population,
            self.drawn + other.drawn,
            self.judged + other.judged,
            self.found + other.found,
        )

    @property
    def stratum(self) -> Stratum:
        return Stratum(self.population, self.judged, self.found)


@dataclass(frozen=True)
class AuditedSlice:
    """A closed slice: the strata of its audit by kind, and what lies outside them, by whether it was flagged.

    `asked`: asked in another lane than the audit's. `volunteered`: judged by people's own choice before the slice
    closed; each counts for itself alone. Together they are all scored segments of the slice.
    """

    ordinal: int
    strata: dict[int, Part]
    asked: dict[bool, Part] = field(default_factory=dict)
    volunteered: dict[bool, Part] = field(default_factory=dict)


@dataclass(frozen=True)
class StratumLine:
    """A row of the table; `sampled`: drawn at random by the audit."""

    words: str
    flagged: bool
    sampled: bool
    part: Part

    @property
    def unanswered(self) -> int:
        """Asked, and without a label: not answered yet, unsure, skipped or in conflict."""
        return self.part.drawn - self.part.judged

    @property
    def share(self) -> float | None:
        return self.part.found / self.part.judged if self.part.judged else None


@dataclass(frozen=True)
class AuditReport:
    """The section of the page. `empty`: why there are no figures; then the rates have no value.

    A rate without a value says in `reason` what stands in its place. `counts` are estimated: not whole.
    """

    days: int
    slices: list[int]
    lines: list[StratumLine]
    counts: Counts
    fnr: Rate
    fpr: Rate
    ebi: Rate
    prevalence: Rate
    label_noise: Rate
    sentence: str
    empty: str = ""

    @property
    def drawn(self) -> int:
        """Segments asked by the audit."""
        return sum(line.part.drawn for line in self.lines if line.sampled)

    @property
    def audited(self) -> int:
        """Those of them that have a label."""
        return sum(line.part.judged for line in self.lines if line.sampled)

    @property
    def judged(self) -> int:
        """Segments with a label that the audit did not draw."""
        return sum(line.part.judged for line in self.lines if not line.sampled)

    @property
    def rates(self) -> list[tuple[str, Rate]]:
        """In the order of the page: the name of a term in the glossary, and its rate."""
        return [
            ("fnr", self.fnr),
            ("fpr", self.fpr),
            ("ebi", self.ebi),
            ("prevalence", self.prevalence),
            ("label-noise", self.label_noise),
        ]


def build(slices: Sequence[AuditedSlice], days: int, *, has_validation_set: bool = True) -> AuditReport:
    """Pool the slices by stratum and estimate."""
    lines = _lines(slices)
    total = sum((line.part for line in lines), Part())
    if not total.population:
        return _nothing(slices, days, has_validation_set)
    rates = _rates(slices)
    fnr, balance = _rate(rates.fnr, phrase("n/a: no anomaly")), _rate(rates.ebi, phrase("n/a: one class is missing"))
    if rates.uninformative:
        low = rates.fnr.low if rates.fnr else None
        fnr = Rate(None, low, rates.at_most, phrase("unknown: at most {most:.1f} %", most=100 * (rates.at_most or 0.0)))
        balance = _rate_between(rates.ebi)
    fpr = _rate(rates.fpr, phrase("n/a: no normal segment"))
    prevalence, noise = _rate(rates.prevalence, "n/a"), _rate(rates.label_noise, phrase("n/a: all was flagged"))
    said = _sentence(rates, fnr, fpr, _basis(lines, len(slices)))
    return AuditReport(
        days, [row.ordinal for row in slices], lines, rates.counts, fnr, fpr, balance, prevalence, noise, said
    )


def _lines(slices: Sequence[AuditedSlice]) -> list[StratumLine]:
    """What people were asked about anyway first, then the strata of the draw; none that holds nothing."""
    lines = []
    for flagged in (True, False):
        asked = sum((row.asked.get(flagged, Part()) for row in slices), Part())
        own = sum((row.volunteered.get(flagged, Part()) for row in slices), Part())
        words = phrase("flagged, asked") if flagged else phrase("not flagged, asked")
        lines.append(StratumLine(words, flagged, False, asked))
        words = phrase("flagged, judged unasked") if flagged else phrase("not flagged, judged unasked")
        lines.append(StratumLine(words, flagged, False, own))
    for kind, words in WORDS.items():
        lines.append(StratumLine(words, kind in FLAGGED, True, pooled(slices, kind)))
    return [line for line in lines if line.part.population]


def pooled(slices: Sequence[AuditedSlice], kind: int) -> Part:
    """One stratum over all slices."""
    return sum((row.strata.get(kind, Part()) for row in slices), Part())


def _rates(slices: Sequence[AuditedSlice]) -> AuditRates:
    """Judged segments are counted one by one; what was asked and has no label may be either."""
    census = {flagged: Part() for flagged in (True, False)}
    unknown = {flagged: Part() for flagged in (True, False)}
    for row in slices:
        for flagged in (True, False):
            asked = row.asked.get(flagged, Part())
            census[flagged] += row.volunteered.get(flagged, Part())
            census[flagged] += Part(asked.judged, asked.judged, asked.judged, asked.found)
            unknown[flagged] += Part(asked.population - asked.judged)
    drawn = {
        flagged: [part for kind in WORDS if (kind in FLAGGED) == flagged for part in alike(slices, kind)]
        for flagged in (True, False)
    }
    return audit_rates(
        census[True].found,
        census[True].judged - census[True].found,
        flagged=_strata(unknown[True], *drawn[True]),
        unflagged=_strata(census[False], unknown[False], *drawn[False]),
    )


def alike(slices: Sequence[AuditedSlice], kind: int) -> list[Part]:
    """One stratum over slices, those pooled whose share of judged segments is alike: within a factor of `ALIKE`."""
    parts = [row.strata[kind] for row in slices if row.strata.get(kind, Part()).population]
    groups: list[Part] = []
    lowest = 0.0
    for part in sorted(parts, key=lambda part: part.judged / part.population):
        share = part.judged / part.population
        if groups and share <= ALIKE * lowest:
            groups[-1] += part
        else:
            groups.append(part)
            lowest = share
    return groups


def _strata(*parts: Part) -> list[Stratum]:
    return [part.stratum for part in parts if part.population]


def _rate(estimate: RateEstimate | None, reason: str) -> Rate:
    if estimate is None:
        return Rate(None, None, None, reason)
    return Rate(estimate.value, estimate.low, estimate.high, "")


def _rate_between(estimate: RateEstimate | None) -> Rate:
    """Where FNR is unknown, EBI is known to lie between two ends, and no value stands for it."""
    if estimate is None:
        return Rate(None, None, None, phrase("unknown"))
    reason = phrase("unknown: {low:.1f} to {high:.1f}", low=100 * estimate.low, high=100 * estimate.high)
    return Rate(None, estimate.low, estimate.high, reason)


def _basis(lines: Sequence[StratumLine], slices: int) -> Phrase:
    """What the figures rest on."""
    audited, judged = (sum(line.part.judged for line in lines if line.sampled is drawn) for drawn in (True, False))
    return counted(
        "Estimated from {audited} audited and {judged} otherwise judged segments of {n} slice",
        "Estimated from {audited} audited and {judged} otherwise judged segments of {n} slices",
        slices,
        audited=audited,
        judged=judged,
    )


def _sentence(rates: AuditRates, fnr: Rate, fpr: Rate, basis: Phrase) -> Phrase:
    if rates.uninformative:
        return together([rates.sentence, phrase("{basis}.", basis=basis)])
    if rates.fnr is None:
        return phrase("{basis}: all of them are normal, and no other can be an anomaly.", basis=basis)
    said = phrase("{basis}: {fnr} of anomalies were missed.", basis=basis, fnr=_percent(fnr))
    if fpr.value is not None:
        said = phrase(
            "{basis}: {fnr} of anomalies were missed, {fpr} of normal segments were flagged.",
            basis=basis,
            fnr=_percent(fnr),
            fpr=_percent(fpr),
        )
    return together([said, *(x.sentence for x in (rates.tp, rates.fn) if x.sentence)])


def _percent(rate: Rate) -> str:
    if rate.value is None or rate.low is None or rate.high is None:
        return "n/a"
    return f"{100 * rate.value:.1f} % (95 %: {100 * rate.low:.1f}–{100 * rate.high:.1f})"


def _nothing(slices: Sequence[AuditedSlice], days: int, has_validation_set: bool) -> AuditReport:
    none = Rate(None, None, None, "n/a")
    if not has_validation_set:
        why = phrase(
            "No audit yet: the camera has no complete validation set. From then on every slice that closes is audited."
        )
    elif slices:
        why = phrase(
            "Nothing to audit: in the slices that closed in the last {days} days no segment was scored.", days=days
        )
    else:
        why = phrase(
            "No audit yet: in the last {days} days no slice closed that ran with a θ of the present validation set. "
            "A slice is audited when it closes.",
            days=days,
        )
    ordinals = [row.ordinal for row in slices]
    return AuditReport(days, ordinals, [], Counts(), none, none, none, none, none, "", why)
