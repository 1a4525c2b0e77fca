"""Autoencoders as scikit-learn estimators, trained by torch through skorch."""

from sk_autoencoder.corruptions import Corruption, Gaussian, Masking, Swap
from sk_autoencoder.estimators import AutoencoderTransformer
from sk_autoencoder.losses import AbsoluteError, BinaryCrossEntropy, Huber, Loss, SquaredError
from sk_autoencoder.networks import Dense, Network
from sk_autoencoder.objectives import Objective, Reconstruction
from sk_autoencoder.scaling import MinMax, Robust, Scaling, Standard

__version__ = "0.1.0"

__all__ = [
    "AbsoluteError",
    "AutoencoderTransformer",
    "BinaryCrossEntropy",
    "Corruption",
    "Dense",
    "Gaussian",
    "Huber",
    "Loss",
    "Masking",
    "MinMax",
    "Network",
    "Objective",
    "Reconstruction",
    "Robust",
    "Scaling",
    "SquaredError",
    "Standard",
    "Swap",
]
