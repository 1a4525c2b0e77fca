"""Which samples a detector was trained on: a key for each, by which it is recognised, and its folds."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import issparse

_CELLS_AT_ONCE = 1 << 18
_MULTIPLIERS = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9))  # splitmix64's
_SHIFTS = (np.uint64(32), np.uint64(29))
_DROPPED = np.uint64((1 << 10) - 1)  # of float32's 24 bits
_HALF = np.uint64(1 << 9)


class TrainingSamples(NamedTuple):
    """Keys in ascending order, and beside each the folds in which samples of that key lie, one bit a fold.

    Keys are hashes of the values, rounded to 14 bits as float32, in columns that vary. So equal numbers have equal keys
    in every type, and so do most numbers that another program has rounded. Where different samples have equal keys,
    ``wide_keys`` are hashes of all their digits.
    """

    columns: np.ndarray  # (n_features,) bool; those that vary
    keys: np.ndarray  # (n_distinct,) uint64
    folds: np.ndarray  # (n_distinct,) uint8
    wide_keys: np.ndarray
    wide_folds: np.ndarray

    @classmethod
    def remember(cls, X: Any, folds: np.ndarray, columns: np.ndarray) -> TrainingSamples:
        """Store samples (n, n_features), with their folds as bits (n,) and which columns vary."""
        distinct, places, counts = np.unique(hashed(X, columns), return_inverse=True, return_counts=True)
        united = _united(places, folds, len(distinct))
        doubtful = np.flatnonzero(counts[places] > 1)
        wide, wide_places = np.unique(hashed(X[doubtful], columns, exact=True), return_inverse=True)
        if len(wide) == np.count_nonzero(counts > 1):  # repeated samples, and no others
            return cls(columns, distinct, united, wide[:0], united[:0])
        return cls(columns, distinct, united, wide, _united(wide_places, folds[doubtful], len(wide)))

    def equal(self, other: TrainingSamples) -> bool:
        """Whether both hold the same samples in the same folds."""
        return all(map(np.array_equal, self, other))

    def find(self, X: Any) -> np.ndarray:
        """Return the folds of samples as bits (n,); 0 where a sample was not among those stored."""
        found = _looked_up(hashed(X, self.columns), self.keys, self.folds)
        if self.wide_keys.size and (known := np.flatnonzero(found)).size:
            exact = _looked_up(hashed(X[known], self.columns, exact=True), self.wide_keys, self.wide_folds)
            found[known] = np.where(exact > 0, exact, found[known])
        return found


def hashed(X: Any, columns: np.ndarray, exact: bool = False) -> np.ndarray:
    """Hash samples (n, n_features), dense or CSR, to (n,) uint64: the sum of a mixture of each cell's bits and column.

    A zero adds nothing, whatever its sign, nor does a column that is left out. ``exact`` takes all digits.
    """
    factors = _mixed(np.arange(1, X.shape[1] + 1, dtype=np.uint64) * _MULTIPLIERS[0]) | np.uint64(1)
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
    with np.errstate(over="ignore", invalid="ignore"):  # beyond float32's range
        plain = np.add(cells, 0.0, dtype=np.float64)  # -0 becomes 0
        bits = plain.view(np.uint64) if exact else plain.astype(np.float32).view(np.uint32).astype(np.uint64)
    if not exact:
        bits = (bits + _HALF) & ~_DROPPED
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
