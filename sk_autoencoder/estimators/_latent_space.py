"""The latent space after training: its axes, and samples that are drawn from it or follow a line in it."""

from __future__ import annotations

import numbers
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state, check_scalar
from sklearn.utils.validation import check_is_fitted

from sk_autoencoder._validation import available_unless, has_missing
from sk_autoencoder.estimators._assembly import Samples
from sk_autoencoder.estimators._base import BaseAutoencoder
from sk_autoencoder.estimators._latent import (
    ACTIVE,
    N_CODES,
    active_components,
    draw_like,
    one_row,
    principal_axes,
    whitening_axes,
)
from sk_autoencoder.inference import Axes
from sk_autoencoder.objectives import OBJECTIVES
from sk_autoencoder.scaling import row_blocks

# Number of draws from the posterior of each sample, for log-likelihoods.
_N_DRAWS = 200
# Seeds of the random numbers that are drawn in fit and stored.
_CODES, _DRAWS = 1, 2


def _objective_lacks(method: str) -> Callable[[Any], str | None]:
    """Return a function that checks whether the objective of an estimator has a method."""

    def reason(estimator: BaseLatentSpace) -> str | None:
        fitted = getattr(estimator, "_assembly", None)
        choice = estimator.objective if fitted is None else fitted.objective
        if hasattr(OBJECTIVES.get(choice) if isinstance(choice, str) else choice, method):
            return None
        return f"objective={choice!r} has no {method}; use objective='variational'."

    return reason


