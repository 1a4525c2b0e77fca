"""Displays: what a fitted autoencoder learnt, drawn with matplotlib (imported only when something is drawn)."""

from sk_autoencoder.displays.feature_scores import FeatureScoresDisplay
from sk_autoencoder.displays.latent import LatentDisplay
from sk_autoencoder.displays.loss_curve import LossCurveDisplay
from sk_autoencoder.displays.outlier_reconstruction import OutlierReconstructionDisplay
from sk_autoencoder.displays.outlier_score import OutlierScoreDisplay
from sk_autoencoder.displays.reconstruction import ReconstructionDisplay

__all__ = [
    "FeatureScoresDisplay",
    "LatentDisplay",
    "LossCurveDisplay",
    "OutlierReconstructionDisplay",
    "OutlierScoreDisplay",
    "ReconstructionDisplay",
]
