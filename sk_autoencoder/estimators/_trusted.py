"""Types that stored estimators consist of."""

from __future__ import annotations

from sk_autoencoder.corruptions import CORRUPTIONS
from sk_autoencoder.estimators._assembly import Assembly
from sk_autoencoder.estimators._classifier import AutoencoderClassifier
from sk_autoencoder.estimators._outlier import AutoencoderOutlierDetector
from sk_autoencoder.estimators._regressor import AutoencoderRegressor
from sk_autoencoder.estimators._sensors import SensorModel
from sk_autoencoder.estimators._series_scales import SeriesScales
from sk_autoencoder.estimators._time_series import TimeSeriesOutlierDetector
from sk_autoencoder.estimators._training_samples import TrainingSamples
from sk_autoencoder.estimators._transformer import AutoencoderTransformer
from sk_autoencoder.inference import Axes
from sk_autoencoder.losses import LOSSES
from sk_autoencoder.networks import NETWORKS, NetworkShape
from sk_autoencoder.networks.bounds import Bounds
from sk_autoencoder.objectives import CONSISTENCIES, OBJECTIVES, Supervised
from sk_autoencoder.scaling import SCALINGS, Affine, ColumnStatistics
from sk_autoencoder.scores import SCORES
from sk_autoencoder.solvers import SOLVERS
from sk_autoencoder.thresholds import THRESHOLDS, Hampel, Quantile
from sk_autoencoder.training import TrainingPlan

_REGISTRIES = (CONSISTENCIES, CORRUPTIONS, LOSSES, NETWORKS, OBJECTIVES, SCALINGS, SCORES, SOLVERS, THRESHOLDS)
_ESTIMATORS = (
    *(AutoencoderClassifier, AutoencoderOutlierDetector, AutoencoderRegressor, AutoencoderTransformer),
    TimeSeriesOutlierDetector,
)
_WITHOUT_A_NAME = (Hampel, Quantile, Supervised)
# Other types in the state of fitted estimators.
_HELD = (
    *(Affine, Assembly, Axes, Bounds, ColumnStatistics, NetworkShape, SensorModel, SeriesScales, TrainingPlan),
    TrainingSamples,
)


def trusted_types() -> list[str]:
    """List the types of this package in stored estimators, for ``skops.io.load(trusted=...)``.

    These are the estimators, the objects that their parameters can name, and types in their fitted state. ``Custom`` is
    not among them, because loading such a model calls the user's functions that build the network: add the names of
    ``Custom`` and of these functions if you trust them. The same applies to your own classes and callbacks.

    Returns
    -------
    names : list of str
        Fully qualified names, sorted.

    Examples
    --------
    >>> from sk_autoencoder import trusted_types
    >>> "sk_autoencoder.losses.Huber" in trusted_types()
    True
    >>> # skops.io.load("model.skops", trusted=trusted_types())
    """
    kinds = {kind for registry in _REGISTRIES for kind in registry.values()}.union(_WITHOUT_A_NAME, _ESTIMATORS, _HELD)
    names = (f"{kind.__module__}.{kind.__qualname__}" for kind in kinds)
    return sorted(name for name in names if name.startswith("sk_autoencoder."))
