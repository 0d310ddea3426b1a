"""The report as one HTML file: nothing is loaded, nothing runs; light and dark; tables scroll on their own."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape

from alfred.reports.experiment.figures import Drawn
from alfred.reports.experiment.sentences import Said
from alfred.reports.experiment.table import Table

LONG = 40
"""Characters from which a cell is wrapped."""

CSS = """
:root { --ground: #f6f7f8; --card: #fff; --text: #1a2129; --quiet: #56616d; --line: #d5dbe1; --accent: #0b63b6;
  --shade: #1a212957; color-scheme: light dark; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #12161b; --card: #1a2027; --text: #e4e9ee; --quiet: #9aa7b4; --line: #303a45; --accent: #7cc4ff;
    --shade: #e4e9ee57; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--text); font: 15px/1.45 system-ui, sans-serif; }
main { max-width: 1320px; margin: 0 auto; padding: 16px; }
h1 { font-size: 24px; line-height: 1.2; margin: 0 0 12px; }
h2 { font-size: 18px; margin: 0 0 8px; }
h3 { font-size: 15px; margin: 16px 0 4px; }
p, li, dd { max-width: 90ch; overflow-wrap: anywhere; }
p { margin: 0 0 8px; }
ul { margin: 0; padding-left: 18px; }
a { color: var(--accent); }
nav ul { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: 4px 16px; margin: 0 0 16px; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 6px; padding: 16px; margin: 0 0 16px; }
.quiet { color: var(--quiet); font-size: 13px; }
.scroll { overflow-x: auto; margin: 0 0 8px; background:
  linear-gradient(to right, var(--card) 40%, transparent) 0 0 / 40px 100% no-repeat local,
  linear-gradient(to left, var(--card) 40%, transparent) 100% 0 / 40px 100% no-repeat local,
  linear-gradient(to right, var(--shade), transparent) 0 0 / 14px 100% no-repeat,
  linear-gradient(to left, var(--shade), transparent) 100% 0 / 14px 100% no-repeat; }
.scroll:focus-visible { outline: 2px solid var(--accent); }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
h3 span { font-weight: 400; color: var(--quiet); }
th, td { text-align: left; padding: 4px 8px; border-bottom: 1px solid var(--line); vertical-align: top;
  white-space: nowrap; }
thead th { color: var(--quiet); font-weight: 500; font-size: 13px; vertical-align: bottom;
  white-space: normal; }
thead th.group { border-bottom: 0; color: var(--text); }
th.group, .first { border-left: 1px solid var(--line); }
tbody th, thead tr:last-child > :first-child { position: sticky; left: 0; background: var(--card); }
tbody th { font-weight: 500; }
th.shared { position: static; padding-top: 10px; font-weight: 600; }
th.shared span { position: sticky; left: 8px; }
.num { text-align: right; }
td.long { white-space: normal; min-width: 40ch; }
figure { margin: 0; }
figure svg { display: block; width: 100%; min-width: 460px; max-width: 680px; height: auto; }
figcaption { max-width: 90ch; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 16px; margin: 0 0 8px; }
dt { color: var(--quiet); } dd { margin: 0; }
@media (max-width: 600px) { main { padding: 8px; } section { padding: 12px; } dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: 8px; } tbody th[scope=row] { white-space: normal; min-width: 14ch; max-width: 16ch; } }
@media print { section { border: 0; padding: 0; } .scroll { overflow: visible; background: none; } }
"""


@dataclass(frozen=True)
class Section:
    """A heading with what stands under it, in this order."""

    title: str
    words: list[str] = field(default_factory=list)
    verdicts: list[tuple[str, list[Said]]] = field(default_factory=list)
    terms: list[tuple[str, str]] = field(default_factory=list)
    figures: list[Drawn] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)


def page(title: str, sections: list[Section]) -> str:
    """The whole file."""
    links = "".join(f'<li><a href="#s{n}">{escape(s.title)}</a></li>' for n, s in enumerate(sections, 1))
    body = "\n".join(_section(n, section) for n, section in enumerate(sections, 1))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n<main>\n<h1>{escape(title)}</h1>\n"
        f'<nav aria-label="Contents"><ul>{links}</ul></nav>\n{body}\n</main>\n</body>\n</html>\n'
    )


def _section(n: int, section: Section) -> str:
    parts = [f'<section id="s{n}">\n<h2>{escape(section.title)}</h2>']
    parts += [f"<p>{escape(text)}</p>" for text in section.words]
    parts += [f"<h3>{escape(heading)}</h3>\n{_said(said)}" for heading, said in section.verdicts]
    if section.terms:
        terms = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in section.terms)
        parts.append(f"<dl>{terms}</dl>")
    parts += [_figure(drawn) for drawn in section.figures]
    parts += [_table(table) for table in section.tables]
    return "\n".join([*parts, "</section>"])


def _said(said: list[Said]) -> str:
    return f"<ul>{''.join(f'<li><b>{escape(about)}.</b> {escape(text)}</li>' for about, text in said)}</ul>"


def _figure(drawn: Drawn) -> str:
    svg = drawn.inline.replace("<svg", f'<svg role="img" aria-label="{escape(drawn.title)}"', 1)
    return (
        f'<figure>\n<div class="scroll" tabindex="0" role="region" aria-label="{escape(drawn.title)}">{svg}</div>\n'
        f'<figcaption><p><b>{escape(drawn.title)}.</b> {escape(drawn.words)} <span class="quiet">Files: '
        f'<a href="{drawn.stem}.svg">{drawn.stem}.svg</a>, <a href="{drawn.stem}.png">{drawn.stem}.png</a></span></p>'
        "</figcaption>\n</figure>"
    )


def _table(table: Table) -> str:
    groups: dict[tuple[str, ...], list[str]] = {}
    for row in table.rows:
        groups.setdefault(tuple(row[: table.labels - 1]), []).append(_row(table, row[table.labels - 1 :]))
    width = sum(len(names) for _, names in table.head) - table.labels + 1
    bodies = "\n".join(_body(labels, rows, width) for labels, rows in groups.items())
    notes = "".join(f'<p class="quiet">{escape(note)}</p>' for note in table.notes)
    return (
        f'<h3 id="{table.stem}">{escape(table.title)} <span>(unit: {escape(table.unit)})</span></h3>\n'
        f'<div class="scroll" tabindex="0" role="region" aria-labelledby="{table.stem}">'
        f'<table aria-labelledby="{table.stem}">\n<thead>{_head(table)}</thead>\n{bodies}\n</table></div>\n'
        f'{notes}<p class="quiet">File: <a href="{table.stem}.csv">{table.stem}.csv</a></p>'
    )


def _body(labels: tuple[str, ...], rows: list[str], width: int) -> str:
    """Rows that share their first labels, which stand above them."""
    title = (
        f'<tr><th class="shared" colspan="{width}" scope="rowgroup"><span>{escape(", ".join(labels))}</span></th></tr>'
    )
    return f"<tbody>\n{title if labels else ''}{''.join(rows)}</tbody>"


def _columns(table: Table) -> list[tuple[str, str, bool]]:
    """(group, name, whether a group begins here) of each column from the row's own label on."""
    found = [(title, name, at == 0 and bool(title)) for title, names in table.head for at, name in enumerate(names)]
    return found[table.labels - 1 :]


