"""Affine scalers: float64 constants, fitted in one streaming pass and applied inside the network."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from scipy.sparse import issparse
from sklearn.preprocessing import RobustScaler
from sklearn.utils.sparsefuncs import mean_variance_axis, min_max_axis

from sk_autoencoder._parts import Part

__all__ = [
    "LARGEST_CELL",
    "SCALINGS",
    "Affine",
    "ColumnStatistics",
    "MinMax",
    "Robust",
    "Scaling",
    "Standard",
    "column_statistics",
]

_BLOCK_CELLS = 1 << 18
_ROBUST_ROWS = 50_000
_ROBUST_CELLS = 1 << 22
# Scaled cells beyond this overflow float32 once they are squared and summed.
LARGEST_CELL = 1e15


class Affine(NamedTuple):
    """Rows are scaled as ``(X - center) / scale`` and brought back as ``X * scale + center``."""

    center: np.ndarray  # (n_features,) float64
    scale: np.ndarray  # (n_features,) float64, without zeros


@dataclass
class ColumnStatistics:
    """What one pass over the training rows tells about each column, in float64."""

    mean: np.ndarray
    variance: np.ndarray
    scale: np.ndarray  # standard deviation, 1 for constant columns
    low: np.ndarray
    high: np.ndarray


def row_blocks(X: np.ndarray) -> Iterator[np.ndarray]:
    """Yield consecutive blocks of rows that fit into the processor's cache."""
    step = max(1, _BLOCK_CELLS // X.shape[1])
    for start in range(0, X.shape[0], step):
        yield X[start : start + step]


def column_statistics(X: Any) -> ColumnStatistics:
    """Mean, variance and range of each column of an array or a CSR matrix in one pass, without a second copy of X.

    Blocks are joined by the update of Chan, Golub and LeVeque (The American Statistician 37, 1983).
    """
    if issparse(X):
        mean, variance = mean_variance_axis(X.astype(np.float64), axis=0)
        low, high = min_max_axis(X, axis=0)
        return ColumnStatistics(mean, variance, _spread(mean, variance, X.shape[0]), low, high)
    n_features = X.shape[1]
    mean, squares, n_seen = np.zeros(n_features), np.zeros(n_features), 0
    low, high = np.full(n_features, np.inf), np.full(n_features, -np.inf)
    with np.errstate(over="ignore", invalid="ignore"):
        for block in row_blocks(X):
            np.minimum(low, block.min(axis=0), out=low)
            np.maximum(high, block.max(axis=0), out=high)
            deviation = block.astype(np.float64, order="C")  # sums depend on the order of memory
            own_mean = deviation.mean(axis=0)
            deviation -= own_mean
            n_rows, n_both, shift = len(block), n_seen + len(block), own_mean - mean
            squares += np.einsum("ij,ij->j", deviation, deviation) + shift**2 * (n_seen * n_rows / n_both)
            mean += shift * (n_rows / n_both)
            n_seen = n_both
    variance = squares / n_seen
    return ColumnStatistics(mean, variance, _spread(mean, variance, n_seen), low, high)


def _spread(mean: np.ndarray, variance: np.ndarray, n_rows: int) -> np.ndarray:
    """Standard deviation; 1 for columns that are constant but for rounding."""
    spread = np.sqrt(variance)
    return np.where(spread > n_rows * np.finfo(np.float64).eps * np.abs(mean), spread, 1.0)


class Scaling(Part):
    """Abstract: how raw columns become numbers that a network learns from."""

    @abstractmethod
    def fit(self, X: np.ndarray, statistics: ColumnStatistics) -> Affine:
        """Return the affine map; ``statistics`` are those of X, an array or a CSR matrix."""


class Standard(Scaling):
    """Zero mean and unit variance; a constant column becomes 0."""

    def fit(self, X: np.ndarray, statistics: ColumnStatistics) -> Affine:
        """Return the affine map."""
        del X
        return Affine(statistics.mean, statistics.scale)


class MinMax(Scaling):
    """Map each column's training range onto an interval; a constant column becomes its lower end.

    Parameters
    ----------
    feature_range : tuple of two floats, default=(0.0, 1.0)
        The interval; (-1, 1) suits a tanh output.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"feature_range": [tuple]}

    def __init__(self, feature_range: tuple[float, float] = (0.0, 1.0)):
        self.feature_range = feature_range

    def fit(self, X: np.ndarray, statistics: ColumnStatistics) -> Affine:
        """Return the affine map."""
        del X
        low, high = self.feature_range
        if not low < high:
            raise ValueError(f"MinMax needs feature_range=(low, high) with low < high, got {self.feature_range!r}.")
        span = statistics.high - statistics.low
        scale = np.where(span > 0, span, 1.0) / (high - low)
        return Affine(statistics.low - low * scale, scale)


class Robust(Scaling):
    """Median 0 and a unit interquartile range, which a few extreme rows do not move.

    A column whose middle half is constant has no interquartile range and takes its standard deviation instead.
    Quartiles are those of at most 50000 evenly spaced rows.

    Parameters
    ----------
    quantile_range : tuple of two floats, default=(25.0, 75.0)
        The quantiles, in percent, that are brought to a distance of one.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"quantile_range": [tuple]}

    def __init__(self, quantile_range: tuple[float, float] = (25.0, 75.0)):
        self.quantile_range = quantile_range

    def fit(self, X: np.ndarray, statistics: ColumnStatistics) -> Affine:
        """Return the affine map."""
        rows = X[:: -(-X.shape[0] // _ROBUST_ROWS)]
        step = max(1, _ROBUST_CELLS // rows.shape[0]) if issparse(rows) else rows.shape[1]
        blocks = [self._quartiles(rows[:, first : first + step]) for first in range(0, rows.shape[1], step)]
        center, scale = np.concatenate(blocks, axis=1)
        return Affine(center, np.where(scale > 0, scale, statistics.scale))

    def _quartiles(self, columns: Any) -> tuple[np.ndarray, np.ndarray]:
        """Center and scale of some columns; a scale of 0 where there is no range."""
        columns = (columns.toarray() if issparse(columns) else columns).astype(np.float64, copy=False)
        quartiles = RobustScaler(quantile_range=self.quantile_range).fit(columns)
        spread = np.ptp(np.percentile(columns, self.quantile_range, axis=0), axis=0)
        return quartiles.center_, np.where(spread > 0, quartiles.scale_, 0.0)


SCALINGS: dict[str, type[Scaling]] = {"standard": Standard, "minmax": MinMax, "robust": Robust}
