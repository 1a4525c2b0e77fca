"""Measured cells, the lines of a file from which a later run goes on, and intervals of their means."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import sem, t

Cell = dict[str, Any]
Key = tuple[Any, ...]


def stored(path: Path, names: Sequence[str]) -> dict[Key, Cell]:
    """Cells of a file by the values of some of their entries."""
    lines = path.read_text().splitlines() if path.exists() else []
    return {tuple(cell[name] for name in names): cell for cell in map(json.loads, lines)}


def store(path: Path, known: dict[Key, Cell], names: Sequence[str], key: Key, figures: Cell) -> None:
    """Add a cell to a file, and to those that are known."""
    known[key] = dict(zip(names, key, strict=True)) | figures
    with path.open("a") as file:
        file.write(json.dumps(known[key]) + "\n")


def half_width(values: np.ndarray) -> float:
    """Half the width of the 95 % interval of a mean, by Student's t."""
    return float(t.ppf(0.975, len(values) - 1) * sem(values)) if len(values) > 1 else np.nan
