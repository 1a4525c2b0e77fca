"""Rules that choose the threshold of an outlier detector without labels.

A rule gets the outlier scores of the training samples and of held-out samples (larger = more outlying), and returns the
threshold. A sample is an outlier if its score exceeds the threshold by more than rounding errors. A rule may also use
what the components of the score say about the training samples, see ``Evidence``.
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

__all__ = ["THRESHOLDS", "Auto", "Conformal", "Evidence", "Hampel", "Quantile", "Tail", "Threshold"]


class Evidence(NamedTuple):
    """How many training samples are isolated, and unusual by their residual, or by values of single features.

    Extreme samples of a distribution with long tails have unusual values of single features. Outliers among the
    training samples have unusual residuals, so there are more of this kind. A sample can be of both kinds, and counts
    by a weight between 0 and 1, see ``OutlierScore.evidence``.

    Parameters
    ----------
    by_residual : float, default=0
        Number of isolated samples with unusual residuals.
    by_tails : float, default=0
        Number of isolated samples with unusual values of single features.

    Examples
    --------
    >>> from sk_autoencoder.thresholds import Evidence
    >>> Evidence(by_residual=12, by_tails=4).of_outliers(n_samples=400)
    True
    """

    by_residual: float = 0
    by_tails: float = 0

    def of_outliers(self, n_samples: int) -> bool:
        """Tell whether there are outliers among the training samples.

        Parameters
        ----------
        n_samples : int
            Number of training samples.

        Returns
        -------
        found : bool
            True if there are at least 6 samples with unusual residuals, and more than those with unusual values of
            single features by at least 0.6 % of all samples.
        """
        return self.by_residual >= _FEWEST and self.by_residual - self.by_tails >= _SMALLEST_DIFFERENCE * n_samples


_FEWEST, _SMALLEST_DIFFERENCE = 6, 0.006


class Threshold(Part):
    """Abstract base class: a function from scores to a threshold."""

    @abstractmethod
    def __call__(self, scores: np.ndarray, held_out: np.ndarray) -> float:
        """Return the threshold.

        ``scores`` are those of all training samples, ``held_out`` those of samples by members not trained on them.
        """

    def with_evidence(self, scores: np.ndarray, held_out: np.ndarray, evidence: Evidence) -> float:
        """Return the threshold, given what the components of the score say about the training samples.

        By default, this is not used.
        """
        del evidence
        return self(scores, held_out)


class Quantile(Threshold):
    """Quantile of the training scores: a given fraction of the training samples are outliers.

    Parameters
    ----------
    contamination : float in (0, 0.5], default=0.1
        The fraction of outliers, which is met up to ties and rounding.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"contamination": [reals(0, 0.5, closed="right")]}

    def __init__(self, contamination: float = 0.1):
        self.contamination = contamination

    def __call__(self, scores: np.ndarray, held_out: np.ndarray) -> float:
        """Return a quantile of the training scores."""
        del held_out
        return float(np.quantile(scores, 1 - self.contamination))


class Hampel(Threshold):
    """Hampel identifier: the median of the held-out scores plus a multiple of their upper median deviation.

    The deviation is the median of the distances from the median of scores above it. Scores below it are not used,
    because scores are skewed. The rule is robust to outliers if they are fewer than half of the samples above the
    median.

    Parameters
    ----------
    n_deviations : float, default=2.5
        The multiple. The deviation is scaled to be consistent with the standard deviation of a normal distribution.

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
    """Quantile of a generalized Pareto distribution fitted to the largest held-out scores.

    Parameters
    ----------
    alpha : float in (0, 0.5), default=0.05
        Fraction of normal samples with scores above the threshold.
    tail : float in (0, 1), default=0.1
        Fraction of the held-out scores that the distribution is fitted to; at least 10 of them are used.

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
        """Return the score that a fraction ``alpha`` of the samples exceeds."""
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
    """Quantile of a generalized Pareto distribution, fitted by the method of moments, which always has a solution.

    Hosking and Wallis, "Parameter and Quantile Estimation for the Generalized Pareto Distribution", 1987.
    """
    mean, variance = excesses.mean(), excesses.var()
    ratio = mean**2 / variance
    shape, scale = 0.5 * (1 - ratio), 0.5 * mean * (1 + ratio)
    return float(stats.genpareto.isf(survival, shape, scale=scale))


