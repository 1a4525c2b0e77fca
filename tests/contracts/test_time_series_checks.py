"""scikit-learn's own checks for the detector of time series, whose samples are steps."""

from sklearn.ensemble import IsolationForest
from sklearn.utils.estimator_checks import parametrize_with_checks

from sk_autoencoder import AutoencoderOutlierDetector, TimeSeriesOutlierDetector

QUICK = AutoencoderOutlierDetector(max_iter=2, hidden_layer_sizes=(8,), outlier_score="reconstruction")
_ORDER = "The score of a step is that of windows, which depend on the steps around it."
# Steps are no independent samples if windows have several.
EXPECTED_FAILED_CHECKS = {"check_methods_sample_order_invariance": _ORDER, "check_methods_subset_invariance": _ORDER}


@parametrize_with_checks(
    [
        TimeSeriesOutlierDetector(AutoencoderOutlierDetector(max_iter=2), window_size=1),
        TimeSeriesOutlierDetector(QUICK, window_size=1, contamination=0.1, group_scaling=True),
        TimeSeriesOutlierDetector(IsolationForest(n_estimators=5), window_size=1, aggregation="last"),
    ]
)
def test_windows_of_one_step(estimator, check):
    check(estimator)


@parametrize_with_checks(
    [TimeSeriesOutlierDetector(QUICK, contamination="tail"), TimeSeriesOutlierDetector(QUICK, window_size=(1, 2))],
    expected_failed_checks=lambda estimator: EXPECTED_FAILED_CHECKS,
)
def test_longer_windows(estimator, check):
    check(estimator)
