"""How strange a row is: scores of what an objective found, larger for stranger rows.

A score may learn from two sets of rows for each member of the network: some that the member was trained on
(references, in random order) and some that other members held out of their training, which show how large errors are
on new rows. What it learns is a dict of tensors, its state. A score is float64, and does not depend on the rows
scored beside it.
"""

from sk_autoencoder.scores.base import Score, State, of_others
from sk_autoencoder.scores.combined import PLAIN_SCORES, Combined, components
from sk_autoencoder.scores.distances import CodeDistance, RankDistance, ResidualDistance, RowDistance
from sk_autoencoder.scores.isolation import ReconstructionIsolation, RowIsolation
from sk_autoencoder.scores.residual import Mahalanobis, ReconstructionError
from sk_autoencoder.scores.tails import FeatureTails
from sk_autoencoder.scores.variational import Divergence, NegativeELBO

SCORES: dict[str, type[Score]] = {**PLAIN_SCORES, "combined": Combined}

__all__ = [
    "SCORES",
    "CodeDistance",
    "Combined",
    "Divergence",
    "FeatureTails",
    "Mahalanobis",
    "NegativeELBO",
    "RankDistance",
    "ReconstructionError",
    "ReconstructionIsolation",
    "ResidualDistance",
    "RowDistance",
    "RowIsolation",
    "Score",
    "State",
    "components",
    "of_others",
]
