"""From parameters to parts: names resolved, "auto" decided, and one check that the parts fit together."""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from sk_autoencoder._parts import resolve
from sk_autoencoder._validation import plain
from sk_autoencoder._warnings import warn
from sk_autoencoder.corruptions import CORRUPTIONS, Corruption
from sk_autoencoder.estimators import _auto
from sk_autoencoder.losses import LOSSES, Loss
from sk_autoencoder.networks import NETWORKS, Network, NetworkShape
from sk_autoencoder.networks.bounds import Bounds
from sk_autoencoder.objectives import OBJECTIVES, Objective
from sk_autoencoder.scaling import LARGEST_CELL, SCALINGS, Affine, ColumnStatistics, Scaling
from sk_autoencoder.solvers import SOLVERS, Solver
from sk_autoencoder.training.rows import dense

# Samples of X_val that are compared with the columns of X; how far out, in standard deviations, their medians may lie.
_N_COMPARED = 256
_FAR = 4.0
_FEWEST_SAMPLES = 50  # below, the standard deviations of X say too little about heavy tails
# Scaled cells beyond this are named as the likely cause when training diverges.
_SUSPICIOUS_CELL = 1e3


@dataclass(frozen=True)
class Assembly:
    """The parts of one estimator, private copies of the user's."""

    network: Network
    objective: Objective
    loss: Loss
    corruption: Corruption | None
    scaling: Scaling | None
    solver: Solver
    out_activation: str


def assemble(estimator: Any) -> Assembly:
    """Resolve an estimator's parts and check those that depend on each other."""
    loss, network = resolve(LOSSES, estimator.loss), resolve(NETWORKS, estimator.network)
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
    """Say what to write in place of what only PCA takes as ``n_components``."""
    if n_components is None:
        raise ValueError(
            "n_components=None has no meaning here, since a code as wide as the row can copy it; write an integer, or "
            "n_components='auto', the square root of the number of features."
        )
    if isinstance(n_components, numbers.Real) and 0 < float(n_components) < 1:
        raise ValueError(
            f"n_components={n_components!r} must be an integer or 'auto': the size of a code is fixed before training "
            "and cannot be chosen by a share of the variance. PCA can tell how many components hold such a share: "
            f"PCA(n_components={n_components!r}).fit(StandardScaler().fit_transform(X)).n_components_."
        )


def network_shape(estimator: Any, assembly: Assembly, n_features: int, n_members: int) -> NetworkShape:
    """Decide every width; warn when the code is wide enough to copy the row and nothing prevents it."""
    size, widths = estimator.n_components, estimator.hidden_layer_sizes
    if _is_auto(widths):
        hidden = assembly.network.auto_hidden_layer_sizes(n_features, estimator._hidden_layers)
    else:
        hidden = tuple(np.atleast_1d(widths).tolist())
    if not all(isinstance(width, int) and width >= 1 for width in hidden):
        raise ValueError(f"hidden_layer_sizes={widths!r} must hold whole numbers from 1; use () for no hidden layer.")

    denoises = assembly.corruption is not None and not assembly.objective.prevents_copying
    if not _is_auto(size):
        n_components = int(size)
    elif estimator._wide_code and denoises and hidden:
        n_components = hidden[0]
    else:
        n_components = _auto.n_components(n_features)
    prevented = assembly.corruption or assembly.network.prevents_copying or assembly.objective.prevents_copying
    if n_components > n_features and not prevented:
        warn(
            f"n_components={n_components} exceeds the {n_features} features and nothing keeps the network from "
            "copying its input; set a corruption (for example corruption='masking') or a smaller code.",
        )
    return NetworkShape(
        n_features=n_features,
        n_components=n_components,
        n_encoded=n_components * assembly.objective.encoded_per_component,
        hidden_layer_sizes=hidden,
        activation=plain(estimator.activation),
        out_activation=assembly.out_activation,
        n_members=n_members,
        dtype="float64" if estimator.precision == "float64" else "float32",
        sample_shape=_sample_shape(assembly.network.sample_shape, n_features),
    )


def _sample_shape(choice: Any, n_features: int) -> tuple[int, ...] | None:
    """Check that a row can be read in this shape."""
    if choice is None:
        return None
    lengths = tuple(np.atleast_1d(choice).tolist())
    if not all(isinstance(length, int) and length >= 1 for length in lengths):
        raise ValueError(f"sample_shape={choice!r} must hold whole numbers from 1; None reads a row as one sequence.")
    if prod(lengths) != n_features:
        raise ValueError(
            f"sample_shape={choice!r} holds {' x '.join(map(str, lengths))} = {prod(lengths)} numbers, but a row has "
            f"{n_features} features; the product must be {n_features}."
        )
    return lengths


