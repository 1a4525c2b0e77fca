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


class BinaryLabelsWarning(UserWarning):
    """Labels are -1 and 1, which are two classes, although -1 usually means unlabelled."""


def known_labels(y: Any, n_samples: int | None = None, name: str = "y") -> tuple[np.ndarray, np.ndarray]:
    """Return which samples have a label, (n_samples,), and the labels of these, with one type.

    -1, None, NaN and NA mean that the label is unknown. Labels that are -1 and 1 only are two classes.
    """
    values = _one_dimensional(y, n_samples, name)
    if values.dtype.kind in "US" and (values == str(UNLABELLED)).any():
        raise ValueError(
            f"{name} has the label {str(UNLABELLED)!r} in an array of strings; if it means unlabelled, use an array of "
            f"objects with the number {UNLABELLED}: {name} = np.where({name} == '-1', None, {name})."
        )
    if values.dtype.kind == "f" and np.isinf(values).any():
        raise ValueError(f"{name} contains infinity or a value too large for {values.dtype}.")
    missing, negative = _missing(values), _negative(values)
    known = ~(missing | negative)
    others = set(values[known].tolist())
    if others <= {1} and negative.any() and others:
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
    return known, labels


def _one_dimensional(y: Any, n_samples: int | None, name: str) -> np.ndarray:
    if y is None:
        raise ValueError(f"This estimator requires {name} to be passed, but the target {name} is None.")
    y = column_or_1d(y, warn=True)
    if n_samples is not None and len(y) != n_samples:
        raise ValueError(f"{name} has {len(y)} labels, but there are {n_samples} samples.")
    return y


def _missing(values: np.ndarray) -> np.ndarray:
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


def class_targets(
    encoded: np.ndarray,
    classes: np.ndarray,
    weight: np.ndarray | None,
    class_weight: Any = None,
    smoothing: float = 0.0,
) -> np.ndarray:
    """Return the weight of each label, and its smoothed probabilities of the classes, (n_samples, 1 + n_classes)."""
    labelled, n_classes = encoded != UNLABELLED, len(classes)
    of_label = np.where(labelled, 1.0 if weight is None else weight, 0.0)
    if class_weight is not None:
        chosen = encoded[labelled]
        if isinstance(class_weight, str):  # "balanced"
            shares = np.bincount(chosen, weights=of_label[labelled])
            factors = shares.sum() / (n_classes * shares)
        else:
            factors = compute_class_weight(class_weight, classes=classes, y=classes[chosen])
        of_label[labelled] *= factors[chosen]
    probabilities = np.full((len(encoded), n_classes), smoothing / n_classes)
    probabilities[labelled, encoded[labelled]] += 1 - smoothing
    return np.column_stack([of_label, probabilities])


def known_targets(y: Any, n_samples: int, name: str = "y") -> np.ndarray:
    """Return the targets of a regressor in float64, NaN where unknown, (n_samples,)."""
    values = _one_dimensional(y, n_samples, name)
    if values.dtype == object:
        values = np.where(_missing(values), np.nan, values)
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
    mean = np.average(values, weights=of_target)
    scale = float(np.sqrt(np.average(np.square(values - mean), weights=of_target))) or 1.0
    return np.column_stack([of_target, np.where(known, (values - mean) / scale, 0.0)]), float(mean), scale


def known_labels_or_targets(y: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return which samples have a label or target, (n_samples,), and these; targets are floats, labels are not.

    Numbers of which some are no integers are targets, of which only NaN are unknown.
    """
    values = _one_dimensional(y, None, "y")
    numbers_only = values[~_missing(values)]
    if numbers_only.dtype.kind == "f" and (numbers_only != np.round(numbers_only)).any():
        return ~_missing(values), numbers_only
    known, labels = known_labels(values)
    return known, labels.astype(np.int64) if labels.dtype.kind == "f" else labels


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
