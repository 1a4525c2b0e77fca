"""scikit-learn's own checks: the defaults once, and every registry line and option with max_iter=2.

A default fit is stochastic, so that weights and repeated samples are equivalent in the mean only: these two checks are
the only expected failures. They pass where nothing is drawn after the initial weights.
"""

import pytest
from sklearn.utils.estimator_checks import (
    check_sample_weight_equivalence_on_dense_data,
    check_sample_weight_equivalence_on_sparse_data,
    parametrize_with_checks,
)

from sk_autoencoder import AutoencoderTransformer

from .variants import ESTIMATORS, EXPECTED_FAILED_CHECKS, VARIANTS


def expected_failures(estimator):
    learns = isinstance(estimator, AutoencoderTransformer) and estimator.learning_rate_init > 1e-20
    return EXPECTED_FAILED_CHECKS if learns else {}


@parametrize_with_checks([estimator() for estimator in ESTIMATORS], expected_failed_checks=expected_failures)
def test_defaults(estimator, check):
    check(estimator)


@parametrize_with_checks(list(VARIANTS.values()), expected_failed_checks=expected_failures)
def test_variants(estimator, check):
    check(estimator)


@pytest.mark.parametrize("max_iter", [1, 50, "auto"])
@pytest.mark.parametrize(
    "check", [check_sample_weight_equivalence_on_dense_data, check_sample_weight_equivalence_on_sparse_data]
)
def test_weights_are_repetitions_without_noise_and_mini_batches(check, max_iter):
    model = AutoencoderTransformer(solver="sgd", batch_size=10**6, corruption=None, precision="float64")
    check("AutoencoderTransformer", model.set_params(max_iter=max_iter, random_state=0))
