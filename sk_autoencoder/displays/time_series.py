"""Time series with their outlier scores and anomalous intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_consistent_length

from sk_autoencoder._validation import column_apart, take_rows
from sk_autoencoder.displays.checks import check_detector
from sk_autoencoder.displays.style import DATA, LEARNT, OUTLIER, pyplot, rows_of_numbers, tidy

_MOST_POINTS = 2000  # of a curve; longer ones are drawn as the range of the values in each of so many parts
_MOST_SENSORS = 6
_MOST_BARS = 12


class TimeSeriesDisplay:
    """Time series with their outlier scores, the threshold and the anomalous intervals.

    Each sensor has its own axes, and the scores have axes below them. Intervals are shaded in all axes. For one
    interval, the event, bars show the shares of the sensors in the sum of their scores. If there are more than 2000
    steps, each curve is drawn as the range from the smallest to the largest value of short parts, so that single
    extreme steps stay visible.

    It is recommended to use :meth:`from_estimator`.

    Parameters
    ----------
    X : array-like of shape (n_steps, n_sensors)
        Series.
    scores : array-like of shape (n_steps,)
        Outlier scores of the steps, larger for outliers.
    threshold : float or None, default=None
        Steps with a larger score are outliers. None draws no threshold.
    intervals : array-like of int of shape (n_intervals, 2) or None, default=None
        First and last step of each interval.
    sensor_scores : array-like of shape (n_steps, n_sensors) or None, default=None
        Scores of the sensors, as from ``sensor_scores`` of the detector. None draws no bars.
    sensor_names : array-like of str of shape (n_sensors,) or None, default=None
        Names of the sensors. None numbers them from 0.
    expected : array-like of shape (n_steps, n_sensors) or None, default=None
        Reconstruction of the series, which is drawn with ``plot(margin=...)``. None draws none.

    Attributes
    ----------
    event_ : int or None
        Number of the interval whose sensors are shown.
    sensor_axes_ : list of matplotlib Axes
        Axes of the sensors that are drawn.
    score_ax_ : matplotlib Axes
        Axes of the scores.
    event_ax_ : matplotlib Axes or None
        Axes of the bars.
    figure_ : matplotlib Figure
        The figure they belong to.

    See Also
    --------
    OutlierScoreDisplay : Histogram of outlier scores with the threshold.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_autoencoder import TimeSeriesDisplay, TimeSeriesOutlierDetector
    >>> t = np.arange(600)
    >>> X = np.column_stack([np.sin(t / 8), np.cos(t / 8)]) + 0.1 * np.random.default_rng(0).normal(size=(600, 2))
    >>> X[500:520, 1] += 2.0
    >>> detector = TimeSeriesOutlierDetector(window_size=16, random_state=0).fit(X[:400])
    >>> display = TimeSeriesDisplay.from_estimator(detector, X[400:])
    >>> display.event_ax_.get_yticklabels()[-1].get_text()
    '1'
    """

    def __init__(
        self,
        X: Any,
        scores: Any,
        *,
        threshold: float | None = None,
        intervals: Any = None,
        sensor_scores: Any = None,
        sensor_names: Any = None,
        expected: Any = None,
    ):
        self.X = X
        self.scores = scores
        self.threshold = threshold
        self.intervals = intervals
        self.sensor_scores = sensor_scores
        self.sensor_names = sensor_names
        self.expected = expected

    @classmethod
    def from_estimator(
        cls,
        detector: Any,
        X: Any,
        *,
        groups: Any = None,
        group: Any = None,
        min_steps: int = 1,
        within: int = 1,
        margin: int | None = None,
        **kwargs: Any,
    ) -> TimeSeriesDisplay:
        """Draw a series with its outlier scores.

        Parameters
        ----------
        detector : TimeSeriesOutlierDetector
            A fitted detector.
        X : array-like of shape (n_steps, n_sensors)
            Series, with the ``group_column`` if the detector has one.
        groups : array-like of shape (n_steps,) or None, default=None
            Ids of the group of each step.
        group : object or None, default=None
            The group to draw. It is needed if there are several.
        min_steps : int, default=1
            As in ``anomalous_intervals`` of the detector.
        within : int, default=1
            As in ``anomalous_intervals`` of the detector.
        margin : int or None, default=None
            If given, only an event is drawn, with so many steps before and after it, see :meth:`plot`. The expected
            values are those of ``reconstruct`` of the detector, if it has it.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : TimeSeriesDisplay
            The drawn display.

        Raises
        ------
        NotFittedError
            If the detector is not fitted.
        ValueError
            If it is not a detector of time series, or if there are several groups and ``group`` is none of them.
        """
        check_detector(detector, "score_samples", "offset_", "anomalous_intervals")
        ids, steps = (groups, X) if detector.group_column is None else column_apart(X, detector.group_column)
        given = {}
        if ids is not None:
            ids = np.asarray(ids)
            chosen = _steps_of_group(ids, group)
            given = {} if groups is None else {"groups": ids[chosen]}
            X, steps = take_rows(X, chosen), take_rows(steps, chosen)
        if hasattr(X, "reset_index"):  # intervals are then at positions
            X = X.reset_index(drop=True)
        reconstructs = hasattr(detector, "reconstruct")
        found = detector.anomalous_intervals(X, min_steps=min_steps, within=within, **given)
        return cls(
            steps,
            -detector.score_samples(X, **given),
            threshold=-float(detector.offset_),
            intervals=found[["start", "end"]].to_numpy(dtype=int),
            sensor_scores=detector.sensor_scores(X, **given),
            sensor_names=getattr(detector, "feature_names_in_", None),
            expected=detector.reconstruct(X, **given) if reconstructs and margin is not None else None,
        ).plot(margin=margin, **kwargs)

    def plot(
        self, *, sensors: Any = None, event: int | None = None, margin: int | None = None, figure: Any = None
    ) -> TimeSeriesDisplay:
        """Draw.

        Parameters
        ----------
        sensors : sequence of int or None, default=None
            Positions of the sensors to draw. None draws all, but at most six: those with the largest scores in
            the event, or in all steps if there is no event.
        event : int or None, default=None
            Number of the interval whose sensors are shown. None is the one with the highest score.
        margin : int or None, default=None
            If given, only the event is drawn, with so many steps before and after it, and the expected values of the
            sensors beside the actual ones. None draws all steps.
        figure : matplotlib Figure or None, default=None
            Empty figure to draw in. None makes a new one.

        Returns
        -------
        self : TimeSeriesDisplay
            With the attributes listed above.

        Raises
        ------
        ValueError
            If arrays have different lengths or values that are not finite, or if there is no such interval.
        """
        X, scores = rows_of_numbers(self.X, "X"), np.asarray(self.scores, dtype=np.float64)
        check_consistent_length(X, scores)
        intervals = np.empty((0, 2), int) if self.intervals is None else np.asarray(self.intervals).reshape(-1, 2)
        self.event_ = _chosen_event(event, intervals, scores)
        contributions = self._contributions(intervals)
        if sensors is None:
            strongest = np.arange(X.shape[1]) if contributions is None else np.argsort(-contributions, kind="stable")
            sensors = np.sort(strongest[:_MOST_SENSORS])
        names = np.arange(X.shape[1]) if self.sensor_names is None else np.asarray(self.sensor_names)
        shares = None if self.event_ is None else contributions

        if figure is None:
            size = (8.0 if shares is None else 10.0, 1.6 + 0.9 * len(sensors))
            figure = pyplot("TimeSeriesDisplay").figure(figsize=size, layout="constrained")
        self.figure_ = figure
        grid = figure.add_gridspec(
            len(sensors) + 1,
            1 if shares is None else 2,
            height_ratios=[*[1.0] * len(sensors), 1.5],
            width_ratios=[1.0] if shares is None else [3.6, 1.0],
        )
        self.score_ax_ = figure.add_subplot(grid[-1, 0])
        self.sensor_axes_ = [figure.add_subplot(grid[i, 0], sharex=self.score_ax_) for i in range(len(sensors))]
        first, end = self._shown(intervals, margin, len(X))
        expected = None if margin is None or self.expected is None else rows_of_numbers(self.expected, "expected")
        for ax, sensor in zip(self.sensor_axes_, sensors, strict=True):
            _draw_curve(ax, X[first:end, sensor], DATA, first)
            if expected is not None:
                _draw_curve(ax, expected[first:end, sensor], LEARNT, first, linestyle="--", label="expected")
            ax.set_ylabel(names[sensor], rotation=0, ha="right", va="center")
            ax.tick_params(labelbottom=False)
        if expected is not None:
            self.sensor_axes_[0].legend(frameon=False, fontsize="small", loc="upper left")
        _draw_curve(self.score_ax_, scores[first:end], LEARNT, first)
        self.score_ax_.set(xlabel="Step", ylabel="Outlier score", xlim=(first - 0.5, end - 0.5))
        if self.threshold is not None:
            self.score_ax_.axhline(self.threshold, color="0.15", linewidth=1.0, linestyle="--", label="threshold")
            self.score_ax_.legend(frameon=False, fontsize="small", loc="upper left")
        self._shade(intervals)
        self.event_ax_ = None
        if shares is not None:
            self.event_ax_ = figure.add_subplot(grid[:, 1])
            _draw_shares(self.event_ax_, shares, names)
            self.event_ax_.set_title("Steps {} to {}".format(*intervals[self.event_]))
        return self

    def _shown(self, intervals: np.ndarray, margin: int | None, n_steps: int) -> tuple[int, int]:
        """Return the first step that is drawn, and the one after the last."""
        if margin is None or self.event_ is None:
            return 0, n_steps
        first, last = intervals[self.event_].tolist()
        return max(0, first - margin), min(n_steps, last + 1 + margin)

    def _shade(self, intervals: np.ndarray) -> None:
        """Shade the intervals in all axes, the event more than the others."""
        for ax in (*self.sensor_axes_, self.score_ax_):
            for number, (first, last) in enumerate(intervals):
                alpha = 0.35 if number == self.event_ else 0.15
                ax.axvspan(first - 0.5, last + 0.5, color=OUTLIER, alpha=alpha, linewidth=0, zorder=0)
            tidy(ax)

    def _contributions(self, intervals: np.ndarray) -> np.ndarray | None:
        """Return the mean scores of the sensors in the event, or in all steps, (n_sensors,)."""
        if self.sensor_scores is None:
            return None
        contributions = rows_of_numbers(self.sensor_scores, "sensor_scores")
        check_consistent_length(contributions, self.scores)
        if self.event_ is not None:
            first, last = intervals[self.event_]
            contributions = contributions[first : last + 1]
        return np.maximum(contributions.mean(axis=0), 0.0)


def _steps_of_group(ids: np.ndarray, group: Any) -> np.ndarray:
    """Return positions of the steps of a group; None is the only one."""
    known = np.unique(ids).tolist()
    if group is None and len(known) == 1:
        return np.arange(len(ids))
    if group not in known:
        raise ValueError(f"group={group!r} must be one of the groups in X: {known[:10]}{'...' * (len(known) > 10)}.")
    return np.flatnonzero(ids == group)


def _chosen_event(event: int | None, intervals: np.ndarray, scores: np.ndarray) -> int | None:
    """Return the number of the interval that is shown in detail; None if there are no intervals."""
    if event is not None:
        if not 0 <= event < len(intervals):
            raise ValueError(f"event={event} must be the number of one of the {len(intervals)} intervals, from 0.")
        return event
    peaks = [scores[first : last + 1].max() for first, last in intervals]
    return int(np.argmax(peaks)) if peaks else None


def _draw_shares(ax: Any, contributions: np.ndarray, names: np.ndarray) -> None:
    """Draw the shares of the sensors in the sum of their scores, (n_sensors,), the largest on top."""
    order = np.argsort(-contributions, kind="stable")[:_MOST_BARS][::-1]
    shares = 100 * contributions[order] / max(contributions.sum(), np.finfo(float).tiny)
    ax.barh([str(names[sensor]) for sensor in order], shares, color=OUTLIER, alpha=0.75, height=0.7)
    ax.set_xlabel("Share of the sensor (%)")
    tidy(ax, grid="x")


def _draw_curve(ax: Any, values: np.ndarray, colour: str, first: int, **style: Any) -> None:
    """Draw values of the steps from ``first`` on, (n_steps,), or the ranges of their values if there are many."""
    if len(values) <= _MOST_POINTS:
        ax.plot(first + np.arange(len(values)), values, color=colour, linewidth=1.0, **style)
        return
    starts = np.linspace(0, len(values), _MOST_POINTS, endpoint=False).astype(int)
    # Parts share a step with the next one, so that the ranges of neighbours meet.
    low, high = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
    following = values[np.append(starts[1:], len(values) - 1)]
    ends = np.append(starts[1:], len(values))
    low, high = np.minimum(low, following), np.maximum(high, following)
    ax.fill_between(first + (starts + ends - 1) / 2, low, high, color=colour, linewidth=0.6, **style)
