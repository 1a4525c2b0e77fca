"""Where scores of strangeness turn into outliers: rules that need no labels.

A rule sees the scores (larger = stranger) of the training rows and of rows while they were held out of training,
and returns the threshold. A row is an outlier if its score is larger, by more than rounding.
"""

from __future__ import annotations

from abc import abstractmethod
from math import floor, log
from typing import Any, ClassVar, NamedTuple

import numpy as np
from scipy import stats

from sk_autoencoder._parts import Part
from sk_autoencoder._rounding import rounding
from sk_autoencoder._validation import reals

__all__ = ["THRESHOLDS", "Auto", "Conformal", "Hampel", "Quantile", "Tail", "Threshold"]


class Threshold(Part):
    """Abstract: a rule from scores to a threshold."""

    @abstractmethod
    def __call__(self, scores: np.ndarray, held_out: np.ndarray) -> float:
        """Return the threshold; ``scores`` are those of all rows, ``held_out`` those of rows not trained on."""


class Quantile(Threshold):
    """The given share of the training rows are outliers.

    Parameters
    ----------
    contamination : float in (0, 0.5], default=0.1
        The share, met up to ties and rounding.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"contamination": [reals(0, 0.5, closed="right")]}

    def __init__(self, contamination: float = 0.1):
        self.contamination = contamination

    def __call__(self, scores: np.ndarray, held_out: np.ndarray) -> float:
        """Return a quantile of the training scores."""
        del held_out
        return float(np.quantile(scores, 1 - self.contamination))


class Hampel(Threshold):
    """Outliers lie far above the median, measured by the median distance of the rows above it.

    The spread of the upper half alone is used because scores are skewed; outliers among fewer than half of the
    rows hardly move it.

    Parameters
    ----------
    n_deviations : float, default=2.5
        Distance from the median in (normal-consistent) median deviations.

    References
    ----------
    F. R. Hampel, "The Influence Curve and its Role in Robust Estimation", JASA 69, 1974.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"n_deviations": [reals(0, closed="neither")]}

    def __init__(self, n_deviations: float = 2.5):
        self.n_deviations = n_deviations

    def __call__(self, scores: np.ndarray, held_out: np.ndarray) -> float:
        """Return median + n_deviations * upper median deviation of the held-out scores."""
        del scores
        median = np.median(held_out)
        spread = np.median(held_out[held_out >= median] - median) / stats.norm.ppf(0.75)
        return float(median + self.n_deviations * spread)


