"""scikit-learn's own checks for choices of the detector that are no line of a registry."""

from sklearn.utils.estimator_checks import parametrize_with_checks

from sk_autoencoder import AutoencoderOutlierDetector
from sk_autoencoder.scores import SCORES, CodeDistance, Combined, Mahalanobis, ReconstructionError
from sk_autoencoder.thresholds import THRESHOLDS, Conformal, Tail

from .variants import ESTIMATORS, EXPECTED_FAILED_CHECKS, VARIANTS

CHOICES = [
    {"contamination": 0.1},
    {"contamination": Conformal(0.2), "outlier_score": Mahalanobis(on="code+residual")},
    {"contamination": Tail(0.2), "outlier_score": Combined(["reconstruction", CodeDistance(2)])},
    {"n_estimators": 1, "outlier_score": ReconstructionError(normalize=None)},
    {"n_estimators": 7, "outlier_score": ReconstructionError(normalize="log")},
]


@parametrize_with_checks(
    [AutoencoderOutlierDetector(max_iter=2, **choice) for choice in CHOICES],
    expected_failed_checks=lambda estimator: EXPECTED_FAILED_CHECKS,  # a default fit is stochastic
)
def test_choices(estimator, check):
    check(estimator)


def test_default_and_every_registry_line_are_checked():
    assert AutoencoderOutlierDetector in ESTIMATORS
    checked = [v for v in VARIANTS.values() if isinstance(v, AutoencoderOutlierDetector)]
    assert {v.outlier_score for v in checked} == set(SCORES)
    assert {v.contamination for v in checked} == set(THRESHOLDS)
