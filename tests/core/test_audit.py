from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import hypergeom

from alfred.core import intervals
from alfred.core.audit import (
    AUDIT_SHARES,
    AuditRates,
    Estimate,
    RateEstimate,
    Stratum,
    allocate_audit,
    audit_rates,
    audit_size,
    estimate_total,
)
from alfred.core.exact import hypergeometric_bounds
from alfred.core.rates import Counts

alphas = st.sampled_from([0.0005, 0.005, 0.025, 0.05, 0.1])


@st.composite
def samples(draw: st.DrawFn) -> tuple[int, int, int]:
    population = draw(st.integers(0, 60))
    sampled = draw(st.integers(0, population))
    return draw(st.integers(0, sampled)), sampled, population


@st.composite
def strata_lists(draw: st.DrawFn) -> list[Stratum]:
    return [Stratum(n, s, k) for k, s, n in draw(st.lists(samples(), max_size=4))]


@given(samples(), alphas, alphas)
def test_bounds_invert_the_tails_of_scipy(sample: tuple[int, int, int], alpha_low: float, alpha_high: float) -> None:
    k, n, population = sample
    assume(population > 0)  # scipy knows no empty urn
    marked = np.arange(k, population - n + k + 1)
    # Beyond rounding: a tie stays in.
    low = marked[hypergeom.sf(k - 1, population, marked, n) > alpha_low - 1e-8].min()
    high = marked[hypergeom.cdf(k, population, marked, n) > alpha_high - 1e-8].max()
    assert hypergeometric_bounds(k, n, population, alpha_low, alpha_high) == (low, high)


@pytest.mark.parametrize(
    "k, n, population", [(0, 300, 50_000), (3, 300, 50_000), (290, 300, 50_000), (9, 4000, 1_400_000)]
)
def test_bounds_of_large_populations(k: int, n: int, population: int) -> None:
    low, high = hypergeometric_bounds(k, n, population, 0.005, 0.005)
    at_low = hypergeom.sf(k - 1, population, [low - 1, low], n)
    at_high = hypergeom.cdf(k, population, [high, high + 1], n)
    assert low == 0 or (at_low[0] < 0.00501 and at_low[1] > 0.00499)
    assert at_high[0] > 0.00499 and at_high[1] < 0.00501


@given(samples(), alphas, alphas)
def test_bounds_keep_their_promises(sample: tuple[int, int, int], a: float, b: float) -> None:
    k, n, population = sample
    low, high = hypergeometric_bounds(k, n, population, a, b)
    assert k <= low <= high <= population - n + k
    assert n == 0 or low <= population * k / n <= high
    # Counting the unmarked instead turns the bounds round.
    assert hypergeometric_bounds(n - k, n, population, b, a) == (population - high, population - low)
    if k < n:
        more = hypergeometric_bounds(k + 1, n, population, a, b)
        assert more[0] >= low and more[1] >= high


def test_bounds_refuse_nonsense() -> None:
    assert hypergeometric_bounds(0, 0, 7, 0.05, 0.05) == (0, 7)
    assert hypergeometric_bounds(3, 7, 7, 0.05, 0.05) == (3, 3)
    for bad in ((2, 1, 9), (-1, 1, 9), (1, 10, 9)):
        with pytest.raises(ValueError, match="found"):
            hypergeometric_bounds(*bad, 0.05, 0.05)
    with pytest.raises(ValueError, match="tail"):
        hypergeometric_bounds(1, 2, 3, 0.0, 0.05)


def test_a_total_by_hand() -> None:
    # 100·2/10 + 40·1/8 + a census; two strata are uncertain, so each tail gets .05 / 4.
    found = estimate_total([Stratum(100, 10, 2), Stratum(40, 8, 1), Stratum(30, 30, 4)])
    first, second = (hypergeometric_bounds(2, 10, 100, 0.0125, 0.0125), hypergeometric_bounds(1, 8, 40, 0.0125, 0.0125))
    assert found.total == pytest.approx(20 + 5 + 4)
    assert (found.low, found.high) == (first[0] + second[0] + 4, first[1] + second[1] + 4)
    assert found.sentence == ""


def test_what_was_never_audited_is_said() -> None:
    found = estimate_total([Stratum(50, 50, 3), Stratum(400, 0, 0), Stratum(0, 0, 0)])
    assert found == Estimate(3.0, 3, 403, unsampled=400)
    assert found.sentence.startswith("400 segments")
    assert estimate_total([]) == Estimate(0.0, 0, 0)


