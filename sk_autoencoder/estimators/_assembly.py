"""Parts of an estimator: names and "auto" are resolved, and the compatibility of the parts is checked."""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

import numpy as np

from sk_autoencoder._parts import resolve
from sk_autoencoder._validation import has_missing, layer_sizes, plain
from sk_autoencoder._warnings import warn
from sk_autoencoder.corruptions import CORRUPTIONS, Corruption
from sk_autoencoder.estimators import _auto
from sk_autoencoder.losses import LOSSES, Loss
from sk_autoencoder.networks import NETWORKS, Network, NetworkShape
from sk_autoencoder.networks.bounds import Bounds
from sk_autoencoder.objectives import OBJECTIVES, Objective
from sk_autoencoder.scaling import LARGEST_CELL, SCALINGS, Affine, ColumnStatistics, Scaling, row_blocks
from sk_autoencoder.solvers import SOLVERS, Solver
from sk_autoencoder.training import TrainingPlan, dense

# Number of samples of X_val that are compared with X, and the largest median distance from its mean, in standard
# deviations, without a warning.
_N_COMPARED = 256
_FAR = 4.0
_FEWEST_SAMPLES = 50  # with fewer samples, the standard deviations of X are not reliable
# Scaled values above this are reported as the likely cause if training diverges.
_SUSPICIOUS_CELL = 1e3


class Samples(NamedTuple):
    """Validated samples and their weights; None means equal weights."""

    X: Any  # ndarray or CSR matrix (n_samples, n_features)
    weight: np.ndarray | None = None  # (n_samples,), positive; the largest is 1
    has_gaps: bool = False  # whether there are missing values
    given: np.ndarray | None = None  # weights in the user's unit, 0 for samples of the user that are not in X
    groups: np.ndarray | None = None  # (n_samples, n_groups), ids of groups that are held out together
    labels: np.ndarray | None = None  # (n_samples, n_columns), weights and targets, see ``Supervised``


@dataclass(frozen=True)
class Assembly:
    """The parts of an estimator, as private copies."""

    network: Network
    objective: Objective
    loss: Loss
    corruption: Corruption | None
    scaling: Scaling | None
    solver: Solver
    out_activation: str


def assemble(estimator: Any) -> Assembly:
    """Resolve the parts of an estimator, and check that they are compatible."""
    loss, network = resolve(LOSSES, estimator.loss), resolve(NETWORKS, estimator.network)
    if estimator.add_indicator and network.indicators is None:
        raise ValueError(
            f"add_indicator=True is not supported by network={estimator.network!r}, whose encoder must have as many "
            "inputs as the decoder has outputs; use add_indicator=False, or a network without tied weights, for "
            "example network='dense'."
        )
    scaling = loss.scaling if _is_auto(estimator.scaling) else estimator.scaling
    out_activation = loss.out_activation if _is_auto(network.out_activation) else network.out_activation
    if loss.on_logits and out_activation != loss.out_activation:
        raise ValueError(
            f"loss={estimator.loss!r} needs out_activation={loss.out_activation!r}, but network={network!r} has "
            f"{out_activation!r}; use out_activation='auto' or another loss."
        )
    return Assembly(
        network=network,
        objective=resolve(OBJECTIVES, estimator.objective),
        loss=loss,
        corruption=None if estimator.corruption is None else resolve(CORRUPTIONS, estimator.corruption),
        scaling=None if scaling is None else resolve(SCALINGS, scaling),
        solver=resolve(SOLVERS, estimator.solver),
        out_activation=out_activation,
    )


def check_size(n_components: Any) -> None:
    """Raise an error for values of ``n_components`` that only PCA supports."""
    if n_components is None:
        raise ValueError(
            "n_components=None is not supported, since a code with as many components as features can copy the input; "
            "use an integer, or n_components='auto'."
        )
    if isinstance(n_components, numbers.Real) and 0 < float(n_components) < 1:
        raise ValueError(
            f"n_components={n_components!r} must be an integer or 'auto': the number of components is fixed before "
            "training and cannot be chosen by a fraction of the variance. PCA can compute it for such a fraction: "
            f"PCA(n_components={n_components!r}).fit(StandardScaler().fit_transform(X)).n_components_."
        )


