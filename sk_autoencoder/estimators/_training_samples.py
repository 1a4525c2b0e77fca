"""Recognition of training samples in new data, by hash keys, to look up their folds."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import issparse

_CELLS_AT_ONCE = 1 << 18
_CELLS_READ_AT_ONCE = 1 << 23
_MULTIPLIERS = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9))  # those of splitmix64
_SHIFTS = (np.uint64(32), np.uint64(29))
_DROPPED = np.uint64((1 << 10) - 1)  # the lowest 10 of the 24 significant bits of float32
_HALF = np.uint64(1 << 9)  # half a unit of the remaining bits, for rounding


class TrainingSamples(NamedTuple):
    """Sorted keys of training samples, and the folds of the samples with each key, as bits: bit k is set for fold k.

    A key is a hash of the values of a sample, rounded to 14 significant bits, in features that vary in the training
    set. So equal values in different dtypes have equal keys, and so do, in most cases, values that differ by rounding
    errors. Where different samples have the same key, ``wide_keys`` are hashes of their values without rounding.
    """

    columns: np.ndarray  # (n_features,) bool; whether a feature varies
    keys: np.ndarray  # (n_distinct,) uint64
    folds: np.ndarray  # (n_distinct,) uint8
    wide_keys: np.ndarray
    wide_folds: np.ndarray

    @classmethod
    def remember(cls, X: Any, folds: np.ndarray, columns: np.ndarray) -> TrainingSamples:
        """Store the keys of samples (n, n_features), with their folds as bits (n,); ``columns`` are those that vary."""
        distinct, indices, counts = np.unique(hashed(X, columns), return_inverse=True, return_counts=True)
        united = _united(indices, folds, len(distinct))
        ambiguous = np.flatnonzero(counts[indices] > 1)
        parts = np.array_split(ambiguous, 1 + ambiguous.size * X.shape[1] // _CELLS_READ_AT_ONCE)
        exact = np.concatenate([hashed(X[part], columns, exact=True) for part in parts])
        wide, wide_indices = np.unique(exact, return_inverse=True)
        if len(wide) == np.count_nonzero(counts > 1):  # all samples with the same key are equal
            return cls(columns, distinct, united, wide[:0], united[:0])
        return cls(columns, distinct, united, wide, _united(wide_indices, folds[ambiguous], len(wide)))

    def equal(self, other: TrainingSamples) -> bool:
        """Whether both contain the same samples in the same folds."""
        return all(map(np.array_equal, self, other))

    def find(self, X: Any) -> np.ndarray:
        """Return the folds of samples as bits (n,); 0 for samples that are not in the training set."""
        folds = _looked_up(hashed(X, self.columns), self.keys, self.folds)
        if self.wide_keys.size and (stored := np.flatnonzero(folds)).size:
            exact = _looked_up(hashed(X[stored], self.columns, exact=True), self.wide_keys, self.wide_folds)
            folds[stored] = np.where(exact > 0, exact, folds[stored])
        return folds


def hashed(X: Any, columns: np.ndarray, exact: bool = False, seed: int = 0) -> np.ndarray:
    """Return a uint64 hash of each sample (n, n_features), dense or CSR: the sum of hashes of (value, feature).

    Zeros of either sign, and features that are not in ``columns``, contribute 0. Values are rounded unless ``exact``.
    """
    numbers = np.arange(1, X.shape[1] + 1, dtype=np.uint64) + (np.uint64(seed) << _SHIFTS[0])
    factors = _mixed(numbers * _MULTIPLIERS[0]) | np.uint64(1)
    factors = np.where(columns, factors, np.uint64(0))
    if issparse(X):
        ends = np.concatenate([[np.uint64(0)], np.cumsum(_of_cells(X.data, factors[X.indices], exact))])
        return ends[X.indptr[1:]] - ends[X.indptr[:-1]]
    keys = np.empty(len(X), dtype=np.uint64)
    step = max(1, _CELLS_AT_ONCE // X.shape[1])
    for start in range(0, len(X), step):
        _of_cells(X[start : start + step], factors, exact).sum(axis=1, out=keys[start : start + step])
    return keys


def _of_cells(cells: np.ndarray, factors: np.ndarray, exact: bool) -> np.ndarray:
    """Hash single values, each with the factor of its feature."""
    with np.errstate(over="ignore", invalid="ignore"):  # values beyond the range of float32
        plain = np.add(cells, 0.0, dtype=np.float64)  # -0 becomes 0
        bits = plain.view(np.uint64) if exact else plain.astype(np.float32).view(np.uint32).astype(np.uint64)
    if not exact:
        bits = (bits + _HALF) & ~_DROPPED
    # The lower half of a float64 often is 0: combine it with the upper half before the multiplication.
    return _mixed((bits ^ (bits >> _SHIFTS[0])) * factors)


def _mixed(bits: np.ndarray) -> np.ndarray:
    """Mix the bits of uint64 numbers, so that each input bit affects many output bits."""
    bits = (bits ^ (bits >> _SHIFTS[0])) * _MULTIPLIERS[1]
    return bits ^ (bits >> _SHIFTS[1])


def _united(indices: np.ndarray, folds: np.ndarray, n: int) -> np.ndarray:
    """Combine the fold bits of all samples with the same key index by bitwise or, (n,)."""
    united = np.zeros(n, dtype=np.uint8)
    np.bitwise_or.at(united, indices, folds)
    return united


def _looked_up(keys: np.ndarray, sorted_keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the values of keys in a sorted table; 0 for keys that are not in it."""
    indices = np.searchsorted(sorted_keys, keys)
    indices[indices == len(sorted_keys)] = 0
    return np.where(sorted_keys[indices] == keys, values[indices], 0).astype(np.uint8)