class Tail(Threshold):
    """A generalised Pareto distribution is fitted to the highest scores and extrapolated.

    Parameters
    ----------
    alpha : float in (0, 0.5), default=0.05
        Share of clean rows beyond the threshold.
    tail : float in (0, 1), default=0.1
        Share of the held-out scores that the distribution is fitted to; at least 10 of them are used.

    References
    ----------
    A. Siffer et al., "Anomaly Detection in Streams with Extreme Value Theory", KDD 2017.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "alpha": [reals(0, 0.5, closed="neither")],
        "tail": [reals(0, 1, closed="neither")],
    }

    def __init__(self, alpha: float = 0.05, tail: float = 0.1):
        self.alpha = alpha
        self.tail = tail

    def __call__(self, scores: np.ndarray, held_out: np.ndarray) -> float:
        """Return the score that a share ``alpha`` exceeds."""
        del scores
        n_tail = min(len(held_out), max(10, round(self.tail * len(held_out))))
        share = n_tail / len(held_out)
        ordered = np.sort(held_out)
        start = ordered[-n_tail]
        excesses = ordered[-n_tail:] - start
        if self.alpha >= share or excesses.max() == 0:
            return float(np.quantile(held_out, 1 - self.alpha))
        return float(start + _pareto_quantile(excesses, self.alpha / share))


def _pareto_quantile(excesses: np.ndarray, survival: float) -> float:
    """Quantile of a generalised Pareto distribution by the method of moments, which always exists.

    Hosking and Wallis, "Parameter and Quantile Estimation for the Generalized Pareto Distribution", 1987.
    """
    mean, variance = excesses.mean(), excesses.var()
    ratio = mean**2 / variance
    shape, scale = 0.5 * (1 - ratio), 0.5 * mean * (1 + ratio)
    return float(stats.genpareto.isf(survival, shape, scale=scale))


class Conformal(Threshold):
    """At most a share ``alpha`` of clean rows are called outliers, whatever their distribution.

    The threshold is the quantile of the held-out scores that makes the p-value of a flagged row at most ``alpha``.
    Fewer than ``1 / alpha - 1`` held-out rows cannot support that level: then rows stranger than all of them are
    flagged, a level of one in the number of held-out rows plus one.

    Parameters
    ----------
    alpha : float in (0, 1), default=0.05
        The level.

    References
    ----------
    S. Bates et al., "Testing for Outliers with Conformal p-values", Annals of Statistics 51, 2023.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"alpha": [reals(0, 1, closed="neither")]}

    def __init__(self, alpha: float = 0.05):
        self.alpha = alpha

    def __call__(self, scores: np.ndarray, held_out: np.ndarray) -> float:
        """Return the k-th largest held-out score, k = floor(alpha * (n + 1))."""
        del scores
        rank = min(max(1, floor(self.alpha * (len(held_out) + 1) + 1e-9)), len(held_out))
        return float(np.sort(held_out)[-rank])


_MEDIAN, _LATEST_START, _END = 0.5, 0.8, 0.9


class ExponentialTail(NamedTuple):
    """The share of values beyond x is ``exp(-surprise)``, with ``surprise = base + (x - start) / scale``."""

    start: float
    scale: float
    base: float

    def limit(self, share: float) -> float:
        """Return the value that a share of the values exceeds."""
        return self.start + self.scale * (-log(share) - self.base)


def exponential_tail(values: np.ndarray) -> ExponentialTail:
    """Fit the law between the median and the 90th percentile, which up to a tenth of outliers hardly moves.

    Where values are tied with the smallest, as those of identical samples are, the law is learnt above them: from half
    way between their share and the 90th percentile, but not below the median or above the 80th percentile.
    """
    lowest = values.min()
    tied = np.mean(values <= lowest + rounding(lowest))
    first = np.clip((tied + _END) / 2, _MEDIAN, _LATEST_START)
    start, end = np.quantile(values, [first, _END])
    return ExponentialTail(float(start), float((end - start) / log((1 - first) / (1 - _END))), -log(1 - first))


class Auto(Threshold):
    """Outliers score higher than a share ``alpha`` of the samples would by an exponential law for the upper half.

    The law is fitted to the scores of held-out samples between the median and the 90th percentile, so that up to a
    tenth of outliers hardly moves it. It suits scores that are surprises, like the default score. The strangest
    training sample is an outlier in any case, unless more than a tenth of the held-out samples are as strange.

    Parameters
    ----------
    alpha : float in (0, 0.5), default=0.03
        Share of samples above the threshold by that law. The default score has a lighter tail: about 1 % of clean
        samples are above it.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"alpha": [reals(0, 0.5, closed="neither")]}

    def __init__(self, alpha: float = 0.03):
        self.alpha = alpha

    def __call__(self, scores: np.ndarray, held_out: np.ndarray) -> float:
        """Return the score that a share ``alpha`` exceeds by the law, or one just below the strangest sample's."""
        limit = exponential_tail(held_out).limit(self.alpha)
        below_strangest = float(scores.max() - 2 * rounding(scores.max()))
        return min(limit, max(below_strangest, Conformal(_MOST_ALARMS)(scores, held_out)))


_MOST_ALARMS = 0.1  # for the sake of the strangest training sample


THRESHOLDS: dict[str, type[Threshold]] = {"auto": Auto, "tail": Tail, "conformal": Conformal}
