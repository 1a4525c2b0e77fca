"""Plots of fitted autoencoders and outlier detectors with matplotlib, which is imported only when drawing."""

from sk_autoencoder.displays.feature_scores import FeatureScoresDisplay
from sk_autoencoder.displays.interpolation import InterpolationDisplay
from sk_autoencoder.displays.latent import LatentDisplay
from sk_autoencoder.displays.latent_grid import LatentGridDisplay
from sk_autoencoder.displays.loss_curve import LossCurveDisplay
from sk_autoencoder.displays.outlier_reconstruction import OutlierReconstructionDisplay
from sk_autoencoder.displays.outlier_score import OutlierScoreDisplay
from sk_autoencoder.displays.reconstruction import ReconstructionDisplay
from sk_autoencoder.displays.time_series import TimeSeriesDisplay
from sk_autoencoder.displays.traversal import TraversalDisplay

__all__ = [
    "FeatureScoresDisplay",
    "InterpolationDisplay",
    "LatentDisplay",
    "LatentGridDisplay",
    "LossCurveDisplay",
    "OutlierReconstructionDisplay",
    "OutlierScoreDisplay",
    "ReconstructionDisplay",
    "TimeSeriesDisplay",
    "TraversalDisplay",
]
