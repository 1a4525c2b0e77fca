"""How strange a row is: scores of what an objective found, larger for stranger rows.

A score may learn from two sets of rows for each member of the network: some that the member was trained on
(references, in random order) and some that other members held out of their training, which show how large errors are
on new rows. What it learns is a dict of tensors, its state. A score is float64, and does not depend on the rows
scored beside it.
"""

from sk_autoencoder.scores.base import OutlierScore
from sk_autoencoder.scores.combined import PLAIN_SCORES, Combined
from sk_autoencoder.scores.distances import CodeDistance, RankDistance, ResidualDistance, SampleDistance
from sk_autoencoder.scores.isolation import ReconstructionIsolation, SampleIsolation
from sk_autoencoder.scores.residual import Mahalanobis, ReconstructionError
from sk_autoencoder.scores.tails import FeatureTails
from sk_autoencoder.scores.variational import Divergence, NegativeELBO

SCORES: dict[str, type[OutlierScore]] = {**PLAIN_SCORES, "combined": Combined}

__all__ = [
    "SCORES",
    "CodeDistance",
    "Combined",
    "Divergence",
    "FeatureTails",
    "Mahalanobis",
    "NegativeELBO",
    "OutlierScore",
    "RankDistance",
    "ReconstructionError",
    "ReconstructionIsolation",
    "ResidualDistance",
    "SampleDistance",
    "SampleIsolation",
]
