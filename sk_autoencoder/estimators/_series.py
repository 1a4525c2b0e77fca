"""Time series of several machines: their windows as samples, and values of windows as values of steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

_SHORTEST, _LONGEST, _WITHOUT_PERIOD = 48, 256, 48  # window sizes of "auto"
_SHORTEST_PERIOD, _PERIODIC = 3, 0.3  # smallest lag of a period, and smallest autocorrelation there
_STEPS_OF_A_WINDOW = 8  # "auto" cuts at least as many windows that do not overlap
_FLATTEST = 0.1  # smallest standard deviation of a window, in standard deviations of its sensor


@dataclass(frozen=True)
class Series:
    """Steps of one or several groups, one group after the other."""

    steps: np.ndarray  # (n_steps, n_sensors)
    ids: np.ndarray  # (n_groups,) sorted
    bounds: np.ndarray  # (n_groups + 1,); group g has the steps bounds[g] to bounds[g + 1] - 1
    order: np.ndarray | None  # (n_steps,) rows of X, or None if X has this order
    dtype: Any = np.float64  # of X

    @classmethod
    def of(cls, X: np.ndarray, ids: np.ndarray | None) -> Series:
        """Bring the rows of X, (n_steps, n_sensors), in the order of their groups; None is a single group."""
        if ids is None:
            return cls(X, np.array([0]), np.array([0, len(X)]), None, X.dtype)
        distinct, inverse, counts = np.unique(ids, return_inverse=True, return_counts=True)
        order = np.argsort(inverse, kind="stable")
        bounds = np.concatenate([[0], np.cumsum(counts)])
        if (np.diff(order) == 1).all():
            return cls(X, distinct, bounds, None, X.dtype)
        return cls(X[order], distinct, bounds, order, X.dtype)

    @property
    def of_step(self) -> np.ndarray:
        """The number of each step's group, (n_steps,)."""
        return np.repeat(np.arange(len(self.ids)), np.diff(self.bounds))

    def in_order_of_x(self, values: np.ndarray) -> np.ndarray:
        """Bring values of steps, (n_steps, ...), in the order of the rows of X."""
        if self.order is None:
            return values
        result = np.empty_like(values)
        result[self.order] = values
        return result

    def starts(self, size: int, step: int = 1) -> np.ndarray:
        """First steps of the windows of each group; the last window of a group is always among them."""
        return np.concatenate(
            [
                np.union1d(np.arange(first, end - size + 1, step), end - size)
                for first, end in zip(self.bounds[:-1], self.bounds[1:], strict=True)
            ]
        )


class Windows:
    """Windows of a series as flat samples, (n_windows, n_sensors * size), which are cut when they are read.

    A sample holds the steps of the first sensor, then those of the second, and so on. With ``unit``, the standard
    deviations of the sensors, each sensor of a window is centered and divided by its standard deviation in the window,
    but at least by a tenth of the unit.
    """

    def __init__(self, steps: np.ndarray, starts: np.ndarray, size: int, unit: np.ndarray | None = None):
        self.starts, self.unit = starts, unit
        self._views = sliding_window_view(steps, size, axis=0)  # (n, n_sensors, size)
        self.shape = (len(starts), steps.shape[1] * size)
        self.dtype = steps.dtype

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, rows: Any) -> np.ndarray:
        windows = np.ascontiguousarray(self._views[self.starts[rows]])
        if self.unit is not None:
            center, spread = self.moments(windows)
            windows = ((windows - center) / spread).astype(self.dtype)
        return windows.reshape(len(windows), self.shape[1])

    def moments(self, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and divisor of each sensor in each window, (n, n_sensors, 1)."""
        assert self.unit is not None
        center = windows.mean(axis=-1, keepdims=True, dtype=np.float64)
        spread = windows.std(axis=-1, keepdims=True, dtype=np.float64)
        return center, np.maximum(spread, _FLATTEST * self.unit[:, None])

    def in_units(self, rows: Any, flat: np.ndarray) -> np.ndarray:
        """Turn samples like those of some rows into windows in units of the series, (n, n_sensors, size)."""
        windows = np.ascontiguousarray(self._views[self.starts[rows]])
        shaped = flat.reshape(windows.shape)
        if self.unit is None:
            return shaped
        center, spread = self.moments(windows)
        return shaped * spread + center


def to_steps(values: np.ndarray, starts: np.ndarray, size: int, bounds: np.ndarray, aggregation: str) -> np.ndarray:
    """Aggregate values of windows, (n_windows, ...), to those of the steps that they cover, (n_steps, ...).

    The windows of a step are always added in the same order, whatever else the series contains. Steps that no window
    covers get NaN. With "last", a step gets the value of the last window that ends there or before, and the first steps
    of a group get that of its first window.
    """
    n_steps = bounds[-1]
    if aggregation == "last":
        last = np.searchsorted(starts + size - 1, np.arange(n_steps), side="right") - 1
        first = np.searchsorted(starts, np.repeat(bounds[:-1], np.diff(bounds)))
        return values[np.minimum(np.maximum(last, first), len(values) - 1)]
    result = np.full((n_steps, *values.shape[1:]), -np.inf if aggregation == "max" else 0.0)
    n_windows = np.zeros(n_steps, dtype=int)
    for place in range(size):
        covered = starts + place
        n_windows[covered] += 1
        if aggregation == "max":
            result[covered] = np.maximum(result[covered], values)
        else:
            result[covered] += values
    divisor = 1 if aggregation == "max" else np.where(n_windows > 0, n_windows, 1)
    result[n_windows == 0] = np.nan
    return (result.T / divisor).T


def automatic_size(series: Series, excluded: np.ndarray) -> int:
    """Return the window size of "auto": the median period of the sensors in the longest group, see the estimator.

    ``excluded`` (n_steps,) says which steps are left out.
    """
    lengths = np.diff(series.bounds)
    most = min(np.count_nonzero(~excluded) // _STEPS_OF_A_WINDOW, lengths.min())
    if most < 2:
        return 1
    first = series.bounds[lengths.argmax()]
    last = first + lengths.max()
    longest = series.steps[first:last][~excluded[first:last]]
    periods = [period for sensor in longest.T if (period := _period(sensor))]
    size = int(np.median(periods)) if periods else _WITHOUT_PERIOD
    return min(max(_SHORTEST, min(size, _LONGEST)), most)


def _period(sensor: np.ndarray) -> int | None:
    """Return the lag of the highest peak of the autocorrelation, or None without a clear peak."""
    from scipy.signal import find_peaks  # takes long to import

    n = len(sensor)
    if n == 0:
        return None
    deviation = sensor - sensor.mean(dtype=np.float64)
    spectrum = np.abs(np.fft.rfft(deviation, 2 * n)) ** 2
    covariance = np.fft.irfft(spectrum)[: min(_LONGEST, n // 2) + 2]
    if not covariance[0] > 0:
        return None
    peaks, found = find_peaks(covariance / covariance[0], height=_PERIODIC)
    peaks, heights = peaks[peaks >= _SHORTEST_PERIOD], found["peak_heights"][peaks >= _SHORTEST_PERIOD]
    return int(peaks[heights.argmax()]) if len(peaks) else None
