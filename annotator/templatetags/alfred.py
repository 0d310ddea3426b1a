"""How numbers look on pages: n/a where there is none, never 0."""

from __future__ import annotations

import math
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from alfred.reports.camera_report import Rate

register = template.Library()


@register.filter
def number(value: float | str | None, digits: int = 2) -> str:
    return "n/a" if value is None or value == "" or not math.isfinite(float(value)) else f"{float(value):.{digits}f}"


@register.filter
def percent(value: float | str | None) -> str:
    return "n/a" if value is None or value == "" else f"{float(value) * 100:.1f} %"


@register.filter
def count(value: float) -> str:
    """Counts are whole; estimated ones are not and say so with one digit."""
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.1f}"


@register.filter
def rate(value: Rate, scale: int = 0) -> str:
    """A rate with its interval: 68.9 (64.2–73.0); EBI with scale 100, others in percent."""
    if value.value is None:
        return "n/a"
    unit = "" if scale else " %"
    text = f"{value.value * 100:.1f}{unit}"
    if value.low is None or value.high is None:
        return f"{text} ({value.reason})" if value.reason else text
    return f"{text} ({value.low * 100:.1f}–{value.high * 100:.1f})"


@register.filter
def ebi(figures: dict[str, Any] | None) -> str:
    """EBI of an evaluation with its interval, or why there is none."""
    if not figures or figures.get("ebi") is None:
        return "n/a"
    interval = figures["intervals"]["ebi"]
    value = f"{figures['ebi'] * 100:.1f}"
    if interval["low"] is None:
        return f"{value} ({interval['reason'] or 'no interval'})"
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
        '<svg class="whisker" viewBox="0 0 100 12" role="img" aria-label="EBI {value} of 100">'
        '<rect x="0" y="3" width="100" height="6" class="ground"/>'
        '<rect x="0" y="3" width="{value}" height="6" class="bar-fill"/>'
        '<line x1="{low}" x2="{high}" y1="6" y2="6"/>'
        '<line x1="{low}" x2="{low}" y1="2" y2="10"/><line x1="{high}" x2="{high}" y1="2" y2="10"/></svg>',
        **spots,
    )
