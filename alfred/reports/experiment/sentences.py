"""The verdict in plain words. A difference is called one only where 0 lies outside its interval."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from alfred.core.intervals import CAVEAT
from alfred.reports.experiment.effort import ACTIVE, LIGHT, SEGMENTS, effort
from alfred.reports.experiment.paired import Comparison
from alfred.reports.experiment.pooled import CSC, FROZEN, WORDS, Run, Scope
from alfred.reports.experiment.words import NA, listed, points, with_unit

Said = tuple[str, str]
"""What it is about, and what is said of it."""

NO_BREAK = "\u00a0"
OF_FROZEN = {
    "above": "clearly above it",
    "below": "clearly below it",
    "unsteady": "apart from it with the first seed, but not with every seed",
    "no difference": "no difference",
    "too few": "too few blocks to say",
}
OF_OTHERS = {
    "above": "clearly above",
    "below": "clearly below",
    "unsteady": "apart with the first seed, but not with every seed, from",
    "no difference": "no difference to",
    "too few": "too few blocks to compare with",
}


def opening(run: Run, found: Sequence[Comparison]) -> list[str]:
    """What was run and how the verdicts below are meant."""
    held = [c for c in found if c.found.verdict != "too few"]
    said = (
        f"{_counted(len(run.detectors), 'detector')} ({', '.join(run.detectors)}) on "
        f"{_counted(len(run.cameras), 'camera')} ({', '.join(run.cameras)}); EBI of {run.unit}, cumulative over all "
        f"slices. {_seeds(run)}"
    )
    clear = sum(c.verdict in ("above", "below") for c in held)
    chance = "With so many, about one in twenty would look clear by chance. " if len(held) >= 20 else ""
    words = (
        f"“Clearly” is said only where 0 lies outside the paired 95 % interval: in {clear} of "
        f"{_counted(len(held), 'comparison')} that had enough blocks for one"
        + (f" ({len(found) - len(held)} had too few)" if len(found) > len(held) else "")
        + f". {chance}The intervals cover {CAVEAT}."
    )
    missing = f"{_counted(len(run.failed), 'part')} failed and are in no figure; see the end." if run.failed else ""
    return [said, words, *([missing] if missing else [])]


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"


def _seeds(run: Run) -> str:
    if len(run.seeds) == 1:
        return f"One seed ({run.seeds[0]}): how much training varies is not known."
    rest = ", ".join(map(str, run.seeds[1:]))
    return f"Intervals are of seed {run.seeds[0]}; signs are given for seeds {run.seeds[0]}, {rest} in that order."


def verdicts(run: Run, found: Iterable[Comparison]) -> list[tuple[str, list[Said]]]:
    """A heading for each scope, and what is said of it. CSC comes after the others."""
    of_scope: dict[str, list[Comparison]] = {}
    for comparison in found:
        of_scope.setdefault(comparison.scope.title, []).append(comparison)
    scopes = [*run.scopes, *run.alone(CSC)]
    return [(scope.title, said) for scope in scopes if (said := _of_scope(scope, of_scope.get(scope.title, []), run))]


def _of_scope(scope: Scope, found: list[Comparison], run: Run) -> list[Said]:
    said = []
    for subject, words in ((FROZEN, OF_FROZEN), (ACTIVE, OF_OTHERS), (LIGHT, OF_OTHERS)):
        if subject == FROZEN:
            rows = [(c.b, c) for c in found if c.a == FROZEN]
        else:
            rows = [(c.a, c) for c in found if c.b == subject and c.a != FROZEN]
        if rows:
            label = f"{'Adapted against ' if subject == FROZEN else ''}{WORDS[subject]}"
            about = f"{label} (EBI {with_unit(scope.ebi(subject))})"
            said.append((about, f"{_grouped(rows, words, colon=subject == FROZEN)}."))
    return said + _saved(scope, run, found)


def _grouped(rows: list[tuple[str, Comparison]], words: dict[str, str], colon: bool) -> str:
    groups = []
    for kind, phrase in words.items():
        members = [f"{WORDS[name]} ({_numbers(c)})" for name, c in rows if _kind(c) == kind]
        if members:
            groups.append(f"{phrase}{':' if colon else ''} {listed(members)}")
    text = "; ".join(groups)
    return text[0].upper() + text[1:]


def _kind(c: Comparison) -> str:
    return "unsteady" if c.unsteady else c.verdict


def _numbers(c: Comparison) -> str:
    if c.estimate is None:
        return f"{NA}: a class is missing"
    text = f"{points(c.estimate)} points"
    text += ", no interval" if c.found.low is None else f", {c.interval_words}"
    return text + (f"; seeds{NO_BREAK}{c.signs.replace(' ', NO_BREAK)}" if len(c.by_seed) > 1 else "")


def _saved(scope: Scope, run: Run, found: list[Comparison]) -> list[Said]:
    """How much AL-Light did not ask for, with the EBI of both beside it."""
    if not scope.has(LIGHT):
        return []
    items = effort(scope.of_seed(), LIGHT, run.unit)
    if items.saved is None:
        return [("AL-Light's saved work", f"{NA}: it flagged nothing.")]
    segments = effort(scope.of_seed(), LIGHT, SEGMENTS).saved
    text = f"{with_unit(items.saved)} of the flagged {run.unit} were not asked for"
    text += f" ({items.flagged - items.wanted:,} of {items.flagged:,})"
    if run.unit != SEGMENTS:
        text += f", and of the segments, which are what people judge, {with_unit(segments)}"
    text += f"; the least of a step is {with_unit(items.least)} of its {run.unit}"
    beside = next((c for c in found if (c.a, c.b) == (ACTIVE, LIGHT)), None)
    text += f". EBI {with_unit(scope.ebi(LIGHT))}"
    if beside:
        text += f", Active Learning's {with_unit(scope.ebi(ACTIVE))}: {_short(beside)}"
    return [("AL-Light's saved work", f"{text}.")]


def _short(c: Comparison) -> str:
    if c.unsteady:
        return "a difference with the first seed, but not with every seed"
    return {"above": "clearly above", "below": "clearly below", "too few": "too few blocks to compare"}.get(
        c.verdict, c.verdict
    )
