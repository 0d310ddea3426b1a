"""A table of the report: what the page shows, and what its CSV keeps."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from alfred.reports.as_csv import _table as csv_text  # cells that spreadsheets would compute are made harmless there

Record = dict[str, object]


@dataclass(frozen=True)
class Table:
    """`head` are groups of columns: the group's title ("" for none) and its columns. `rows` are as wide as all columns.

    `labels` columns on the left name the row: the page writes all but the last of them once above the rows that share
    them. `texts` are columns of words. `records` go to `stem`.csv: one row each, all with the same keys.
    """

    stem: str
    title: str
    unit: str
    head: list[tuple[str, list[str]]]
    rows: list[list[str]]
    records: list[Record]
    labels: int = 2
    notes: list[str] = field(default_factory=list)
    texts: tuple[str, ...] = ()

    def write(self, folder: Path) -> Path:
        path = folder / f"{self.stem}.csv"
        columns = list(self.records[0]) if self.records else [name for _, names in self.head for name in names]
        text = csv_text(columns, ([record[name] for name in columns] for record in self.records))
        path.write_text(text, encoding="utf-8", newline="")
        return path
