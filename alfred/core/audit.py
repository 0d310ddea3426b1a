"""What a camera's rates are in production: what people judged, and for the rest a random sample of it (Design §6).

Nobody looks at what was not asked, but for the audit: a few segments drawn at random within strata. A total is
estimated by Σ N_h k_h / n_h; its interval adds up exact hypergeometric bounds of the strata, each at α / H
(Bonferroni), so it holds at any prevalence and with nothing found, where bootstraps and normal intervals fail.

A stratum is a simple random sample: every member had the same chance π. Days may be pooled into one stratum where
π was the same; where it was not, they are strata of their own. Verdicts that people chose to give (alerts, batches)
are no sample: such segments are censuses of themselves (`sampled` = `population`) or stay out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil

import numpy as np
import numpy.typing as npt

from alfred.core.ebi import ebi
from alfred.core.exact import hypergeometric_bounds
from alfred.core.phrases import Phrase, counted, phrase, together
from alfred.core.rates import Counts
from alfred.core.sampling import allocate

AUDIT_SHARES = (0.2, 0.15, 0.25, 0.2, 0.2)
"""Shares of an audit: alert band, unasked by budget, then the three bands below θ, the nearest first. Nearly equal,
since an exact bound is as wide as its N_h / n_h; a little more where more is found."""

AUDIT_MIN = 20
"""Audits a day, at least."""

WIDE = 0.5
"""An interval of FNR wider than this says too little to show an estimate."""


@dataclass(frozen=True, slots=True)
class Stratum:
    """Of `population` segments `sampled` were drawn at random and judged; `found` of those are anomalies."""

    population: int
    sampled: int
    found: int

    def __post_init__(self) -> None:
        if not 0 <= self.found <= self.sampled <= self.population:
            raise ValueError(f"a stratum needs 0 ≤ found ≤ sampled ≤ population: {self}")


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number of anomalies: low ≤ total ≤ high.

    `unsampled` segments lie in strata of which nothing was sampled: they add nothing to `total`, 0 to `low` and
    all of themselves to `high`; `sentence` says so.
    """

    total: float
    low: int
    high: int
    unsampled: int = 0

    @property
    def sentence(self) -> str:
        """What people must know beside the number; empty where all strata were sampled."""
        return _without_any(self.unsampled) if self.unsampled else ""


