"""What a transformer does with the space of its codes."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.mixture import GaussianMixture
from sklearn.utils.extmath import svd_flip

from sk_autoencoder._rounding import ROUNDING
from sk_autoencoder.inference import Axes

# A mixture is fitted on at most this many codes, and has at most so many components.
N_CODES = 4096
_MOST_COMPONENTS = 10
# A component of a variational code is active if the variance of its means over samples is larger (Burda et al., 2016).
ACTIVE = 0.01


def draw_like(codes: np.ndarray, n_samples: int, random_state: np.random.RandomState) -> np.ndarray:
    """Draw codes from a Gaussian mixture fitted on those of training rows."""
    codes = np.repeat(codes, 2, axis=0) if len(codes) == 1 else codes  # the fewest that a mixture takes
    center, spread = codes.mean(axis=0), codes.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    n_components = min(_MOST_COMPONENTS, max(1, len(codes) // (10 * codes.shape[1])))
    mixture = GaussianMixture(n_components, reg_covar=1e-4, tol=1e-2, random_state=0)
    drawn, _ = mixture.fit((codes - center) / spread).set_params(random_state=random_state).sample(n_samples)
    return random_state.permutation(drawn) * spread + center


def one_row(row: Any) -> Any:
    """Return a single row, (n_features,) or (1, n_features), as a table of one row."""
    if hasattr(row, "to_frame") and hasattr(row, "index"):  # pandas: the names of its entries are the features
        return row.to_frame().T.infer_objects()
    shape = np.shape(row)
    if len(shape) == 2 and shape[0] != 1:
        raise ValueError(f"a and b are single rows, but {shape[0]} rows were given.")
    return row if len(shape) == 2 else np.asarray(row)[None]


def principal_axes(codes: np.ndarray, decoder: np.ndarray) -> tuple[Axes, np.ndarray, np.ndarray]:
    """Turn the codes (n, k) of a linear decoder (k, n_features) as PCA would turn the rows that they stand for.

    Returns the axes, the components (k, n_features), whose rows are orthonormal, and the variance along each.
    """
    center = codes.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(codes, rowvar=False, bias=True).reshape(2 * codes.shape[1:]))
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    left, lengths, components = np.linalg.svd(root @ decoder, full_matrices=False)
    _, components = svd_flip(left, components, u_based_decision=False)
    turn = decoder @ components.T
    return Axes(center, turn, np.linalg.pinv(turn)), components, lengths**2


def whitening_axes(codes: np.ndarray, least: float) -> Axes:
    """Return axes on which codes (n, k) are uncorrelated and have variances of 1, as PCA's with ``whiten=True``.

    They are the principal axes of the codes, in falling order of variance. Those with a variance of at most ``least``,
    or of rounding, become 0.
    """
    center = codes.mean(axis=0)
    centred = codes - center
    values, vectors = np.linalg.eigh(centred.T @ centred / max(1, len(codes) - 1))
    values, vectors = values[::-1], vectors[:, ::-1]
    vectors, _ = svd_flip(vectors, vectors.T.copy())
    kept = values > max(least, (ROUNDING * np.abs(codes).max()) ** 2)
    scale = np.sqrt(np.where(kept, values, 1.0))
    return Axes(center, vectors / scale * kept, (vectors * scale * kept).T)


def active_components(codes: np.ndarray) -> np.ndarray:
    """Return the active components of variational codes (n, k), the most active first."""
    variances = codes.var(axis=0)
    order = np.argsort(-variances, kind="stable")
    return order[variances[order] > ACTIVE]