class BaseLatentSpace(BaseAutoencoder):
    """Abstract base class of autoencoders whose latent codes are mapped linearly after training, and drawn."""

    whiten: bool
    components_: np.ndarray
    explained_variance_ratio_: np.ndarray
    active_components_: np.ndarray
    _axes: Axes  # principal axes of a linear network
    _whitening: Axes
    _codes: np.ndarray  # latent codes of some training samples, if the objective has no prior
    _draws: np.ndarray  # from the standard normal, (_N_DRAWS, n_components_), for log-likelihoods

    @available_unless(_objective_lacks("posterior"))
    def posterior(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """Compute the posterior of each sample's code, a Gaussian, with ``objective="variational"``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        mean : ndarray of shape (n_samples, n_components_)
            Means, which ``transform`` returns.
        std : ndarray of shape (n_samples, n_components_)
            Standard deviations. The components of the posterior are independent, except with ``whiten=True``, where
            these are the square roots of the diagonal of the covariance, and 0 for collapsed components.

        Raises
        ------
        AttributeError
            If the objective is not variational.
        """
        X = self._check(X)
        both = self._inference.posterior(self._assembly.objective.posterior, X)[0]
        return both[:, : self.n_components_].copy(), both[:, self.n_components_ :].copy()

    @available_unless(_objective_lacks("log_likelihood"))
    def score_samples(self, X: Any) -> np.ndarray:
        """Estimate the log-likelihood of each sample, with ``objective="variational"``.

        The estimate is computed by importance sampling, from 200 draws of the posterior of each sample. The noise of
        the draws is the same for all samples and calls. The expectation of the estimate is a lower bound, which is much
        tighter than the loss.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        log_likelihood : ndarray of shape (n_samples,)
            Log-likelihoods in nats, summed over the observed features: of a density in the units of X or, with the
            binary cross-entropy, of the probability of a binary sample.

        References
        ----------
        Y. Burda, R. Grosse and R. Salakhutdinov, "Importance Weighted Autoencoders", ICLR 2016.
        """
        X = self._check(X)
        noise = torch.tensor(self._draws, dtype=self._shape.torch_dtype, device=self.net_.device)
        estimate = partial(self._assembly.objective.log_likelihood, loss=self._plan.loss, noise=noise)
        scaled = self._inference.apply(estimate, X, 1, np.float64)[0, :, 0]
        if self._plan.loss.discrete:
            return scaled
        units = np.log(self._affine.scale)
        if not (has_missing(X) or self._statistics.absent.any()):
            return scaled - units.sum()
        missing = (np.isnan(block) | self._statistics.absent for block in row_blocks(X))
        return scaled - np.concatenate([np.where(cells, 0.0, units).sum(axis=1) for cells in missing])

    def sample(self, n_samples: int = 1, random_state: Any = None, *, noise: bool = False) -> np.ndarray:
        """Generate random samples.

        Codes are drawn from the standard normal distribution with ``objective="variational"`` or "adversarial".
        Otherwise, they are drawn from a mixture of at most 10 Gaussians, which is fitted to the codes of at most 4096
        training samples (with ``partial_fit``, those of the last call).

        Parameters
        ----------
        n_samples : int, default=1
            Number of samples to generate.
        random_state : int, RandomState instance or None, default=None
            Seed or generator of the random numbers.
        noise : bool, default=False
            Whether to add noise to the decoded codes, whose variance is less than that of the training samples. The
            noise is independent for all features, normal or, with the absolute error, Laplace. Its variance is the
            difference between the variance of the feature in the training set (with ``partial_fit``, in the first
            call) and that of decoded codes. With the binary cross-entropy, values are the minimum or the maximum of the
            feature, with the probability that the decoder returns.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features_in_)
            Generated samples, in the units of the training set.

        References
        ----------
        P. Ghosh et al., "From Variational to Deterministic Autoencoders", ICLR 2020.

        Examples
        --------
        >>> from sklearn.datasets import load_wine
        >>> from sk_autoencoder import AutoencoderTransformer
        >>> X = load_wine().data
        >>> model = AutoencoderTransformer(2, objective="variational", max_iter=100, random_state=0).fit(X)
        >>> drawn = model.sample(1000, random_state=0, noise=True)
        >>> print((drawn.std(axis=0) / X.std(axis=0)).mean().round(1))
        1.0
        """
        check_is_fitted(self)
        n_samples = check_scalar(n_samples, "n_samples", numbers.Integral, min_val=1)
        source = check_random_state(random_state)
        rows = self._decoded_draws(n_samples, source)
        return self._with_noise(rows, source) if noise else rows

    def _decoded_draws(self, n_samples: int, source: np.random.RandomState) -> np.ndarray:
        """Decode random codes, which are drawn before whitening."""
        if self._assembly.objective.has_prior:
            codes = source.normal(size=(n_samples, self.n_components_))
        else:
            codes = draw_like(self._codes.astype(np.float64), n_samples, source)
        return self._inference.decode(codes, self._n_turns)[0]

    def _with_noise(self, rows: np.ndarray, source: np.random.RandomState) -> np.ndarray:
        """Add noise to decoded samples, so that features have the same variances as in the training set."""
        center, scale = self._affine
        decoded = self._decoded_draws(N_CODES, np.random.RandomState(self._plan.seed))
        std = np.sqrt(np.maximum(0.0, self._statistics.variance - decoded.var(axis=0)))
        return self._plan.loss.draw((rows - center) / scale, std / scale, source) * scale + center

    def interpolate(self, a: Any, b: Any, n_steps: int = 10) -> np.ndarray:
        """Interpolate between two samples in the latent space.

        Parameters
        ----------
        a, b : array-like of shape (n_features,) or (1, n_features)
            The two samples.
        n_steps : int, default=10
            Number of samples to return, at least 2.

        Returns
        -------
        X : ndarray of shape (n_steps, n_features_in_)
            Decoded codes at equal distances on the line between the codes of ``a`` and ``b``, in the units of the
            training set. The first and the last are reconstructions of ``a`` and ``b``.
        """
        n_steps = check_scalar(n_steps, "n_steps", numbers.Integral, min_val=2)
        rows = [self._check(one_row(row)) for row in (a, b)]
        first, last = (self._inference.encode(row)[0, 0] for row in rows)
        return self._inference.decode(np.linspace(first, last, n_steps))[0]

    def _turns(self) -> list[Axes]:
        """Return the linear maps that are applied to codes one after the other."""
        return [getattr(self, name) for name in ("_axes", "_whitening") if hasattr(self, name)]

    @property
    def _n_turns(self) -> int:
        """Number of linear maps before the whitening."""
        return int(hasattr(self, "_axes"))

    def _turn(self, samples: Samples) -> None:
        """Rotate the codes of a linear network to the principal axes of its reconstructions."""
        codes = self._inference.encode(samples.X)[0].astype(np.float64, copy=False)
        corners = np.vstack([np.zeros(self.n_components_), np.eye(self.n_components_)])
        origin, *ends = self._inference.decode(corners)[0]
        axes, self.components_, variances = principal_axes(
            codes, np.nan_to_num(np.array(ends) - origin), samples.weight
        )
        self.explained_variance_ratio_ = variances / (self._statistics.variance.sum() or 1.0)
        self._axes = axes
        self._inference.turn_code(self._turns())

    def _whiten(self, samples: Samples) -> None:
        """Compute the whitening from these samples; if there are too few, keep the previous one."""
        X, weight = samples.X, samples.weight
        if not hasattr(self, "_whitening") or X.shape[0] > self.n_components_:
            codes = self._inference.encode(X, self._n_turns, dtype=np.float64)[0]
            self._whitening = whitening_axes(codes, ACTIVE if self._assembly.objective.has_prior else 0.0, weight)
        self.active_components_ = np.flatnonzero(self._whitening.turn.any(axis=0))
        self._inference.turn_code(self._turns())

    def _keep_for_later(self, samples: Samples) -> None:
        """Draw and store the noise for log-likelihoods, or the codes of some training samples."""
        X, weight = samples.X, samples.weight
        order, draws = (np.random.default_rng([self._plan.seed, stream]) for stream in (_CODES, _DRAWS))
        if weight is None:
            chosen = np.sort(order.permutation(X.shape[0])[:N_CODES])
        else:
            chosen = np.sort(order.choice(X.shape[0], size=min(X.shape[0], N_CODES), p=weight / weight.sum()))
        codes = self._inference.encode(X[chosen], self._n_turns)[0]
        if not self._assembly.objective.has_prior:
            self._codes = codes
            return
        if hasattr(self._assembly.objective, "log_likelihood"):
            self._draws = draws.normal(size=(_N_DRAWS, self.n_components_))
        if not self.whiten:
            self.active_components_ = active_components(codes)