def indicated_columns(
    estimator: Any, assembly: Assembly, samples: Samples, statistics: ColumnStatistics
) -> tuple[int, ...]:
    """Return the columns with an indicator: those with missing values or, if samples are read in channels, all."""
    if not (estimator.add_indicator and samples.has_gaps):
        return ()
    chosen = _incomplete(samples.X) & ~statistics.absent
    if assembly.network.indicators == "channels" or assembly.network.sample_shape is not None:
        chosen[:] = chosen.any()
    return tuple(np.flatnonzero(chosen).tolist())


def warn_of_new_gaps(estimator: Any, *data_sets: Samples | None) -> None:
    """Warn of missing values in columns that the network has no indicator for."""
    if not estimator.add_indicator:
        return
    new = np.zeros(len(estimator._statistics.absent), dtype=bool)
    for samples in data_sets:
        if samples is not None and samples.has_gaps:
            new |= _incomplete(samples.X) & ~estimator._statistics.absent
    new[list(estimator._shape.indicators)] = False
    if new.any():
        warn(
            f"Column {_names(estimator, new)} has missing values, but had none when training began: the network has no "
            "indicator for it.",
        )


def _incomplete(X: Any) -> np.ndarray:
    """Return which columns have missing values, (n_features,), in samples with an observed value."""
    incomplete = np.zeros(X.shape[1], dtype=bool)
    for block in row_blocks(X):
        missing = np.isnan(block)
        incomplete |= missing[~missing.all(axis=1)].any(axis=0)
    return incomplete


def network_shape(estimator: Any, assembly: Assembly, n_features: int, indicators: tuple[int, ...]) -> NetworkShape:
    """Determine the sizes of the network; warn if it can learn the identity because of too many components."""
    size, widths = estimator.n_components, estimator.hidden_layer_sizes
    if _is_auto(widths):
        widths = assembly.network.auto_hidden_layer_sizes(n_features, estimator._hidden_layers)
    hidden = layer_sizes(widths)

    objective = assembly.objective
    denoises = assembly.corruption is not None and not (objective.prevents_copying or objective.has_prior)
    if not _is_auto(size):
        n_components = int(size)
    elif estimator._wide_code and denoises and hidden:
        n_components = hidden[0]
    else:
        n_components = _auto.n_components(n_features)
    prevented = assembly.corruption or assembly.network.prevents_copying or objective.prevents_copying
    if n_components > n_features and not prevented:
        warn(
            f"n_components={n_components} exceeds the {n_features} features, and nothing prevents the network "
            "from learning the identity; use a corruption (for example corruption='masking') or fewer components.",
        )
    shape = NetworkShape(
        n_features=n_features,
        n_components=n_components,
        n_encoded=n_components * objective.encoded_per_component,
        hidden_layer_sizes=hidden,
        activation=plain(estimator.activation),
        out_activation=assembly.out_activation,
        n_members=estimator._n_members(),
        dtype="float64" if estimator.precision == "float64" else "float32",
        sample_shape=_sample_shape(assembly.network.sample_shape, n_features),
        indicators=indicators,
    )
    assembly.network.warn(shape)
    return shape


def _sample_shape(choice: Any, n_features: int) -> tuple[int, ...] | None:
    """Check that samples can be reshaped to this shape."""
    if choice is None:
        return None
    lengths = tuple(np.atleast_1d(choice).tolist())
    if not all(isinstance(length, int) and length >= 1 for length in lengths):
        raise ValueError(f"sample_shape={choice!r} must contain positive integers, or be None for a single sequence.")
    if prod(lengths) != n_features:
        raise ValueError(
            f"sample_shape={choice!r} has {' x '.join(map(str, lengths))} = {prod(lengths)} entries, but X has "
            f"{n_features} features; the product must be {n_features}."
        )
    return lengths


