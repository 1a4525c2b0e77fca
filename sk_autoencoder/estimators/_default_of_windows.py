"""The detector of windows that ``estimator=None`` stands for."""

from __future__ import annotations

import numpy as np

from sk_autoencoder.estimators._outlier import AutoencoderOutlierDetector
from sk_autoencoder.estimators._series import Windows
from sk_autoencoder.scores import Combined, Mahalanobis, ReconstructionError, SensorError

_EXPLAINED = 0.9  # share of the variance of windows that the code has
_MOST_DECOMPOSED = 1000  # windows, by which its size is chosen
# An output of a linear layer changes in a step by up to the learning rate times the number of inputs. So the rate is
# in inverse proportion to this number for windows of more than 400 values.
_LEARNING_RATE, _WIDE = 0.02, 400


def default_detector(n_sensors: int = 1) -> AutoencoderOutlierDetector:
    """Return the default detector of windows, a linear autoencoder.

    It was chosen among ``COMPOSITIONS`` in ``benchmarks/series_peers.py``. The sensors are scaled before windows are
    cut, all steps of a window alike.
    """
    errors = Combined([ReconstructionError(None), SensorError(n_sensors)], n_largest=1, damped=False)
    return AutoencoderOutlierDetector(
        hidden_layer_sizes=(),
        activation="identity",
        corruption=None,
        scaling=None,
        outlier_score=Combined([Mahalanobis(on="code+residual"), errors], n_largest=None, damped=False),
        learning_rate_init=_LEARNING_RATE,
        batch_size=32,
    )


def rate_for(windows: Windows) -> float:
    """Return the learning rate of the default detector."""
    return min(_LEARNING_RATE, _LEARNING_RATE * _WIDE / windows.shape[1])


def size_of_code(windows: Windows, rng: np.random.RandomState) -> int:
    """Return the number of principal components that explain 90 % of the variance of windows."""
    rows = np.sort(rng.permutation(len(windows))[:_MOST_DECOMPOSED])
    variances = np.square(np.linalg.svd(windows[rows] - windows[rows].mean(axis=0), compute_uv=False))
    return 1 + int(np.count_nonzero(np.cumsum(variances) < _EXPLAINED * variances.sum()))
