"""How improbable the values of each sensor in a window are, given those of the other sensors."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from sklearn.covariance import ledoit_wolf

from sk_autoencoder.blocks import row_product

_LEAST_VARIANCE = 1e-3  # in variances of scaled steps; less is not distinguished from a constant
_LEAST_SPREADS = (0.03, 0.1, 0.1)  # of the three numbers, so that a sensor that was constant has finite deviations
_RIDGE = 1e-3  # added to correlations, so that copies of a sensor have an inverse


def descriptions(windows: np.ndarray) -> np.ndarray:
    """Describe each sensor by three numbers, (n, n_sensors, size) -> (n, 3 * n_sensors).

    They are, for all sensors one after the other: the level, as signed logarithm of the mean; the logarithm of the
    variance; the logarithm of the mean squared difference of consecutive steps.
    """
    level = windows.mean(axis=-1)
    differences = np.diff(windows, axis=-1, prepend=windows[..., :1])
    squares = windows.var(axis=-1), np.square(differences).mean(axis=-1)
    return np.concatenate([np.sign(level) * np.log1p(np.abs(level)), *np.log(np.add(squares, _LEAST_VARIANCE))], axis=1)


class SensorModel(NamedTuple):
    """Distribution of the descriptions of the sensors in training windows.

    Products of deviations and axes are, for each sensor, independent normal deviates under a normal distribution
    given the other sensors: one of the level given the levels, two of the others given these.
    """

    location: np.ndarray  # (3 * n_sensors,)
    axes: np.ndarray  # (3 * n_sensors, 3 * n_sensors)

    @classmethod
    def learn(cls, described: np.ndarray) -> SensorModel:
        """Learn from descriptions of windows, (n, 3 * n_sensors)."""
        location, width = described.mean(axis=0), described.shape[1]
        n_sensors, axes = width // 3, np.zeros((width, width))
        spread = np.maximum(described.std(axis=0), np.repeat(_LEAST_SPREADS, n_sensors))
        scaled = (described - location) / spread
        for columns in (np.arange(n_sensors)[None], np.arange(n_sensors, width).reshape(2, n_sensors)):
            used = columns.ravel()
            correlations, _ = ledoit_wolf(scaled[:, used], assume_centered=True)
            np.fill_diagonal(correlations, 1 + _RIDGE)
            precision = np.linalg.inv(correlations)
            for own in columns.T:
                place = own - used[0]
                root = np.linalg.cholesky(np.linalg.inv(precision[np.ix_(place, place)]))
                axes[np.ix_(used, own)] = precision[:, place] @ root
        return cls(location, axes / spread[:, None])

    def improbabilities(self, described: np.ndarray) -> np.ndarray:
        """Return the absolute deviate of the level and the squares of the others, added, (n, n_sensors).

        The level counts less, since levels change slowly: a training series has few independent values of them.
        """
        deviations, axes = (torch.from_numpy(values)[None] for values in (described - self.location, self.axes))
        level, spread, roughness = np.split(row_product(deviations, axes)[0].numpy(), 3, axis=1)
        return np.abs(level) + np.square(spread) + np.square(roughness)
