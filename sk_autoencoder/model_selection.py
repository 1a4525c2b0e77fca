"""Searching a detector with labels: scorers for GridSearchCV, and folds that train on normal rows only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import BaseCrossValidator, StratifiedKFold
from sklearn.utils import check_array, column_or_1d

__all__ = ["OneClassKFold", "OutlierScorer", "outlier_average_precision", "outlier_roc_auc"]


def outlier_mask(y: Any, outlier_label: int | None = None) -> np.ndarray:
    """Turn labels into a mask of outliers, refusing labels whose meaning is not certain."""
    if y is None:
        raise ValueError("Scoring a detector needs labels: pass y with 1 for normal rows and -1 for outliers.")
    y = column_or_1d(check_array(y, ensure_2d=False, dtype=None))
    values = set(np.unique(y).tolist())
    if not (values <= {-1, 1} or values <= {0, 1}):
        raise ValueError(f"Labels must be 1 and -1 (outliers), or 0 and 1 (outliers), got {sorted(values)}.")
    if len(values) < 2:
        raise ValueError(f"Labels must hold normal rows and outliers, but all of them are {values.pop()}.")
    if outlier_label is not None:
        if outlier_label not in values:
            raise ValueError(f"outlier_label={outlier_label} does not occur among the labels {sorted(values)}.")
        return y == outlier_label
    mask = y == (-1 if -1 in values else 1)
    if mask.mean() > 0.5:
        raise ValueError(
            f"{mask.mean():.0%} of the labels say outlier, read as -1 among (1, -1) and 1 among (0, 1). If this "
            "is meant, pass outlier_label; if not, turn the labels round."
        )
    return mask


class OutlierScorer:
    """Score a detector's ranking of rows by their labels, for GridSearchCV's ``scoring``.

    Parameters
    ----------
    metric : callable
        ``metric(is_outlier, strangeness)``, such as ``roc_auc_score``.
    outlier_label : {-1, 0, 1} or None, default=None
        The label of outliers. None reads -1 as outlier when the labels are 1 and -1 (scikit-learn's convention) and 1
        as outlier when they are 0 and 1 (that of benchmarks), and refuses labels by which most rows are outliers,
        because these are likely turned round.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.ensemble import IsolationForest
    >>> from sklearn.metrics import roc_auc_score
    >>> from sk_autoencoder.model_selection import OutlierScorer
    >>> X = np.r_[np.random.default_rng(0).normal(size=(99, 2)), [[9.0, 9.0]]]
    >>> y = np.r_[np.ones(99), -1]
    >>> OutlierScorer(roc_auc_score)(IsolationForest(random_state=0).fit(X), X, y)
    1.0
    """

    def __init__(self, metric: Callable[..., float], outlier_label: int | None = None):
        self.metric = metric
        self.outlier_label = outlier_label

    def __call__(self, estimator: Any, X: Any, y: Any) -> float:
        """Score a fitted detector on labelled rows."""
        mask = outlier_mask(y, self.outlier_label)
        return float(self.metric(mask, -np.asarray(estimator.score_samples(X))))

    def __repr__(self) -> str:
        return f"OutlierScorer({self.metric.__name__}, outlier_label={self.outlier_label})"


outlier_roc_auc = OutlierScorer(roc_auc_score)
outlier_average_precision = OutlierScorer(average_precision_score)


class OneClassKFold(BaseCrossValidator):
    """Folds for one-class learning: training folds hold normal rows only, test folds both kinds.

    Normal rows and outliers are each spread over the folds; the outliers of the training folds are left out.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds.
    shuffle : bool, default=False
        Whether rows are shuffled first.
    random_state : int, RandomState instance or None, default=None
        Source of the shuffling.
    outlier_label : {-1, 0, 1} or None, default=None
        The label of outliers, as in ``OutlierScorer``.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_autoencoder.model_selection import OneClassKFold
    >>> y = np.array([1, 1, 1, 1, -1, -1])
    >>> for train, test in OneClassKFold(n_splits=2).split(np.zeros((6, 1)), y):
    ...     print(train, test)
    [2 3] [0 1 4]
    [0 1] [2 3 5]
    """

    def __init__(
        self, n_splits: int = 5, *, shuffle: bool = False, random_state: Any = None, outlier_label: int | None = None
    ):
        self.n_splits = n_splits
        self.shuffle = shuffle
        self.random_state = random_state
        self.outlier_label = outlier_label

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield positions of training and test rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,)
            Labels of normal rows and outliers.
        groups : Ignored
            Not used, present for API consistency by convention.

        Yields
        ------
        train : ndarray
            Positions of normal rows.
        test : ndarray
            Positions of the remaining fold.
        """
        del groups
        mask = outlier_mask(y, self.outlier_label)
        fewest = min(mask.sum(), (~mask).sum())
        if fewest < self.n_splits:
            raise ValueError(
                f"n_splits={self.n_splits} needs as many normal rows and outliers, but one kind has {fewest}."
            )
        folds = StratifiedKFold(self.n_splits, shuffle=self.shuffle, random_state=self.random_state)
        for train, test in folds.split(np.zeros(len(mask)), mask):
            yield train[~mask[train]], test

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of folds.

        Parameters
        ----------
        X, y, groups : Ignored
            Not used, present for API consistency by convention.

        Returns
        -------
        n_splits : int
            Number of folds.
        """
        del X, y, groups
        return self.n_splits
