"""Affine scalers: float64 constants, fitted in one streaming pass and applied inside the network."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from scipy.sparse import issparse
from sklearn.preprocessing import RobustScaler

from sk_autoencoder._parts import Part

__all__ = ["SCALINGS", "Affine", "ColumnStatistics", "MinMax", "Robust", "Scaling", "Standard"]

_BLOCK_CELLS = 1 << 18
_SAMPLED_CELLS = 1 << 21
_EQUAL = 1e-12  # relative distance of values that are equal but for rounding
_SMALLEST_VALUE = 1e-290  # a hundredth of which still has a finite inverse
_ROBUST_ROWS = 50_000
_ROBUST_CELLS = 1 << 22
# Scaled cells beyond this overflow float32 once they are squared and summed.
LARGEST_CELL = 1e15


class Affine(NamedTuple):
    """Samples are scaled as ``(X - center) / scale`` and brought back as ``X * scale + center``.

    Parameters
    ----------
    center : ndarray of shape (n_features,)
        What is subtracted, float64.
    scale : ndarray of shape (n_features,)
        What is divided by, float64, without zeros.
    """

    center: np.ndarray
    scale: np.ndarray


@dataclass
class ColumnStatistics:
    """Statistics of each column of the training set, in float64.

    Parameters
    ----------
    mean : ndarray of shape (n_features,)
        Means.
    variance : ndarray of shape (n_features,)
        Variances.
    varies : ndarray of shape (n_features,)
        Whether a column varies by more than rounding.
    scale : ndarray of shape (n_features,)
        The unit of standard scaling, without zeros.
    low : ndarray of shape (n_features,)
        Smallest values.
    high : ndarray of shape (n_features,)
        Largest values.
    """

    mean: np.ndarray
    variance: np.ndarray
    varies: np.ndarray
    scale: np.ndarray
    low: np.ndarray
    high: np.ndarray


def row_blocks(X: Any) -> Iterator[np.ndarray]:
    """Yield consecutive dense blocks of rows that fit into the processor's cache."""
    step = max(1, _BLOCK_CELLS // X.shape[1])
    for start in range(0, X.shape[0], step):
        block = X[start : start + step]
        yield block.toarray() if issparse(block) else block


def column_statistics(X: Any) -> ColumnStatistics:
    """Mean, variance and range of each column of an array or a CSR matrix in one pass, without a second copy of X.

    Blocks are joined by the update of Chan, Golub and LeVeque (The American Statistician 37, 1983). Equal numbers give
    equal bits, whatever their float type, their order in memory, and whether X is sparse.
    """
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
    varies = np.sqrt(variance) > X.shape[0] * np.finfo(np.float64).eps * abs(mean)
    return ColumnStatistics(mean, variance, varies, _unit(X, mean, variance, varies), low, high)


def _unit(X: Any, mean: np.ndarray, variance: np.ndarray, varies: np.ndarray) -> np.ndarray:
    """Standard deviation, but at least the usual deviation of the values that differ from the median.

    A column of zeros and ones has a unit of 1 however rare the ones are: the standard deviation of rare values is so
    small that a new one would be scaled to hundreds. A column that is constant but for rounding has a hundredth of its
    value, so that its changes are measured by its value, and a column of zeros has 1.
    """
    constant = np.where(abs(mean) > _SMALLEST_VALUE, abs(mean) / 100, 1.0)
    return np.where(varies, np.maximum(np.sqrt(variance), _usual_deviation(X)), constant)


def _usual_deviation(X: Any) -> np.ndarray:
    """Median of the absolute deviations from the median that are not 0; of long tables, of some evenly spaced rows."""
    rows = X[:: max(1, X.shape[0] * X.shape[1] // _SAMPLED_CELLS)]
    step = max(1, _SAMPLED_CELLS // rows.shape[0])
    return np.concatenate([_usual(rows[:, first : first + step]) for first in range(0, X.shape[1], step)])


def _usual(rows: Any) -> np.ndarray:
    columns = np.array((rows.toarray() if issparse(rows) else rows).T, dtype=np.float64, order="C")
    center = np.median(columns, axis=1, keepdims=True)
    deviations = np.sort(abs(columns - center), axis=1)
    n_rows, n_equal = rows.shape[0], (deviations <= _EQUAL * abs(center)).sum(axis=1)
    middle = np.minimum((n_equal + n_rows) // 2, n_rows - 1)
    return np.where(n_equal < n_rows, np.take_along_axis(deviations, middle[:, None], axis=1)[:, 0], 0.0)


class Scaling(Part):
    """Abstract: how raw columns become numbers that a network learns from."""

    @abstractmethod
    def fit(self, X: np.ndarray, statistics: ColumnStatistics) -> Affine:
        """Return the affine map; ``statistics`` are those of X, an array or a CSR matrix."""


class Standard(Scaling):
    """Zero mean, in units of the standard deviation; a constant column becomes 0.

    The unit is at least the median deviation of the values that differ from the median, so that rare values are not
    scaled to many standard deviations: rare ones among zeros have a unit of 1.
    """

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

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"feature_range": [tuple, list, np.ndarray]}

    def __init__(self, feature_range: tuple[float, float] = (0.0, 1.0)):
        self.feature_range = feature_range

    def fit(self, X: np.ndarray, statistics: ColumnStatistics) -> Affine:
        """Return the affine map."""
        del X
        low, high = self.feature_range
        if not low < high:
            raise ValueError(f"MinMax needs feature_range=(low, high) with low < high, got {self.feature_range!r}.")
        span = statistics.high - statistics.low
        scale = np.where(span > 0, span, statistics.scale) / (high - low)
        return Affine(statistics.low - low * scale, scale)


class Robust(Scaling):
    """Median 0 and a unit interquartile range, which a few extreme rows do not move.

    A column whose middle half is constant has no interquartile range and takes the unit of ``Standard`` instead.
    Quartiles are those of at most 50000 evenly spaced rows.

    Parameters
    ----------
    quantile_range : tuple of two floats, default=(25.0, 75.0)
        The quantiles, in percent, that are brought to a distance of one.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"quantile_range": [tuple, list, np.ndarray]}

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
        quartiles = RobustScaler(quantile_range=tuple(self.quantile_range)).fit(columns)
        spread = np.ptp(np.percentile(columns, self.quantile_range, axis=0), axis=0)
        return quartiles.center_, np.where(spread > 0, quartiles.scale_, 0.0)


SCALINGS: dict[str, type[Scaling]] = {"standard": Standard, "minmax": MinMax, "robust": Robust}
