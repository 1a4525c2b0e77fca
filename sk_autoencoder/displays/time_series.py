"""Sensors of a time series above its outlier scores, with anomalous intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_consistent_length

from sk_autoencoder.displays.checks import check_detector
from sk_autoencoder.displays.style import DATA, LEARNT, OUTLIER, pyplot, rows_of_numbers, tidy
from sk_autoencoder.estimators._intervals import find_intervals

_MOST_POINTS = 2000  # of a curve; longer ones are drawn as the range of each bin
_MARGIN = 1.0  # steps before and after an event, in durations of the event


class TimeSeriesDisplay:
    """Sensors of a time series, one below the other, and its outlier scores with the threshold.

    Anomalous intervals are shaded. Curves of more than 2000 steps are drawn as the range from the smallest to the
    largest value in each of 2000 bins, so that no peak is lost.

    It is recommended to use :meth:`from_estimator`.

    Parameters
    ----------
    X : array-like of shape (n_steps, n_sensors)
        The sensors that are drawn.
    scores : array-like of shape (n_steps,)
        Outlier scores, larger for outliers.
    threshold : float or None, default=None
        Steps with a larger score are outliers. None draws no threshold.
    intervals : sequence of (int, int), default=()
        First and last step of each anomalous interval, as rows of X.
    expected : array-like of shape (n_steps, n_sensors) or None, default=None
        Expected values of the sensors. None draws none.
    names : sequence of str or None, default=None
        Names of the sensors. None is their position.
    time : array-like of shape (n_steps,) or None, default=None
        Positions of the steps on the horizontal axis, such as times. None is their number.

    Attributes
    ----------
    axes_ : ndarray of shape (n_sensors + 1,)
        The axes of the sensors, and of the scores.
    figure_ : matplotlib Figure
        The figure they belong to.

    See Also
    --------
    OutlierScoreDisplay : Histogram of outlier scores.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_autoencoder import AutoencoderOutlierDetector, TimeSeriesDisplay, TimeSeriesOutlierDetector
    >>> t = np.arange(500)
    >>> X = np.column_stack([np.sin(t / 8), np.cos(t / 8)]) + 0.1 * np.random.default_rng(0).normal(size=(500, 2))
    >>> detector = TimeSeriesOutlierDetector(AutoencoderOutlierDetector(max_iter=5), window_size=8, random_state=0)
    >>> display = TimeSeriesDisplay.from_estimator(detector.fit(X[:400]), X[400:])
    >>> len(display.axes_)
    3
    """

    def __init__(
        self,
        X: Any,
        scores: Any,
        *,
        threshold: float | None = None,
        intervals: Any = (),
        expected: Any = None,
        names: Any = None,
        time: Any = None,
    ):
        self.X = X
        self.scores = scores
        self.threshold = threshold
        self.intervals = intervals
        self.expected = expected
        self.names = names
        self.time = time

    @classmethod
    def from_estimator(
        cls,
        detector: Any,
        X: Any,
        *,
        event: int | None = None,
        n_sensors: int = 5,
        min_steps: int = 1,
        within: int = 1,
        axes: Any = None,
    ) -> TimeSeriesDisplay:
        """Draw a series of a single group, or one of its anomalous intervals.

        Parameters
        ----------
        detector : TimeSeriesOutlierDetector
            A fitted detector.
        X : array-like of shape (n_steps, n_sensors)
            The series.
        event : int or None, default=None
            Row of ``detector.anomalous_intervals(X)``: only this interval and the steps around it are drawn, with the
            expected values if the detector has ``reconstruct``. None draws the whole series.
        n_sensors : int, default=5
            Largest number of sensors that are drawn: those with the largest shares in the event, or in all intervals
            together.
        min_steps : int, default=1
            As in ``anomalous_intervals``.
        within : int, default=1
            As in ``anomalous_intervals``.
        axes : sequence of matplotlib Axes or None, default=None
            Axes to draw on, one for each sensor and one for the scores. None makes a new figure.

        Returns
        -------
        display : TimeSeriesDisplay
            The drawn display.

        Raises
        ------
        NotFittedError
            If the detector is not fitted.
        ValueError
            If X has several groups, or no interval of this number.
        """
        check_detector(detector, "score_samples", "anomalous_intervals")
        steps, ids = detector._check(X, None)
        if ids is not None and len(np.unique(ids)) > 1:
            raise ValueError(f"X has {len(np.unique(ids))} groups; draw the steps of one group.")
        scores = -detector.score_samples(X)
        found = find_intervals(-scores < detector.offset_, min_steps, within)
        table = detector.anomalous_intervals(X, min_steps=min_steps, within=within)
        shown, expected = slice(0, len(steps)), None
        if event is not None:
            if not 0 <= event < len(found):
                raise ValueError(f"event={event} does not exist: X has {len(found)} anomalous interval(s).")
            start, end = found[event]
            around = int(_MARGIN * (end - start + 1)) + max(detector.window_sizes_)
            shown = slice(max(0, start - around), end + 1 + around)
            expected = detector.reconstruct(X) if hasattr(detector, "reconstruct") else None
            table = table.iloc[[event]]
        chosen = _largest(table, detector._names().tolist())[:n_sensors]
        return cls(
            steps[shown][:, chosen],
            scores[shown],
            threshold=-detector.offset_,
            intervals=[(first - shown.start, last - shown.start) for first, last in found],
            expected=None if expected is None else expected[shown][:, chosen],
            names=[str(detector._names()[sensor]) for sensor in chosen],
            time=X.index[shown] if hasattr(X, "iloc") else np.arange(len(steps))[shown],
        ).plot(axes)

    def plot(self, axes: Any = None) -> TimeSeriesDisplay:
        """Draw.

        Parameters
        ----------
        axes : sequence of matplotlib Axes or None, default=None
            Axes to draw on, one for each sensor and one for the scores. None makes a new figure.

        Returns
        -------
        self : TimeSeriesDisplay
            With ``axes_`` and ``figure_``.

        Raises
        ------
        ValueError
            If the lengths of series, scores and times differ, or if the number of axes is wrong.
        """
        X, scores = rows_of_numbers(self.X, "X"), np.asarray(self.scores, dtype=np.float64)
        time = np.arange(len(X)) if self.time is None else np.asarray(self.time)
        check_consistent_length(X, scores, time)
        n_axes = X.shape[1] + 1
        if axes is None:
            _, axes = pyplot("TimeSeriesDisplay").subplots(
                n_axes, figsize=(9.0, 1.2 * n_axes + 0.8), sharex=True, layout="constrained"
            )
        if len(axes) != n_axes:
            raise ValueError(f"axes must have {n_axes} axes, one for each sensor and one for the scores.")
        names = [f"sensor {sensor}" for sensor in range(X.shape[1])] if self.names is None else self.names
        for sensor, (ax, name) in enumerate(zip(axes, names, strict=False)):
            _curve(ax, time, X[:, sensor], DATA, "measured")
            if self.expected is not None:
                _curve(ax, time, np.asarray(self.expected)[:, sensor], LEARNT, "expected")
            ax.set_ylabel(name)
        _curve(axes[-1], time, scores, DATA, "score")
        if self.threshold is not None:
            axes[-1].axhline(self.threshold, color=OUTLIER, linestyle="--", label="threshold")
        axes[-1].set(ylabel="Outlier score", xlabel="Step" if self.time is None else "")
        for ax in axes:
            for first, last in self.intervals:
                if last >= 0 and first < len(time):
                    ax.axvspan(time[max(first, 0)], time[min(last, len(time) - 1)], color=OUTLIER, alpha=0.2, lw=0)
            tidy(ax)
        if self.expected is not None:
            axes[0].legend(loc="upper right")
        axes[-1].legend(loc="upper right")
        self.axes_, self.figure_ = np.asarray(axes), axes[0].figure
        return self


def _largest(table: Any, names: list[Any]) -> list[int]:
    """Order sensors by the sum of their shares in a table of intervals; those without a share follow."""
    total = dict.fromkeys(names, 0.0)
    for sensors, shares in zip(table.sensors, table.shares, strict=True):
        for sensor, share in zip(sensors, shares, strict=True):
            total[sensor] += share
    return sorted(range(len(names)), key=lambda sensor: -total[names[sensor]])


def _curve(ax: Any, time: np.ndarray, values: np.ndarray, color: str, label: str) -> None:
    """Draw a line, or the range of each bin if there are many steps."""
    if len(values) <= _MOST_POINTS:
        ax.plot(time, values, color=color, linewidth=1.0, label=label)
        return
    firsts = np.linspace(0, len(values), _MOST_POINTS, endpoint=False).astype(int)
    low, high = np.minimum.reduceat(values, firsts), np.maximum.reduceat(values, firsts)
    ax.fill_between(time[firsts], low, high, color=color, linewidth=0.5, label=label)
