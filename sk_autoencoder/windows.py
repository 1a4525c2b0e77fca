"""Windows of time series, and samples of networks that read sequences.

A sample of a sequence is flat: it holds the steps of the first sensor, then those of the second, and so on. Networks
read it with ``sample_shape=(n_sensors, n_steps)``.
"""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.utils import check_array, check_scalar

from sk_autoencoder._validation import FLOATS

__all__ = ["cut_windows", "from_samples", "join_windows", "to_samples"]

_SEQUENCES = 3  # axes


def cut_windows(X: Any, window_size: int, step: int = 1) -> np.ndarray:
    """Cut a time series into windows.

    Parameters
    ----------
    X : array-like of shape (n_steps, n_sensors)
        A time series.
    window_size : int
        Steps of a window.
    step : int, default=1
        Steps from the start of a window to that of the next. Windows overlap if it is smaller than ``window_size``.

    Returns
    -------
    windows : ndarray of shape (n_windows, n_sensors, window_size)
        A read-only view of X, which takes no memory of its own. ``windows.reshape(len(windows), -1)`` are samples.

    Raises
    ------
    ValueError
        If the series is shorter than a window.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_autoencoder.windows import cut_windows
    >>> cut_windows(np.arange(6.0)[:, None], window_size=4, step=2)
    array([[[0., 1., 2., 3.]],
    <BLANKLINE>
           [[2., 3., 4., 5.]]])
    """
    X = check_array(X, dtype=FLOATS, ensure_all_finite=False)
    window_size = check_scalar(window_size, "window_size", numbers.Integral, min_val=1)
    step = check_scalar(step, "step", numbers.Integral, min_val=1)
    if len(X) < window_size:
        raise ValueError(f"window_size={window_size} needs at least as many steps, but X has {len(X)}.")
    return sliding_window_view(X, window_size, axis=0)[::step]


def join_windows(windows: Any, step: int = 1) -> np.ndarray:
    """Join windows to a time series; steps that several windows cover get the mean of their values.

    Parameters
    ----------
    windows : array-like of shape (n_windows, n_sensors, window_size)
        Windows in the order of time.
    step : int, default=1
        Steps from the start of a window to that of the next, at most ``window_size``.

    Returns
    -------
    X : ndarray of shape (n_steps, n_sensors)
        The series, from the first step of the first window to the last of the last.

    Raises
    ------
    ValueError
        If there are gaps between windows.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_autoencoder.windows import cut_windows, join_windows
    >>> X = np.arange(12.0).reshape(6, 2)
    >>> bool(np.array_equal(join_windows(cut_windows(X, window_size=3)), X))
    True
    """
    windows = _sequences(windows, "windows")
    n_windows, n_sensors, window_size = windows.shape
    step = check_scalar(step, "step", numbers.Integral, min_val=1)
    if step > window_size:
        raise ValueError(f"step={step} leaves gaps between windows of {window_size} steps.")
    sums = np.zeros(((n_windows - 1) * step + window_size, n_sensors))
    counts = np.zeros(len(sums))
    for place in range(window_size):
        covered = slice(place, place + (n_windows - 1) * step + 1, step)
        sums[covered] += windows[:, :, place]
        counts[covered] += 1
    return (sums / counts[:, None]).astype(windows.dtype)


def to_samples(sequences: Any) -> np.ndarray:
    """Turn sequences into samples.

    Parameters
    ----------
    sequences : array-like of shape (n_samples, n_steps, n_sensors)
        Sequences with the steps first, as most data come.

    Returns
    -------
    X : ndarray of shape (n_samples, n_sensors * n_steps)
        Samples, for ``sample_shape=(n_sensors, n_steps)``.

    Examples
    --------
    >>> from sk_autoencoder.windows import to_samples
    >>> to_samples([[[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]]])
    array([[ 1.,  2.,  3., 10., 20., 30.]])
    """
    sequences = _sequences(sequences, "sequences")
    return sequences.swapaxes(1, 2).reshape(len(sequences), -1)


def from_samples(X: Any, n_sensors: int) -> np.ndarray:
    """Turn samples back into sequences.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_sensors * n_steps)
        Samples.
    n_sensors : int
        Number of sensors.

    Returns
    -------
    sequences : ndarray of shape (n_samples, n_steps, n_sensors)
        Sequences with the steps first.

    Raises
    ------
    ValueError
        If the number of sensors does not divide the number of features.

    Examples
    --------
    >>> from sk_autoencoder.windows import from_samples
    >>> from_samples([[1.0, 2.0, 3.0, 10.0, 20.0, 30.0]], n_sensors=2)[0]
    array([[ 1., 10.],
           [ 2., 20.],
           [ 3., 30.]])
    """
    X = check_array(X, dtype=FLOATS, ensure_all_finite=False)
    n_sensors = check_scalar(n_sensors, "n_sensors", numbers.Integral, min_val=1)
    if X.shape[1] % n_sensors:
        raise ValueError(f"n_sensors={n_sensors} does not divide the {X.shape[1]} features of X.")
    return X.reshape(len(X), n_sensors, -1).swapaxes(1, 2)


def _sequences(values: Any, name: str) -> np.ndarray:
    values = check_array(values, dtype=FLOATS, allow_nd=True, ensure_all_finite=False, input_name=name)
    if values.ndim != _SEQUENCES:
        raise ValueError(f"{name} must have three axes, got an array of shape {values.shape}.")
    return values
