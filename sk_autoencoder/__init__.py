"""Autoencoders as scikit-learn estimators, trained by torch through skorch."""

from sk_autoencoder.corruptions import Corruption, Gaussian, Masking, Swap
from sk_autoencoder.displays import (
    FeatureScoresDisplay,
    InterpolationDisplay,
    LatentDisplay,
    LatentGridDisplay,
    LossCurveDisplay,
    OutlierReconstructionDisplay,
    OutlierScoreDisplay,
    ReconstructionDisplay,
    TraversalDisplay,
)
from sk_autoencoder.estimators import AutoencoderOutlierDetector, AutoencoderTransformer, trusted_types
from sk_autoencoder.losses import AbsoluteError, BinaryCrossEntropy, Huber, Loss, SquaredError
from sk_autoencoder.model_selection import (
    OneClassKFold,
    OutlierScorer,
    outlier_average_precision,
    outlier_roc_auc,
)
from sk_autoencoder.networks import Convolutional, Custom, Dense, Network
from sk_autoencoder.objectives import Objective, Reconstruction, Variational
from sk_autoencoder.scaling import MinMax, Robust, Scaling, Standard
from sk_autoencoder.scores import (
    CodeDistance,
    Combined,
    Divergence,
    FeatureTails,
    Mahalanobis,
    NegativeELBO,
    RankDistance,
    ReconstructionError,
    ReconstructionIsolation,
    ResidualDistance,
    RowDistance,
    RowIsolation,
    Score,
)
from sk_autoencoder.thresholds import Auto, Conformal, Hampel, Quantile, Tail, Threshold

__version__ = "0.1.0"

__all__ = [
    "AbsoluteError",
    "Auto",
    "AutoencoderOutlierDetector",
    "AutoencoderTransformer",
    "BinaryCrossEntropy",
    "CodeDistance",
    "Combined",
    "Conformal",
    "Convolutional",
    "Corruption",
    "Custom",
    "Dense",
    "Divergence",
    "FeatureScoresDisplay",
    "FeatureTails",
    "Gaussian",
    "Hampel",
    "Huber",
    "InterpolationDisplay",
    "LatentDisplay",
    "LatentGridDisplay",
    "Loss",
    "LossCurveDisplay",
    "Mahalanobis",
    "Masking",
    "MinMax",
    "NegativeELBO",
    "Network",
    "Objective",
    "OneClassKFold",
    "OutlierReconstructionDisplay",
    "OutlierScoreDisplay",
    "OutlierScorer",
    "Quantile",
    "RankDistance",
    "Reconstruction",
    "ReconstructionDisplay",
    "ReconstructionError",
    "ReconstructionIsolation",
    "ResidualDistance",
    "Robust",
    "RowDistance",
    "RowIsolation",
    "Scaling",
    "Score",
    "SquaredError",
    "Standard",
    "Swap",
    "Tail",
    "Threshold",
    "TraversalDisplay",
    "Variational",
    "outlier_average_precision",
    "outlier_roc_auc",
    "trusted_types",
]
