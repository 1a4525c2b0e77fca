"""Affine scalers: float64 parameters, computed from the training set and applied inside the network."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from scipy.sparse import issparse
from sklearn.preprocessing import RobustScaler

from sk_autoencoder._parts import Part
from sk_autoencoder._validation import StrOptions, reals

__all__ = ["SCALINGS", "Affine", "ColumnStatistics", "MinMax", "Robust", "Scaling", "Standard"]

_BLOCK_CELLS = 1 << 18
_SAMPLED_CELLS = 1 << 21
_EQUAL = 1e-12  # relative difference of values that are equal up to rounding
_SMALLEST_VALUE = 1e-290  # a hundredth of it still has a finite inverse
_ROBUST_ROWS = 50_000
_ROBUST_CELLS = 1 << 22
# Scaled values beyond this overflow float32 when they are squared and summed.
LARGEST_CELL = 1e15


class Affine(NamedTuple):
    """Parameters of the scaling ``(X - center) / scale`` and its inverse ``X * scale + center``.

    Parameters
    ----------
    center : ndarray of shape (n_features,)
        Subtracted from each feature, float64.
    scale : ndarray of shape (n_features,)
        Divisor of each feature, float64, not 0.
    """

    center: np.ndarray
    scale: np.ndarray


@dataclass
class ColumnStatistics:
    """Statistics of each feature of the training set, in float64.

    Parameters
    ----------
    mean : ndarray of shape (n_features,)
        Means.
    variance : ndarray of shape (n_features,)
        Variances.
    varies : ndarray of shape (n_features,)
        Whether a feature varies by more than rounding errors.
    scale : ndarray of shape (n_features,)
        Scale of standard scaling, not 0.
    low : ndarray of shape (n_features,)
        Smallest values.
    high : ndarray of shape (n_features,)
        Largest values.
    n_observed : ndarray of shape (n_features,)
        Numbers of values that are not missing (NaN); statistics are those of these values. With weights, the sums of
        their weights.
    weight : ndarray of shape (n_samples,) or None, default=None
        Weights of the samples, by which the statistics are weighted. None means equal weights.
    """

    mean: np.ndarray
    variance: np.ndarray
    varies: np.ndarray
    scale: np.ndarray
    low: np.ndarray
    high: np.ndarray
    n_observed: np.ndarray
    weight: np.ndarray | None = None

    @property
    def absent(self) -> np.ndarray:
        """Whether a feature has no observed value; then its mean, variance and extremes are 0, and its scale is 1."""
        return self.n_observed == 0


def row_blocks(X: Any) -> Iterator[np.ndarray]:
    """Yield consecutive blocks of rows as dense arrays that fit into the cache of the CPU."""
    step = max(1, _BLOCK_CELLS // X.shape[1])
    for start in range(0, X.shape[0], step):
        block = X[start : start + step]
        yield block.toarray() if issparse(block) else block


def column_statistics(X: Any, weight: np.ndarray | None = None) -> ColumnStatistics:
    """Compute statistics of the observed values of each column of an array or a CSR matrix, without a copy of X.

    Blocks are combined by the update of Chan, Golub and LeVeque (The American Statistician 37, 1983). The results are
    equal, bit by bit, for all float types, memory orders and sparse or dense containers of the same values.
    """
    n_features = X.shape[1]
    mean, squares, n_seen = np.zeros(n_features), np.zeros(n_features), np.zeros(n_features)
    low, high = np.full(n_features, np.inf), np.full(n_features, -np.inf)
    start = 0
    with np.errstate(over="ignore", invalid="ignore"):
        for block in row_blocks(X):
            own_weight = None if weight is None else weight[start : start + len(block), None]
            start += len(block)
            np.fmin(low, np.fmin.reduce(block, axis=0), out=low)
            np.fmax(high, np.fmax.reduce(block, axis=0), out=high)
            deviation = block.astype(np.float64, order="C")  # rounding of sums depends on the memory order
            missing = np.isnan(deviation) if np.isnan(deviation.sum(axis=0)).any() else None
            if missing is not None:
                deviation[missing] = 0.0
            n_rows = _total_weight(len(block), n_features, missing, own_weight)
            own_mean = (deviation if own_weight is None else deviation * own_weight).sum(axis=0) / _divisor(n_rows)
            deviation -= own_mean
            if missing is not None:
                deviation[missing] = 0.0
            weighted = deviation if own_weight is None else deviation * own_weight
            n_both, shift = _divisor(n_seen + n_rows), own_mean - mean
            squares += np.einsum("ij,ij->j", deviation, weighted) + shift**2 * (n_seen * n_rows / n_both)
            mean += shift * (n_rows / n_both)
            n_seen += n_rows
    absent = n_seen == 0
    low, high = np.where(absent, 0.0, low), np.where(absent, 0.0, high)
    variance = squares / _divisor(n_seen)
    varies = np.sqrt(variance) > X.shape[0] * np.finfo(np.float64).eps * abs(mean)
    unit = _unit(X, weight, mean, variance, varies)
    return ColumnStatistics(mean, variance, varies, unit, low, high, n_seen, weight)


def _total_weight(n_rows: int, n_features: int, missing: np.ndarray | None, weight: np.ndarray | None) -> np.ndarray:
    """Return the sum of the weights of the observed values of each column; weights are (n_rows, 1), or 1."""
    if weight is None:
        return np.full(n_features, n_rows) if missing is None else n_rows - missing.sum(axis=0)
    return np.full(n_features, weight.sum()) if missing is None else (weight * ~missing).sum(axis=0)


def _divisor(total: np.ndarray) -> np.ndarray:
    return np.where(total > 0, total, 1)


def _unit(X: Any, weight: np.ndarray | None, mean: np.ndarray, variance: np.ndarray, varies: np.ndarray) -> np.ndarray:
    """Scale of each column: its standard deviation, but at least ``_usual_deviation``.

    A binary column of mostly zeros has a scale of 1. If the scale was the standard deviation, which is small if ones
    are rare, a one could be scaled to more than 100. A column that is constant up to rounding has a hundredth of its
    absolute value as scale, and a column of zeros has 1.
    """
    constant = np.where(abs(mean) > _SMALLEST_VALUE, abs(mean) / 100, 1.0)
    return np.where(varies, np.maximum(np.sqrt(variance), _usual_deviation(X, weight)), constant)


def _usual_deviation(X: Any, weight: np.ndarray | None) -> np.ndarray:
    """Median of the nonzero absolute deviations from the median; if X is large, of evenly spaced rows of X."""
    chosen = slice(None, None, max(1, X.shape[0] * X.shape[1] // _SAMPLED_CELLS))
    rows = X[chosen]
    step = max(1, _SAMPLED_CELLS // rows.shape[0])
    parts = [rows[:, first : first + step] for first in range(0, X.shape[1], step)]
    if weight is None:
        return np.concatenate([_usual(part) for part in parts])
    return np.concatenate([_weighted_usual(part, weight[chosen]) for part in parts])


def _weighted_usual(rows: Any, weight: np.ndarray) -> np.ndarray:
    """Return what ``_usual`` returns if each row occurs as often as its weight says."""
    columns = np.array((rows.toarray() if issparse(rows) else rows).T, dtype=np.float64, order="C")
    center = _weighted_middle(columns, weight, 0.5)
    deviations = abs(columns - center[:, None])
    equal = deviations <= _EQUAL * abs(center)[:, None]
    deviations[equal] = np.nan
    return np.nan_to_num(_weighted_quantile(deviations, weight, 0.5, "right"))


def _weighted_middle(columns: np.ndarray, weight: np.ndarray, share: float) -> np.ndarray:
    """Return quantiles of the rows of ``columns`` (n, n_samples), as the median halfway between two values."""
    return np.mean([_weighted_quantile(columns, weight, share, side) for side in ("left", "right")], axis=0)


def _weighted_quantile(columns: np.ndarray, weight: np.ndarray, share: float, side: str) -> np.ndarray:
    """Return the smallest value of each row of ``columns`` (n, n_samples) below which there is this share of weight.

    With ``side="left"`` the share may be reached, with "right" it must be exceeded. NaN are ignored, and the result if
    there is nothing else.
    """
    order = np.argsort(columns, axis=1)
    values = np.take_along_axis(columns, order, axis=1)
    sums = np.cumsum(np.where(np.isnan(values), 0.0, weight[order]), axis=1)
    wanted = share * sums[:, -1:] * (1 - _EQUAL if side == "left" else 1 + _EQUAL)
    position = (sums < wanted if side == "left" else sums <= wanted).sum(axis=1)
    position = np.minimum(position, columns.shape[1] - 1)
    return np.take_along_axis(values, position[:, None], axis=1)[:, 0]


def _usual(rows: Any) -> np.ndarray:
    columns = np.array((rows.toarray() if issparse(rows) else rows).T, dtype=np.float64, order="C")
    missing = np.isnan(columns)
    columns[missing.all(axis=1)] = 0.0
    center = (np.nanmedian if missing.any() else np.median)(columns, axis=1, keepdims=True)
    deviations = np.sort(abs(columns - center), axis=1)  # missing values last
    n_rows = np.maximum(rows.shape[0] - missing.sum(axis=1), 1)
    n_equal = (deviations <= _EQUAL * abs(center)).sum(axis=1)
    middle = np.minimum((n_equal + n_rows) // 2, n_rows - 1)
    return np.where(n_equal < n_rows, np.take_along_axis(deviations, middle[:, None], axis=1)[:, 0], 0.0)


INPUT_MARGIN = [StrOptions({"auto"}), reals(0), None]  # constraint of the parameter ``input_margin``


class Scaling(Part):
    """Abstract base class: an affine scaling of the features."""

    # Parameter that subclasses may have: how far beyond the training range of a feature, in units of ``Standard``,
    # values enter the network unchanged. "auto" depends on the estimator, None is no limit.
    input_margin: Any = "auto"

    @abstractmethod
    def fit(self, X: np.ndarray, statistics: ColumnStatistics) -> Affine:
        """Compute the scaling from X, an array or a CSR matrix, and its statistics."""

    def unit(self, statistics: ColumnStatistics) -> np.ndarray:
        """Return the unit of ``input_margin`` for each feature, in units of X."""
        return statistics.scale


class Standard(Scaling):
    """Standardize features: mean 0 and standard deviation 1; a constant feature becomes 0.

    Features are divided by at least the median of the nonzero absolute deviations from their median, so that rare
    values are not scaled to large numbers: a binary feature with few ones is divided by 1.

    Parameters
    ----------
    input_margin : "auto", float or None, default="auto"
        Distance from the training range of a feature, in units of ``Standard``, up to which values enter the network
        unchanged. A value at a distance d beyond that enters as if the distance was ``log(1 + d)``, so that one extreme
        value has less effect on the reconstruction of other features. Targets, residuals and outlier scores are not
        changed. None is no limit. "auto" is 1.0 in ``AutoencoderTransformer`` and None in
        ``AutoencoderOutlierDetector``.
    shared_scale : bool, default=False
        Whether all features are divided by the same number, the root of the mean variance of the features that vary.
        Use True for features that have the same unit, like the pixels of images and the steps of one sensor: a pixel
        that hardly varies is not scaled up, and distances between samples keep their proportions.

    Examples
    --------
    >>> from sk_autoencoder import AutoencoderOutlierDetector
    >>> from sk_autoencoder.scaling import Standard
    >>> detector = AutoencoderOutlierDetector(scaling=Standard(shared_scale=True))
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "input_margin": INPUT_MARGIN,
        "shared_scale": ["boolean"],
    }

    def __init__(self, input_margin: float | str | None = "auto", shared_scale: bool = False):
        self.input_margin = input_margin
        self.shared_scale = shared_scale

    def fit(self, X: np.ndarray, statistics: ColumnStatistics) -> Affine:
        """Compute the scaling."""
        del X
        return Affine(statistics.mean, self.unit(statistics))

    def unit(self, statistics: ColumnStatistics) -> np.ndarray:
        """Return the scale of each feature."""
        varies = statistics.varies
        if not (self.shared_scale and varies.any()):
            return statistics.scale
        mean_variance = (statistics.variance[varies] / varies.sum()).sum()  # the sum of variances could overflow
        return np.full_like(statistics.scale, np.sqrt(mean_variance))


