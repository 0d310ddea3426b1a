"""How numbers, times and the words of states look on pages. A number that is not there is n/a, never 0."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django import template
from django.urls import reverse
from django.utils.html import format_html, format_html_join, json_script
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop

from alfred.core.phrases import listed
from alfred.models import Answer, Job, Round
from alfred.reports.camera_report import Rate
from alfred.services import anomaly_kinds, preferences
from alfred.services.language import translated as in_language
from annotator.glossary import GLOSSARY

register = template.Library()


@register.filter
def number(value: float | str | None, digits: int = 2) -> str:
    return _("n/a") if value is None or value == "" or not math.isfinite(float(value)) else f"{float(value):.{digits}f}"


@register.filter
def percent(value: float | str | None) -> str:
    return _("n/a") if value is None or value == "" else f"{float(value) * 100:.1f} %"


@register.filter
def share(part: float, whole: float) -> str:
    """A part of a whole in percent."""
    return percent(min(1.0, part / whole) if whole else None)


@register.filter
def when(value: datetime | str | None, zone: str = "UTC") -> str:
    """A moment (or its ISO form) to the minute in a camera's time zone, which is named: 2024-05-01 14:03 CEST."""
    if not value:
        return "–"
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment.astimezone(ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M %Z")


@register.filter
def clock(seconds: float | None) -> str:
    """Seconds into a recording as m:ss.s."""
    if seconds is None:
        return "–"
    tenths = round(seconds * 10)
    return f"{tenths // 600}:{tenths % 600 // 10:02d}.{tenths % 10}"


@register.simple_tag(takes_context=True)
def own_keys(context: template.RequestContext) -> SafeString:
    """The keys of whoever looks at a page, for its scripts (keys.js)."""
    mine = context.get("keyboard") or preferences.keyboard(context["user"])
    return json_script(asdict(mine), "keys")


@register.filter
def translated(words: str) -> str:
    """A sentence made below the web app, or stored with a row, in the language of the page."""
    return in_language(words)


@register.filter
def kind_of_anomaly(kind: str) -> str:
    return anomaly_kinds.in_words(kind)


@register.filter
def plain(code: str) -> str:
    """A stored code word as people write it."""
    return in_language(code.replace("_", " "))


_STORED = (
    gettext_noop("offline"), gettext_noop("continual"), gettext_noop("pseudo continual"),
    gettext_noop("active learning"), gettext_noop("al light"), gettext_noop("too few"),
)  # fmt: skip
_NO_INTERVAL = gettext_noop("no interval")
"""Stored code words: here, so that xgettext finds them."""


@register.filter
def enumerated(numbers: Sequence[int]) -> str:
    """1, 2 and 3."""
    return in_language(listed([str(n) for n in numbers]))


@register.filter
def answers(said: Sequence[str]) -> str:
    """The answers of one key press: normal and anomaly."""
    return in_language(listed([str(Answer(one).label) for one in said]))


@register.filter
def at(mapping: Mapping[str, Any], key: str) -> Any:
    """What a mapping holds under a key that is itself a variable."""
    return mapping.get(key, "")


@register.filter
def work(job: Job, origin: str = "") -> str:
    """What a job does. Of a pose file the poses are read, not extracted."""
    if job.kind == Job.Kind.EXTRACT and origin == "poses":
        return _("read poses")
    return str(Job.Kind(job.kind).label)


_ROUND_STATES = {
    Round.State.CANDIDATE: gettext_lazy("A candidate is ready: promote or reject it"),
    Round.State.PROMOTED: gettext_lazy("Promoted"),
    Round.State.REJECTED: gettext_lazy("Rejected: what was in force stayed"),
    Round.State.FAILED: gettext_lazy("Failed: what was in force stayed"),
    Round.State.CANCELLED: gettext_lazy("Cancelled: what was in force stayed"),
}


@register.filter
def round_state(row: Round) -> str:
    """Where a round stands, as a sentence."""
    label = str(Round.State(row.state).label)
    return str(_ROUND_STATES.get(Round.State(row.state), label[:1].upper() + label[1:]))


@register.filter
def step(words: str) -> str:
    """A round's step, which a job stores in English; the last one is reached when its candidate is there."""
    said = in_language(words)
    return _("candidate ready") if said == str(Round.State.CANDIDATE.label) else said


@register.simple_tag
def word(key: str, text: str = "") -> SafeString:
    """A term with its meaning as a hint, leading to the page of words."""
    meant = GLOSSARY[key]
    return format_html(
        '<a class="word" href="{}#{}" title="{}">{}</a>', reverse("words"), key, meant.short, text or meant.term
    )


@register.filter
def count(value: float) -> str:
    """Counts are whole; estimated ones are not and say so with one digit."""
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.1f}"


@register.filter
def rate(value: Rate, scale: int = 0) -> str:
    """A rate with its interval: 68.9 (64.2–73.0); EBI with scale 100, others in percent."""
    if value.value is None:
        return _("n/a")
    unit = "" if scale else " %"
    text = f"{value.value * 100:.1f}{unit}"
    if value.low is None or value.high is None:
        return f"{text} ({in_language(value.reason)})" if value.reason else text
    return f"{text} ({value.low * 100:.1f}–{value.high * 100:.1f})"


@register.filter
def ebi(figures: dict[str, Any] | None) -> str:
    """EBI of an evaluation with its interval, or why there is none."""
    if not figures or figures.get("ebi") is None:
        return _("n/a")
    interval = figures["intervals"]["ebi"]
    value = f"{figures['ebi'] * 100:.1f}"
    if interval["low"] is None:
        return f"{value} ({in_language(interval['reason'] or _NO_INTERVAL)})"
    return f"{value} ({interval['low'] * 100:.1f}–{interval['high'] * 100:.1f})"


@register.simple_tag
def whisker(figures: dict[str, Any] | None) -> SafeString:
    """EBI as a bar with its interval as a whisker, 0 to 100."""
    if not figures or figures.get("ebi") is None:
        return SafeString("")
    value, interval = figures["ebi"] * 100, figures["intervals"]["ebi"]
    low = (interval["low"] if interval["low"] is not None else figures["ebi"]) * 100
    high = (interval["high"] if interval["high"] is not None else figures["ebi"]) * 100
    spots = {name: f"{v:.2f}" for name, v in (("value", value), ("low", low), ("high", high))}
    return format_html(
        '<svg class="whisker" viewBox="0 0 100 12" role="img" aria-label="{label}">'
        '<rect x="0" y="3" width="100" height="6" class="ground"/>'
        '<rect x="0" y="3" width="{value}" height="6" class="bar-fill"/>'
        '<line x1="{low}" x2="{high}" y1="6" y2="6"/>'
        '<line x1="{low}" x2="{low}" y1="2" y2="10"/><line x1="{high}" x2="{high}" y1="2" y2="10"/></svg>',
        label=_("EBI %(value)s of 100") % spots,
        **spots,
    )


@register.simple_tag
def hour_strip(minutes: list[int], name: str) -> SafeString:
    """Alerts of the last sixty minutes as bars, the present at the right."""
    most = max(*minutes, 1)
    bars = format_html_join(
        "",
        '<rect x="{}" y="{}" width="0.8" height="{}"/>',
        ((i, f"{10 - 10 * n / most:.2f}", f"{10 * n / most:.2f}") for i, n in enumerate(minutes) if n),
    )
    words = _("%(name)s: %(n)d flagged stretches in the last hour") % {"name": name, "n": sum(minutes)}
    return format_html(
        '<svg viewBox="0 0 60 10" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>', words, bars
    )
