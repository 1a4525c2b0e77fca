"""Methods that score the steps of a time series, and those that score its sensors.

A method is a function of a training and a test series, arrays of shape (n_steps, n_sensors), that returns one score for
each test step, larger for more outlying ones. A method that names sensors returns an array of the shape of the test
series. Series are standardised by the training series. On windows, a scikit-learn estimator is fitted on flat windows,
and the score of a step is the mean or the maximum over the windows that cover it ("mean", "max"), or that of the window
that ends there ("last").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler
from sklearn.utils import gen_batches

from sk_autoencoder import AutoencoderOutlierDetector, TimeSeriesOutlierDetector
from sk_autoencoder.estimators._default_of_windows import default_detector
from sk_autoencoder.scores import Combined, Mahalanobis, ReconstructionError, SampleIsolation
from sk_autoencoder.windows import cut_windows, join_windows

Method = Callable[[np.ndarray, np.ndarray], np.ndarray]
Score = Callable[[np.ndarray], np.ndarray]
"""Map flat windows to one score each."""

WINDOW_SIZES = (16, 32, 64)  # the three settings of each method on windows
SIZE_OF_DETECTOR = 48  # that the detector takes for SKAB and SMD by itself
MOST_WINDOWS = 5000  # of the training series, evenly spaced
_CHUNK = 2000  # windows that are scored at once


@dataclass(frozen=True)
class Scorer:
    """A method, and the threshold that it sets itself, if it does."""

    method: Method
    threshold: float | None = None

    def __call__(self, X_train: np.ndarray, X_test: np.ndarray) -> np.ndarray:
        """Score the steps of ``X_test``."""
        return self.method(X_train, X_test)


def standardised(X_train: np.ndarray, X_test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both series, scaled by the training series."""
    scaler = StandardScaler().fit(X_train)
    return scaler.transform(X_train), scaler.transform(X_test)


