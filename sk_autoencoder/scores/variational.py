"""What a variational autoencoder says of a row."""

from __future__ import annotations

from torch import Tensor

from sk_autoencoder.objectives import Evaluation
from sk_autoencoder.scores.base import Score, State


class Divergence(Score):
    """Kullback-Leibler divergence of a variational code from the standard normal, in nats for each feature."""

    needs = ("kl",)
    compares = False

    def __call__(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the part."""
        del state
        return evaluation.parts["kl"].double()


class NegativeELBO(Score):
    """Negative evidence lower bound of a variational autoencoder, in nats for each feature.

    The price of rebuilding a row from the mean of its code, plus the price of the code. Of the two, a bound on how
    improbable the row is, the first grows with strange details and the second with strange combinations.

    References
    ----------
    J. An and S. Cho, "Variational Autoencoder based Anomaly Detection using Reconstruction Probability", SNU 2015.
    """

    needs = ("reconstruction", "kl")
    compares = False
    is_logarithm = True

    def __call__(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the sum of both parts."""
        del state
        return evaluation.parts["reconstruction"].double() + evaluation.parts["kl"].double()
