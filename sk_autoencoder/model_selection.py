"""Model selection: scorers and cross-validation for outlier detectors with labels, and for samples without labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy
from typing import Any

import numpy as np
from sklearn.base import is_regressor
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import average_precision_score, get_scorer, roc_auc_score
from sklearn.model_selection import BaseCrossValidator, KFold, StratifiedKFold
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.metadata_routing import MetadataRequest

from sk_autoencoder._labels import are_targets, known_labels, known_targets
from sk_autoencoder._validation import take_rows
from sk_autoencoder._warnings import warn

__all__ = [
    "LabelledKFold",
    "LabelledScorer",
    "OneClassKFold",
    "OutlierScorer",
    "labelled_scorer",
    "outlier_average_precision",
    "outlier_roc_auc",
]


def outlier_mask(y: Any, outlier_label: int | None = None, both: bool = True) -> np.ndarray:
    """Convert labels to a boolean mask of the outliers; raise an error if their meaning is ambiguous.

    ``both`` requires samples of both kinds.
    """
    y, values = _checked_labels(y)
    if len(values) < 2:
        if both:
            raise ValueError(f"Labels must contain normal samples and outliers, but all labels are {values.pop()}.")
        if outlier_label is None and values == {1}:
            raise ValueError("All labels are 1, which is normal beside -1 and an outlier beside 0; pass outlier_label.")
        return y == (outlier_label if outlier_label is not None else -1)
    if outlier_label is not None:
        if outlier_label not in values:
            raise ValueError(f"outlier_label={outlier_label} does not occur among the labels {sorted(values)}.")
        return y == outlier_label
    mask = y == (-1 if -1 in values else 1)
    if mask.mean() > 0.5:
        raise ValueError(
            f"{mask.mean():.0%} of the labels say outlier, if -1 among (1, -1) or 1 among (0, 1) means outlier. If "
            "this is intended, pass outlier_label; otherwise, swap the labels."
        )
    return mask


def _checked_labels(y: Any) -> tuple[np.ndarray, set[int]]:
    """Return the labels of normal samples and outliers as an array, and their values."""
    if y is None:
        raise ValueError("Scoring a detector needs labels: pass y with 1 for normal samples and -1 for outliers.")
    y = column_or_1d(check_array(y, ensure_2d=False, dtype=None))
    values = set(np.unique(y).tolist())
    if not (values <= {-1, 1} or values <= {0, 1}):
        raise ValueError(f"Labels must be 1 and -1 (outliers), or 0 and 1 (outliers), got {sorted(values)}.")
    return y, values


class OutlierScorer:
    """Scorer that compares outlier scores with labels, for the parameter ``scoring`` of GridSearchCV.

    Parameters
    ----------
    metric : callable
        ``metric(is_outlier, outlier_scores)``, such as ``roc_auc_score``. For a metric of predictions, use
        scikit-learn's ``make_scorer(f1_score, pos_label=-1)`` with labels 1 and -1.
    outlier_label : {-1, 0, 1} or None, default=None
        The label of outliers. None is -1 if the labels are 1 and -1 (scikit-learn's convention), and 1 if they are 0
        and 1 (the convention of many benchmarks). With None, an error is raised if most samples are outliers, because
        the labels are probably swapped.

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
        self._requested: bool | str | None = None

    def __call__(self, estimator: Any, X: Any, y: Any, *, sample_weight: Any = None) -> float:
        """Score a fitted detector on labelled samples, with optional weights (n_samples,) that the metric uses.

        The score is NaN, with an ``UndefinedMetricWarning``, if all labels are equal.
        """
        if not callable(self.metric):
            raise TypeError(f"metric={self.metric!r} must be a function, such as sklearn.metrics.roc_auc_score.")
        if len(_checked_labels(y)[1]) == 1:
            warn("All labels are equal, so that the score is not defined.", UndefinedMetricWarning)
            return float("nan")
        mask = outlier_mask(y, self.outlier_label)
        weights = {} if sample_weight is None else {"sample_weight": sample_weight}
        return float(self.metric(mask, -np.asarray(estimator.score_samples(X)), **weights))

    def set_score_request(self, *, sample_weight: bool | str | None) -> OutlierScorer:
        """Return a scorer that requests weights, for metadata routing.

        Parameters
        ----------
        sample_weight : bool, str or None
            True: pass ``sample_weight`` to the metric. False: do not. None: raise an error if it is given. A string is
            the name under which it is given.

        Returns
        -------
        scorer : OutlierScorer
            A copy of this scorer with the request.
        """
        scorer = copy(self)
        scorer._requested = sample_weight
        return scorer

    def get_metadata_routing(self) -> MetadataRequest:
        """Return the requested metadata, for scikit-learn.

        Returns
        -------
        request : MetadataRequest
            The request of ``set_score_request``.
        """
        request = MetadataRequest(owner=self)
        request.score.add_request(param="sample_weight", alias=self._requested)
        return request

    def __repr__(self) -> str:
        name = getattr(self.metric, "__name__", repr(self.metric))
        return f"OutlierScorer({name}, outlier_label={self.outlier_label})"


outlier_roc_auc = OutlierScorer(roc_auc_score)
outlier_average_precision = OutlierScorer(average_precision_score)


class OneClassKFold(BaseCrossValidator):
    """Stratified folds for one-class learning: outliers are removed from the training sets, but not from the test sets.

    Normal samples and outliers are each distributed evenly over the folds. A search fits its best estimator to all
    samples that it gets, also to the outliers: use ``refit=False``, and fit the detector to the normal samples.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds.
    shuffle : bool, default=False
        Whether to shuffle the samples before splitting.
    random_state : int, RandomState instance or None, default=None
        Seed or generator of the shuffling.
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
        """Yield the indices of training and test samples.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples. Not used, since the split depends on ``y`` only.
        y : array-like of shape (n_samples,)
            Labels of normal samples and outliers.
        groups : Ignored
            Not used, present for API consistency by convention.

        Yields
        ------
        train : ndarray
            Indices of the normal samples in the training folds.
        test : ndarray
            Indices of all samples in the test fold.
        """
        del groups
        mask = outlier_mask(y, self.outlier_label)
        fewest = min(mask.sum(), (~mask).sum())
        if fewest < self.n_splits:
            raise ValueError(
                f"n_splits={self.n_splits} needs at least {self.n_splits} normal samples and {self.n_splits} outliers, "
                f"but the smaller class has {fewest}."
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


class LabelledScorer:
    """Scorer that ignores samples without label, for the parameter ``scoring`` of GridSearchCV.

    ``labelled_scorer`` makes one from a name.

    Parameters
    ----------
    scorer : callable
        A scorer of scikit-learn, ``scorer(estimator, X, y)``.
    """

    def __init__(self, scorer: Callable[..., float]):
        self.scorer = scorer

    def __call__(self, estimator: Any, X: Any, y: Any, *, sample_weight: Any = None) -> float:
        """Score a fitted estimator on the samples whose label is known.

        Targets of regressors are unknown if they are NaN; labels of classifiers, if they are -1, None, NaN or NA.
        """
        if is_regressor(estimator):
            targets = known_targets(y)
            known = ~np.isnan(targets)
            labels = targets[known]
        else:
            known, labels = known_labels(y, classes=getattr(estimator, "classes_", None))
            labels = _integers(labels)
        if not known.any():
            raise ValueError("There is no sample with a label to score; use LabelledKFold, so that each fold has some.")
        weights = {} if sample_weight is None else {"sample_weight": np.asarray(sample_weight)[known]}
        return float(self.scorer(estimator, take_rows(X, np.flatnonzero(known)), labels, **weights))

    def set_score_request(self, *, sample_weight: bool | str | None) -> LabelledScorer:
        """Return a scorer that requests weights, for metadata routing.

        Parameters
        ----------
        sample_weight : bool, str or None
            As in the scorers of scikit-learn.

        Returns
        -------
        scorer : LabelledScorer
            A scorer with the request.
        """
        return LabelledScorer(copy(self.scorer).set_score_request(sample_weight=sample_weight))  # type: ignore[attr-defined]

    def get_metadata_routing(self) -> MetadataRequest:
        """Return the requested metadata, for scikit-learn.

        Returns
        -------
        request : MetadataRequest
            The request of the inner scorer.
        """
        return self.scorer.get_metadata_routing()  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        return f"LabelledScorer({self.scorer!r})"


def labelled_scorer(scoring: str) -> LabelledScorer:
    """Return a scorer that ignores samples without label.

    Parameters
    ----------
    scoring : str
        Name of one of scikit-learn's scorers, such as "accuracy", "neg_log_loss" or "r2".

    Returns
    -------
    scorer : LabelledScorer
        The scorer, for the parameter ``scoring`` of GridSearchCV.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sk_autoencoder import AutoencoderClassifier
    >>> from sk_autoencoder.model_selection import LabelledKFold, labelled_scorer
    >>> model, grid = AutoencoderClassifier(), {"reconstruction_weight": [0.0, 1.0]}
    >>> search = GridSearchCV(model, grid, scoring=labelled_scorer("neg_log_loss"), cv=LabelledKFold(3))
    """
    return LabelledScorer(get_scorer(scoring))


def _integers(labels: np.ndarray) -> np.ndarray:
    """Return numbers of classes, which are floats where others were NaN, as integers."""
    return labels.astype(np.int64) if labels.dtype.kind == "f" else labels


class LabelledKFold(BaseCrossValidator):
    """Folds of the samples with a label; those without are in all training sets, and in no test set.

    Classes are distributed evenly over the folds; unknown labels are -1, None, NaN or NA. Of the targets of a
    regression, only NaN is unknown.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds.
    shuffle : bool, default=False
        Whether to shuffle the samples before splitting.
    random_state : int, RandomState instance or None, default=None
        Seed or generator of the shuffling.
    classifier : bool or None, default=None
        Whether y has labels of classes (True) or targets of a regression (False). None takes numbers that are not all
        integers for targets, everything else for classes. Regressions need False if their targets are integers.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_autoencoder.model_selection import LabelledKFold
    >>> y = np.array([0, 0, 1, 1, -1, -1])
    >>> for train, test in LabelledKFold(n_splits=2).split(np.zeros((6, 1)), y):
    ...     print(train, test)
    [1 3 4 5] [0 2]
    [0 2 4 5] [1 3]
    """

    def __init__(
        self,
        n_splits: int = 5,
        *,
        shuffle: bool = False,
        random_state: Any = None,
        classifier: bool | None = None,
    ):
        self.n_splits = n_splits
        self.shuffle = shuffle
        self.random_state = random_state
        self.classifier = classifier

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the indices of training and test samples.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples. Not used, since the split depends on ``y`` only.
        y : array-like of shape (n_samples,)
            Labels, some of which are unknown.
        groups : Ignored
            Not used, present for API consistency by convention.

        Yields
        ------
        train : ndarray
            Indices of the samples in the training folds, and of all samples without label.
        test : ndarray
            Indices of the samples with a label in the test fold.
        """
        del groups
        classifies = not are_targets(y) if self.classifier is None else self.classifier
        if classifies:
            known, labels = known_labels(y)
            labels = _integers(labels)
            self._check_classes(labels)
        else:
            known = ~np.isnan(known_targets(y))
            labels = np.zeros(known.sum())
        positions = np.flatnonzero(known)
        kind = StratifiedKFold if classifies else KFold
        folds = kind(self.n_splits, shuffle=self.shuffle, random_state=self.random_state)
        for _, test in folds.split(np.zeros((len(labels), 1)), labels):
            yield np.setdiff1d(np.arange(len(known)), positions[test]), positions[test]

    def _check_classes(self, labels: np.ndarray) -> None:
        """Raise an error if numbers are as probably targets of a regression."""
        sizes = np.unique(labels, return_counts=True)[1]
        if self.classifier is None and labels.dtype.kind in "iu" and len(labels) and np.median(sizes) < self.n_splits:
            raise ValueError(
                f"y has {len(sizes)} different integers, most of them fewer than n_splits={self.n_splits} times: pass "
                "classifier=False if they are targets of a regression, or classifier=True if they are classes."
            )

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