def training_plan(
    estimator: Any, assembly: Assembly, shape: NetworkShape, mixed_precision: bool, seed: int
) -> TrainingPlan:
    """Return the settings of a training with these parts."""
    return TrainingPlan(
        loss=assembly.loss,
        corruption=assembly.corruption and assembly.corruption.shaped(shape.sample_shape),
        solver=assembly.solver,
        alpha=float(estimator.alpha),
        mixed_precision=mixed_precision,
        seed=seed,
    )


def fit_scaling(estimator: Any, assembly: Assembly, X: np.ndarray, statistics: ColumnStatistics) -> Affine:
    """Fit the scaling, and check the range of the scaled samples."""
    n_features = X.shape[1]
    too_wide = ~np.isfinite(statistics.variance)
    if too_wide.any():
        raise ValueError(
            f"The variance of column {_names(estimator, too_wide)} overflows float64; divide it by a constant first."
        )
    if assembly.scaling is None:
        affine = Affine(np.zeros(n_features), np.ones(n_features))
    else:
        affine = assembly.scaling.fit(X, statistics)

    absent = statistics.absent
    if absent.any():
        warn(
            f"Column {_names(estimator, absent)} has no observed value: it is left out of training, and its "
            "reconstruction is NaN. Remove it, or fill it before fit.",
        )
        affine = Affine(np.where(absent, np.nan, affine.center), affine.scale)

    low, high = scaled_range(affine, statistics)
    too_large = np.maximum(-low, high) > LARGEST_CELL
    if too_large.any():
        raise ValueError(
            f"Column {_names(estimator, too_large)} has absolute values above {LARGEST_CELL:g} after scaling="
            f"{estimator.scaling!r}, which are too large for training; use scaling='standard'."
        )
    check_domain(estimator, assembly, low, high)
    return affine


def used_samples(X: Any, weight: np.ndarray | None, name: str = "X", groups: np.ndarray | None = None) -> Samples:
    """Leave out samples with zero weight and, with a warning, those without an observed value.

    Weights are divided by the largest one, so that they are in the range of float32 in any unit. Equal weights become
    None, so that they give the same bits as no weights.
    """
    given = used_weight(X, weight, name)
    if given is None:
        return Samples(X, None, has_missing(X), groups=groups)
    used = given > 0
    if not used.all():
        X, groups = X[used], None if groups is None else groups[used]
    weight = given[used]
    equal = (weight == weight[0]).all()
    return Samples(X, None if equal else weight / weight.max(), has_missing(X), given, groups)


def used_weight(X: Any, weight: np.ndarray | None, name: str = "X") -> np.ndarray | None:
    """Set the weights of samples without an observed value to 0, with a warning; raise an error if none is left.

    None means equal weights, also if they were given. If the positive weights are equal, they become 1.
    """
    if has_missing(X):
        empty = np.concatenate([np.isnan(block).all(axis=1) for block in row_blocks(X)])
        weight = np.where(empty, 0.0, 1.0 if weight is None else weight)
        if not weight.any():
            where = "" if empty.all() else " in samples with positive weights"
            raise ValueError(f"{name} has no observed value{where}: all values are missing (NaN).")
        if empty.any():
            warn(f"{empty.sum()} of {len(empty)} samples of {name} have no observed value; they are left out.")
    if weight is None:
        return None
    if not (weight[weight > 0] == weight.max()).all():
        return weight
    return None if weight.all() else (weight > 0).astype(np.float64)


def check_domain(estimator: Any, assembly: Assembly, low: np.ndarray, high: np.ndarray) -> None:
    """Check that scaled samples with this range are valid targets of the loss."""
    if assembly.loss.domain is None:
        return
    lower, upper = assembly.loss.domain
    margin = 1e-6 * (upper - lower)
    outside = (low < lower - margin) | (high > upper + margin)
    if outside.any():
        raise ValueError(
            f"loss={estimator.loss!r} needs values in [{lower:g}, {upper:g}] after scaling, but with scaling="
            f"{estimator.scaling!r} column {_names(estimator, outside)} has the range [{low[outside][0]:g}, "
            f"{high[outside][0]:g}]; use scaling='minmax' or another loss."
        )


