"""Which samples a detector was trained on: a key for each, by which it is recognised, and its folds."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import issparse

_CELLS_AT_ONCE = 1 << 18
_MULTIPLIERS = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9))  # splitmix64's
_SHIFTS = (np.uint64(32), np.uint64(29))


class TrainingSamples(NamedTuple):
    """Keys in ascending order, and beside each the folds in which samples of that key lie, one bit a fold.

    Keys are hashes of the values as float32, so that equal numbers have equal keys in every type. Where different
    samples of float64 are equal as float32, ``wide`` holds hashes of all their digits.
    """

    keys: np.ndarray  # (n_distinct,) uint64
    folds: np.ndarray  # (n_distinct,) uint8
    wide_keys: np.ndarray
    wide_folds: np.ndarray

    @classmethod
    def remember(cls, X: Any, folds: np.ndarray) -> TrainingSamples:
        """Store samples (n, n_features), with their folds as bits (n,)."""
        keys = hashed(X, np.float32)
        distinct, places, counts = np.unique(keys, return_inverse=True, return_counts=True)
        narrow = _united(places, folds, len(distinct))
        none = np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.uint8)
        doubtful = np.flatnonzero(counts[places] > 1)
        if X.dtype != np.float64 or not doubtful.size:
            return cls(distinct, narrow, *none)
        wide, wide_places = np.unique(hashed(X[doubtful], np.float64), return_inverse=True)
        if len(wide) == len(np.unique(places[doubtful])):  # repeated samples, and no others
            return cls(distinct, narrow, *none)
        return cls(distinct, narrow, wide, _united(wide_places, folds[doubtful], len(wide)))

    def equal(self, other: TrainingSamples) -> bool:
        """Whether both hold the same samples in the same folds."""
        return all(map(np.array_equal, self, other))

    def find(self, X: Any) -> np.ndarray:
        """Return the folds of samples as bits (n,); 0 where a sample was not among those stored."""
        found = _looked_up(hashed(X, np.float32), self.keys, self.folds)
        if self.wide_keys.size and X.dtype == np.float64 and (known := np.flatnonzero(found)).size:
            exact = _looked_up(hashed(X[known], np.float64), self.wide_keys, self.wide_folds)
            found[known] = np.where(exact > 0, exact, found[known])
        return found


def hashed(X: Any, dtype: type) -> np.ndarray:
    """Hash samples (n, n_features), dense or CSR, to (n,) uint64: the sum of a mixture of each cell's bits and column.

    A zero adds nothing, whatever its sign.
    """
    factors = _mixed(np.arange(1, X.shape[1] + 1, dtype=np.uint64) * _MULTIPLIERS[0]) | np.uint64(1)
    if issparse(X):
        ends = np.concatenate([[np.uint64(0)], np.cumsum(_of_cells(X.data, factors[X.indices], dtype))])
        return ends[X.indptr[1:]] - ends[X.indptr[:-1]]
    keys = np.empty(len(X), dtype=np.uint64)
    step = max(1, _CELLS_AT_ONCE // X.shape[1])
    for start in range(0, len(X), step):
        _of_cells(X[start : start + step], factors, dtype).sum(axis=1, out=keys[start : start + step])
    return keys


def _of_cells(cells: np.ndarray, factors: np.ndarray, dtype: type) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):  # beyond float32's range
        plain = np.add(cells, 0.0, dtype=np.float64).astype(dtype)  # -0 becomes 0
    bits = plain.view(np.uint32 if dtype is np.float32 else np.uint64).astype(np.uint64, copy=False)
    return _mixed((bits ^ (bits >> _SHIFTS[0])) * factors)  # float64 has few bits set in its lower half


def _mixed(bits: np.ndarray) -> np.ndarray:
    bits = (bits ^ (bits >> _SHIFTS[0])) * _MULTIPLIERS[1]
    return bits ^ (bits >> _SHIFTS[1])


def _united(places: np.ndarray, folds: np.ndarray, n: int) -> np.ndarray:
    united = np.zeros(n, dtype=np.uint8)
    np.bitwise_or.at(united, places, folds)
    return united


def _looked_up(keys: np.ndarray, known: np.ndarray, values: np.ndarray) -> np.ndarray:
    places = np.searchsorted(known, keys)
    places[places == len(known)] = 0
    return np.where(known[places] == keys, values[places], 0).astype(np.uint8)