def test_a_stratum_must_be_possible() -> None:
    with pytest.raises(ValueError, match="stratum"):
        Stratum(10, 5, 6)
    with pytest.raises(ValueError, match="level"):
        estimate_total([], level=1.0)
    with pytest.raises(ValueError, match="negative"):
        audit_rates(-1, 0)


def test_rates_by_hand() -> None:
    # Flagged: 30 judged (10 TP), 20 more of which all were audited (5). Unflagged: 1000, 100 audited, 2 found.
    found = audit_rates(10, 20, flagged=[Stratum(20, 20, 5)], unflagged=[Stratum(1000, 100, 2)])
    low, high = hypergeometric_bounds(2, 100, 1000, 0.025, 0.025)
    assert found.counts == Counts(tp=15, fp=35, tn=980, fn=20)
    assert found.fnr == RateEstimate(20 / 35, low / (low + 15), high / (high + 15))
    assert found.fpr == RateEstimate(35 / 1015, 35 / (1035 - low), 35 / (1035 - high))
    assert found.prevalence == RateEstimate(35 / 1050, (15 + low) / 1050, (15 + high) / 1050)
    assert found.label_noise == RateEstimate(0.02, low / 1000, high / 1000)
    assert found.ebi.value == pytest.approx(found.counts.ebi)
    assert found.ebi.low == pytest.approx(Counts(tp=15, fp=35, tn=1000 - high, fn=high).ebi)
    assert found.ebi.high == pytest.approx(Counts(tp=15, fp=35, tn=1000 - low, fn=low).ebi)


def test_everything_judged_is_exact() -> None:
    found = audit_rates(8, 2, unflagged=[Stratum(90, 90, 2)])
    assert found.fnr == RateEstimate(0.2, 0.2, 0.2)
    assert found.ebi.low == found.ebi.high == found.ebi.value
    assert not found.uninformative and found.sentence == "" and found.at_most is None


def test_an_uninformative_fnr_says_at_most_and_how_many_more() -> None:
    flagged, unflagged = [Stratum(200, 20, 2)], [Stratum(4000, 30, 0), Stratum(4000, 30, 1)]
    found = audit_rates(60, 100, flagged=flagged, unflagged=unflagged)
    assert found.uninformative
    assert found.fnr.high - found.fnr.low > 0.5
    assert found.at_most == found.fnr.high
    assert found.sentence.startswith(f"FNR unknown: at most {100 * found.at_most:.1f} %.")
    assert f"{found.more_needed} more audits" in found.sentence
    # With so many more in the same shares, finding the same share, the bound has come half the way down.
    grown = 1 + found.more_needed / 80
    again = audit_rates(
        60,
        100,
        flagged=[Stratum(200, min(200, round(20 * grown)), round(2 * min(200, round(20 * grown)) / 20))],
        unflagged=[Stratum(4000, round(30 * grown), 0), Stratum(4000, round(30 * grown), round(grown))],
    )
    assert again.fnr.high <= (found.fnr.value + found.fnr.high) / 2 + 0.02
    assert found.more_needed > 80, "halving takes more than as many again"


def test_fnr_without_an_anomaly_or_without_an_audit() -> None:
    nothing = audit_rates(0, 10, unflagged=[Stratum(1000, 100, 0)])
    assert nothing.fnr is None and nothing.ebi is None
    assert nothing.fpr.value == pytest.approx(10 / 1010)
    assert nothing.at_most == 1.0 and nothing.more_needed is None
    assert "No anomaly was found" in nothing.sentence
    blind = audit_rates(5, 10, unflagged=[Stratum(1000, 0, 0)])
    assert blind.uninformative and blind.more_needed is None
    assert blind.at_most == pytest.approx(1000 / 1005)
    assert "without any audit" in blind.sentence


def test_an_empty_stream_has_no_rates() -> None:
    found = audit_rates(0, 0)
    assert (found.fnr, found.fpr, found.ebi, found.prevalence, found.label_noise) == (None,) * 5
    assert not found.uninformative
    # All flagged and part of it sampled: nothing can have been missed.
    assert audit_rates(0, 0, flagged=[Stratum(50, 10, 2)]).fnr == RateEstimate(0.0, 0.0, 0.0)