def warn_of_foreign_samples(estimator: Any, X_val: Any, statistics: ColumnStatistics, n_samples: int) -> None:
    """Warn if X_val differs so much from X that it was probably not transformed in the same way.

    By Chebyshev's inequality, at most 1 / t^2 of any distribution is more than t standard deviations from the mean. The
    probability that this holds for half of m samples is less than (2 / t)^m. The threshold t is at least so large that
    the sum of these probabilities over all columns is 0.001. Columns that are constant in X are ignored.
    """
    if n_samples < _FEWEST_SAMPLES:
        return
    compared = dense(X_val[:: -(-X_val.shape[0] // _N_COMPARED)])
    ignored = (statistics.low == statistics.high) | np.isnan(compared).all(axis=0)
    distances = np.where(ignored, 0.0, np.abs(compared - statistics.mean))
    away = np.nanmedian(distances, axis=0) / statistics.scale
    limit = max(_FAR, 2.0 * (1000 * len(away)) ** (1 / len(compared)))
    far = away > limit
    if far.any():
        worst = away == away.max()
        warn(
            f"X_val differs from X: in {far.sum()} of {len(away)} columns, half of its samples are more than "
            f"{limit:.2g} standard deviations from the mean of X, in column {_names(estimator, worst)} more than "
            f"{away.max():.3g}. Transform X_val in the same way as X: in a pipeline, use "
            "Pipeline(steps, transform_input=['X_val']) with metadata routing enabled and "
            f"{type(estimator).__name__}(...).set_fit_request(X_val=True), or transform X_val before fit.",
        )


def scaled_range(affine: Affine, statistics: ColumnStatistics) -> tuple[np.ndarray, np.ndarray]:
    """Return the smallest and largest scaled value of each column; 0 for those without observed values."""
    extremes = ((values - affine.center) / affine.scale for values in (statistics.low, statistics.high))
    low, high = (np.where(statistics.absent, 0.0, values) for values in extremes)
    return low, high


def fill_values(affine: Affine, statistics: ColumnStatistics) -> np.ndarray:
    """Return what the network gets in place of missing values: the scaled means, (n_features,)."""
    return np.where(statistics.absent, 0.0, (statistics.mean - affine.center) / affine.scale)


def input_bounds(estimator: Any, assembly: Assembly, affine: Affine, statistics: ColumnStatistics) -> Bounds | None:
    """Return the range of each scaled feature in the training set, extended by the input margin on both sides."""
    scaling = assembly.scaling
    margin = "auto" if scaling is None else scaling.input_margin
    if _is_auto(margin):
        margin = estimator._input_margin
    if margin is None:
        return None
    unit = (statistics.scale if scaling is None else scaling.unit(statistics)) / affine.scale
    low, high = scaled_range(affine, statistics)
    return Bounds(low - margin * unit, high + margin * unit, unit)


def divergence_message(estimator: Any, affine: Affine, statistics: ColumnStatistics) -> str:
    """Return an error message with the likely cause of the divergence."""
    low, high = scaled_range(affine, statistics)
    largest = np.maximum(-low, high)
    if largest.max() > _SUSPICIOUS_CELL:
        worst = largest == largest.max()
        cause = (
            f"column {_names(estimator, worst)} has absolute values up to {largest.max():.3g} after scaling="
            f"{estimator.scaling!r}; use scaling='standard', or clip or transform that column"
        )
    else:
        cause = f"learning_rate_init={estimator.learning_rate_init!r} is too large; try a tenth of it"
    return f"Training diverged: the loss is no longer finite. Likely cause: {cause}."


def _names(estimator: Any, chosen: np.ndarray) -> str:
    """Return names or indices of the chosen columns, at most three of them."""
    names = getattr(estimator, "feature_names_in_", np.arange(len(chosen)))[chosen].tolist()
    shown = ", ".join(repr(name) for name in names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def _is_auto(choice: Any) -> bool:
    return isinstance(choice, str) and choice == "auto"
