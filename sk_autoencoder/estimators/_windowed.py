"""Detectors of windows, their fitting and their scores on the steps of series."""

from __future__ import annotations

from abc import ABCMeta
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from sk_autoencoder._parts import resolve
from sk_autoencoder._rounding import rounding
from sk_autoencoder._validation import ParameterizedEstimator, check_groups, check_rows, column_apart
from sk_autoencoder._warnings import warn
from sk_autoencoder.estimators._default_of_windows import default_detector, rate_for, size_of_code
from sk_autoencoder.estimators._intervals import block_peaks
from sk_autoencoder.estimators._outlier import AutoencoderOutlierDetector
from sk_autoencoder.estimators._parts_of_series import HELD_OUT, Parts, largest_size, usable_starts
from sk_autoencoder.estimators._sensors import SensorModel, descriptions
from sk_autoencoder.estimators._series import Series, Windows, automatic_size, to_steps
from sk_autoencoder.estimators._series_scales import SeriesScales, moments
from sk_autoencoder.estimators._voting import offset_of
from sk_autoencoder.networks import NETWORKS
from sk_autoencoder.thresholds import THRESHOLDS, Auto, Quantile, Threshold, exponential_tail

_CELLS_AT_ONCE = 1 << 21  # of windows that are scored at once
_CELLS_OF_TRAINING = 1 << 23  # of training windows with max_samples="auto"
_FEWEST_HELD_OUT = 10  # steps
_MOST_RESCALED = 2000  # windows, by which scales of errors are renewed
_ALPHA = 0.03  # of contamination="auto"; chosen with benchmarks/series.py, see docs/time_series.md
_FEWEST_CHANGES = 20  # of a sensor that only rises or only falls

SCALINGS = ("none", "standard")

# Values of windows, (n_windows, ...), from the number of a detector and windows.
ValuesOfWindows = Callable[[int, Windows], np.ndarray]
# For each detector: the first steps of windows, and their values.
OfWindows = list[tuple[np.ndarray, np.ndarray]]


