"""Colours and helper functions of all displays."""

from __future__ import annotations

from typing import Any

import numpy as np

from sk_autoencoder._validation import as_numbers

# Colours with the same meaning in all displays.
DATA = "#4d4d4d"  # input
LEARNT = "tab:blue"  # reconstructions and latent codes, the training loss, normal samples
REFERENCE = "tab:orange"  # targets, the validation loss
OUTLIER = "tab:red"  # outliers
MISSING = "#f2c6d6"  # missing values in images


def pyplot(caller: str) -> Any:
    """Import and return ``matplotlib.pyplot``; the error names the display that needs it."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(f"{caller} needs matplotlib; install it with: pip install matplotlib") from error
    return plt


def tidy(ax: Any, *, grid: str | None = None) -> None:
    """Hide the top and right spines, and optionally draw a grid."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_axisbelow(True)
    if grid is not None:
        ax.grid(axis=grid, color="0.9", linewidth=0.8)


def rows_of_numbers(X: Any, name: str, missing: bool = False) -> np.ndarray:
    """Convert to a 2-D float array (n_samples, n_features) of finite values or, with ``missing``, NaN."""
    rows = as_numbers(X, name)
    if rows.ndim != 2:
        raise ValueError(f"{name} must be 2-D, (n_samples, n_columns), but has shape {rows.shape}.")
    if not (np.isfinite(rows) | (missing & np.isnan(rows))).all():
        raise ValueError(f"{name} holds {'' if missing else 'NaN or '}infinity, which cannot be drawn.")
    return rows
