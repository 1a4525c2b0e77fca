"""scikit-learn's own checks: the defaults once, every registry line and option with max_iter=2, no expected failure."""

from sklearn.utils.estimator_checks import parametrize_with_checks

from .variants import ESTIMATORS, VARIANTS


@parametrize_with_checks([estimator() for estimator in ESTIMATORS])
def test_defaults(estimator, check):
    check(estimator)


@parametrize_with_checks(list(VARIANTS.values()))
def test_variants(estimator, check):
    check(estimator)
