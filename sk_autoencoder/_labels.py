"""Labels of classifiers and targets of regressors, of which some are unknown."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.utils import column_or_1d
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets

from sk_autoencoder._validation import is_missing
from sk_autoencoder._warnings import warn

UNLABELLED = -1
_UNLABELLED_TEXTS = ("-1", "nan")  # what unknown labels become in an array of strings


class BinaryLabelsWarning(UserWarning):
    """Labels are -1 and 1, which are two classes, although -1 usually means unlabelled."""


def known_labels(
    y: Any, n_samples: int | None = None, name: str = "y", classes: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return which samples have a label, (n_samples,), and the labels of these, with one type.

    -1, None, NaN and NA mean that the label is unknown. -1 is a class if it is one of the fitted ``classes``; without
    these, if all labels are -1 or 1.
    """
    values = _one_dimensional(y, n_samples, name)
    if values.dtype.kind == "f" and np.isinf(values).any():
        raise ValueError(f"{name} contains infinity or a value too large for {values.dtype}.")
    missing, negative = missing_labels(values), _negative(values)
    known = ~(missing | negative)
    others = set(values[known].tolist())
    if classes is not None:
        known = ~missing if UNLABELLED in classes.tolist() else known
    elif others <= {1} and negative.any() and others:
        warn(
            f"{name} has the labels -1 and 1 only, which are two classes. If -1 means unlabelled, there is one class, "
            "and nothing to learn. If there are more classes, name them 0, 1, ... and unlabelled samples -1.",
            BinaryLabelsWarning,
        )
        known = ~missing
    labels = values[known]
    if labels.dtype == object:
        if len({isinstance(label, str) for label in labels}) > 1:
            raise ValueError(f"{name} has strings and other types as labels; use one type of labels.")
        labels = np.array(labels.tolist())
    for text in _UNLABELLED_TEXTS:
        if labels.dtype.kind == "U" and (labels == text).any():
            raise ValueError(
                f"{name} has the string {text!r} as a label; if it means unlabelled, use None in an array of objects: "
                f"{name} = np.where({name} == {text!r}, None, {name})."
            )
    return known, labels


def _one_dimensional(y: Any, n_samples: int | None, name: str) -> np.ndarray:
    if y is None:
        raise ValueError(f"This estimator requires {name} to be passed, but the target {name} is None.")
    if isinstance(y, list | tuple) and np.asarray(y).dtype.kind in "US":
        y = np.asarray(y, dtype=object)  # NaN stays NaN
    y = column_or_1d(y, warn=True)
    if n_samples is not None and len(y) != n_samples:
        raise ValueError(f"{name} has {len(y)} labels, but there are {n_samples} samples.")
    return y


def missing_labels(values: np.ndarray) -> np.ndarray:
    """Return which labels (n,) are None, NaN or NA."""
    if values.dtype.kind == "f":
        return np.isnan(values)
    if values.dtype != object:
        return np.zeros(len(values), dtype=bool)
    return np.array([value is None or is_missing(value) or value != value for value in values], dtype=bool)