class MinMax(Scaling):
    """Scale the range of each feature in the training set to an interval; a constant feature becomes the lower end.

    Parameters
    ----------
    feature_range : tuple of two floats, default=(0.0, 1.0)
        The interval; use (-1, 1) with ``out_activation="tanh"``.
    input_margin : "auto", float or None, default="auto"
        Distance from the training range up to which values enter the network unchanged, as in ``Standard``.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "feature_range": [tuple, list, np.ndarray],
        "input_margin": INPUT_MARGIN,
    }

    def __init__(self, feature_range: tuple[float, float] = (0.0, 1.0), input_margin: float | str | None = "auto"):
        self.feature_range = feature_range
        self.input_margin = input_margin

    def fit(self, X: np.ndarray, statistics: ColumnStatistics) -> Affine:
        """Compute the scaling."""
        del X
        low, high = self.feature_range
        if not low < high:
            raise ValueError(f"MinMax needs feature_range=(low, high) with low < high, got {self.feature_range!r}.")
        span = statistics.high - statistics.low
        scale = np.where(span > 0, span, statistics.scale) / (high - low)
        return Affine(statistics.low - low * scale, scale)


class Robust(Scaling):
    """Scale features to median 0 and interquartile range 1, which is robust to outliers.

    A feature with an interquartile range of 0 is divided by the scale of ``Standard`` instead. Quantiles are computed
    from at most 50000 evenly spaced samples.

    Parameters
    ----------
    quantile_range : tuple of two floats, default=(25.0, 75.0)
        The quantiles, in percent, whose difference becomes 1.
    input_margin : "auto", float or None, default="auto"
        Distance from the training range up to which values enter the network unchanged, as in ``Standard``.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "quantile_range": [tuple, list, np.ndarray],
        "input_margin": INPUT_MARGIN,
    }

    def __init__(self, quantile_range: tuple[float, float] = (25.0, 75.0), input_margin: float | str | None = "auto"):
        self.quantile_range = quantile_range
        self.input_margin = input_margin

    def fit(self, X: np.ndarray, statistics: ColumnStatistics) -> Affine:
        """Compute the scaling."""
        chosen = slice(None, None, -(-X.shape[0] // _ROBUST_ROWS))
        rows, weight = X[chosen], None if statistics.weight is None else statistics.weight[chosen]
        step = max(1, _ROBUST_CELLS // rows.shape[0]) if issparse(rows) else rows.shape[1]
        blocks = [self._quartiles(rows[:, first : first + step], weight) for first in range(0, rows.shape[1], step)]
        center, scale = np.concatenate(blocks, axis=1)
        return Affine(center, np.where(scale > 0, scale, statistics.scale))

    def _quartiles(self, columns: Any, weight: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Compute the medians and scales of some columns; the scale is 0 if the quantiles are equal."""
        columns = (columns.toarray() if issparse(columns) else columns).astype(np.float64, copy=False)
        missing = np.isnan(columns)
        columns = np.where(missing.all(axis=0), 0.0, columns) if missing.any() else columns
        if weight is not None:
            shares = (0.5, *(percent / 100 for percent in self.quantile_range))
            center, low, high = (_weighted_middle(columns.T, weight, share) for share in shares)
            return center, high - low
        percentile = np.nanpercentile if missing.any() else np.percentile
        quartiles = RobustScaler(quantile_range=tuple(self.quantile_range)).fit(columns)
        spread = np.ptp(percentile(columns, self.quantile_range, axis=0), axis=0)
        return quartiles.center_, np.where(spread > 0, quartiles.scale_, 0.0)


SCALINGS: dict[str, type[Scaling]] = {"standard": Standard, "minmax": MinMax, "robust": Robust}
