"""Scores of variational autoencoders."""

from __future__ import annotations

from torch import Tensor

from sk_autoencoder.objectives import Evaluation
from sk_autoencoder.scores.base import OutlierScore, State


class Divergence(OutlierScore):
    """Kullback-Leibler divergence of the latent distribution from the standard normal, in nats per feature."""

    required_terms = ("kl",)
    uses_references = False

    def __call__(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the divergence."""
        del state
        return evaluation.terms["kl"].double()


class NegativeELBO(OutlierScore):
    """Negative evidence lower bound of a variational autoencoder, in nats per feature.

    The negative log-likelihood of the sample given the mean of its latent code, plus the Kullback-Leibler divergence of
    the latent distribution. The sum approximates an upper bound of the negative log-likelihood of the sample.

    References
    ----------
    J. An and S. Cho, "Variational Autoencoder based Anomaly Detection using Reconstruction Probability", SNU 2015.
    """

    required_terms = ("reconstruction", "kl")
    uses_references = False
    is_log_scale = True

    def __call__(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the sum of the two terms."""
        del state
        return evaluation.terms["reconstruction"].double() + evaluation.terms["kl"].double()
