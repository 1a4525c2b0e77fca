"""Tables as text and as CSV."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

Row = dict[str, str | float]


def as_text(rows: Sequence[Row], formats: dict[str, str], blocks: str) -> str:
    """Align columns; a new block, with a line above it, begins where the column ``blocks`` changes."""
    names = list(rows[0])
    cells = [[format(row[name], formats.get(name, "")) for name in names] for row in rows]
    widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
    is_text = [isinstance(rows[0][name], str) for name in names]

    def line(values: Sequence[str]) -> str:
        aligned = zip(values, widths, is_text, strict=True)
        return "  ".join(v.ljust(width) if left else v.rjust(width) for v, width, left in aligned).rstrip()

    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    lines = [line(names)]
    before = None
    for row, values in zip(rows, cells, strict=True):
        if row[blocks] != before:
            lines.append(rule)
        before = row[blocks]
        lines.append(line(values))
    return "\n".join(lines)


def write_csv(rows: Sequence[Row], path: Path) -> None:
    """Write full precision for other programs."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
