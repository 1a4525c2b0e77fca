"""Weights of samples: equal to repetitions where nothing is drawn, and in every part of the transformer."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_autoencoder import AutoencoderTransformer
from sk_autoencoder.networks import Dense
from sk_autoencoder.objectives import Reconstruction
from sk_autoencoder.scaling import Robust, column_statistics
from sk_autoencoder.training import rows as engine

STEADY = {"solver": "sgd", "batch_size": 10**6, "corruption": None, "precision": "float64", "random_state": 0}


@pytest.fixture(scope="module")
def weights():
    return np.random.default_rng(5).integers(0, 4, size=120)


def steady(**changes):
    return AutoencoderTransformer(**{"n_components": 2, "max_iter": 30} | STEADY | changes)


class TestStatistics:
    @pytest.mark.parametrize("kind", ["normal", "binary", "gaps"])
    def test_are_those_of_repeated_samples(self, kind, weights):
        X = np.random.default_rng(0).normal(size=(120, 4))
        X = {"normal": X, "binary": (X > 1).astype(float), "gaps": np.where(X > 1, np.nan, X)}[kind]
        used = weights > 0
        found = column_statistics(X[used], weights[used].astype(float))
        expected = column_statistics(np.repeat(X, weights, axis=0))
        for name in ("mean", "variance", "varies", "scale", "low", "high", "n_observed"):
            np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-12, atol=1e-15)

    def test_robust_scaling_of_a_heavy_sample(self):
        X = np.arange(5.0)[:, None]
        weight = np.array([1.0, 1, 1, 1, 100])
        affine = Robust().fit(X, column_statistics(X, weight))
        assert affine.center == [4.0]


class TestTraining:
    @pytest.mark.parametrize(
        "changes",
        [
            {},
            {"hidden_layer_sizes": (), "activation": "identity"},
            {"scaling": "minmax", "loss": "binary_cross_entropy"},
            {"network": Dense(tied_weights=True)},
            {"network": "convolutional"},
            {"objective": Reconstruction("kl")},
            {"objective": Reconstruction("l1")},
            {"network": Dense(layerwise_pretraining=True)},
        ],
        ids=str,
    )
    def test_equals_repetition(self, changes, rows, weights):
        found = steady(**changes).fit(rows, sample_weight=weights)
        expected = steady(**changes).fit(np.repeat(rows, weights, axis=0))
        np.testing.assert_allclose(found.transform(rows), expected.transform(rows), rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(found.loss_curve_, expected.loss_curve_, rtol=1e-10)

    def test_equals_repetition_with_missing_values(self, rows, weights):
        X = np.where(np.random.default_rng(0).random(rows.shape) < 0.2, np.nan, rows)
        found = steady().fit(X, sample_weight=weights).transform(X)
        np.testing.assert_allclose(found, steady().fit(np.repeat(X, weights, axis=0)).transform(X), rtol=1e-10)

    def test_equals_repetition_in_partial_fit(self, rows, weights):
        found, expected = steady(), steady()
        for _ in range(3):
            found.partial_fit(rows, sample_weight=weights)
            expected.partial_fit(np.repeat(rows, weights, axis=0))
        np.testing.assert_allclose(found.transform(rows), expected.transform(rows), rtol=1e-10)

    def test_stochastic_training_follows_weights(self, rows):
        """Two groups, one heavy: its samples are reconstructed better than by a training that prefers the other."""
        rng = np.random.default_rng(0)
        X = np.vstack([rng.normal(size=(150, 1)) * rng.normal(size=6), rng.normal(size=(150, 1)) * rng.normal(size=6)])
        first = np.arange(300) < 150
        errors = []
        for heavy in (first, ~first):
            linear = {"hidden_layer_sizes": (), "activation": "identity", "corruption": None, "alpha": 0.0}
            model = AutoencoderTransformer(1, **linear, max_iter=300, random_state=0)
            errors.append(model.fit(X, sample_weight=np.where(heavy, 50.0, 1.0)).reconstruction_error(X))
        assert errors[0][first].mean() < 0.2 * errors[1][first].mean()
        assert errors[1][~first].mean() < 0.2 * errors[0][~first].mean()

    def test_equal_weights_give_the_bits_of_none(self, rows):
        expected = AutoencoderTransformer(2, max_iter=3, random_state=0).fit(rows).transform(rows)
        for weight in (np.ones(120), np.full(120, 7.0)):
            model = AutoencoderTransformer(2, max_iter=3, random_state=0).fit(rows, sample_weight=weight)
            np.testing.assert_array_equal(model.transform(rows), expected)

    def test_does_not_depend_on_the_unit_of_weights(self, rows, weights):
        codes = [steady(whiten=True).fit(rows, sample_weight=weights * unit).transform(rows) for unit in (1, 1e-60)]
        np.testing.assert_allclose(*codes, rtol=1e-8, atol=1e-10)
        quick = AutoencoderTransformer(2, max_iter=2, random_state=0)
        codes = [quick.fit(rows, sample_weight=weights * unit).transform(rows) for unit in (1, 1e-60, 1e60)]
        np.testing.assert_allclose(codes[1:], codes[:1] * 2, rtol=1e-4, atol=1e-6)

    def test_whitened_codes_have_the_weighted_covariance_of_the_identity(self, rows, weights):
        codes = steady(whiten=True).fit(rows, sample_weight=weights).transform(rows)
        np.testing.assert_allclose(np.cov(codes, rowvar=False, aweights=weights, bias=True), np.eye(2), atol=1e-8)

    @pytest.mark.parametrize("objective", ["variational", "adversarial", Reconstruction(trim=0.2)])
    def test_every_objective(self, objective, rows, weights):
        model = AutoencoderTransformer(2, objective=objective, max_iter=2, random_state=0)
        model.fit(rows, sample_weight=weights)
        assert np.isfinite(model.transform(rows)).all()
        assert np.isfinite(model.sample(2, random_state=0)).all()

    @pytest.mark.parametrize("chunk", [1, 100])
    def test_loss_of_an_epoch_is_the_weighted_mean(self, chunk, rows, monkeypatch):
        """Whatever the chunks that the samples are read in."""
        monkeypatch.setattr(engine, "CHUNK_BATCHES", chunk)
        weight = np.r_[np.full(60, 100.0), np.ones(60)]
        still = {"batch_size": 7, "learning_rate_init": 1e-30, "alpha": 0.0, "max_iter": 1}
        model = steady(**still).fit(rows, sample_weight=weight, X_val=rows, sample_weight_val=weight)
        scale = column_statistics(rows, weight).scale
        errors = np.square((model.reconstruct(rows) - rows) / scale).mean(axis=1)
        np.testing.assert_allclose(model.validation_loss_curve_, np.average(errors, weights=weight), rtol=1e-9)
        assert model.loss_curve_[0] == pytest.approx(np.average(errors, weights=weight), rel=1e-9)

    def test_validation_samples_have_weights(self, rows, weights):
        options = {"X_val": rows[:60], "sample_weight_val": weights[:60]}
        found = steady().fit(rows, **options).validation_loss_curve_
        expected = steady().fit(rows, X_val=np.repeat(rows[:60], weights[:60], axis=0)).validation_loss_curve_
        np.testing.assert_allclose(found, expected, rtol=1e-12)

    def test_input_is_not_changed(self, rows, weights):
        given = weights.astype(float)
        steady(max_iter=1).fit(rows, sample_weight=given)
        np.testing.assert_array_equal(given, weights)


class TestScore:
    def test_is_that_of_repeated_samples(self, rows, weights):
        model = steady().fit(rows)
        repeated = model.score(np.repeat(rows, weights, axis=0))
        assert model.score(rows, sample_weight=weights) == pytest.approx(repeated, rel=1e-12)

    def test_in_pipelines_and_searches(self):
        X, y = load_wine(return_X_y=True)
        weight = np.random.default_rng(0).uniform(size=len(X))
        code = AutoencoderTransformer(2, max_iter=2, random_state=0)
        pipeline = make_pipeline(StandardScaler(), code, LogisticRegression())
        pipeline.fit(X, y, autoencodertransformer__sample_weight=weight)
        with sklearn.config_context(enable_metadata_routing=True):
            routed = code.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
            search = GridSearchCV(routed, {"n_components": [1, 2]}, cv=2).fit(X, sample_weight=weight)
        assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.zeros(120), "zero"),
        (-np.ones(120), "Negative values"),
        (np.full(120, np.nan), "sample_weight contains NaN"),
        (np.full(120, np.inf), "sample_weight contains infinity"),
        (np.ones(119), "sample_weight.shape"),
        (np.ones((120, 2)), "1D array"),
        (3.0, "one weight for each of the 120 samples, got 3.0"),
    ],
)
@pytest.mark.parametrize("method", ["fit", "partial_fit", "score"])
def test_bad_weights(method, weight, message, rows):
    model = steady(max_iter=1)
    if method == "score":
        model.fit(rows)
    with pytest.raises(ValueError, match=message):
        getattr(model, method)(rows, sample_weight=weight)


def test_bad_weights_of_validation_samples(rows):
    with pytest.raises(ValueError, match="Negative values in data passed to `sample_weight_val`"):
        steady().fit(rows, X_val=rows, sample_weight_val=-np.ones(120))
    with pytest.raises(ValueError, match="sample_weight_val was given without X_val"):
        steady().fit(rows, sample_weight_val=np.ones(120))


def test_containers(rows, weights):
    expected = steady(max_iter=2).fit(rows, sample_weight=weights).transform(rows)
    for container in (list, pd.Series, lambda w: w.astype(np.float32), lambda w: w.astype(bool) * w):
        found = steady(max_iter=2).fit(rows, sample_weight=container(weights)).transform(rows)
        np.testing.assert_array_equal(found, expected)
