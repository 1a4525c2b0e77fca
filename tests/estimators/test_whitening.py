"""Whitened codes: identity covariance, and the same network behind every method."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator

from sk_autoencoder import AutoencoderTransformer
from sk_autoencoder.estimators._latent import ACTIVE, active_components, draw_like, whitening_axes
from tests.contracts.variants import EXPECTED_FAILED_CHECKS

KINDS = {
    "bent": {},
    "linear": {"hidden_layer_sizes": (), "corruption": None},
    "float64": {"precision": "float64"},
    "variational": {"objective": "variational", "max_iter": 200},
}
each_kind = pytest.mark.parametrize("kind", KINDS)


def correlated(n_rows=200, seed=0):
    """Rows of six columns near a plane, with offsets and unequal units."""
    rng = np.random.default_rng(seed)
    mix = np.random.default_rng(1).normal(size=(2, 6))
    return (rng.normal(size=(n_rows, 2)) @ mix + 0.3 * rng.normal(size=(n_rows, 6))) * [1, 2, 5, 1, 1, 9] + 40


@pytest.fixture(scope="module")
def pairs():
    """For each kind, a model without whitening and one with, of the same training."""
    found = {}
    for kind, settings in KINDS.items():
        parameters = {"n_components": 4, "max_iter": 20, "random_state": 0, **settings}
        found[kind] = [AutoencoderTransformer(whiten=w, **parameters).fit(correlated()) for w in (False, True)]
    return found


def assert_white(model, X):
    codes, active = model.transform(X), model.active_components_
    np.testing.assert_allclose(np.cov(codes[:, active].T), np.eye(len(active)), atol=1e-6)
    np.testing.assert_allclose(codes.mean(axis=0), 0, atol=1e-6)
    assert not np.delete(codes, active, axis=1).any()


class TestCodes:
    @each_kind
    def test_have_the_identity_as_covariance(self, kind, pairs):
        assert_white(pairs[kind][1], correlated())
        n_active = len(pairs[kind][1].active_components_)
        assert n_active == 2 if kind == "variational" else n_active == 4

    @each_kind
    def test_come_in_falling_order_of_variance(self, kind, pairs):
        plain, white = pairs[kind]
        codes = plain.transform(correlated())
        shares = np.linalg.lstsq(codes - codes.mean(axis=0), white.transform(correlated()), rcond=None)[0]
        lengths = np.linalg.norm(shares[:, white.active_components_], axis=0)  # one over the standard deviation
        assert (np.diff(lengths) > 0).all()
        np.testing.assert_allclose(lengths[0] ** -2, np.linalg.eigvalsh(np.cov(codes.T))[-1], rtol=1e-3)

    def test_of_a_linear_network_are_scaled_coordinates_along_its_components(self, pairs):
        plain, white = pairs["linear"]
        codes = plain.transform(correlated())
        np.testing.assert_allclose(white.transform(correlated()), codes / codes.std(axis=0, ddof=1), atol=1e-4)
        np.testing.assert_array_equal(white.components_, plain.components_)
        np.testing.assert_array_equal(white.explained_variance_ratio_, plain.explained_variance_ratio_)

    @each_kind
    def test_of_a_row_do_not_depend_on_its_batch(self, kind, pairs):
        model, X = pairs[kind][1], correlated()
        codes, rebuilt = model.transform(X), model.reconstruct(X)
        for row in (0, 1, 77, 199):
            np.testing.assert_array_equal(model.transform(X[row : row + 1])[0], codes[row])
            np.testing.assert_array_equal(model.reconstruct(X[row : row + 1])[0], rebuilt[row])
        np.testing.assert_array_equal(model.transform(csr_matrix(X)), codes)

    def test_of_a_row_in_a_wide_code_do_not_depend_on_its_batch(self):
        X = np.random.default_rng(0).normal(size=(300, 60))
        model = AutoencoderTransformer(37, whiten=True, max_iter=1, random_state=0).fit(X)
        codes = model.transform(X)
        for n_rows in (1, 2, 3, 5, 33, 100):
            np.testing.assert_array_equal(model.transform(X[:n_rows]), codes[:n_rows])
        np.testing.assert_array_equal(model.transform(X[7:]), codes[7:])

    def test_of_float32_rows_are_the_same(self):
        X = correlated().astype(np.float32)
        for settings in KINDS.values():
            model = AutoencoderTransformer(2, whiten=True, random_state=0, **{"max_iter": 3, **settings})
            wide, narrow = model.fit(X.astype(np.float64)).transform(X.astype(np.float64)), model.fit(X).transform(X)
            assert narrow.dtype == np.float32
            np.testing.assert_array_equal(narrow, wide.astype(np.float32))

    def test_of_a_single_row_or_constant_columns_have_collapsed(self):
        for X in (correlated(1), np.ones((20, 6))):
            model = AutoencoderTransformer(2, whiten=True, max_iter=2, random_state=0).fit(X)
            assert model.active_components_.tolist() == []
            assert not model.transform(correlated()).any()
            np.testing.assert_allclose(model.inverse_transform(np.zeros((1, 2))), model.reconstruct(X[:1]), rtol=1e-5)


class TestAxes:
    def test_directions_of_rounding_become_zero(self):
        codes = np.random.default_rng(0).normal(size=(100, 2)) @ [[1.0, 1.0, 0.0], [0.0, 0.0, 1e-4]]
        axes = whitening_axes(codes, 0.0)
        assert axes.turn.any(axis=0).tolist() == [True, True, False]
        codes = codes * [1, 1, 1e-3]
        axes = whitening_axes(codes, 0.0)
        assert axes.turn.any(axis=0).tolist() == [True, False, False]
        assert axes.back.any(axis=1).tolist() == [True, False, False]

    def test_signs_are_those_of_pca(self):
        axes = whitening_axes(np.random.default_rng(0).normal(size=(100, 3)) * [3, 2, 1], 0.0)
        assert (np.diag(axes.turn) > 0).all()

    def test_active_components_are_sorted_by_variance(self):
        codes = np.random.default_rng(0).normal(size=(1000, 4)) * np.sqrt([0.5, 0.8 * ACTIVE, 1.0, 1.2 * ACTIVE])
        assert active_components(codes).tolist() == [2, 0, 3]


class TestMethodsAgree:
    @each_kind
    def test_reconstructions_are_decoded_codes(self, kind, pairs):
        model, X = pairs[kind][1], correlated(50, 1)
        rebuilt = model.reconstruct(X)
        np.testing.assert_allclose(model.inverse_transform(model.transform(X)), rebuilt, atol=1e-4)
        np.testing.assert_allclose(model.interpolate(X[0], X[1], 2), rebuilt[:2], atol=1e-4)
        errors = ((X - rebuilt) ** 2).mean(axis=1)
        np.testing.assert_allclose(model.reconstruction_error(X), errors)

    @each_kind
    def test_reconstructions_and_draws_are_those_without_whitening(self, kind, pairs):
        plain, white = pairs[kind]
        for noise in (False, True):
            drawn, expected = (model.sample(30, random_state=0, noise=noise) for model in (white, plain))
            np.testing.assert_array_equal(drawn, expected)
        if kind == "variational":  # but for what collapsed components say
            missed = (white.reconstruct(correlated()) - plain.reconstruct(correlated())).std(axis=0)
            assert (missed > 0).all()
            assert (missed < 0.03 * correlated().std(axis=0)).all()
            np.testing.assert_array_equal(white.score_samples(correlated()), plain.score_samples(correlated()))
        else:
            np.testing.assert_array_equal(white.reconstruct(correlated()), plain.reconstruct(correlated()))

    @pytest.mark.parametrize("kind", ["bent", "linear"])
    def test_draws_are_like_the_codes_before_whitening(self, kind, pairs):
        plain, white = pairs[kind]
        codes = draw_like(plain.transform(correlated()), 30, np.random.RandomState(0))
        for model in (plain, white):
            np.testing.assert_array_equal(model.sample(30, random_state=0), plain.inverse_transform(codes))

    @each_kind
    def test_to_torch(self, kind, pairs):
        model, X = pairs[kind][1], correlated()
        encoder, decoder = model.to_torch()
        codes = encoder(torch.tensor(X)).detach()
        np.testing.assert_allclose(codes, model.transform(X), atol=1e-5)
        np.testing.assert_allclose(decoder(codes).detach(), model.reconstruct(X), atol=1e-3)

    def test_posterior_is_turned(self, pairs):
        (plain, white), X = pairs["variational"], correlated(20, 1)
        mean, std = white.posterior(X)
        np.testing.assert_array_equal(mean, white.transform(X))
        own_mean, own_std = plain.posterior(X)
        center, turn, _ = white._whitening
        np.testing.assert_allclose((own_mean - center) @ turn, mean, atol=1e-6)
        covariances = turn.T @ (own_std[:, :, None] ** 2 * turn)
        np.testing.assert_allclose(std, np.sqrt(np.diagonal(covariances, axis1=1, axis2=2)), rtol=1e-6)
        assert not np.delete(std, white.active_components_, axis=1).any()


class TestTrainingGoesOn:
    def test_partial_fit_whitens_by_the_rows_of_the_call(self):
        model = AutoencoderTransformer(2, whiten=True, random_state=0)
        for seed in (0, 1):
            X = correlated(64, seed)
            assert_white(model.partial_fit(X), X)

    def test_partial_fit_of_few_rows_keeps_the_axes(self):
        model = AutoencoderTransformer(3, whiten=True, random_state=0).partial_fit(correlated(64))
        before = model._whitening
        model.partial_fit(correlated(3, 1))
        assert model._whitening is before
        assert model.active_components_.tolist() == [0, 1, 2]
        X = correlated(9, 2)
        np.testing.assert_allclose(model.inverse_transform(model.transform(X)), model.reconstruct(X), atol=1e-4)
        assert model.partial_fit(correlated(4, 1))._whitening is not before

    def test_fit_forgets_earlier_axes(self):
        model = AutoencoderTransformer(2, whiten=True, max_iter=2, random_state=0, warm_start=True).fit(correlated())
        assert_white(model.fit(correlated(100, 1)), correlated(100, 1))
        model.set_params(whiten=False).fit(correlated())
        assert not hasattr(model, "active_components_")
        assert np.cov(model.transform(correlated()).T)[0, 0] != pytest.approx(1, abs=1e-3)

    def test_a_checkpoint_may_be_whitened_later(self, tmp_path):
        settings = {"checkpoint": tmp_path, "max_iter": 3, "random_state": 0}
        plain = AutoencoderTransformer(2, **settings).fit(correlated())
        white = AutoencoderTransformer(2, whiten=True, **settings).fit(correlated())
        np.testing.assert_array_equal(white.reconstruct(correlated()), plain.reconstruct(correlated()))
        assert_white(white, correlated())

    def test_storage_keeps_the_axes(self, pairs):
        for _, model in pairs.values():
            copy = pickle.loads(pickle.dumps(model))
            np.testing.assert_array_equal(copy.transform(correlated()), model.transform(correlated()))
            np.testing.assert_array_equal(copy.active_components_, model.active_components_)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_keeps_the_rules_of_scikit_learn():
    model = AutoencoderTransformer(whiten=True, max_iter=3, random_state=0)
    check_estimator(model, expected_failed_checks=EXPECTED_FAILED_CHECKS)


def test_logistic_regression_converges_on_digits():
    X, y = load_digits(return_X_y=True)
    plain, white = (
        AutoencoderTransformer(8, whiten=whiten, max_iter=50, random_state=0).fit_transform(X)
        for whiten in (False, True)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        n_iter = LogisticRegression().fit(white, y).n_iter_[0]
    assert n_iter < LogisticRegression(max_iter=1000).fit(plain, y).n_iter_[0] / 2


def test_in_a_search():
    X, y = correlated(), (correlated()[:, 5] > 40).astype(int)
    pipeline = make_pipeline(AutoencoderTransformer(2, max_iter=50, random_state=0), LogisticRegression())
    search = GridSearchCV(pipeline, {"autoencodertransformer__whiten": [False, True]}, cv=3).fit(X, y)
    assert (search.cv_results_["mean_test_score"] > 0.8).all()


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (0.95, r"n_components=0\.95 must be an integer or 'auto'.* PCA\(n_components=0\.95\)\.fit\(.*\.n_components_"),
        (0.8, r"PCA\(n_components=0\.8\)"),
        (np.float32(3), "The 'n_components' parameter of AutoencoderTransformer must be"),
        (None, r"n_components=None is not supported.*use an integer, or n_components='auto'"),
    ],
)
def test_size_that_only_pca_takes(size, message):
    model = AutoencoderTransformer(size)
    with pytest.raises(ValueError, match=message):
        model.fit(correlated())
    assert not hasattr(model, "net_")