@settings(max_examples=60)
@given(st.integers(0, 5), st.integers(0, 5), strata_lists(), strata_lists())
def test_intervals_hold_their_estimates(tp: int, fp: int, flagged: list[Stratum], unflagged: list[Stratum]) -> None:
    found = audit_rates(tp, fp, flagged=flagged, unflagged=unflagged)
    assert found.counts.n == pytest.approx(tp + fp + sum(s.population for s in (*flagged, *unflagged)))
    for rate in (found.fnr, found.fpr, found.prevalence, found.ebi, found.label_noise):
        assert rate is None or -1e-12 <= rate.low <= rate.value + 1e-12 <= rate.high + 2e-12 <= 1 + 1e-11
    assert found.counts.fnr == (found.fnr and found.fnr.value)
    assert found.uninformative == bool(found.sentence) == (found.at_most is not None)
    # One corner of all the truths that the intervals allow.
    truth = Counts(tp=found.tp.high, fn=found.fn.low)
    if found.fnr and truth.fnr is not None:
        assert found.fnr.low <= truth.fnr + 1e-12


def test_sizes_of_an_audit() -> None:
    assert [audit_size(budget) for budget in (0, 200, 300, 301)] == [20, 20, 30, 31]
    assert sum(AUDIT_SHARES) == pytest.approx(1)
    assert list(allocate_audit([1000] * 5, 20)) == [4, 3, 5, 4, 4]
    assert list(allocate_audit([0, 0, 5, 1000, 1000], 30)) == [0, 0, 5, 13, 12]
    assert list(allocate_audit([10, 10, 10, 10, 10], 3)) == [1, 0, 1, 1, 0]


def test_they_are_offered_beside_the_other_intervals() -> None:
    assert intervals.estimate_total is estimate_total
    assert intervals.hypergeometric_bounds is hypergeometric_bounds


def audited(prevalence: float, audits: int, rng: np.random.Generator) -> tuple[AuditRates, Estimate, float, int]:
    """40 000 segments, 30 % flagged with recall .7, audited in five strata: rates, total, true FNR, true total."""
    anomalies = round(40_000 * prevalence)
    hits, misses = round(0.7 * anomalies), round(0.3 * anomalies)
    judged, judged_tp = 3600, round(0.3 * hits)
    populations = [4800, 3600, 9333, 9333, 9334]
    marked = [round(0.5 * hits), 0, round(0.6 * misses), round(0.25 * misses), 0]
    marked[1], marked[4] = hits - judged_tp - marked[0], misses - marked[2] - marked[3]
    sampled = allocate_audit(populations, audits)
    found = rng.hypergeometric(marked, np.array(populations) - marked, sampled)
    rows = zip(populations, sampled, found, strict=True)
    strata = [Stratum(size, int(n), int(k)) for size, n, k in rows]
    rates = audit_rates(judged_tp, judged - judged_tp, flagged=strata[:2], unflagged=strata[2:])
    return rates, estimate_total(strata), misses / anomalies, sum(marked)


@pytest.mark.parametrize("prevalence", [0.005, 0.05])
def test_coverage_is_never_under_what_is_promised(prevalence: float) -> None:
    rng, runs = np.random.default_rng(round(1000 * prevalence)), 150
    least = 0.95 - 2 * np.sqrt(0.95 * 0.05 / runs)
    widths = []
    for audits in (560, 1400, 4200):
        total, fnr, ebi, wide = 0, 0, 0, []
        for _ in range(runs):
            rates, estimate, true_fnr, true_total = audited(prevalence, audits, rng)
            true_ebi = Counts(tp=0.7, fn=0.3, fp=12_000 - 28_000 * prevalence, tn=28_000 - 12_000 * prevalence).ebi
            total += estimate.low <= true_total <= estimate.high
            fnr += rates.fnr is None or rates.fnr.low <= true_fnr <= rates.fnr.high
            ebi += rates.ebi is None or rates.ebi.low <= true_ebi <= rates.ebi.high
            wide.append(rates.fnr.high - rates.fnr.low if rates.fnr else 1.0)
            assert rates.uninformative == (rates.fnr is None or wide[-1] > 0.5)
        assert min(total, fnr, ebi) / runs >= least
        widths.append(np.mean(wide))
    # Wide, and said to be: 150 audits a day for four weeks at 5 % are worth .3, at .5 % they are worth nothing yet.
    assert all(later < earlier for earlier, later in pairwise(widths))
    assert 0 < widths[-1] < (0.75 if prevalence < 0.01 else 0.35)
    assert widths[0] > 0.5