class Conformal(Threshold):
    """Conformal threshold: a new normal sample exceeds it with a probability of at most ``alpha``.

    This holds for any distribution of the scores, if scores of new samples are distributed like held-out scores. The
    threshold is the quantile of the n held-out scores for which the conformal p-value of an outlier is at most
    ``alpha``. With fewer than ``1 / alpha - 1`` held-out samples, no quantile has this property. Then the threshold is
    the largest held-out score, and the probability is at most ``1 / (n + 1)``.

    Parameters
    ----------
    alpha : float in (0, 1), default=0.05
        The significance level.

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


_MEDIAN, _LATEST_START, _END = 0.5, 0.8, 0.9  # quantiles between which the exponential distribution is fitted


class ExponentialTail(NamedTuple):
    """Exponential distribution above ``start``: ``P(value > x) = exp(-(base + (x - start) / scale))``."""

    start: float
    scale: float
    base: float

    def limit(self, share: float) -> float:
        """Return the value that a fraction ``share`` of the values exceeds."""
        return self.start + self.scale * (-log(share) - self.base)


def exponential_tail(values: np.ndarray) -> ExponentialTail:
    """Fit an exponential distribution between the median and the 90th percentile; robust to up to 10 % of outliers.

    If many values are tied with the minimum, such as those of repeated samples, the fit starts above the median: half
    way between the fraction of tied values and the 90th percentile, but at most at the 80th percentile.
    """
    lowest = values.min()
    tied = np.mean(values <= lowest + rounding(lowest))
    first = np.clip((tied + _END) / 2, _MEDIAN, _LATEST_START)
    start, end = np.quantile(values, [first, _END])
    return ExponentialTail(float(start), float((end - start) / log((1 - first) / (1 - _END))), -log(1 - first))


class Auto(Threshold):
    """About 1 % of normal samples, or ``Tail()`` if the components of the score agree that there are outliers.

    The first threshold is the quantile of an exponential distribution, fitted to the held-out scores between the median
    and the 90th percentile. It suits scores that are surprises, such as the default score. It is lowered so that at
    least one training sample is an outlier, unless more than 10 % of the held-out samples would exceed it.

    The second threshold is used, if it is lower, where more training samples are isolated and have unusual residuals
    than are isolated and have unusual values of single features: at least 0.6 % of all samples more, and at least 6
    with unusual residuals. A sample counts fully if 1.5 % of normal samples or fewer have such a score, and not at all
    if it is more than 7 %. This needs a score with the components ``ResidualDistance``, "sample_isolation" and
    "feature_tails", as in the default; otherwise the first threshold is used.

    Parameters
    ----------
    alpha : float in (0, 0.5), default=0.015
        Fraction of samples above the first threshold if the distribution is exponential. The default score has a
        lighter tail: at most about 1 % of normal samples are above the threshold.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"alpha": [reals(0, 0.5, closed="neither")]}

    def __init__(self, alpha: float = 0.015):
        self.alpha = alpha

    def __call__(self, scores: np.ndarray, held_out: np.ndarray) -> float:
        """Return the quantile, or a value just below the largest training score if that is smaller."""
        limit = exponential_tail(held_out).limit(self.alpha)
        below_largest = float(scores.max() - 2 * rounding(scores.max()))
        return min(limit, max(below_largest, Conformal(_MOST_ALARMS)(scores, held_out)))

    def with_evidence(self, scores: np.ndarray, held_out: np.ndarray, evidence: Evidence) -> float:
        """Return the threshold without evidence, or that of ``Tail()`` if it is lower and there are outliers."""
        limit = self(scores, held_out)
        return min(limit, Tail()(scores, held_out)) if evidence.of_outliers(len(scores)) else limit


_MOST_ALARMS = 0.1  # largest false alarm rate that lowering the threshold to the largest training score may cause


THRESHOLDS: dict[str, type[Threshold]] = {"auto": Auto, "tail": Tail, "conformal": Conformal}
