"""Warnings that ``fit`` of a detector gives: of copies, of outliers with ``novelty=True``, and of a low threshold."""

from __future__ import annotations

from typing import Any

import numpy as np

from sk_autoencoder._rounding import ROUNDING
from sk_autoencoder._warnings import warn
from sk_autoencoder.estimators._training_samples import hashed

# With novelty=True, fit warns if more than 2 % of the training samples have scores that one in 500 inliers exceeds, by
# an exponential tail above the median. In 106 sets of inliers, at most 1.8 % had. Where samples are repeated, such
# as counts and categories, scores are no evidence: samples that occur once are far from all others.
_CONTRADICTING, _RARE, _FEWEST_OUTLIERS, DISTINCT = 0.02, 2e-3, 5, 0.9

# Copies of training samples.
_MANY = 0.25  # fraction of the samples that are copies; at least this many change the scores of all new samples
_FEWEST_DISTINCT = 20
_N_HALVES = 8
_MOST_CELLS = 1 << 22  # of distinct samples that are compared
_BY_CHANCE = 0.1  # largest share of the distinct samples that coincide in a half of the features
_MOST_TIMES = 10  # samples that are repeated more often than this times the median one are usual, not copies

# A threshold is too low for new samples if so many times the intended share, and significantly more, exceed it.
_MANY_TIMES, _DEVIATIONS = 2.0, 3.0


def warn_of_outliers(held_out: np.ndarray, is_log_scale: bool) -> None:
    """Warn if the scores of held-out training samples show that some of them are outliers."""
    logs = held_out if is_log_scale else np.log(held_out.clip(min=ROUNDING))
    median, upper = np.quantile(logs, [0.5, 0.75])
    n_outliers = np.count_nonzero(logs > median + (upper - median) * np.log2(0.5 / _RARE))
    if n_outliers > max(_CONTRADICTING * len(logs), _FEWEST_OUTLIERS - 1):
        warn(
            f"novelty=True states that all training samples are inliers, but {n_outliers / len(logs):.1%} of them have "
            f"outlier scores that one in {1 / _RARE:.0f} inliers would exceed; use novelty=False, or leave out the "
            "outliers."
        )


def warn_of_low_threshold(contamination: float, held_out: np.ndarray, limit: float) -> None:
    """Warn if far more held-out scores (n,) exceed the limit than the intended share of the training samples."""
    n_samples, n_outliers = len(held_out), np.count_nonzero(held_out > limit)
    expected = contamination * n_samples
    if n_outliers > max(_MANY_TIMES * expected, expected + _DEVIATIONS * np.sqrt(expected)):
        warn(
            f"The threshold is exceeded by {contamination:.0%} of the training samples, most of which the only member "
            f"was trained on, but by {n_outliers / n_samples:.0%} of those that it was not trained on, and so by about "
            "as many new ones. Use n_estimators=5, or contamination='tail' or 'conformal', which use held-out samples."
        )


def warn_of_copies(X: Any) -> None:
    """Warn if many samples of X (n_samples, n_features) have copies, which may be in other folds."""
    share = share_of_copies(X)
    if share >= _MANY:
        warn(
            f"{share:.0%} of the training samples are equal to another one, although different samples hardly have "
            "equal values, so they seem to be copies. Members hold out samples of which they know copies, so that new "
            "samples, which have none, are labelled as outliers too often. Remove the copies, for example by "
            "X, counts = np.unique(X, axis=0, return_counts=True) and fit(X, sample_weight=counts), or pass the same "
            "group for copies in groups. If new samples are copies of training samples, too, ignore this warning."
        )


def share_of_copies(X: Any) -> float:
    """Return the fraction of the samples that have copies.

    Samples are copies if they are equal, although different samples hardly coincide in some half of the features. Where
    samples are equal by chance, as with few classes or counts, different ones coincide in any half. A sample that is
    repeated far more often than most is no copy: a machine that is switched off measures the same each time.
    """
    all_features = np.ones(X.shape[1], dtype=bool)
    keys, first, counts = np.unique(hashed(X, all_features, exact=True), return_index=True, return_counts=True)
    copied = (counts > 1) & (counts <= _MOST_TIMES * np.median(counts))
    if not copied.any() or len(keys) < _FEWEST_DISTINCT or not _hardly_coincide(X, np.sort(first)):
        return 0.0
    return counts[copied].sum() / X.shape[0]


def _hardly_coincide(X: Any, distinct: np.ndarray) -> bool:
    """Whether the samples at the positions ``distinct`` hardly coincide in some half of the features."""
    n_features = X.shape[1]
    step = -(-len(distinct) * n_features // _MOST_CELLS)
    rng, compared = np.random.default_rng(0), X[distinct[::step]]
    for _ in range(_N_HALVES if n_features > 1 else 0):
        half = np.isin(np.arange(n_features), rng.choice(n_features, size=n_features // 2, replace=False))
        n_distinct = len(np.unique(hashed(compared, half, exact=True)))
        if step * (1 - n_distinct / compared.shape[0]) < _BY_CHANCE:
            return True
    return False
