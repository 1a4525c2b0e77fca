"""Weights of samples: equal to repetitions where nothing is drawn, and in every part of the estimators."""

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_autoencoder import AutoencoderOutlierDetector, AutoencoderTransformer
from sk_autoencoder.model_selection import outlier_roc_auc
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


def detector(**changes):
    return AutoencoderOutlierDetector(**{"max_iter": 5, "random_state": 0} | changes)


class TestDetector:
    """Scores, thresholds and shares of a detector take weights."""

    def test_single_member_equals_repetition_whatever_the_order(self, rows, weights):
        steadily = {"n_estimators": 1, "outlier_score": "mahalanobis", "contamination": "tail"} | STEADY
        order = np.random.default_rng(0).permutation(len(rows))
        found = detector(**steadily).fit(rows[order], sample_weight=weights[order])
        expected = detector(**steadily).fit(np.repeat(rows, weights, axis=0))
        np.testing.assert_allclose(found.decision_function(rows), expected.decision_function(rows), rtol=1e-7)
        np.testing.assert_allclose(found.calibration_scores_, expected.calibration_scores_, rtol=1e-9)
        np.testing.assert_allclose(found.p_values(rows), expected.p_values(rows), rtol=1e-12)

    def test_samples_without_weight_are_scored_as_new(self, rows):
        weight = np.r_[np.ones(100), np.zeros(20)]
        found = detector(contamination=0.1).fit(rows, sample_weight=weight)
        alone = detector(contamination=0.1).fit(rows[:100])
        np.testing.assert_array_equal(found.training_scores_[:100], alone.training_scores_)
        np.testing.assert_array_equal(found.training_scores_[100:], alone.score_samples(rows[100:]))
        np.testing.assert_array_equal(found.labels_, alone.predict(rows))
        np.testing.assert_array_equal(found.calibration_scores_, alone.calibration_scores_)
        assert found.offset_ == alone.offset_

    def test_contamination_is_a_share_of_the_weight(self, rows):
        weight = np.random.default_rng(0).uniform(0, 3, size=120)
        for share in (0.1, 0.3):
            labels = detector(contamination=share).fit_predict(rows, sample_weight=weight)
            assert weight[labels == -1].sum() / weight.sum() == pytest.approx(share, abs=weight.max() / weight.sum())

    def test_unit_of_small_weights(self, rows):
        weight = np.random.default_rng(0).uniform(0.1, 1, size=120)
        models = [detector().fit(rows, sample_weight=weight * unit) for unit in (1, 1e-60)]
        np.testing.assert_allclose(models[0].calibration_scores_, models[1].calibration_scores_, rtol=1e-3)
        assert models[0].offset_ == pytest.approx(models[1].offset_, rel=1e-3)

    def test_equal_weights_give_the_bits_of_none(self, rows):
        expected = detector().fit(rows).decision_function(rows)
        found = detector().fit(rows, sample_weight=np.full(120, 7.0)).decision_function(rows)
        np.testing.assert_array_equal(found, expected)

    @pytest.mark.filterwarnings("ignore:.* of the training samples are equal to another one")
    @pytest.mark.parametrize("score", ["combined", "mahalanobis", "sample_isolation", "feature_tails", "code_distance"])
    def test_scores_agree_with_repetition_in_the_mean(self, score, rows, weights):
        """The mean over five seeds differs by less than half a standard deviation of the scores."""
        X, new = rows[:60], rows[60:]
        weight = np.where(np.arange(60) < 10, 2 if score == "combined" else 8, 1)
        scores = {"weights": [], "copies": [], "none": []}
        for seed in range(5):
            model = detector(outlier_score=score, random_state=seed, max_iter=20)
            scores["weights"].append(model.fit(X, sample_weight=weight).score_samples(new))
            scores["copies"].append(model.fit(np.repeat(X, weight, axis=0)).score_samples(new))
            scores["none"].append(model.fit(X).score_samples(new))
        means = {name: np.mean(values, axis=0) for name, values in scores.items()}
        unit = means["copies"].std()
        assert np.abs(means["weights"] - means["copies"]).mean() < 0.5 * unit
        # Copies lie in several folds, so that distances of held-out copies to references are 0.
        if score not in ("combined", "code_distance"):
            assert np.abs(means["weights"] - means["copies"]).mean() < np.abs(means["none"] - means["copies"]).mean()

    def test_recalibrate(self, rows, weights):
        model = detector(contamination=0.2).fit(rows)
        with_weights = model.recalibrate(rows[60:], sample_weight=weights[60:]).offset_
        assert with_weights == model.recalibrate(np.repeat(rows[60:], weights[60:], axis=0)).offset_
        with pytest.raises(ValueError, match="without X"):
            model.recalibrate(sample_weight=weights)

    def test_recalibrate_keeps_the_weights_of_training_samples(self, rows):
        weight = np.random.default_rng(0).uniform(0, 3, size=120)
        model = detector(contamination=0.1).fit(rows, sample_weight=weight)
        changed = pickle.loads(pickle.dumps(model)).recalibrate(contamination=0.3)
        assert changed.offset_ != model.offset_
        assert changed.recalibrate(contamination=0.1).offset_ == model.offset_

    def test_validation_samples_have_weights(self, rows, weights):
        options = {"X_val": rows[:60], "sample_weight_val": weights[:60]}
        found = detector(**STEADY).fit(rows, **options).validation_loss_curve_
        expected = detector(**STEADY).fit(rows, X_val=np.repeat(rows[:60], weights[:60], axis=0))
        np.testing.assert_allclose(found, expected.validation_loss_curve_, rtol=1e-12)

    def test_samples_without_observed_values_do_not_count(self, rows):
        X = np.vstack([rows, np.full((60, rows.shape[1]), np.nan)])
        with pytest.warns(UserWarning, match="60 of 180 samples of X have no observed value; they are left out"):
            found = detector(contamination=0.1).fit(X)
        assert np.isfinite(found.training_scores_).all()
        assert (found.labels_[:120] == -1).sum() == 12
        assert len(found.calibration_scores_) == 120

    def test_in_searches_with_weighted_scorer(self, rows):
        y = np.r_[np.full(10, -1), np.ones(110)]
        weight = np.random.default_rng(0).uniform(size=120)
        with sklearn.config_context(enable_metadata_routing=True):
            routed = detector().set_fit_request(sample_weight=True)
            scoring = outlier_roc_auc.set_score_request(sample_weight=True)
            search = GridSearchCV(routed, {"n_estimators": [1, 2]}, scoring=scoring, cv=2)
            search.fit(rows[np.argsort(y)[::-1]], np.tile([1, 1, 1, -1], 30), sample_weight=weight)
        assert np.isfinite(search.cv_results_["mean_test_score"]).all()
        model = detector().fit(rows)
        expected = roc_auc_score(y == -1, -model.score_samples(rows), sample_weight=weight)
        assert outlier_roc_auc(model, rows, y, sample_weight=weight) == expected


@pytest.mark.parametrize("weight", [np.zeros(120), -np.ones(120), np.full(120, np.nan), np.ones(119)])
def test_bad_weights_of_a_detector(weight, rows):
    message = "sample_weight|Sample weights"
    with pytest.raises(ValueError, match=message):
        detector().fit(rows, sample_weight=weight)
    with pytest.raises(ValueError, match=message):
        detector().fit(rows).recalibrate(rows, sample_weight=weight)
