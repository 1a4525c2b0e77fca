"""Values of "auto" that depend on the shape of X; they were chosen with benchmarks/defaults.py."""

from __future__ import annotations

from math import ceil, sqrt

# The number of optimizer steps does not depend on the number of samples.
TRAINING_STEPS = 3000
# Of outlier detectors; longer training does not raise their accuracy. The second number is for scores that mostly do
# not use the network, such as "combined", the third for "combined" with novelty=True.
OUTLIER_STEPS, FEWER_OUTLIER_STEPS, NOVELTY_STEPS = 500, 150, 100
MOST_OUTLIER_EPOCHS, FEWER_OUTLIER_EPOCHS = 100, 40  # of small training sets, which have one or two steps in an epoch
# Of regressors, with samples without target: few targets are overfitted by more steps.
FEW_TARGETS_STEPS = 1000
LARGEST_BATCH = 128
# Learning rate of classifiers, if some samples have no label, and if all have one.
FEW_LABELS_RATE, ALL_LABELS_RATE = 0.003, 0.01

# Multiplications per sample above which there are fewer steps, in inverse proportion, since a step takes longer. Dense
# networks with default layers reach this number at about 2300 features.
MULTIPLICATIONS, FEWEST_STEPS = 3_000_000, 100

# Patience of early stopping: a fraction of the epochs, since improvements are small during the warm-up.
SHORTEST_PATIENCE = 10
PATIENT_SHARE = 10


def n_components(n_features: int) -> int:
    """Return the square root of the number of features, rounded up."""
    return ceil(sqrt(n_features))


def batch_size(n_rows: int) -> int:
    """Return 128, or the number of samples if it is smaller."""
    return min(LARGEST_BATCH, n_rows)


def max_iter(n_rows: int, batch: int, steps: int, most: int | None = None) -> int:
    """Return the number of epochs with at least ``steps`` steps, but at most ``most``."""
    epochs = max(1, ceil(steps / ceil(n_rows / batch)))
    return epochs if most is None else min(epochs, most)


def training_steps(steps: int, n_multiplications: int) -> int:
    """Return the number of steps for a network with ``n_multiplications`` per sample, at least 100."""
    return min(steps, max(FEWEST_STEPS, steps * MULTIPLICATIONS // n_multiplications))


def n_iter_no_change(epochs: int) -> int:
    """Return a tenth of the epochs, at least 10."""
    return max(SHORTEST_PATIENCE, epochs // PATIENT_SHARE)
