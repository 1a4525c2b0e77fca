"""Weights of samples as numbers of copies, where scores and thresholds need single samples."""

from __future__ import annotations

import numpy as np

_MOST_COPIES = 1 << 20


def as_copies(weight: np.ndarray | None) -> np.ndarray | None:
    """Multiply weights (n,) by a constant if the mean of the positive ones is less than 1, so that it becomes 1."""
    if weight is None:
        return None
    positive = weight[weight > 0]
    largest = positive.max()
    return weight / largest * max(largest, 1 / np.mean(positive / largest))


def n_copies(weight: np.ndarray, size: int) -> np.ndarray:
    """Distribute ``size`` copies over samples in proportion to their weights (n,), by systematic sampling.

    Each sample gets its expected number, rounded up or down. If ``size`` is the sum of integer weights, these are the
    numbers of copies.
    """
    ends = np.cumsum(weight)
    return np.diff(np.floor(ends * (size / ends[-1]) * (1 + 1e-12)).astype(int), prepend=0)


def repeated(values: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
    """Return sorted values (n,), repeated in proportion to weights (n,), which are numbers of copies; None means 1."""
    order = np.argsort(values, kind="stable")
    if weight is None:
        return values[order]
    size = min(round(float(weight.sum())), max(int(np.count_nonzero(weight)), _MOST_COPIES))
    return np.repeat(values[order], n_copies(weight[order], size))