def _head(table: Table) -> str:
    columns = _columns(table)
    names = "".join(
        f'<th scope="col"{_classes(num=at > 0 and name not in table.texts, first=first)}>{escape(name)}</th>'
        for at, (_, name, first) in enumerate(columns)
    )
    if not any(group for group, _, _ in columns):
        return f"<tr>{names}</tr>"
    spans: list[tuple[str, int]] = []
    for group, _, first in columns:
        if spans and not first and spans[-1][0] == group:
            spans[-1] = (group, spans[-1][1] + 1)
        else:
            spans.append((group, 1))
    above = "".join(
        f'<th class="group" colspan="{n}" scope="colgroup">{escape(group)}</th>'
        if group
        else f'<td colspan="{n}"></td>'
        for group, n in spans
    )
    return f"<tr>{above}</tr><tr>{names}</tr>"


def _row(table: Table, cells: list[str]) -> str:
    label, *rest = cells
    shown = "".join(
        f"<td{_classes(num=name not in table.texts, first=first, long=len(text) > LONG)}>{escape(text)}</td>"
        for text, (_, name, first) in zip(rest, _columns(table)[1:], strict=True)
    )
    return f'<tr><th scope="row">{escape(label)}</th>{shown}</tr>\n'


def _classes(**wanted: bool) -> str:
    names = " ".join(name for name, on in wanted.items() if on)
    return f' class="{names}"' if names else ""
