"""The scikit-learn estimators."""

from sk_autoencoder._labels import BinaryLabelsWarning
from sk_autoencoder.estimators._classifier import AutoencoderClassifier
from sk_autoencoder.estimators._outlier import AutoencoderOutlierDetector
from sk_autoencoder.estimators._regressor import AutoencoderRegressor
from sk_autoencoder.estimators._time_series import TimeSeriesOutlierDetector
from sk_autoencoder.estimators._transformer import AutoencoderTransformer
from sk_autoencoder.estimators._trusted import trusted_types

__all__ = [
    "AutoencoderClassifier",
    "AutoencoderOutlierDetector",
    "AutoencoderRegressor",
    "AutoencoderTransformer",
    "BinaryLabelsWarning",
    "TimeSeriesOutlierDetector",
    "trusted_types",
]
