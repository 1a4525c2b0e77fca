"""What a variational autoencoder says of a row."""

from __future__ import annotations

from torch import Tensor

from sk_autoencoder.objectives import Evaluation
from sk_autoencoder.scores.base import OutlierScore, State


class Divergence(OutlierScore):
    """Kullback-Leibler divergence of a variational code from the standard normal, in nats for each feature."""

    required_terms = ("kl",)
    uses_references = False

    def __call__(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the part."""
        del state
        return evaluation.terms["kl"].double()


class NegativeELBO(OutlierScore):
    """Negative evidence lower bound of a variational autoencoder, in nats for each feature.

    The price of rebuilding a row from the mean of its code, plus the price of the code. Of the two, a bound on how
    improbable the row is, the first grows with strange details and the second with strange combinations.

    References
    ----------
    J. An and S. Cho, "Variational Autoencoder based Anomaly Detection using Reconstruction Probability", SNU 2015.
    """

    required_terms = ("reconstruction", "kl")
    uses_references = False
    is_log_scale = True

    def __call__(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the sum of both terms."""
        del state
        return evaluation.terms["reconstruction"].double() + evaluation.terms["kl"].double()
