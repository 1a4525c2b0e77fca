"""Training samples of which few have labels, and test samples: the beds of ``benchmarks.few_labels``.

A draw is a seed. It shuffles the training samples, and the first ones of each class get labels, so that the labels of
a smaller number are among those of a larger one. All others are unlabelled. Fashion-MNIST keeps the first 10,000
shuffled samples, the other sets all of them.

The test part is the set's own (MNIST, Fashion-MNIST, usps), else 30 %, stratified by the classes and drawn with the
same seed. The simulated sets of regression are simulated anew in each draw. Draws from ``DEVELOPMENT`` on choose
settings: their test part is 30 % of the training part, so that they do not read a set's own test part. Sets without
one are split anew, so that a development draw tests samples that a reported one may train or test.

Pixels are in [0, 1]. The features of tables are standardised by all training samples.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from time import process_time

import numpy as np
from sklearn.datasets import load_diabetes, load_digits, make_friedman1, make_friedman2
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from sk_autoencoder import AutoencoderTransformer

DEVELOPMENT = 1000  # the first draw for choosing settings
TEST_SHARE = 0.3
MOST_SAMPLES = {"fashion": 10_000}  # training samples, for time
IMAGES = ("mnist", "fashion", "usps", "digits", "coil20")
SETS = ("usps", "letter", "digits", "madelon", "coil20", "fashion")
REGRESSION = ("diabetes", "friedman1", "friedman2")
N_SIMULATED = 3000
N_COMPONENTS = 30  # of codes and of PCA, at most the number of features
N_CLASSES = 10  # of MNIST
SIDE = 16  # of the images of usps


@dataclass(frozen=True)
class Source:
    """Samples of another set, from which an encoder is transferred."""

    X: np.ndarray
    seed: int

    @cached_property
    def encoder(self) -> tuple[AutoencoderTransformer, float]:
        """A fitted autoencoder, and the seconds that it took."""
        return fitted_encoder(self.X, self.seed)


@dataclass(frozen=True)
class Split:
    """All training samples with all labels, and test samples: what the draws of several numbers of labels share."""

    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    seed: int
    source: Source | None = None

    @cached_property
    def encoder(self) -> tuple[AutoencoderTransformer, float]:
        """An autoencoder, fitted without labels, and the seconds that it took."""
        return fitted_encoder(self.X, self.seed)

    @cached_property
    def pca(self) -> tuple[PCA, float]:
        """Principal components of all training samples, and the seconds that they took."""
        start = process_time()
        n_components = min(N_COMPONENTS, self.X.shape[1])
        return PCA(n_components, random_state=self.seed).fit(self.X), process_time() - start


@dataclass(frozen=True)
class Draw:
    """A split of which some training samples have labels; the others have -1, or NaN in regression."""

    bed: str
    name: str
    n_labels: int
    split: Split
    y: np.ndarray

    @property
    def is_regression(self) -> bool:
        """Whether the targets are numbers."""
        return self.name in REGRESSION

    @property
    def labelled(self) -> np.ndarray:
        """Positions of the labelled samples."""
        return np.flatnonzero(~np.isnan(self.y) if self.is_regression else self.y != -1)


def fitted_encoder(X: np.ndarray, seed: int) -> tuple[AutoencoderTransformer, float]:
    """Fit an autoencoder with default settings, and return it with the seconds that it took."""
    start = process_time()
    n_components = min(N_COMPONENTS, X.shape[1])
    return AutoencoderTransformer(n_components, random_state=seed).fit(X), process_time() - start


def first_of_each(y: np.ndarray, n_labels: int | None) -> np.ndarray:
    """Copy classes, and put -1 for all but the first samples of each; None keeps all."""
    few = y.astype(np.int64)
    if n_labels is not None:
        for label in np.unique(y):
            members = np.flatnonzero(y == label)
            if len(members) < n_labels:
                raise ValueError(f"Class {label} has {len(members)} training samples, which is less than {n_labels}.")
            few[members[n_labels:]] = -1
    return few


def smaller(images: np.ndarray) -> np.ndarray:
    """Resize images of MNIST to those of usps: the 20 pixels in the middle, averaged by area."""
    middle = images[:, 4:24, 4:24]
    edges = np.linspace(0, middle.shape[1], SIDE + 1)
    pixels = np.arange(middle.shape[1])
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    weights = np.clip(overlap, 0, None).astype(np.float32)
    weights /= weights.sum(axis=1, keepdims=True)
    return (weights @ middle @ weights.T).reshape(len(images), -1)


def images_of(data: Path, name: str) -> tuple[np.ndarray, ...]:
    """Images in [0, 1] and classes: of the training part, of the test part."""
    with np.load(data / "images" / f"{name}.npz", allow_pickle=False) as stored:
        X, X_test = (stored[key].astype(np.float32) / np.float32(255) for key in ("X_train", "X_test"))
        return X, stored["y_train"], X_test, stored["y_test"]


def load(data: Path | None, name: str, seed: int) -> tuple[np.ndarray, ...]:
    """Samples and labels; if the set has a test part of its own, those of both parts."""
    match name:
        case "digits":
            X, y = load_digits(return_X_y=True)
            return (X / 16).astype(np.float32), y
        case "diabetes":
            return load_diabetes(return_X_y=True)
        case "friedman1":
            return make_friedman1(N_SIMULATED, noise=1.0, random_state=seed)
        case "friedman2":
            return make_friedman2(N_SIMULATED, noise=125.0, random_state=seed)
    if data is None:
        raise ValueError(f"{name} needs --data.")
    if name in ("mnist", "fashion"):
        X, y, X_test, y_test = images_of(data, "mnist" if name == "mnist" else "fashion_mnist")
        return X.reshape(len(X), -1), y, X_test.reshape(len(X_test), -1), y_test
    with np.load(data / "tabular" / f"{name}.npz", allow_pickle=False) as stored:
        keys = ("X_train", "y_train", "X_test", "y_test") if "X_train" in stored else ("X", "y")
        return tuple(stored[key] for key in keys)


def split_of(parts: tuple[np.ndarray, ...], name: str, seed: int, source: Source | None = None) -> Split:
    """Split a set, shuffle its training part, and scale tables."""
    own_test = len(parts) == 4 and seed < DEVELOPMENT
    if not own_test:
        X, y = parts[:2]
        classes = None if name in REGRESSION else y
        X, X_test, y, y_test = train_test_split(X, y, test_size=TEST_SHARE, stratify=classes, random_state=seed)
    else:
        X, y, X_test, y_test = parts
    order = np.random.default_rng([seed, len(X)]).permutation(len(X))[: MOST_SAMPLES.get(name)]
    X, y = X[order], y[order]
    if name not in IMAGES:
        scaler = StandardScaler().fit(X)
        X, X_test = scaler.transform(X), scaler.transform(X_test)
    return Split(X, y, X_test, y_test, seed, source)


def draws_of(bed: str, data: Path | None, wanted: Collection[tuple[str, int]]) -> Iterator[Draw]:
    """Yield the draws of sets with seeds, given as pairs; those of a seed share a split."""
    for name, seed in sorted(wanted):
        source = None
        if bed == "transfer":
            assert data is not None
            source = Source(smaller(images_of(data, "mnist")[0]), seed)
        split = split_of(load(data, name, seed), name, seed, source)
        for n_labels in BEDS[bed][name]:
            yield Draw(bed, name, n_labels, split, labels_of(bed, split.y, n_labels))


def labels_of(bed: str, y: np.ndarray, n_labels: int) -> np.ndarray:
    """Labels of the first samples, and -1 or NaN for the others."""
    match bed:
        case "all":
            return first_of_each(y, None)
        case "mnist":
            return first_of_each(y, n_labels // N_CLASSES)
        case "regression" | "regression_settings":
            return np.where(np.arange(len(y)) < n_labels, y, np.nan)
    return first_of_each(y, n_labels)


BEDS: dict[str, dict[str, tuple[int, ...]]] = {
    "few": dict.fromkeys(SETS, (5, 10, 25)),  # labels a class
    "mnist": {"mnist": (100, 1000)},  # labels
    "all": dict.fromkeys(("letter", "madelon"), (0,)),  # 0 stands for all
    "regression": dict.fromkeys(REGRESSION, (50, 200)),  # labels
    "transfer": {"usps": (10,)},  # labels a class
    "time": dict.fromkeys(("usps", "digits"), (10,)),  # labels a class
    "settings": dict.fromkeys(("usps", "letter", "digits"), (10,)),  # labels a class
    "regression_settings": dict.fromkeys(REGRESSION, (50, 200)),  # labels
}
