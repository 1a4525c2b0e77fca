"""The rules behind every "auto" that depends on the size of the data; chosen by benchmarks/defaults.py."""

from __future__ import annotations

from math import ceil, sqrt

# A fixed budget of optimizer steps, so that 50 and 500000 rows both train sensibly.
TRAINING_STEPS = 3000
LARGEST_BATCH = 128

# A step takes time in proportion to the columns. Beyond so many there are fewer steps, but at least so many.
WIDE, FEWEST_STEPS = 2000, 100

# Epochs without progress before early stopping: the budget counts steps, and the rate needs some of them to rise.
SHORTEST_PATIENCE = 10
PATIENT_SHARE = 10


def n_components(n_features: int) -> int:
    """The square root of the number of features, rounded up."""
    return ceil(sqrt(n_features))


def batch_size(n_rows: int) -> int:
    """At most 128 rows, all of them when there are fewer."""
    return min(LARGEST_BATCH, n_rows)


def max_iter(n_rows: int, batch: int, steps: int, most: int | None = None) -> int:
    """As many epochs as hold the budget of steps, at least one and at most ``most``."""
    epochs = max(1, ceil(steps / ceil(n_rows / batch)))
    return epochs if most is None else min(epochs, most)


def training_steps(steps: int, n_features: int) -> int:
    """The budget, or what takes the time of the budget with 2000 columns, but at least 100 steps."""
    return min(steps, max(FEWEST_STEPS, steps * WIDE // n_features))


def n_iter_no_change(epochs: int) -> int:
    """A tenth of the epochs, at least 10."""
    return max(SHORTEST_PATIENCE, epochs // PATIENT_SHARE)
