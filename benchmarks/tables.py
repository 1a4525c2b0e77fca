"""Tables as text and as CSV."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

Row = dict[str, str | float]


def as_text(
    rows: Sequence[Row], formats: dict[str, str], blocks: str, best: dict[str, Callable[..., float]] | None = None
) -> str:
    """Align columns; a new block, with a line above it, begins where the column ``blocks`` changes.

    ``best`` says for a column whether ``max`` or ``min`` is best; the best of a block stands between asterisks.
    """
    names = list(rows[0])
    cells = _cells(rows, formats, blocks, best or {})
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


def as_markdown(
    rows: Sequence[Row], formats: dict[str, str], blocks: str, best: dict[str, Callable[..., float]]
) -> str:
    """Write a table for a page, the best of each block in bold."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *_cells(rows, formats, blocks, best)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cells(
    rows: Sequence[Row], formats: dict[str, str], blocks: str, best: dict[str, Callable[..., float]]
) -> list[list[str]]:
    """Format rows; what reads the same as the best of its block is marked like the best."""
    cells = [[format(value, formats.get(name, "")) for name, value in row.items()] for row in rows]
    for position, name in enumerate(rows[0]):
        if name not in best:
            continue
        for block in dict.fromkeys(row[blocks] for row in rows):
            own = [i for i, row in enumerate(rows) if row[blocks] == block]
            winner = cells[best[name](own, key=lambda i, name=name: rows[i][name])][position]
            for i in own:
                if cells[i][position] == winner:
                    cells[i][position] = f"**{winner}**"
    return cells


def write_csv(rows: Sequence[Row], path: Path) -> None:
    """Write full precision for other programs."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
