"""Autoencoders as scikit-learn estimators, trained by torch through skorch.

The parts that estimators are composed of stand in the submodule of their kind, for example ``networks.Dense``.
"""

from sk_autoencoder import (
    corruptions,
    losses,
    model_selection,
    networks,
    objectives,
    scaling,
    scores,
    solvers,
    thresholds,
    windows,
)
from sk_autoencoder.displays import (
    FeatureScoresDisplay,
    InterpolationDisplay,
    LatentDisplay,
    LatentGridDisplay,
    LossCurveDisplay,
    OutlierReconstructionDisplay,
    OutlierScoreDisplay,
    ReconstructionDisplay,
    TimeSeriesDisplay,
    TraversalDisplay,
)
from sk_autoencoder.estimators import (
    AutoencoderClassifier,
    AutoencoderOutlierDetector,
    AutoencoderRegressor,
    AutoencoderTransformer,
    BinaryLabelsWarning,
    TimeSeriesOutlierDetector,
    trusted_types,
)

__version__ = "0.1.0"

__all__ = [
    "AutoencoderClassifier",
    "AutoencoderOutlierDetector",
    "AutoencoderRegressor",
    "AutoencoderTransformer",
    "BinaryLabelsWarning",
    "FeatureScoresDisplay",
    "InterpolationDisplay",
    "LatentDisplay",
    "LatentGridDisplay",
    "LossCurveDisplay",
    "OutlierReconstructionDisplay",
    "OutlierScoreDisplay",
    "ReconstructionDisplay",
    "TimeSeriesDisplay",
    "TimeSeriesOutlierDetector",
    "TraversalDisplay",
    "corruptions",
    "losses",
    "model_selection",
    "networks",
    "objectives",
    "scaling",
    "scores",
    "solvers",
    "thresholds",
    "trusted_types",
    "windows",
]