@dataclass(frozen=True, slots=True)
class RateEstimate:
    """A rate 0..1 with its interval: low ≤ value ≤ high."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class AuditRates:
    """Judged and estimated rates of a stream. All intervals hold together at the level asked for.

    A rate is None where it is undefined: by the estimate a class is missing. `label_noise` is the share of
    anomalies among the unflagged (the pseudo-normals), before those that the audit found are taken out.
    Where FNR is `uninformative`, show `sentence` instead of it: it is at most `at_most`, and `more_needed` further
    audits, finding what was found so far, would halve the distance from the estimate to that bound. None: no number
    of them would (no anomaly was found, or a stratum is not sampled at all).
    """

    tp: Estimate
    fn: Estimate
    counts: Counts
    fnr: RateEstimate | None
    fpr: RateEstimate | None
    prevalence: RateEstimate | None
    ebi: RateEstimate | None
    label_noise: RateEstimate | None
    uninformative: bool
    at_most: float | None
    more_needed: int | None
    sentence: str


def estimate_total(strata: Sequence[Stratum], level: float = 0.95) -> Estimate:
    """How many anomalies the strata hold together: Σ N_h k_h / n_h with an exact interval.

    α = 1 − level is shared equally by the strata that are uncertain (some but not all sampled) and by the two tails.
    """
    return _estimate(strata, _tail(strata, level))


def audit_rates(
    tp: int,
    fp: int,
    *,
    flagged: Sequence[Stratum] = (),
    unflagged: Sequence[Stratum] = (),
    level: float = 0.95,
) -> AuditRates:
    """FNR, FPR, prevalence, EBI and label noise of a stream, each with an interval.

    tp, fp: flagged segments that were judged, one by one. `flagged`: strata of the other flagged segments (alert
    band, unasked by budget; or the whole band where a random part of it was asked); together they make up all that
    was flagged. `unflagged`: strata that make up all scored segments below θ. α is shared by all uncertain strata, so
    the intervals hold jointly. All but prevalence rise or fall with the flagged and the missed anomalies in opposite
    directions, so their ends are corners of the two intervals. Raises ValueError on negative counts.
    """
    if min(tp, fp) < 0:
        raise ValueError(f"judged counts must not be negative: {tp}, {fp}")
    stream = _Stream(tp, fp, tuple(flagged), tuple(unflagged))
    hits, misses = stream.estimates(level)
    best, worst = stream.counts(hits.high, misses.low), stream.counts(hits.low, misses.high)
    counts = stream.counts(hits.total, misses.total)
    fnr, fpr = _rate(counts.fnr, best.fnr, worst.fnr), _rate(counts.fpr, best.fpr, worst.fpr)
    at_most = _upper_fnr(hits, misses)
    uninformative = at_most is not None and (fnr is None or fnr.high - fnr.low > WIDE)
    noise = None
    if stream.n_unflagged:
        noise = RateEstimate(*(x / stream.n_unflagged for x in (misses.total, misses.low, misses.high)))
    prevalence = None
    if counts.n:
        ends = (hits.total + misses.total, hits.low + misses.low, hits.high + misses.high)
        prevalence = RateEstimate(*(x / counts.n for x in ends))
    more = _more_needed(stream, level, fnr) if uninformative else None
    return AuditRates(
        tp=hits,
        fn=misses,
        counts=counts,
        fnr=fnr,
        fpr=fpr,
        prevalence=prevalence,
        ebi=_balance(fpr, fnr),
        label_noise=noise,
        uninformative=uninformative,
        at_most=at_most if uninformative else None,
        more_needed=more,
        sentence=_sentence(at_most or 0.0, fnr is None, more, hits.unsampled + misses.unsampled)
        if uninformative
        else "",
    )


def audit_size(review_budget: int) -> int:
    """Audits a day by default: a tenth of the review budget, at least 20."""
    return max(AUDIT_MIN, ceil(review_budget / 10))


def allocate_audit(
    populations: Sequence[int] | npt.NDArray[np.int64], total: int, shares: Sequence[float] = AUDIT_SHARES
) -> npt.NDArray[np.int64]:
    """How many of `total` audits each stratum gets: alert band, unasked by budget, three bands below θ, in this order.

    As `sampling.allocate`: by shares, one at least for each stratum that holds anything, and what a small one can't
    use goes to the others. Within a stratum draw with equal chances (`sampling.draw`).
    """
    return allocate(populations, total, shares)


@dataclass(frozen=True, slots=True)
class _Stream:
    tp: int
    fp: int
    flagged: tuple[Stratum, ...]
    unflagged: tuple[Stratum, ...]

    @property
    def n_flagged(self) -> int:
        return self.tp + self.fp + sum(s.population for s in self.flagged)

    @property
    def n_unflagged(self) -> int:
        return sum(s.population for s in self.unflagged)

    @property
    def audits(self) -> int:
        return sum(s.sampled for s in (*self.flagged, *self.unflagged))

    def estimates(self, level: float) -> tuple[Estimate, Estimate]:
        """Flagged and missed anomalies; their intervals hold together."""
        tail = _tail((*self.flagged, *self.unflagged), level)
        rest = _estimate(self.flagged, tail)
        hits = replace(rest, total=self.tp + rest.total, low=self.tp + rest.low, high=self.tp + rest.high)
        return hits, _estimate(self.unflagged, tail)

    def counts(self, hits: float, misses: float) -> Counts:
        """The four counts if so many of the flagged and of the unflagged are anomalies."""
        # Rounding of Σ N k / n can leave −1e−13 of a class that is not there.
        return Counts(tp=hits, fp=max(self.n_flagged - hits, 0.0), tn=max(self.n_unflagged - misses, 0.0), fn=misses)

    def grown(self, factor: float) -> _Stream:
        flagged, unflagged = (tuple(_grown(s, factor) for s in part) for part in (self.flagged, self.unflagged))
        return replace(self, flagged=flagged, unflagged=unflagged)


def _tail(strata: Sequence[Stratum], level: float) -> float:
    """The tail probability of each side of each uncertain stratum."""
    if not 0 < level < 1:
        raise ValueError(f"the level must lie between 0 and 1, got {level}")
    uncertain = sum(0 < s.sampled < s.population for s in strata)
    return (1 - level) / (2 * max(uncertain, 1))


def _estimate(strata: Sequence[Stratum], tail: float) -> Estimate:
    bounds = [hypergeometric_bounds(s.found, s.sampled, s.population, tail, tail) for s in strata]
    return Estimate(
        total=float(sum(s.population * s.found / s.sampled for s in strata if s.sampled)),
        low=sum(low for low, _ in bounds),
        high=sum(high for _, high in bounds),
        unsampled=sum(s.population for s in strata if not s.sampled),
    )


def _rate(value: float | None, low: float | None, high: float | None) -> RateEstimate | None:
    """A corner without the class is undefined: then its errors are 0, or its correct ones, throughout the interval."""
    if value is None:
        return None
    return RateEstimate(value, value if low is None else min(low, value), value if high is None else max(high, value))


def _balance(fpr: RateEstimate | None, fnr: RateEstimate | None) -> RateEstimate | None:
    """EBI falls with either rate, and both are worst in the same corner."""
    if fpr is None or fnr is None:
        return None
    value, low, high = ebi(fpr.value, fnr.value), ebi(fpr.high, fnr.high), ebi(fpr.low, fnr.low)
    return None if value is None or low is None or high is None else RateEstimate(value, low, high)


def _upper_fnr(hits: Estimate, misses: Estimate) -> float | None:
    """The largest FNR within both intervals; None where there can be no anomaly at all."""
    if hits.high + misses.high == 0:
        return None
    return misses.high / (misses.high + hits.low) if misses.high else 0.0


def _without_any(n: int) -> Phrase:
    return phrase("{n} segments lie in strata without any audit.", n=n)


def _sentence(at_most: float, none_found: bool, more: int | None, unsampled: int) -> Phrase:
    said = [phrase("FNR unknown: at most {most:.1f} %.", most=100 * at_most)]
    if none_found:
        said.append(phrase("No anomaly was found so far."))
    if more is not None:
        audits = counted(
            "{n} more audit would halve what is open above the estimate.",
            "{n} more audits would halve what is open above the estimate.",
            more,
        )
        said.append(audits)
    if unsampled:
        said.append(_without_any(unsampled))
    return together(said)


def _grown(stratum: Stratum, factor: float) -> Stratum:
    """The stratum with `factor` times as many sampled, as far as it reaches, and the same share found."""
    if not stratum.sampled:
        return stratum
    sampled = min(stratum.population, round(stratum.sampled * factor))
    return replace(stratum, sampled=sampled, found=round(stratum.found * sampled / stratum.sampled))


def _more_needed(stream: _Stream, level: float, fnr: RateEstimate | None) -> int | None:
    """Audits on top, in the same shares, that halve the distance from the estimate of FNR to its upper bound."""
    if fnr is None or not stream.audits:
        return None
    goal = (fnr.value + fnr.high) / 2

    def enough(extra: int) -> bool:
        upper = _upper_fnr(*stream.grown(1 + extra / stream.audits).estimates(level))
        return upper is not None and upper <= goal

    sampled = [s for s in (*stream.flagged, *stream.unflagged) if s.sampled]
    census = ceil(stream.audits * max(s.population / s.sampled for s in sampled))
    high = 1
    while high < census and not enough(high):
        high *= 2
    if not enough(high):
        return None
    # Found anomalies are whole, so the bound falls in steps; the search ends at a number that is enough.
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return stream.grown(1 + high / stream.audits).audits - stream.audits
