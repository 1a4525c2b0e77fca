"""The scikit-learn estimators."""

from sk_autoencoder.estimators._outlier import AutoencoderOutlierDetector
from sk_autoencoder.estimators._time_series import TimeSeriesOutlierDetector
from sk_autoencoder.estimators._transformer import AutoencoderTransformer
from sk_autoencoder.estimators._trusted import trusted_types

__all__ = ["AutoencoderOutlierDetector", "AutoencoderTransformer", "TimeSeriesOutlierDetector", "trusted_types"]
