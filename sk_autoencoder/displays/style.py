"""Colours and small drawing habits that all displays share."""

from __future__ import annotations

from typing import Any

import numpy as np

# One meaning, one colour, in every picture (matplotlib's tab palette).
DATA = "#4d4d4d"  # what went in
LEARNT = "tab:blue"  # what the network makes of it, or its loss on the rows it learns from
REFERENCE = "tab:orange"  # what it is compared with: a target, or the loss on held-out rows
OUTLIER = "tab:red"  # what does not fit; what does takes LEARNT


def pyplot(caller: str) -> Any:
    """Import ``matplotlib.pyplot``, or say what to install."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(f"{caller} needs matplotlib; install it with: pip install matplotlib") from error
    return plt


def tidy(ax: Any, *, grid: str | None = None) -> None:
    """Keep only the lines that carry meaning."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_axisbelow(True)
    if grid is not None:
        ax.grid(axis=grid, color="0.9", linewidth=0.8)


def rows_of_numbers(X: Any, name: str) -> np.ndarray:
    """Return a 2-D float array of finite values (n_samples, n_features)."""
    rows = np.asarray(X, dtype=np.float64)
    if rows.ndim != 2:
        raise ValueError(f"{name} must be 2-D, (n_samples, n_columns), but has shape {rows.shape}.")
    if not np.isfinite(rows).all():
        raise ValueError(f"{name} holds NaN or infinity, which cannot be drawn.")
    return rows
