"""The report as one HTML file: nothing is loaded, nothing runs; light and dark; tables scroll on their own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from html import escape

from alfred.reports.experiment.figures import Drawn
from alfred.reports.experiment.sentences import Said
from alfred.reports.experiment.table import Table

CSS = """
:root { --ground: #f6f7f8; --card: #fff; --text: #1a2129; --quiet: #56616d; --line: #d5dbe1; --accent: #0b63b6;
  --shade: #1a212957; color-scheme: light dark; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #12161b; --card: #1a2027; --text: #e4e9ee; --quiet: #9aa7b4; --line: #303a45; --accent: #7cc4ff;
    --shade: #e4e9ee57; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--text); font: 15px/1.45 system-ui, sans-serif; }
main { max-width: 1200px; margin: 0 auto; padding: 16px; }
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
caption { text-align: left; font-weight: 600; padding: 12px 0 4px; position: sticky; left: 0; }
caption span { font-weight: 400; color: var(--quiet); }
th, td { text-align: left; padding: 4px 8px; border-bottom: 1px solid var(--line); vertical-align: top; }
thead th { color: var(--quiet); font-weight: 500; font-size: 13px; vertical-align: bottom; }
thead th.group { border-bottom: 0; color: var(--text); }
th.group, .first { border-left: 1px solid var(--line); }
tbody th { font-weight: 500; white-space: nowrap; }
tr.new > * { border-top: 2px solid var(--line); }
.num { text-align: right; white-space: nowrap; }
figure { margin: 0; }
figure svg { display: block; width: 100%; min-width: 460px; max-width: 680px; height: auto; }
figcaption { max-width: 90ch; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 16px; margin: 0 0 8px; }
dt { color: var(--quiet); } dd { margin: 0; }
@media (max-width: 600px) { main { padding: 8px; } section { padding: 12px; } dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: 8px; } }
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
    firsts = _first_columns(table)
    body, before = [], None
    for row in table.rows:
        new = " class=new" if before is not None and row[0] != before and table.labels > 1 else ""
        before = row[0]
        body.append(f"<tr{new}>{''.join(_cell(table, at, text, at in firsts) for at, text in enumerate(row))}</tr>")
    notes = "".join(f'<p class="quiet">{escape(note)}</p>' for note in table.notes)
    caption = f"{escape(table.title)} <span>(unit: {escape(table.unit)})</span>"
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(table.title)}"><table>'
        f"<caption>{caption}</caption>\n<thead>{_head(table)}</thead>\n<tbody>\n{chr(10).join(body)}\n</tbody></table>"
        f'</div>\n{notes}<p class="quiet">File: <a href="{table.stem}.csv">{table.stem}.csv</a></p>'
    )


def _first_columns(table: Table) -> set[int]:
    """Where a group of columns begins."""
    starts, at = set(), 0
    for title, names in table.head:
        if title or at:
            starts.add(at)
        at += len(names)
    return starts


def _head(table: Table) -> str:
    names = [(name, at == 0 and bool(title)) for title, columns in table.head for at, name in enumerate(columns)]
    lower = "".join(_head_cell(name, index >= table.labels, first) for index, (name, first) in enumerate(names))
    if not any(title for title, _ in table.head):
        return f"<tr>{lower}</tr>"
    upper = "".join(
        f'<th class="group" colspan="{len(columns)}" scope="colgroup">{escape(title)}</th>'
        if title
        else f'<td colspan="{len(columns)}"></td>'
        for title, columns in table.head
    )
    return f"<tr>{upper}</tr><tr>{lower}</tr>"


def _head_cell(name: str, number: bool, first: bool) -> str:
    return f'<th scope="col"{_classes(num=number, first=first)}>{escape(name)}</th>'


def _cell(table: Table, at: int, text: str, first: bool) -> str:
    if at < table.labels:
        return f'<th scope="row">{escape(text)}</th>'
    return f"<td{_classes(num=not _is_words(text), first=first)}>{escape(text)}</td>"


def _is_words(text: str) -> bool:
    """Sentences are wrapped, numbers are not; short words such as n/a stand where the numbers do."""
    return len(text) > 30


def _classes(**wanted: bool) -> str:
    names: Iterable[str] = [name for name, on in wanted.items() if on]
    return f' class="{" ".join(names)}"' if names else ""
