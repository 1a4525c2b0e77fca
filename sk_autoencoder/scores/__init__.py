"""Outlier scores, computed from the evaluation of an objective; larger for more outlying samples.

A score may learn from two sets of samples for each ensemble member: references, which the member was trained on (in
random order), and held-out samples, which show how large errors are on new samples. What a score learns is its state,
a dict of tensors. Scores are float64. The score of a sample does not depend on the other samples in the batch.
"""

from sk_autoencoder.scores.base import OutlierScore, of_others
from sk_autoencoder.scores.combined import PLAIN_SCORES, Combined
from sk_autoencoder.scores.dependence import DependenceTree
from sk_autoencoder.scores.distances import (
    CodeDistance,
    RankDistance,
    RelativeDistance,
    ResidualDistance,
    SampleDistance,
)
from sk_autoencoder.scores.isolation import ReconstructionIsolation, SampleIsolation
from sk_autoencoder.scores.residual import Mahalanobis, ReconstructionError, SensorError
from sk_autoencoder.scores.tails import FeatureTails
from sk_autoencoder.scores.variational import Divergence, NegativeELBO

SCORES: dict[str, type[OutlierScore]] = {**PLAIN_SCORES, "combined": Combined}

__all__ = [
    "SCORES",
    "CodeDistance",
    "Combined",
    "DependenceTree",
    "Divergence",
    "FeatureTails",
    "Mahalanobis",
    "NegativeELBO",
    "OutlierScore",
    "RankDistance",
    "ReconstructionError",
    "ReconstructionIsolation",
    "RelativeDistance",
    "ResidualDistance",
    "SampleDistance",
    "SampleIsolation",
    "SensorError",
    "of_others",
]
