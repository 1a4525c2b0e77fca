"""What tells one training from another: parameters and rows, as short texts that are the same in every process."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import numpy as np

from sk_autoencoder._validation import plain
from sk_autoencoder.scaling import ColumnStatistics, column_statistics
from sk_autoencoder.training.rows import dense

# These change no weight, or are seen by every process in its own way.
_IRRELEVANT = ("checkpoint", "callbacks", "verbose", "device", "contamination", "outlier_score")
_N_ROWS = 256


def training_identity(estimator: Any, X: Any, statistics: ColumnStatistics, X_val: Any) -> dict[str, str]:
    """Return a text for each parameter and for the rows."""
    parameters = {
        name: _text(value)
        for name, value in estimator.get_params(deep=True).items()
        if name.partition("__")[0] not in _IRRELEVANT
    }
    validation = "None" if X_val is None else _digest(X_val, column_statistics(X_val))
    return parameters | {"X": _digest(X, statistics), "X_val": validation}


def _text(value: Any) -> str:
    if isinstance(value, np.random.RandomState):
        return "RandomState"  # its draw is in the checkpoint
    if callable(value):
        return getattr(value, "__qualname__", type(value).__qualname__)
    return repr(plain(value))


def _digest(X: Any, statistics: ColumnStatistics) -> str:
    """Shape, type, every column's statistics and some rows: no second pass over all of X."""
    chosen = dense(X[:: max(1, X.shape[0] // _N_ROWS)])
    hashed = blake2b(digest_size=16)
    for array in (statistics.mean, statistics.variance, statistics.low, statistics.high, chosen):
        hashed.update(np.ascontiguousarray(array).data)
    return f"{X.shape} {X.dtype} {hashed.hexdigest()}"
