"""Outlier detection in time series of several sensors."""

from __future__ import annotations

import numbers
from typing import Any, ClassVar

import numpy as np
from sklearn.base import OutlierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sk_autoencoder._validation import HasMethods, StrOptions, available_unless, fit_context, integers, reals
from sk_autoencoder.estimators._intervals import find_intervals, interval_table, largest_shares, p_value
from sk_autoencoder.estimators._parts_of_series import Parts
from sk_autoencoder.estimators._series import Series, Windows
from sk_autoencoder.estimators._series_scales import in_scale
from sk_autoencoder.estimators._stream import SeriesStream, StreamResult
from sk_autoencoder.estimators._windowed import SCALINGS, BaseWindowDetector, chunks
from sk_autoencoder.thresholds import THRESHOLDS, Threshold


def _does_not_reconstruct(estimator: TimeSeriesOutlierDetector) -> str | None:
    detector = estimator._detector()
    return None if hasattr(detector, "reconstruct") else f"estimator={detector!r} has no 'reconstruct'."


class TimeSeriesOutlierDetector(OutlierMixin, BaseWindowDetector):
    """Outlier detection in time series of several sensors, by windows.

    Steps are samples: ``fit`` learns from windows of a normal stretch, and every step is scored by the windows that
    cover it. The windows are flat samples of an outlier detector, by default ``AutoencoderOutlierDetector``.

    Parameters
    ----------
    estimator : object or None, default=None
        Outlier detector with ``fit`` and ``score_samples``, which is fitted to flat windows of shape
        (n_windows, n_sensors * window_size): the steps of the first sensor, then those of the second, and so on. None
        is an ``AutoencoderOutlierDetector`` that is linear (``hidden_layer_sizes=()``, ``corruption=None``), whose
        score is the mean of two surprises: that of ``Mahalanobis("code+residual")``, and the larger one of
        ``ReconstructionError(None)`` and ``SensorError(n_sensors)``; see Notes. Networks that read sequences get their
        ``sample_shape`` unless they have one. Its ``contamination`` is not used.
    window_size : int, tuple of int or "auto", default="auto"
        Steps of a window. With several sizes, one detector is fitted for each. "auto" is the median over the sensors of
        their period, the lag of the highest peak of the autocorrelation that is at least 0.3, but at least 48 and at
        most 256; 48 if no sensor has a period. It is at most an eighth of the training steps and the length of the
        shortest group, and such that windows of each fold can be held out.
    step : int, default=1
        Steps between the starts of training windows.
    score_step : int, default=1
        Steps between the starts of windows that are scored, at most ``window_size``. The last window of a series is
        always scored.
    window_scaling : {"none", "standard"} or tuple of them, default="none"
        "none" keeps the level of the windows. With "standard" each sensor of a window is centered and divided by its
        standard deviation in the window, but at least by a tenth of the sensor's standard deviation in training, so
        that only its shape counts. With both, there is a detector for each, and their scores are averaged.
    aggregation : {"mean", "last", "max"}, default="mean"
        How the score of a step follows from those of windows. "mean" and "max" are over all windows that cover the
        step; they use later steps, up to one window. With "max", all steps of the windows that contain an outlier have
        a high score: it suits faults that last longer than a window, and locates short ones less precisely. "last" is
        the window that ends at the step, and equals ``stream`` with ``score_step=1``; the first steps of a series get
        the score of its first window.
    contamination : float, {"auto", "tail", "conformal"} or Threshold, default="auto"
        Rule for the threshold of the scores of steps. A float in (0, 0.5] is the fraction of outliers among the
        training steps. "auto" is ``Auto(0.03)``, "tail" is ``Tail()`` and "conformal" is ``Conformal()``; they use the
        scores of held-out steps.
    validation_fraction : float, default=0.2
        Fraction of the training windows that are held out of the training of all members, in contiguous blocks, in
        [0, 1). With 0, and if it is less than five windows without overlap, thresholds come from the folds of the
        members. See Notes.
    group_column : str, int or None, default=None
        Name or position of a column of X that holds the ids of groups, such as machines, and is no sensor. None means
        that all columns are sensors.
    group_scaling : bool, default=False
        Whether to center and scale each sensor by its mean and standard deviation in the group. False uses those of
        all groups together. A group that was not in the training set is scaled in this way too, with a warning.
    max_samples : int or "auto", default="auto"
        Largest number of training windows. If there are more, the windows are divided into as many consecutive parts,
        and one is drawn at random of each. "auto" is the number of windows that together have 2^23 values, 64 MB in
        float64.
    random_state : int, RandomState instance or None, default=None
        Seed or generator for the choice of windows, and for the detector unless it has a ``random_state``.
    verbose : bool or int, default=False
        Whether the detector shows its progress, if it has this parameter.

    Attributes
    ----------
    estimator_ : object
        The fitted detector of windows; the first one, if there are several.
    estimators_ : list of object
        The fitted detectors of windows, one for each size and scaling.
    window_sizes_ : tuple of int
        Window sizes.
    offset_ : float
        Threshold of ``score_samples``: ``decision_function(X) = score_samples(X) - offset_``.
    stream_offset_ : float
        Threshold of the scores of ``stream``, which are those of ``aggregation="last"``.
    calibration_scores_ : ndarray of shape (n_held_out,)
        Sorted outlier scores of held-out steps.
    groups_ : ndarray of shape (n_groups,)
        Sorted ids of the groups of the training set.
    n_features_in_ : int
        Number of sensors.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the sensors; defined only if X has feature names that are all strings.

    See Also
    --------
    AutoencoderOutlierDetector : Detector of samples without an order.
    sk_autoencoder.windows.cut_windows : Cut a time series into windows.

    Notes
    -----
    **What is held out.** Consecutive windows are nearly equal, so that a detector knows windows beside those that it
    was trained on. Therefore blocks are held out, and no detector is trained on a window that shares a step with a
    window of a block that it holds out: the gaps have one window minus one step. ``validation_fraction`` of the windows
    are held out of all training, in one to four blocks; thresholds come from steps all of whose windows are there. The
    members of an ``AutoencoderOutlierDetector`` hold out two to five folds of the other windows in the same way, so
    that early stopping and scores learn from windows far from those that a member was trained on. Windows of the
    training set are recognised when they are scored, and judged by the members that hold them out.

    In short series, and with ``validation_fraction=0``, the scores of the folds are used in place of them. Other
    detectors have no folds: their scores of training steps are too low, also for a float ``contamination``. Where they
    need folds for the threshold, they are fitted once more for each.

    **Short series.** Very short series have two to four folds, so that the members that hold out a fold are trained on
    a half of the windows, say. The other members are trained on all training windows, and score new ones. So scores of
    folds are higher than those of new windows, while scores of training windows by members that know them are lower.
    Akaike's estimate of the error on new samples assumes that both deviations are equal for equally many training
    windows, and inversely proportional to their number. Accordingly, the score of a training window is a weighted mean
    of both: members that are trained on a share s of the windows, without those near it, have the weight 2 s / (1 + s).
    Thresholds of other detectors are computed in the same way. All members of a detector with five folds are trained on
    equally many windows, and there is no correction.

    **The default detector.** Sensors are centered and scaled before windows are cut. In a linear
    ``AutoencoderOutlierDetector``, ``n_components="auto"`` is the number of principal components that explain 90 % of
    the variance of the training windows. ``ReconstructionError`` and ``Mahalanobis`` find deviations of whole windows
    and of relations between sensors, ``SensorError`` those of single sensors. The learning rate of the default is 0.02;
    it is less, in inverse proportion to the number of values of a window, if these are more than 400.

    **Thresholds of dependent scores.** Scores of neighbouring steps are nearly equal. So a threshold has a share of
    false steps, not of false alarms, and there are no p-values of steps. ``anomalous_intervals`` has p-values of
    intervals: ``(1 + k) / (1 + n)`` if k of n held-out blocks of one window have at least as high a peak.

    **Sensors.** ``sensor_scores`` do not depend on ``estimator``. In each window of the largest size a sensor has three
    numbers: its level (the mean m of its scaled values, as ``sign(m) * log(1 + |m|)``), and the logarithms of its
    variance and of the mean squared difference of consecutive values. A normal distribution of each of these groups of
    numbers, the levels of all sensors and the two others of all sensors, is learnt from the training windows, with the
    shrinkage of Ledoit and Wolf. A sensor is judged by its conditional distribution given the other sensors, so that a
    change that they share does not count. Its score is the absolute standardised deviation of its level plus the
    squared Mahalanobis distance of the two others. Training windows are scored by what was learnt from them.

    **Counters.** A sensor that only rises or only falls leaves its training range in time. There is a warning; use its
    differences, for example ``np.diff(x, prepend=x[0])``.

    **Groups.** Windows never cover steps of two groups. The steps of a group are taken in the order of X, also between
    steps of others. ``groups`` of the methods has one id for each step. In pipelines, searches and scorers, use
    ``group_column``.

    References
    ----------
    H. Akaike, "Fitting Autoregressive Models for Prediction", Annals of the Institute of Statistical Mathematics 21,
    1969.

    P. Malhotra et al., "LSTM-based Encoder-Decoder for Multi-sensor Anomaly Detection", 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_autoencoder import TimeSeriesOutlierDetector
    >>> rng = np.random.default_rng(0)
    >>> t = np.arange(600)
    >>> X = np.column_stack([np.sin(t / 8), np.cos(t / 8)]) + 0.1 * rng.normal(size=(600, 2))
    >>> X[500:520, 1] += 2.0
    >>> detector = TimeSeriesOutlierDetector(window_size=16, random_state=0).fit(X[:400])
    >>> found = detector.anomalous_intervals(X[400:])
    >>> int(found.loc[found.peak.idxmax(), "start"]) in range(85, 105)
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "estimator": [HasMethods(["fit", "score_samples"]), None],
        "window_size": [StrOptions({"auto"}), integers(1), tuple],
        "step": [integers(1)],
        "score_step": [integers(1)],
        "window_scaling": [StrOptions(set(SCALINGS)), tuple],
        "aggregation": [StrOptions({"mean", "last", "max"})],
        "contamination": [StrOptions(set(THRESHOLDS)), Threshold, reals(0, 0.5, closed="right")],
        "validation_fraction": [reals(0, 1, closed="left")],
        "group_column": [str, numbers.Integral, None],
        "group_scaling": ["boolean"],
        "max_samples": [StrOptions({"auto"}), integers(1)],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    estimators_: list[Any]
    n_features_in_: int

    def __init__(
        self,
        estimator: Any = None,
        *,
        window_size: int | str | tuple[int, ...] = "auto",
        step: int = 1,
        score_step: int = 1,
        window_scaling: str | tuple[str, ...] = "none",
        aggregation: str = "mean",
        contamination: float | str | Threshold = "auto",
        validation_fraction: float = 0.2,
        group_column: str | int | None = None,
        group_scaling: bool = False,
        max_samples: int | str = "auto",
        random_state: Any = None,
        verbose: bool | int = False,
    ):
        self.estimator = estimator
        self.window_size = window_size
        self.step = step
        self.score_step = score_step
        self.window_scaling = window_scaling
        self.aggregation = aggregation
        self.contamination = contamination
        self.validation_fraction = validation_fraction
        self.group_column = group_column
        self.group_scaling = group_scaling
        self.max_samples = max_samples
        self.random_state = random_state
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None, *, groups: Any = None, exclude: Any = None) -> TimeSeriesOutlierDetector:
        """Fit the detector to series, most of whose steps should be normal.

        Parameters
        ----------
        X : array-like of shape (n_steps, n_sensors)
            Training series: a row for each step, in the order of time.
        y : Ignored
            Not used, present for API consistency by convention.
        groups : array-like of shape (n_steps,) or None, default=None
            Ids of the group of each step, such as machines. None is a single group.
        exclude : array-like of shape (n_steps,) or None, default=None
            Booleans: steps that nothing is learnt from, such as known faults.

        Returns
        -------
        self : TimeSeriesOutlierDetector
            The fitted detector.

        Raises
        ------
        ValueError
            If X contains missing values or infinity, if a group is shorter than a window, or if the series are too
            short to hold out windows of this size.
        """
        X, ids = self._check(X, groups, reset=True)
        threshold = self._threshold()
        series = Series.of(X, ids)
        excluded = self._check_excluded(exclude, series)
        if hasattr(self, "offset_"):  # not valid after an error
            del self.offset_
        self._choose_views(series, excluded)
        self._check_lengths(series)
        size, rng = max(self.window_sizes_), check_random_state(self.random_state)
        parts = Parts.divide(series, excluded, size, self._plain("step"), float(self.validation_fraction))
        self._warn_of_counters(series, excluded)
        trained = [self._training_starts(parts, excluded, own, rng) for own, _ in self._views]
        series = self._learn_scales(series, excluded, trained, size)
        self.groups_ = series.ids
        self._learn_sensors(series, trained)
        self._fit_views(series, parts, trained, rng)
        self._calibrate(series, parts, excluded, trained, threshold)
        return self

    def fit_predict(self, X: Any, y: Any = None, *, groups: Any = None, exclude: Any = None) -> np.ndarray:
        """Fit the detector, and predict whether the training steps are outliers.

        Parameters
        ----------
        X : array-like of shape (n_steps, n_sensors)
            Training series.
        y : Ignored
            Not used, present for API consistency by convention.
        groups : array-like of shape (n_steps,) or None, default=None
            Ids of the group of each step.
        exclude : array-like of shape (n_steps,) or None, default=None
            Booleans: steps that nothing is learnt from.

        Returns
        -------
        labels : ndarray of shape (n_steps,)
            1 for inliers, -1 for outliers.
        """
        return self.fit(X, groups=groups, exclude=exclude).predict(X, groups=groups)

    def score_samples(self, X: Any, *, groups: Any = None) -> np.ndarray:
        """Return the negative outlier scores of steps.

        Parameters
        ----------
        X : array-like of shape (n_steps, n_sensors)
            Series.
        groups : array-like of shape (n_steps,) or None, default=None
            Ids of the group of each step.

        Returns
        -------
        scores : ndarray of shape (n_steps,)
            Negative outlier scores, lower for outliers: ``score_samples`` of the windows, aggregated. With several
            detectors, the mean of their scores on the scale of minus the logarithm of the share of held-out steps with
            a higher score.
        """
        series = self._series(X, groups)
        return series.in_order_of_x(-self._score_steps(series))

    def decision_function(self, X: Any, *, groups: Any = None) -> np.ndarray:
        """Return the negative outlier scores of steps, shifted so that the threshold is 0.

        Parameters
        ----------
        X : array-like of shape (n_steps, n_sensors)
            Series.
        groups : array-like of shape (n_steps,) or None, default=None
            Ids of the group of each step.

        Returns
        -------
        decisions : ndarray of shape (n_steps,)
            ``score_samples(X) - offset_``; negative for outliers.
        """
        return self.score_samples(X, groups=groups) - self.offset_

    def predict(self, X: Any, *, groups: Any = None) -> np.ndarray:
        """Predict whether steps are outliers.

        Parameters
        ----------
        X : array-like of shape (n_steps, n_sensors)
            Series.
        groups : array-like of shape (n_steps,) or None, default=None
            Ids of the group of each step.

        Returns
        -------
        labels : ndarray of shape (n_steps,)
            1 for inliers, -1 for outliers.
        """
        return np.where(self.decision_function(X, groups=groups) < 0, -1, 1)

    def sensor_scores(self, X: Any, *, groups: Any = None) -> np.ndarray:
        """Return how improbable the values of each sensor around a step are, given those of the other sensors.

        See **Sensors** in Notes.

        Parameters
        ----------
        X : array-like of shape (n_steps, n_sensors)
            Series.
        groups : array-like of shape (n_steps,) or None, default=None
            Ids of the group of each step.

        Returns
        -------
        scores : ndarray of shape (n_steps, n_sensors)
            Larger for outlying sensors, not negative: the mean over the windows that cover a step, or, with
            ``aggregation="last"``, the value of the window that ends there.
        """
        series = self._series(X, groups)
        return series.in_order_of_x(self._sensor_scores(series))

    @available_unless(_does_not_reconstruct)
    def reconstruct(self, X: Any, *, groups: Any = None) -> np.ndarray:
        """Return the expected value of each sensor at each step.

        Available only if the detector has ``reconstruct``.

        Parameters
        ----------
        X : array-like of shape (n_steps, n_sensors)
            Series.
        groups : array-like of shape (n_steps,) or None, default=None
            Ids of the group of each step.

        Returns
        -------
        X_reconstructed : ndarray of shape (n_steps, n_sensors)
            Reconstructions in the units of X, in the type of X: the mean over the windows that cover a step.
        """
        series = self._series(X, groups)
        total = np.zeros(series.steps.shape)
        for view, (size, _) in enumerate(self._views):
            windows = self._windows(view, series.steps, series.starts(size, self._plain("score_step")))
            sums, n_windows = np.zeros(series.steps.shape), np.zeros(len(series.steps))
            for rows in chunks(windows):
                values = windows.in_units(rows, self.estimators_[view].reconstruct(windows[rows]))
                for place in reversed(range(size)):  # the earliest window of a step first, whatever the chunks
                    covered = windows.starts[rows] + place
                    sums[covered] += values[:, :, place]
                    n_windows[covered] += 1
            total += sums / n_windows[:, None]
        center, spread = self._scales.of_steps(series)
        return series.in_order_of_x((total / len(self._views) * spread + center).astype(series.dtype))

    def anomalous_intervals(self, X: Any, *, groups: Any = None, min_steps: int = 1, within: int = 1) -> Any:
        """List the intervals of outlying steps.

        Parameters
        ----------
        X : array-like of shape (n_steps, n_sensors)
            Series.
        groups : array-like of shape (n_steps,) or None, default=None
            Ids of the group of each step.
        min_steps : int, default=1
            An interval opens when this many of the last ``within`` steps of the group are outliers.
        within : int, default=1
            See ``min_steps``, which it must not be less than.

        Returns
        -------
        intervals : pandas.DataFrame
            One row for each interval, by group and time:

            - "group": id of the group.
            - "start", "end": first and last outlier, as labels of the index of X if it has one, otherwise as rows of X.
            - "duration": number of steps of the group from start to end.
            - "kind": "point" for at most as many steps as share a window with an outlier of one step, ``2 * size - 1``
              for windows of ``size`` steps, or ``size`` with ``aggregation="last"``; otherwise "interval".
            - "peak": largest outlier score, ``-score_samples``.
            - "p_value": share of held-out blocks of one window with at least this peak, this one counted as well. So it
              is at least 1 / (1 + number of blocks), 0.1 with 9 blocks.
            - "sensors", "shares": up to five sensors with the largest shares of ``sensor_scores`` in the interval, and
              these shares.
        """
        if not 1 <= min_steps <= within:
            raise ValueError(f"min_steps={min_steps} must be at least 1 and at most within={within}.")
        series = self._series(X, groups)
        scores = self._score_steps(series)
        found = [
            (group, first + start, first + end)
            for group, first, last in zip(series.ids, series.bounds[:-1], series.bounds[1:], strict=True)
            for start, end in find_intervals(-scores[first:last] < self.offset_, min_steps, within)
        ]
        if not found:
            return interval_table([])
        needed = np.zeros(len(scores), dtype=bool)
        for _, start, end in found:
            needed[start : end + 1] = True
        sensors = self._sensor_scores(series, needed)
        size = max(self.window_sizes_)
        reach = size if self.aggregation == "last" else 2 * size - 1
        position = np.arange(len(scores)) if series.order is None else series.order
        labels = X.index.to_numpy() if hasattr(X, "iloc") else np.arange(len(scores))
        grouped = groups is not None or self.group_column is not None
        rows = []
        for group, start, end in found:
            duration, peak = end - start + 1, float(scores[start : end + 1].max())
            kind = "point" if duration <= reach else "interval"
            named = largest_shares(sensors[start : end + 1].mean(axis=0), self._names())
            ends = labels[position[start]], labels[position[end]]
            rows.append(
                (group if grouped else None, *ends, duration, kind, peak, p_value(peak, self._block_peaks), *named)
            )
        return interval_table(rows)

    def recalibrate(self, X: Any, *, groups: Any = None) -> TimeSeriesOutlierDetector:
        """Compute scales and thresholds from other normal series, for example after maintenance, without training.

        The thresholds, the scores of held-out steps, the scales of several detectors, and, with ``group_scaling``, the
        scales of the groups in X are replaced. In an ``AutoencoderOutlierDetector``, the scales of errors that its
        score uses are replaced, see ``OutlierScore.rescaled``. Networks, other detectors, and what ``sensor_scores``
        have learnt are not changed.

        Parameters
        ----------
        X : array-like of shape (n_steps, n_sensors)
            Normal series that the detector was not trained on.
        groups : array-like of shape (n_steps,) or None, default=None
            Ids of the group of each step.

        Returns
        -------
        self : TimeSeriesOutlierDetector
            The detector with new scales and thresholds.
        """
        check_is_fitted(self)
        X, ids = self._check(X, groups)
        series = Series.of(X, ids)
        self._check_lengths(series)
        everything = np.ones(len(X), dtype=bool)
        if self._scales.by_group:
            self._scales = self._scales.renewed(series, everything)
        series = self._scales.apply(series)
        self._rescale(series)
        self._set_thresholds(
            series, self._of_windows(series, self._outlier_scores), everything, None, self._threshold()
        )
        return self

    def stream(self, *, group: Any = None, state: dict[str, np.ndarray] | None = None) -> SeriesStream:
        """Return an object that scores a series step by step; the detector is not changed.

        Scores are those of the windows that end at the steps, equal to ``score_samples`` with ``aggregation="last"``
        and ``score_step=1``.

        Parameters
        ----------
        group : object or None, default=None
            Id of the group, for ``group_scaling``.
        state : dict of ndarray or None, default=None
            The result of ``get_state`` of a stream that is to be continued.

        Returns
        -------
        stream : SeriesStream
            The stream, with the methods ``push``, ``get_state`` and ``set_state``.
        """
        check_is_fitted(self)
        one_step = np.empty((1, self.n_features_in_))
        of_group = Series(one_step, np.array([group], dtype=object), np.array([0, 1]), None)
        center, spread = self._scales.of_steps(of_group)
        size = max(self.window_sizes_)

        def score(steps: np.ndarray, n_scored: int) -> StreamResult:
            scaled = in_scale(steps, center, spread)

            firsts = (np.arange(n_scored) + size - own for own, _ in self._views)
            windows = [self._windows(view, scaled, starts) for view, starts in enumerate(firsts)]
            scores = -self._combined([self._outlier_scores(view, own) for view, own in enumerate(windows)])
            labels = np.where(scores < self.stream_offset_, -1, 1)
            largest = Windows(scaled, np.arange(n_scored), size)
            return StreamResult(scores, labels, lambda: self._of_sensors(largest))

        return SeriesStream(score, self._check_new_steps, size).set_state(state or {})