def flat_windows(X: np.ndarray, window_size: int, at_most: int | None = None) -> np.ndarray:
    """Windows as samples: all, or about ``at_most``, evenly spaced."""
    n_windows = len(X) - window_size + 1
    windows = cut_windows(X, window_size, 1 if at_most is None else -(-n_windows // at_most))
    return windows.reshape(len(windows), -1)


def per_step(scores: np.ndarray, window_size: int, aggregation: str) -> np.ndarray:
    """One score for each step, from one for each window."""
    if aggregation == "last":
        return np.r_[np.repeat(scores[0], window_size - 1), scores]
    if aggregation == "max":
        padded = np.pad(scores, window_size - 1, constant_values=-np.inf)
        return sliding_window_view(padded, window_size).max(axis=1)
    windows = np.broadcast_to(scores[:, None, None], (len(scores), 1, window_size))
    return join_windows(windows)[:, 0]


def on_windows(
    fit: Callable[[np.ndarray], Score],
    window_size: int,
    aggregation: str,
    X_train: np.ndarray,
    X_test: np.ndarray,
) -> np.ndarray:
    """Scores of steps by a score of windows."""
    X_train, X_test = standardised(X_train, X_test)
    score = fit(flat_windows(X_train, window_size, MOST_WINDOWS))
    windows = cut_windows(X_test, window_size)
    chunks = [score(windows[chunk].reshape(-1, windows[0].size)) for chunk in gen_batches(len(windows), _CHUNK)]
    return per_step(np.concatenate(chunks), window_size, aggregation)


def random(X_train: np.ndarray, X_test: np.ndarray) -> np.ndarray:
    """Score at random."""
    del X_train
    return np.random.default_rng(0).random(len(X_test))


def step_length(X_train: np.ndarray, X_test: np.ndarray) -> np.ndarray:
    """Squared length of the standardised step: no model at all."""
    return np.square(standardised(X_train, X_test)[1]).mean(axis=1)


def length(windows: np.ndarray) -> Score:
    """Squared length of the window: no model at all."""
    del windows
    return lambda rows: np.square(rows).mean(axis=1)


def squared_errors(pca: PCA, rows: np.ndarray) -> np.ndarray:
    """Squared error of each value that PCA reconstructs."""
    return np.square(rows - pca.inverse_transform(pca.transform(rows)))


def pca_error(windows: np.ndarray) -> Score:
    """Reconstruction error of the components that hold 90 % of the variance."""
    pca = PCA(0.9, svd_solver="covariance_eigh").fit(windows)
    return lambda rows: squared_errors(pca, rows).mean(axis=1)


def mahalanobis(windows: np.ndarray) -> Score:
    """Squared Mahalanobis distance, with a shrunk covariance."""
    fitted = LedoitWolf().fit(windows)

    def distances(rows: np.ndarray) -> np.ndarray:
        deviations = rows - fitted.location_
        return np.einsum("ij,ij->i", deviations @ fitted.precision_, deviations)

    return distances


def centres(windows: np.ndarray) -> Score:
    """Distance from the nearest of 20 centres of k-means."""
    kmeans = KMeans(20, n_init=3, random_state=0).fit(windows)
    return lambda rows: kmeans.transform(rows).min(axis=1)


def forest(windows: np.ndarray) -> Score:
    """Score by an isolation forest."""
    estimator = IsolationForest(random_state=0).fit(windows)
    return lambda rows: -estimator.score_samples(rows)


def neighbours(windows: np.ndarray) -> Score:
    """Mean distance of the five nearest training windows."""
    nearest = NearestNeighbors(n_neighbors=5).fit(windows)
    return lambda rows: nearest.kneighbors(rows)[0].mean(axis=1)


def detector(estimator: Any, windows: np.ndarray) -> Score:
    """Score by an outlier detector of scikit-learn's conventions, on flat windows."""
    fitted = clone(estimator).fit(windows)
    return lambda rows: -fitted.score_samples(rows)


def series_detector(estimator: Any) -> Scorer:
    """Score by a detector that takes series, at its own threshold."""

    def method(X_train: np.ndarray, X_test: np.ndarray) -> np.ndarray:
        return -clone(estimator).fit(X_train).decision_function(X_test)

    return Scorer(method, threshold=0.0)


PEERS: dict[str, Callable[[np.ndarray], Score]] = {
    "window length": length,
    "PCA (90 %)": pca_error,
    "Mahalanobis": mahalanobis,
    "KMeans": centres,
    "IsolationForest": forest,
    "neighbours": neighbours,
}


def settings(fit: Callable[[np.ndarray], Score], name: str, aggregation: str = "mean") -> dict[str, Scorer]:
    """The three settings of a method on windows."""
    return {f"{name}, {size}": Scorer(partial(on_windows, fit, size, aggregation)) for size in WINDOW_SIZES}


def with_network(**parameters: Any) -> Scorer:
    """Score by the detector with another network, and the score of the default."""

    def method(X_train: np.ndarray, X_test: np.ndarray) -> np.ndarray:
        score = default_detector(X_train.shape[1]).outlier_score
        estimator = AutoencoderOutlierDetector(outlier_score=score, scaling=None, **parameters)
        return series_detector(TimeSeriesOutlierDetector(estimator, random_state=0))(X_train, X_test)

    return Scorer(method, threshold=0.0)


def with_score(score: Any) -> Scorer:
    """Score by the detector with the network of the default, and another score."""
    estimator = default_detector().set_params(outlier_score=score)
    return series_detector(TimeSeriesOutlierDetector(estimator, random_state=0))


# Compositions of the detector, which are measured if they are named.
COMPOSITIONS: dict[str, Scorer] = {
    "default of tables": series_detector(TimeSeriesOutlierDetector(AutoencoderOutlierDetector(), random_state=0)),
    "dense": with_network(network="dense"),
    "convolutional": with_network(network="convolutional"),
    # Few epochs and members: a run takes a minute.
    "recurrent": with_network(network="recurrent", max_iter=30, n_estimators=3),
    "attention": with_network(network="attention", max_iter=5, n_estimators=3),
    "linear with reconstruction": with_score("reconstruction"),
    "linear with mahalanobis": with_score("mahalanobis"),
    **{
        f"linear with isolation and {name}": with_score(
            Combined([ReconstructionError(normalize), Mahalanobis("code+residual"), SampleIsolation()], damped=False)
        )
        for name, normalize in (("squares", None), ("logarithms", "log"))
    },
}

# A method is one line here: a name, without a comma, or with one before its setting.
METHODS: dict[str, Scorer] = {
    "detector, auto": series_detector(TimeSeriesOutlierDetector(random_state=0)),
    "detector, 16": series_detector(TimeSeriesOutlierDetector(window_size=16, random_state=0)),
    "detector, 32": series_detector(TimeSeriesOutlierDetector(window_size=32, random_state=0)),
    "detector with max, auto": series_detector(TimeSeriesOutlierDetector(aggregation="max", random_state=0)),
    **{
        f"PCA (90 %) on the same windows{name}, {SIZE_OF_DETECTOR}": Scorer(
            partial(on_windows, pca_error, SIZE_OF_DETECTOR, aggregation)
        )
        for name, aggregation in (("", "mean"), (" with max", "max"))
    },
    "random": Scorer(random),
    "step length": Scorer(step_length),
    **{key: value for name, fit in PEERS.items() for key, value in settings(fit, name).items()},
}
LAST: dict[str, Scorer] = {
    key: value for name, fit in PEERS.items() for key, value in settings(fit, f"{name} by the last", "last").items()
}


def step_deviations(X_train: np.ndarray, X_test: np.ndarray) -> np.ndarray:
    """Squared deviation of each standardised value from its mean: no model at all."""
    return np.square(standardised(X_train, X_test)[1])


def random_sensors(X_train: np.ndarray, X_test: np.ndarray) -> np.ndarray:
    """Score sensors at random."""
    del X_train
    return np.random.default_rng(0).random(X_test.shape)


def pca_sensors(window_size: int, held_out_scales: bool, X_train: np.ndarray, X_test: np.ndarray) -> np.ndarray:
    """Squared error of each sensor, by PCA (90 %) on windows, averaged over the windows that cover the step.

    With ``held_out_scales``, PCA is fitted on the first three quarters of the training series, and errors are divided
    by the mean error of the sensor on the last quarter (at least a thousandth of a training variance).
    """
    X_train, X_test = standardised(X_train, X_test)
    n_fitted = len(X_train) * 3 // 4 if held_out_scales else len(X_train)
    pca = PCA(0.9, svd_solver="covariance_eigh").fit(flat_windows(X_train[:n_fitted], window_size, MOST_WINDOWS))

    def errors(X: np.ndarray) -> np.ndarray:
        windows = cut_windows(X, window_size)
        chunks = [windows[chunk] for chunk in gen_batches(len(windows), _CHUNK)]
        by_window = [squared_errors(pca, chunk.reshape(len(chunk), -1)).reshape(chunk.shape) for chunk in chunks]
        return join_windows(np.concatenate(by_window))

    scales = np.maximum(errors(X_train[n_fitted:]).mean(axis=0), 1e-3) if held_out_scales else 1
    return errors(X_test) / scales


def sensors_of_detector(X_train: np.ndarray, X_test: np.ndarray) -> np.ndarray:
    """Sensor scores of the detector, which do not depend on its ``estimator``: a quick one is fitted."""
    quick = IsolationForest(n_estimators=1, random_state=0)
    return TimeSeriesOutlierDetector(quick, random_state=0).fit(X_train).sensor_scores(X_test)


SENSOR_METHODS: dict[str, Method] = {
    "detector": sensors_of_detector,
    "random": random_sensors,
    "squared deviation": step_deviations,
    **{f"PCA (90 %) squared error, {size}": partial(pca_sensors, size, False) for size in WINDOW_SIZES},
    **{f"PCA (90 %) held-out scales, {size}": partial(pca_sensors, size, True) for size in WINDOW_SIZES},
}