def fit_scaling(estimator: Any, assembly: Assembly, X: np.ndarray, statistics: ColumnStatistics) -> Affine:
    """Fit the scaling and check that the scaled rows suit the network and the loss."""
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

    low, high = scaled_range(affine, statistics)
    too_large = np.maximum(-low, high) > LARGEST_CELL
    if too_large.any():
        raise ValueError(
            f"Column {_names(estimator, too_large)} reaches beyond {LARGEST_CELL:g} after scaling="
            f"{estimator.scaling!r}, too large for a network to learn from; use scaling='standard'."
        )
    check_domain(estimator, assembly, low, high)
    return affine


def check_domain(estimator: Any, assembly: Assembly, low: np.ndarray, high: np.ndarray) -> None:
    """Check that scaled rows with this range are targets that the loss is defined for."""
    if assembly.loss.domain is None:
        return
    lower, upper = assembly.loss.domain
    margin = 1e-6 * (upper - lower)
    outside = (low < lower - margin) | (high > upper + margin)
    if outside.any():
        raise ValueError(
            f"loss={estimator.loss!r} needs rows in [{lower:g}, {upper:g}] after scaling, but with scaling="
            f"{estimator.scaling!r} column {_names(estimator, outside)} spans [{low[outside][0]:g}, "
            f"{high[outside][0]:g}]; use scaling='minmax' or another loss."
        )


def warn_of_foreign_samples(estimator: Any, X_val: Any, statistics: ColumnStatistics, n_samples: int) -> None:
    """Warn when X_val looks as if it had not passed the steps that X has passed.

    By Chebyshev's inequality, at most a quarter of a distribution lies more than two standard deviations from the mean,
    whatever its tails. That half of m samples lie more than t away has a probability below (2 / t)^m, so t grows until
    this is a thousandth for all columns together. Columns that are constant in X have no spread to measure by.
    """
    if n_samples < _FEWEST_SAMPLES:
        return
    compared = dense(X_val[:: -(-X_val.shape[0] // _N_COMPARED)])
    away = np.median(np.abs(compared - statistics.mean), axis=0) / statistics.scale
    away[statistics.low == statistics.high] = 0.0
    limit = max(_FAR, 2.0 * (1000 * len(away)) ** (1 / len(compared)))
    far = away > limit
    if far.any():
        worst = away == away.max()
        warn(
            f"X_val looks unlike X: in {far.sum()} of {len(away)} columns half of its samples lie more than "
            f"{limit:.2g} standard deviations from the mean of X, in column {_names(estimator, worst)} more than "
            f"{away.max():.3g}. Send X_val through the steps that X has passed: behind other steps of a pipeline write "
            "Pipeline(steps, transform_input=['X_val']), with metadata routing enabled and "
            f"{type(estimator).__name__}(...).set_fit_request(X_val=True), or transform X_val before fit.",
        )


def scaled_range(affine: Affine, statistics: ColumnStatistics) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest scaled value of each column."""
    return (statistics.low - affine.center) / affine.scale, (statistics.high - affine.center) / affine.scale


def input_bounds(estimator: Any, affine: Affine, statistics: ColumnStatistics) -> Bounds | None:
    """Widen the training range of each scaled column by ``input_margin`` standard deviations."""
    if estimator.input_margin is None:
        return None
    unit = statistics.scale / affine.scale
    low, high = scaled_range(affine, statistics)
    return Bounds(low - estimator.input_margin * unit, high + estimator.input_margin * unit, unit)


def divergence_message(estimator: Any, affine: Affine, statistics: ColumnStatistics) -> str:
    """Name the likely cause of a loss that is no longer finite."""
    low, high = scaled_range(affine, statistics)
    largest = np.maximum(-low, high)
    if largest.max() > _SUSPICIOUS_CELL:
        worst = largest == largest.max()
        cause = (
            f"column {_names(estimator, worst)} reaches {largest.max():.3g} after scaling={estimator.scaling!r}; "
            "use scaling='standard', or clip or transform that column"
        )
    else:
        cause = f"learning_rate_init={estimator.learning_rate_init!r} is too large; try a tenth of it"
    return f"Training stopped because the loss is no longer finite. The likely cause: {cause}."


def _names(estimator: Any, chosen: np.ndarray) -> str:
    """Names or positions of columns, at most three of them."""
    names = getattr(estimator, "feature_names_in_", np.arange(len(chosen)))[chosen].tolist()
    shown = ", ".join(repr(name) for name in names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def _is_auto(choice: Any) -> bool:
    return isinstance(choice, str) and choice == "auto"
