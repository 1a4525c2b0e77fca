"""Objective of variational autoencoders: the negative evidence lower bound."""

from __future__ import annotations

from math import log
from typing import Any, ClassVar

import torch
from torch import Tensor

from sk_autoencoder._validation import reals
from sk_autoencoder.losses import Loss
from sk_autoencoder.networks import Autoencoder
from sk_autoencoder.objectives.base import Batch, Evaluation, Objective, compare, follow, followed, normal_like

# Clamp log-variances: beyond this range the code is deterministic or uninformative.
_LOG_VARIANCES = (-20.0, 10.0)
# Maximum number of reconstructed entries, over all draws that are decoded at once.
_CELLS_AT_ONCE = 1 << 20
# Lower limit of the spread of the reconstruction, of the order of rounding errors.
_SMALLEST_SPREAD = 1e-6


class Variational(Objective):
    """Variational autoencoder: a Gaussian posterior of the code, with a standard normal prior.

    The loss is the negative evidence lower bound, with the Kullback-Leibler divergence between posterior and prior
    weighted by ``beta``. The estimator can then sample from the prior and estimate log-likelihoods. ``transform``
    returns the means of the posteriors and is deterministic.

    Parameters
    ----------
    beta : float, default=1.0
        Weight of the divergence. Values above 1 favor independent components over accurate reconstructions, values
        below 1 the opposite.
    warmup : float in [0, 1], default=0.0
        Fraction of the training in which the weight of the divergence increases linearly from 0 to ``beta``, which
        can prevent collapsed components. ``partial_fit`` does not use it, because its number of steps is unknown.
    trim : float in [0, 1), default=0.0
        Fraction of each mini-batch that is left out of the loss: the samples with the largest reconstruction errors
        under a moving average of the weights. If a tenth of the training set are outliers, use for example 0.15.
        Without outliers in the training set, trimming lowers the accuracy.

    Notes
    -----
    The loss of the estimator determines the likelihood of each feature: the squared error that of a Gaussian, the
    absolute error that of a Laplace, the Huber loss that of a Huber, and the binary cross-entropy that of a Bernoulli
    distribution. Gaussian and Laplace have one scale for all features, in scaled units: the maximum-likelihood
    estimate, which is the mean loss of the mini-batch (calibrated decoders). With a fixed scale of 1, components that
    explain less than the variance of one standardized feature would collapse to the prior. For validation, and after
    training, the scale is a running mean over mini-batches.

    With a corruption, the default of both estimators, the posterior is that of the corrupted sample and the likelihood
    that of the clean sample. This is still a lower bound, and overfits less with few samples. ``corruption=None`` is
    the variational autoencoder of the paper.

    The terms "reconstruction" and "kl" are in nats, divided by the number of features; their sum is the negative
    evidence lower bound. For validation, and after training, reconstructions are decoded from the means.

    References
    ----------
    D. Kingma and M. Welling, "Auto-Encoding Variational Bayes", ICLR 2014.
    I. Higgins et al., "beta-VAE", ICLR 2017.
    C. Sonderby et al., "Ladder Variational Autoencoders", NeurIPS 2016 (warm-up).
    O. Rybkin, K. Daniilidis and S. Levine, "Simple and Effective VAE Training with Calibrated Decoders", ICML 2021.
    J. Lucas et al., "Don't Blame the ELBO!", NeurIPS 2019 (spread and collapse).

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sk_autoencoder import AutoencoderTransformer
    >>> from sk_autoencoder.objectives import Variational
    >>> X, _ = load_digits(return_X_y=True)
    >>> model = AutoencoderTransformer(2, objective=Variational(warmup=0.2), max_iter=2, random_state=0).fit(X)
    >>> sorted(model.loss_curves_)
    ['kl', 'reconstruction']
    """

    terms = ("reconstruction", "kl")
    encoded_per_component = 2
    prevents_copying = True
    has_prior = True
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "beta": [reals(0)],
        "warmup": [reals(0, 1, closed="both")],
        "trim": [reals(0, 1)],
    }

    def __init__(self, beta: float = 1.0, warmup: float = 0.0, trim: float = 0.0):
        self.beta = beta
        self.warmup = warmup
        self.trim = trim

    def extend(self, network: Autoencoder) -> None:
        """Register the spread of the reconstruction: the mean loss of an entry."""
        shape = (network.shape.n_members, 1, 1)
        network.register_buffer("spread", torch.ones(shape, dtype=network.shape.torch_dtype, device="cpu"))

    def __call__(self, network: Autoencoder, batch: Batch, loss: Loss) -> Evaluation:
        """Evaluate the network on a batch."""
        mean, log_variance = _split(network.encode(batch.corrupted))  # (m, n, k) each
        code = _drawn(network, mean, log_variance) if network.training else mean
        error, reconstruction = compare(network, code, batch, loss)
        if network.training:
            spread = batch.over_all(error.detach()).clamp(min=_SMALLEST_SPREAD)[:, None, None]
            follow(network, "spread", spread)
        else:
            spread = followed(network, "spread", error)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=-1)
        terms = {
            "reconstruction": batch.over_features(loss.negative_log_likelihood(error, spread)),  # (m, n)
            "kl": divergence / batch.n_values,
        }
        weight = self.beta * (min(1.0, batch.progress / self.warmup) if self.warmup else 1.0)
        total = batch.over_samples(terms["reconstruction"] + weight * terms["kl"])
        return Evaluation(total, terms, mean, reconstruction, batch.clean)

    def posterior(self, network: Autoencoder, batch: Batch) -> Tensor:
        """Return means and standard deviations of the posteriors, concatenated, (m, n, 2 * n_components)."""
        mean, log_variance = _split(network.encode(batch.corrupted))
        return torch.cat([mean, (0.5 * log_variance).exp()], dim=-1)

    def log_likelihood(self, network: Autoencoder, batch: Batch, loss: Loss, noise: Tensor) -> Tensor:
        """Estimate the log-likelihood of the observed values of samples, (m, n, 1), by importance sampling.

        ``noise`` (n_draws, n_components) are draws from the standard normal. They are shifted and scaled to draws from
        the posterior of each sample, whose weights are ratios of the joint density to that of the posterior.
        """
        mean, log_variance = _split(network.encode(batch.corrupted))
        rows, weights = batch.clean, []
        for draws in noise[:, None, None, :].split(max(1, _CELLS_AT_ONCE // rows.numel())):
            codes = mean + (0.5 * log_variance).exp() * draws  # (d, m, n, k)
            repeated = rows.repeat_interleave(len(draws), dim=0)
            error, _ = compare(network, codes.transpose(0, 1).flatten(0, 1), Batch(repeated, repeated), loss)
            surprise = loss.negative_log_likelihood(error, followed(network, "spread", error))
            if batch.observed is not None:
                surprise = torch.where(batch.observed.repeat_interleave(len(draws), dim=0), surprise, 0)
            likelihood = -surprise.sum(dim=-1)
            ratio = 0.5 * (draws.square() + log_variance - codes.square()).sum(dim=-1)  # of prior to posterior
            weights.append(likelihood.unflatten(0, (len(rows), -1)).transpose(0, 1).double() + ratio.double())
        return torch.cat(weights).logsumexp(dim=0)[..., None] - log(len(noise))


def _split(encoded: Tensor) -> tuple[Tensor, Tensor]:
    """Split the output of the encoder into means and clamped log-variances."""
    mean, log_variance = encoded.chunk(2, dim=-1)
    return mean, log_variance.clamp(*_LOG_VARIANCES)


def _drawn(network: Autoencoder, mean: Tensor, log_variance: Tensor) -> Tensor:
    return mean + (0.5 * log_variance).exp() * normal_like(network, mean)