def _negative(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind in "iuf":
        return values == UNLABELLED
    if values.dtype != object:
        return np.zeros(len(values), dtype=bool)
    return np.array([_is_number(value) and value == UNLABELLED for value in values], dtype=bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Number) and not isinstance(value, bool | np.bool_)


def encoded_classes(y: Any, n_samples: int, weight: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the classes, and the number of each sample's class, -1 without label, (n_samples,).

    Labels of samples with zero weight are not used.
    """
    known, labels = known_labels(y, n_samples)
    if weight is not None and not (weight[known] > 0).all():
        labels = labels[weight[known] > 0]
        known &= weight > 0
    if len(labels) == 0:
        raise ValueError(f"y has no label: all {n_samples} samples are unlabelled (-1, None or NaN) or have weight 0.")
    check_classification_targets(labels)
    classes, numbers_of = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"y has one class only, {classes[0]!r}; a classifier needs at least two classes with labels.")
    encoded = np.full(n_samples, UNLABELLED)
    encoded[known] = numbers_of
    return classes, encoded


def class_factors(encoded: np.ndarray, classes: np.ndarray, weight: np.ndarray | None, class_weight: Any) -> np.ndarray:
    """Return the factor by which ``class_weight`` multiplies the weight of a label of each class, (n_classes,)."""
    if isinstance(class_weight, str):  # "balanced"
        labelled = encoded != UNLABELLED
        of_class = np.bincount(encoded[labelled], weights=None if weight is None else weight[labelled])
        return of_class.sum() / (len(classes) * of_class)
    factors = compute_class_weight(class_weight, classes=classes, y=classes)
    for label, factor in zip(classes.tolist(), factors.tolist(), strict=True):
        if not 0 < factor < np.inf:
            raise ValueError(
                f"class_weight={class_weight!r} gives class {label!r} the weight {factor:g}, but weights must be "
                "positive and finite; to leave out the labels of a class, replace them by None in y."
            )
    return factors


def class_targets(encoded: np.ndarray, factors: np.ndarray, weight: np.ndarray | None, smoothing: float) -> np.ndarray:
    """Return the weight of each label, and its smoothed probabilities of the classes, (n_samples, 1 + n_classes).

    ``factors`` are those of ``class_factors``.
    """
    labelled, n_classes = encoded != UNLABELLED, len(factors)
    of_label = np.where(labelled, 1.0 if weight is None else weight, 0.0)
    of_label[labelled] *= factors[encoded[labelled]]
    probabilities = np.full((len(encoded), n_classes), smoothing / n_classes)
    probabilities[labelled, encoded[labelled]] += 1 - smoothing
    return np.column_stack([of_label, probabilities])


def known_targets(y: Any, n_samples: int | None = None, name: str = "y") -> np.ndarray:
    """Return the targets of a regressor in float64, NaN where unknown, (n_samples,)."""
    values = _one_dimensional(y, n_samples, name)
    if values.dtype == object:
        values = np.where(missing_labels(values), np.nan, values)
    targets = values.astype(np.float64)
    if np.isinf(targets).any():
        raise ValueError(f"{name} contains infinity or a value too large for {targets.dtype}.")
    return targets


def number_targets(targets: np.ndarray, weight: np.ndarray | None) -> tuple[np.ndarray, float, float]:
    """Return the weight of each target and its standardized value, (n_samples, 2), and mean and scale."""
    known = ~np.isnan(targets)
    of_target = np.where(known, 1.0 if weight is None else weight, 0.0)
    if not of_target.any():
        raise ValueError(
            f"y has no target: all {len(targets)} samples are unlabelled (NaN) or have weight 0. Unknown targets are "
            "NaN, known ones are finite numbers."
        )
    values = np.where(known, targets, 0.0)
    with np.errstate(over="ignore", invalid="ignore"):
        mean = np.average(values, weights=of_target)
        scale = float(np.sqrt(np.average(np.square(values - mean), weights=of_target))) or 1.0
    if not np.isfinite(scale):
        raise ValueError(f"y has values up to {np.abs(values).max():.2g}, too large to be squared; use a larger unit.")
    return np.column_stack([of_target, np.where(known, (values - mean) / scale, 0.0)]), float(mean), scale


def are_targets(y: Any) -> bool:
    """Whether y holds targets of a regression: numbers of which some are no integers."""
    values = _one_dimensional(y, None, "y")
    known = values[~missing_labels(values)]
    return known.dtype.kind == "f" and bool((known != np.round(known)).any())


def hold_out_labelled(
    labels: np.ndarray, fraction: float, seed: int, classifies: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return positions for training, and those of held-out samples with labels; classes are held out in proportion."""
    labelled = np.flatnonzero(labels[:, 0] > 0)
    strata = labels[labelled, 1:].argmax(axis=1) if classifies else np.zeros(len(labelled), dtype=int)
    counts = np.unique(strata, return_counts=True)[1]
    n_held_out = max(len(counts), round(fraction * len(labelled)))
    if counts.min() < 2 or n_held_out > len(labelled) - len(counts):
        kind = f"labels of each class, but the smallest class has {counts.min()}" if classifies else "known targets"
        raise ValueError(
            f"early_stopping holds out labelled samples and needs at least 2 {kind} ({len(labelled)} labelled samples, "
            f"{n_held_out} to hold out); use early_stopping=False, or pass X_val and y_val."
        )
    _, held_out = train_test_split(labelled, test_size=n_held_out, random_state=seed, stratify=strata)
    return np.setdiff1d(np.arange(len(labels)), held_out), np.sort(held_out)
