"""Sampling, principal axes, whitening and active components of latent codes."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.mixture import GaussianMixture
from sklearn.utils.extmath import svd_flip

from sk_autoencoder._rounding import ROUNDING
from sk_autoencoder.inference import Axes

# Maximum number of codes that a mixture is fitted on, and of its components.
N_CODES = 4096
_MOST_COMPONENTS = 10
# A component of a variational code is active if the variance of its means over samples is larger (Burda et al., 2016).
ACTIVE = 0.01


def draw_like(codes: np.ndarray, n_samples: int, random_state: np.random.RandomState) -> np.ndarray:
    """Draw new codes from a Gaussian mixture model that is fitted to codes of training samples."""
    codes = np.repeat(codes, 2, axis=0) if len(codes) == 1 else codes  # GaussianMixture needs two samples
    center, spread = codes.mean(axis=0), codes.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    n_components = min(_MOST_COMPONENTS, max(1, len(codes) // (10 * codes.shape[1])))
    mixture = GaussianMixture(n_components, reg_covar=1e-4, tol=1e-2, random_state=0)
    drawn, _ = mixture.fit((codes - center) / spread).set_params(random_state=random_state).sample(n_samples)
    return random_state.permutation(drawn) * spread + center


def one_row(row: Any) -> Any:
    """Convert a single sample, (n_features,) or (1, n_features), to shape (1, n_features)."""
    if hasattr(row, "to_frame") and hasattr(row, "index"):  # a pandas Series, whose index are the feature names
        return row.to_frame().T.infer_objects()
    shape = np.shape(row)
    if len(shape) == 2 and shape[0] != 1:
        raise ValueError(f"a and b must be single samples, but got {shape[0]} samples.")
    return row if len(shape) == 2 else np.asarray(row)[None]


def principal_axes(
    codes: np.ndarray, decoder: np.ndarray, weight: np.ndarray | None = None
) -> tuple[Axes, np.ndarray, np.ndarray]:
    """Compute PCA of the decoded samples ``codes @ decoder``, with codes (n, k) and a linear decoder (k, n_features).

    Let Z be the codes with mean m and covariance C, and D the decoder. The decoded samples have the covariance
    ``D.T @ C @ D``. With the symmetric square root R of C and the singular value decomposition ``R @ D = U @ S @ V.T``,
    this is ``V @ S**2 @ V.T``. So the principal components are the columns of V, with variances ``S**2``, and the
    coordinates of the decoded samples along them are ``(Z - m) @ D @ V``.

    Mean and covariance are weighted with ``weight`` (n,), if it is given.

    Returns the map from codes to these coordinates, ``V.T`` (k, n_features), and the variances (k,).
    """
    center = np.average(codes, axis=0, weights=weight)
    covariance = np.cov(codes, rowvar=False, bias=True, aweights=weight)
    covariance = covariance.reshape(2 * codes.shape[1:])  # 0-D for k = 1 without reshape
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    left, singular_values, components = np.linalg.svd(root @ decoder, full_matrices=False)
    _, components = svd_flip(left, components, u_based_decision=False)
    turn = decoder @ components.T
    return Axes(center, turn, np.linalg.pinv(turn)), components, singular_values**2


def whitening_axes(codes: np.ndarray, least: float, weight: np.ndarray | None = None) -> Axes:
    """Return axes on which codes (n, k) are uncorrelated with variances of 1, as in PCA with ``whiten=True``.

    With the mean m and the eigenvalues l and eigenvectors Q of the covariance, whitened codes are
    ``(codes - m) @ Q / sqrt(l)``, in descending order of l. Coordinates with l of at most ``least``, or of the size of
    rounding errors, are set to 0. With weights (n,), the covariance is divided by their sum.
    """
    center = np.average(codes, axis=0, weights=weight)
    centred = codes - center
    if weight is None:
        covariance = centred.T @ centred / max(1, len(codes) - 1)
    else:
        covariance = (centred.T * weight) @ centred / weight.sum()
    values, vectors = np.linalg.eigh(covariance)
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