def chunks(windows: Windows) -> Iterator[slice]:
    """Yield consecutive parts of windows that are small enough to be copied."""
    step = max(1, _CELLS_AT_ONCE // windows.shape[1])
    for start in range(0, len(windows), step):
        yield slice(start, start + step)


class BaseWindowDetector(ParameterizedEstimator, metaclass=ABCMeta):
    """Abstract base class of a detector that consists of detectors of windows, one for each size and scaling."""

    estimators_: list[Any]
    window_sizes_: tuple[int, ...]
    groups_: np.ndarray
    calibration_scores_: np.ndarray
    offset_: float
    stream_offset_: float
    n_features_in_: int
    _views: list[tuple[int, str]]  # window size and scaling of each detector
    _weights: list[float]  # for each detector, see ``_weight_of_folds``
    _unit: np.ndarray  # (n_sensors,) standard deviations of scaled steps
    _tails: np.ndarray  # (n_views, 3) start, scale and base of the exponential tail of each detector's scores
    _block_peaks: np.ndarray  # sorted largest outlier scores of held-out blocks of one window
    _sensors: SensorModel
    _scales: SeriesScales

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "offset_")

    @property
    def _has_default_detector(self) -> bool:
        return self.get_params(deep=False)["estimator"] is None

    def _detector(self) -> Any:
        """Return the detector of windows as it was given, or the default."""
        if self._has_default_detector:
            return default_detector(getattr(self, "n_features_in_", 1))
        return self.estimator

    def _threshold(self) -> Threshold:
        rule = Auto(_ALPHA) if (given := self._plain("contamination")) == "auto" else given
        return Quantile(rule) if isinstance(rule, float) else resolve(THRESHOLDS, rule)

    def _names(self) -> np.ndarray:
        return getattr(self, "feature_names_in_", np.arange(self.n_features_in_))

    @property
    def estimator_(self) -> Any:
        """The first fitted detector of windows."""
        return self.estimators_[0]

    # Validation

    def _check(self, X: Any, groups: Any, reset: bool = False) -> tuple[np.ndarray, np.ndarray | None]:
        """Validate series; return steps, (n_steps, n_sensors), and ids of groups, (n_steps,) or None."""
        column = self._plain("group_column")
        if column is not None:
            if groups is not None:
                raise ValueError(f"groups was given, but the ids are in group_column={column!r}; pass one of both.")
            groups, X = column_apart(X, column)
        fewest = 2 if reset else 1
        X = check_rows(self, X, reset=reset, finite=False, accept_sparse=False, ensure_min_samples=fewest)
        self._check_finite(X)
        if groups is None:
            return X, None
        if np.ndim(groups) == 2:
            raise ValueError(f"groups must have one id for each step: {len(X)}, but has the shape {np.shape(groups)}.")
        return X, check_groups(groups, len(X), "step")[:, 0]

    def _check_finite(self, X: np.ndarray) -> None:
        """Raise an error that names a step and a sensor with a value that is missing or infinite."""
        if np.isfinite(X.sum(dtype=np.float64)) or (wrong := np.argwhere(~np.isfinite(X))).size == 0:
            return
        step, sensor = wrong[0]
        kind = "NaN" if np.isnan(X[step, sensor]) else "infinity"
        raise ValueError(
            f"Input X contains {kind} at step {step} of sensor {self._names().tolist()[sensor]!r}; {len(wrong)} "
            f"value(s) are NaN or infinity. {type(self).__name__} does not accept them: fill them, for example by "
            "interpolation, or leave these steps out and give the parts before and after different groups."
        )

    def _check_new_steps(self, steps: Any) -> np.ndarray:
        """Validate steps of a stream, (n_sensors,) or (n_steps, n_sensors)."""
        names = [str(name) for name in getattr(steps, "columns", self._names())]
        if names != [str(name) for name in self._names()]:
            raise ValueError(f"Steps have the sensors {names}, but the detector has {self._names().tolist()}.")
        steps = np.atleast_2d(np.asarray(steps))
        if steps.dtype not in (np.float32, np.float64):
            steps = steps.astype(np.float64)
        if steps.ndim != 2 or steps.shape[1] != self.n_features_in_:
            raise ValueError(f"Steps have the shape {steps.shape}, but the detector has {self.n_features_in_} sensors.")
        self._check_finite(steps)
        return steps

    def _check_excluded(self, exclude: Any, series: Series) -> np.ndarray:
        """Validate which steps are excluded; return them in the order of the series."""
        n_steps = len(series.steps)
        if exclude is None:
            return np.zeros(n_steps, dtype=bool)
        excluded = np.asarray(exclude)
        if excluded.shape != (n_steps,) or excluded.dtype != bool:
            raise ValueError(
                f"exclude must have one boolean for each of the {n_steps} steps, but has the shape "
                f"{excluded.shape} and the type {excluded.dtype}."
            )
        return excluded if series.order is None else excluded[series.order]

    def _check_lengths(self, series: Series) -> None:
        size, lengths = max(self.window_sizes_), np.diff(series.bounds)
        if (lengths >= size).all():
            return
        shortest = int(lengths.argmin())
        name = f"Group {series.ids.tolist()[shortest]!r}" if len(lengths) > 1 else "X"
        raise ValueError(
            f"{name} has {lengths[shortest]} step(s), fewer than a window of {size}; use a smaller window_size in fit, "
            "or longer series."
        )

    def _choose_views(self, series: Series, excluded: np.ndarray) -> None:
        """Set sizes and scalings of windows from the parameters."""
        given, scalings = self._plain("window_size"), self._plain("window_scaling")
        sizes = given if isinstance(given, tuple) else (given,)
        if given == "auto":
            sizes = (self._automatic_size(series, excluded),)
        scalings = scalings if isinstance(scalings, tuple) else (scalings,)
        if not sizes or not all(isinstance(size, int) and size >= 1 for size in sizes) or len({*sizes}) < len(sizes):
            raise ValueError(f"window_size={given!r} must be different positive integers.")
        if not scalings or not {*scalings} <= {*SCALINGS} or len({*scalings}) < len(scalings):
            raise ValueError(f"window_scaling={scalings!r} must contain each of {SCALINGS} at most once.")
        if "standard" in scalings and min(sizes) < 2:
            raise ValueError(
                f"window_scaling='standard' removes everything from windows of {min(sizes)} step, the window_size "
                f"{given!r}; use window_scaling='none', or a window_size of at least 2."
            )
        if self._plain("score_step") > min(sizes):
            raise ValueError(
                f"score_step={self._plain('score_step')} leaves steps between windows of {min(sizes)} steps; use a "
                "score_step of at most window_size."
            )
        self.window_sizes_ = sizes
        self._views = [(size, scaling) for size in sizes for scaling in scalings]

    def _automatic_size(self, series: Series, excluded: np.ndarray) -> int:
        """Return the window size of "auto", such that windows of this size can be held out."""
        size = int(automatic_size(series, excluded))
        return max(1, largest_size(series, excluded, self._plain("step"), size))

    def _warn_of_counters(self, series: Series, excluded: np.ndarray) -> None:
        """Warn of sensors that only rise, or only fall, in all groups."""
        inner = (np.diff(series.of_step) == 0) & ~excluded[1:] & ~excluded[:-1]
        changes = np.diff(series.steps, axis=0)[inner]
        one_way = (changes >= 0).all(axis=0) | (changes <= 0).all(axis=0)
        counters = self._names()[one_way & (np.count_nonzero(changes, axis=0) >= _FEWEST_CHANGES)].tolist()
        if counters:
            warn(
                f"The sensors {counters} only rise or only fall, and will leave the range that was learnt. Use their "
                "differences, for example np.diff(x, prepend=x[0])."
            )

    # Scales

    def _learn_scales(self, series: Series, excluded: np.ndarray, trained: list[np.ndarray], size: int) -> Series:
        """Learn scales from steps of training windows, and return the series in these scales."""
        starts = next(own for (other, _), own in zip(self._views, trained, strict=True) if other == size)
        edges = np.zeros(len(series.steps) + 1, dtype=int)
        edges[starts] += 1
        edges[starts + size] -= 1  # starts are distinct
        used = np.cumsum(edges[:-1]) > 0
        of_groups = None
        if self.group_scaling:
            trained_on = np.bincount(series.of_step, used) > 0
            # A group that is held out of training has no scale but its own.
            of_groups = np.where(trained_on[series.of_step], used, ~excluded)
        self._scales = SeriesScales.learn(series, used, of_groups)
        series = self._scales.apply(series)
        _, self._unit = moments(series.steps[used])
        return series

    def _series(self, X: Any, groups: Any) -> Series:
        """Validate and scale series that are scored."""
        check_is_fitted(self)
        series = Series.of(*self._check(X, groups))
        self._check_lengths(series)
        return self._scales.apply(series)

    # Training

    def _training_starts(self, parts: Parts, excluded: np.ndarray, size: int, rng: np.random.RandomState) -> np.ndarray:
        """First steps of training windows: without excluded steps, and far from those that are held out of all."""
        starts = parts.series.starts(size, self._plain("step"))
        apart = (parts.around(starts, size) != HELD_OUT).all(axis=1)
        starts = starts[apart & usable_starts(parts.series, excluded, size)[starts]]
        most = self._plain("max_samples")
        most = max(1, _CELLS_OF_TRAINING // (size * self.n_features_in_)) if most == "auto" else most
        starts = _spread_draw(starts, most, rng) if len(starts) > most else starts
        if len(np.unique(parts.of_step[starts])) < parts.n_folds:
            raise ValueError(
                f"There are {len(starts)} training windows of {size} steps, too few for each of {parts.n_folds} folds "
                f"of the series; use a smaller step ({self.step}) or window_size, a larger max_samples "
                f"({self.max_samples}), or exclude fewer steps."
            )
        return starts

    def _windows(self, view: int, steps: np.ndarray, starts: np.ndarray) -> Windows:
        size, scaling = self._views[view]
        return Windows(steps, starts, size, self._unit if scaling == "standard" else None)

    def _prepared(self, size: int, windows: Windows, rng: np.random.RandomState) -> Any:
        """Return an unfitted detector of windows, with the parameters that depend on this estimator."""
        detector = clone(self._detector())
        changes: dict[str, Any] = {}
        parameters = detector.get_params()
        if self.random_state is not None:
            seeded = (name for name in sorted(parameters) if name == "random_state" or name.endswith("__random_state"))
            for name in seeded:
                if parameters[name] is None:
                    changes[name] = rng.randint(np.iinfo(np.int32).max)
        if self.verbose and not parameters.get("verbose", True):
            changes["verbose"] = self.verbose
        if isinstance(detector, AutoencoderOutlierDetector):
            if self._has_default_detector:
                changes["learning_rate_init"] = rate_for(windows)
            if parameters["n_components"] == "auto" and parameters["hidden_layer_sizes"] == ():
                changes["n_components"] = size_of_code(windows, rng)
            network = resolve(NETWORKS, detector.network)
            if type(network) in NETWORKS.values() and network.sample_shape is None:
                changes["network"] = network.set_params(sample_shape=(self.n_features_in_, size))
        return detector.set_params(**changes)

    def _fit_views(self, series: Series, parts: Parts, trained: list[np.ndarray], rng: np.random.RandomState) -> None:
        """Fit the detectors to their training windows."""
        sizes = (size for size, _ in self._views)
        self._weights = [_weight_of_folds(parts, starts, size) for starts, size in zip(trained, sizes, strict=True)]
        self.estimators_ = [self._fit_view(view, series, parts, starts, rng) for view, starts in enumerate(trained)]

    def _fit_view(self, view: int, series: Series, parts: Parts, starts: np.ndarray, rng: np.random.RandomState) -> Any:
        """Fit a detector to windows."""
        size, _ = self._views[view]
        windows = self._windows(view, series.steps, starts)
        detector = self._prepared(size, windows, rng)
        if not isinstance(detector, AutoencoderOutlierDetector):
            return detector.fit(windows[:])
        trained, every = parts.around(starts, size), series.starts(size)
        detector.fit(windows[:], groups=trained)
        of_folds = every[parts.of_step[every] != HELD_OUT]
        detector._recognise(self._windows(view, series.steps, of_folds), parts.around(of_folds, size), trained)
        return detector

    def _rescale(self, series: Series) -> None:
        """Learn the scales of errors that detectors use from other normal series."""
        for view, ((size, _), detector) in enumerate(zip(self._views, self.estimators_, strict=True)):
            if isinstance(detector, AutoencoderOutlierDetector):
                starts = series.starts(size)
                rows = np.linspace(0, len(starts) - 1, min(len(starts), _MOST_RESCALED)).astype(int)
                detector._rescale(self._windows(view, series.steps, starts[rows])[:])

    # Scores

    def _outlier_scores(self, view: int, windows: Windows) -> np.ndarray:
        """Outlier scores of windows, (n_windows,).

        Scores of training windows by members that hold them out are corrected, where new windows are scored by members
        that were trained on all.
        """
        detector = self.estimators_[view]
        scores = _scores_of(detector.score_samples, windows)
        if isinstance(detector, AutoencoderOutlierDetector) and self._weights[view] < 1:
            for rows in chunks(windows):
                known, by_all = detector._known(windows[rows])
                known += rows.start
                scores[known] = _corrected(-by_all, scores[known], self._weights[view])
        return scores

    def _descriptions(self, windows: Windows) -> np.ndarray:
        shape = (-1, self.n_features_in_, max(self.window_sizes_))
        return np.concatenate([descriptions(windows[rows].reshape(shape)) for rows in chunks(windows)])

    def _learn_sensors(self, series: Series, trained: list[np.ndarray]) -> None:
        """Learn the distribution of what describes the sensors in training windows of the largest size."""
        size = max(self.window_sizes_)
        starts = next(own for (other, _), own in zip(self._views, trained, strict=True) if other == size)
        self._sensors = SensorModel.learn(self._descriptions(Windows(series.steps, starts, size)))

    def _of_sensors(self, windows: Windows) -> np.ndarray:
        """How improbable each sensor is in windows of the largest size, (n_windows, n_sensors)."""
        return self._sensors.improbabilities(self._descriptions(windows))

    def _sensor_scores(self, series: Series, needed: np.ndarray | None = None) -> np.ndarray:
        """Scores of sensors in the order of the series, (n_steps, n_sensors); only needed ones are valid, if given."""
        size, step = max(self.window_sizes_), self._plain("score_step")
        starts = series.starts(size, step)
        if needed is not None:
            counts = np.concatenate([[0], np.cumsum(needed)])
            ends = np.minimum(starts + size + step - 1, len(needed))
            starts = starts[counts[ends] > counts[starts]]
        values = self._of_sensors(Windows(series.steps, starts, size))
        return to_steps(values, starts, size, series.bounds, "last" if self.aggregation == "last" else "mean")

    def _of_windows(
        self, series: Series, values_of: ValuesOfWindows, chosen: Callable[[np.ndarray], np.ndarray] | None = None
    ) -> OfWindows:
        """Compute values of all windows of the series, or of those whose first steps are chosen."""
        found = []
        for view, (size, _) in enumerate(self._views):
            starts = series.starts(size, self._plain("score_step"))
            starts = starts if chosen is None else starts[chosen(starts)]
            found.append((starts, values_of(view, self._windows(view, series.steps, starts))))
        return found

    def _at_steps(self, series: Series, of_windows: OfWindows, aggregation: str) -> list[np.ndarray]:
        """Aggregate values of windows to those of steps, for each detector."""
        return [
            to_steps(values, starts, size, series.bounds, aggregation)
            for (starts, values), (size, _) in zip(of_windows, self._views, strict=True)
        ]

    def _combined(self, values: list[np.ndarray]) -> np.ndarray:
        """Average values of several detectors on a common scale."""
        if len(values) == 1:
            return values[0]
        total = np.zeros_like(values[0])
        for own, (start, scale, base) in zip(values, self._tails, strict=True):
            total += base + (own - start) / scale
        return total / len(values)

    def _score_steps(self, series: Series) -> np.ndarray:
        """Outlier scores of steps, (n_steps,), in the order of the series."""
        of_windows = self._of_windows(series, self._outlier_scores)
        return self._combined(self._at_steps(series, of_windows, self.aggregation))

    # Thresholds

    def _calibrate(
        self, series: Series, parts: Parts, excluded: np.ndarray, trained: list[np.ndarray], threshold: Threshold
    ) -> None:
        """Compute scales of scores and thresholds from the scores of held-out steps."""
        reach = max(self.window_sizes_) + self._plain("score_step") - 1
        used = parts.held_out_steps(reach) & ~_near(excluded, reach)
        if np.count_nonzero(used) >= _FEWEST_HELD_OUT:
            of_windows = self._of_windows(
                series, self._outlier_scores, lambda starts: parts.of_step[starts] == HELD_OUT
            )
        else:
            used = ~_near(excluded, reach)
            used = used if used.any() else ~excluded
            of_windows = self._of_windows(
                series, lambda view, windows: self._scores_of_folds(view, windows, series, parts, trained[view])
            )
        in_sample = None
        if isinstance(threshold, Quantile):
            known = ~_near(excluded, reach)
            in_sample = self._of_windows(series, self._outlier_scores), known if known.any() else ~excluded
        self._set_thresholds(series, of_windows, used, in_sample, threshold)

    def _set_thresholds(
        self,
        series: Series,
        of_windows: OfWindows,
        used: np.ndarray,
        in_sample: tuple[OfWindows, np.ndarray] | None,
        threshold: Threshold,
    ) -> None:
        """Compute scales of scores and thresholds from scores of windows, at the used steps.

        ``in_sample`` are the scores of training windows and the training steps for rules that need them.
        """
        values = self._at_steps(series, of_windows, self.aggregation)
        tails = [exponential_tail(own[used]) for own in values]
        self._tails = np.array([(tail.start, max(tail.scale, rounding(tail.start)), tail.base) for tail in tails])
        scores = self._combined(values)
        self.calibration_scores_ = np.sort(scores[used])
        self._block_peaks = block_peaks(scores, used, series.of_step, max(self.window_sizes_))
        offsets = []
        for aggregation in (self.aggregation, "last"):
            held_out = self._combined(self._at_steps(series, of_windows, aggregation))[used]
            training = held_out
            if in_sample is not None:
                training = self._combined(self._at_steps(series, in_sample[0], aggregation))[in_sample[1]]
            offsets.append(offset_of(threshold, training, held_out))
        self.offset_, self.stream_offset_ = offsets

    def _scores_of_folds(
        self, view: int, windows: Windows, series: Series, parts: Parts, trained: np.ndarray
    ) -> np.ndarray:
        """Outlier scores of windows by what was not trained on windows near them, corrected for its training size."""
        detector, scores = self.estimators_[view], self._outlier_scores(view, windows)
        if getattr(detector, "_training_samples", None) is not None:  # it does so itself
            return scores
        own, others = parts.of_step[windows.starts], parts.far_from_folds(trained, self._views[view][0])
        for part, rows in enumerate(others):
            judge = clone(detector).fit(self._windows(view, series.steps, rows)[:])
            judged = self._windows(view, series.steps, windows.starts[own == part])
            scores[own == part] = _corrected(
                scores[own == part], _scores_of(judge.score_samples, judged), self._weights[view]
            )
        return scores


def _spread_draw(values: np.ndarray, n_drawn: int, rng: np.random.RandomState) -> np.ndarray:
    """Draw one value of each of ``n_drawn`` consecutive parts: no part of a series is left out by chance."""
    ends = np.linspace(0, len(values), n_drawn + 1).astype(int)
    return values[rng.randint(ends[:-1], ends[1:])]


def _weight_of_folds(parts: Parts, trained: np.ndarray, size: int) -> float:
    """Return the weight of scores by what holds out a fold, in an estimate of scores of new windows.

    See **Short series** in the notes of ``TimeSeriesOutlierDetector``.
    """
    share = float(np.mean([len(rows) for rows in parts.far_from_folds(trained, size)])) / len(trained)
    return 2 * share / (1 + share)


def _corrected(by_all: np.ndarray, by_others: np.ndarray, weight: float) -> np.ndarray:
    return by_all + weight * (by_others - by_all)


def _scores_of(score_samples: Callable[[np.ndarray], np.ndarray], windows: Windows) -> np.ndarray:
    return np.concatenate([-np.asarray(score_samples(windows[rows])) for rows in chunks(windows)])


def _near(excluded: np.ndarray, reach: int) -> np.ndarray:
    """Whether an excluded step is less than ``reach`` steps away, (n_steps,)."""
    counts, steps = np.concatenate([[0], np.cumsum(excluded)]), np.arange(len(excluded))
    return counts[np.minimum(steps + reach, len(excluded))] > counts[np.maximum(steps - reach + 1, 0)]
