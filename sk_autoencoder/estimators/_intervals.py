"""Anomalous intervals of time series, from labels and scores of steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from sk_autoencoder._validation import check_pandas_support

_SENSORS_SHOWN = 5
COLUMNS = ("group", "start", "end", "duration", "kind", "peak", "p_value", "sensors", "shares")


def find_intervals(is_outlier: np.ndarray, min_steps: int, within: int) -> list[tuple[int, int]]:
    """Return first and last step of each interval in one series, (n_steps,) booleans.

    An interval opens when at least ``min_steps`` of the last ``within`` steps are outliers, and closes when they are
    fewer. It begins and ends with an outlier. An interval that opens because of outliers of the one before it continues
    this one.
    """
    counts = np.concatenate([np.zeros(within, dtype=int), np.cumsum(is_outlier)])
    is_open = counts[within:] - counts[:-within] >= min_steps
    edges = np.diff(np.concatenate([[False], is_open, [False]]).astype(int))
    found: list[tuple[int, int]] = []
    for opened, closed in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True):
        earliest = max(int(opened) - within + 1, 0)
        outliers = earliest + np.flatnonzero(is_outlier[earliest:closed])
        first, last = int(outliers[0]), int(outliers[-1])
        if found and first <= found[-1][1]:
            first = found.pop()[0]
        found.append((first, last))
    return found


def block_peaks(scores: np.ndarray, used: np.ndarray, groups: np.ndarray, size: int) -> np.ndarray:
    """Return the sorted largest scores of blocks of ``size`` consecutive used steps; all arrays are (n_steps,)."""
    steps = np.flatnonzero(used)
    begins = np.concatenate([[True], (np.diff(steps) > 1) | (np.diff(groups[steps]) != 0)])
    firsts = np.flatnonzero(begins)
    place = np.arange(len(steps)) - np.repeat(firsts, np.diff([*firsts, len(steps)]))
    return np.sort(np.maximum.reduceat(scores[steps], np.flatnonzero(place % size == 0)))


def p_value(peak: float, peaks: np.ndarray) -> float:
    """Return the share of blocks, with this one, whose largest score is at least ``peak``."""
    return float((1 + len(peaks) - np.searchsorted(peaks, peak, side="left")) / (1 + len(peaks)))


def largest_shares(contributions: np.ndarray, names: np.ndarray) -> tuple[tuple[Any, ...], tuple[float, ...]]:
    """Return the sensors with the largest shares of contributions, (n_sensors,), and the shares."""
    positive = np.maximum(contributions, 0.0)
    order = np.argsort(-positive, kind="stable")[:_SENSORS_SHOWN]
    shares = positive[order] / max(positive.sum(), np.finfo(float).tiny)
    return tuple(names[order].tolist()), tuple(shares.tolist())


def interval_table(rows: list[tuple[Any, ...]]) -> Any:
    """Return a DataFrame of intervals."""
    return check_pandas_support("anomalous_intervals").DataFrame(rows, columns=list(COLUMNS))
