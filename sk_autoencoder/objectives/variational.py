"""The variational autoencoder: a code with a distribution, and a loss that bounds the likelihood of the rows."""

from __future__ import annotations

from math import log
from typing import Any, ClassVar

import torch
from torch import Tensor

from sk_autoencoder._validation import reals
from sk_autoencoder.losses import Loss
from sk_autoencoder.networks import Autoencoder
from sk_autoencoder.objectives.base import Batch, Evaluation, Objective, compare, follow, followed

# Log-variances of the code are cut here, where they are certain, or wider than any prior, for all purposes.
_LOG_VARIANCES = (-20.0, 10.0)
# Draws are decoded together as long as they have no more cells than this.
_CELLS_AT_ONCE = 1 << 20
# Below this the spread of the reconstruction is rounding.
_SMALLEST_SPREAD = 1e-6


class Variational(Objective):
    """Encode a row as a Gaussian, rebuild it from a draw, and keep the Gaussians near the standard normal.

    The loss is the negative evidence lower bound, with ``beta`` times the Kullback-Leibler divergence between
    the Gaussian and the standard normal. Codes drawn from the standard normal decode to new rows, and
    rows get a log-likelihood. ``transform`` gives the means and never draws.

    Parameters
    ----------
    beta : float, default=1.0
        Weight of the divergence. More than 1 asks for independent coordinates at the price of detail, less than 1 for
        detail.
    warmup : float in [0, 1], default=0.0
        Share of the training in which the weight of the divergence rises from 0 to ``beta``, so that the decoder
        learns to use the code before it has to be simple. ``partial_fit``, which has no end, does without.
    trim : float in [0, 1), default=0.0
        Share of each mini-batch left out of the loss: the samples with the largest errors by a moving average of the
        weights. Where a tenth of the training set are outliers, 0.15 lets the network learn less of them; it lowers
        accuracy if the training set is clean.

    Notes
    -----
    The loss of the estimator is the likelihood of a cell: squared error is a Gaussian, absolute error a Laplace,
    Huber's its own and binary cross-entropy a Bernoulli distribution. Gaussian and Laplace have one spread for all
    cells, in scaled units: the mean error of the mini-batch, which is the most likely one (calibrated decoders). With a
    fixed spread of 1, coordinates that explain less than a whole standardised column collapse into the prior. After
    training, and on validation rows, the spread is a running mean over mini-batches.

    With a corruption, which the transformer has by default, the Gaussian is that of the corrupted row, the likelihood
    that of the clean row: still a lower bound, and one that overfits less with few rows. ``corruption=None`` is the
    variational autoencoder of the paper.

    The terms "reconstruction" and "kl" are in nats, divided by the number of features; their sum is the
    negative bound. On validation rows, and after training, rows are rebuilt from their means.

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
        """Add the mean error of a cell, the spread of the reconstruction."""
        shape = (network.shape.n_members, 1, 1)
        network.register_buffer("spread", torch.ones(shape, dtype=network.shape.torch_dtype, device="cpu"))

    def __call__(self, network: Autoencoder, batch: Batch, loss: Loss) -> Evaluation:
        """Evaluate the network on a batch."""
        mean, log_variance = _split(network.encode(batch.corrupted))  # (m, n, k) each
        code = _drawn(network, mean, log_variance) if network.training else mean
        error, reconstruction = compare(network, code, batch, loss)
        if network.training:
            spread = error.detach().mean(dim=(1, 2), keepdim=True).clamp(min=_SMALLEST_SPREAD)
            follow(network, "spread", spread)
        else:
            spread = followed(network, "spread", error)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=-1)
        terms = {
            "reconstruction": loss.negative_log_likelihood(error, spread).mean(dim=-1),  # (m, n)
            "kl": divergence / error.shape[-1],
        }
        weight = self.beta * (min(1.0, batch.progress / self.warmup) if self.warmup else 1.0)
        total = (terms["reconstruction"] + weight * terms["kl"]).mean(dim=-1)
        return Evaluation(total, terms, mean, reconstruction, batch.clean)

    def posterior(self, network: Autoencoder, batch: Batch) -> Tensor:
        """Return means and standard deviations of the codes side by side, (m, n, 2 * n_components)."""
        mean, log_variance = _split(network.encode(batch.corrupted))
        return torch.cat([mean, (0.5 * log_variance).exp()], dim=-1)

    def log_likelihood(self, network: Autoencoder, batch: Batch, loss: Loss, noise: Tensor) -> Tensor:
        """Estimate the log-likelihood of the clean rows, (m, n, 1), from draws (n_draws, n_components) of a normal.

        The draws, moved to the posterior of each row, are weighted by how much likelier the model finds them.
        """
        mean, log_variance = _split(network.encode(batch.corrupted))
        rows, weights = batch.clean, []
        for draws in noise[:, None, None, :].split(max(1, _CELLS_AT_ONCE // rows.numel())):
            codes = mean + (0.5 * log_variance).exp() * draws  # (d, m, n, k)
            repeated = rows.repeat_interleave(len(draws), dim=0)
            error, _ = compare(network, codes.transpose(0, 1).flatten(0, 1), Batch(repeated, repeated), loss)
            likelihood = -loss.negative_log_likelihood(error, followed(network, "spread", error)).sum(dim=-1)
            ratio = 0.5 * (draws.square() + log_variance - codes.square()).sum(dim=-1)  # of prior to posterior
            weights.append(likelihood.unflatten(0, (len(rows), -1)).transpose(0, 1).double() + ratio.double())
        return torch.cat(weights).logsumexp(dim=0)[..., None] - log(len(noise))


def _split(encoded: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and logarithm of the variance of each code entry."""
    mean, log_variance = encoded.chunk(2, dim=-1)
    return mean, log_variance.clamp(*_LOG_VARIANCES)


def _drawn(network: Autoencoder, mean: Tensor, log_variance: Tensor) -> Tensor:
    assert network.noise is not None, "a variational network trains only inside the engine"
    noise = torch.empty_like(mean)
    for member, generator in zip(noise, network.noise, strict=True):
        member.normal_(generator=generator)
    return mean + (0.5 * log_variance).exp() * noise
