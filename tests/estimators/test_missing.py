"""Missing values in the samples of the transformer: training, all methods and all containers."""

import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import skops.io as skops
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_autoencoder import AutoencoderTransformer, trusted_types
from sk_autoencoder.corruptions import Masking, Swap
from sk_autoencoder.networks import Dense, Recurrent
from sk_autoencoder.objectives import Reconstruction, Variational
from sk_autoencoder.scaling import Robust, column_statistics

N_SAMPLES, N_FEATURES = 120, 6


@pytest.fixture(scope="module")
def complete():
    rng = np.random.default_rng(0)
    latent = rng.normal(size=(N_SAMPLES, 2))
    return latent @ rng.normal(size=(2, N_FEATURES)) + 0.05 * rng.normal(size=(N_SAMPLES, N_FEATURES)) + 3


@pytest.fixture(scope="module")
def missing():
    hidden = np.random.default_rng(1).random((N_SAMPLES, N_FEATURES)) < 0.2
    hidden[hidden.all(axis=1)] = False
    return hidden


@pytest.fixture(scope="module")
def X(complete, missing):  # noqa: N802
    return np.where(missing, np.nan, complete)


def transformer(**changes):
    return AutoencoderTransformer(**{"n_components": 2, "max_iter": 3, "random_state": 0} | changes)


@pytest.fixture(scope="module")
def model(X):
    return transformer().fit(X)


class TestStatistics:
    def test_are_those_of_the_observed_values(self, X):
        found = column_statistics(X)
        np.testing.assert_allclose(found.mean, np.nanmean(X, axis=0))
        np.testing.assert_allclose(found.variance, np.nanvar(X, axis=0))
        np.testing.assert_array_equal(found.low, np.nanmin(X, axis=0))
        np.testing.assert_array_equal(found.high, np.nanmax(X, axis=0))
        np.testing.assert_array_equal(found.n_observed, (~np.isnan(X)).sum(axis=0))

    def test_scale_ignores_gaps(self):
        column = np.array([0.0] * 90 + [1.0] * 10)
        with_gaps = np.r_[column, [np.nan] * 300][:, None]
        np.testing.assert_array_equal(column_statistics(with_gaps).scale, column_statistics(column[:, None]).scale)

    @pytest.mark.parametrize("container", [np.asarray, sparse.csr_array, np.float32])
    def test_do_not_depend_on_the_container(self, X, container):
        expected = column_statistics(X.astype(np.float32).astype(np.float64))
        found = column_statistics(container(X.astype(np.float32).astype(np.float64)))
        for name in ("mean", "variance", "scale", "low", "high"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))

    def test_robust_scaling(self, X):
        affine = Robust().fit(X, column_statistics(X))
        np.testing.assert_allclose(affine.center, np.nanmedian(X, axis=0))
        np.testing.assert_allclose(affine.scale, np.ptp(np.nanpercentile(X, [25, 75], axis=0), axis=0))


class TestTraining:
    def test_learns_observed_and_hidden_values(self, X, complete, missing):
        model = transformer(max_iter=300).fit(X)
        errors = np.square(model.reconstruct(X) - complete) / complete.var(axis=0)
        assert errors[~missing].mean() < 0.05
        assert errors[missing].mean() < 0.3  # the mean has 1

    def test_hidden_values_have_no_effect(self, X, complete):
        """What was at a missing place is not used: only its fill enters the network, and no loss."""
        other = np.where(np.isnan(X), 1e6, X)
        model = transformer(corruption=None, max_iter=2).fit(X)
        again = transformer(corruption=None, max_iter=2).fit(np.where(other == 1e6, np.nan, other))
        np.testing.assert_array_equal(model.transform(complete), again.transform(complete))

    def test_loss_is_the_mean_over_observed_values(self, X):
        options = {"corruption": None, "batch_size": N_SAMPLES, "solver": "sgd", "precision": "float64"}
        model = transformer(max_iter=1, learning_rate_init=1e-300, alpha=0.0, **options).fit(X)
        scaled = np.square((model.reconstruct(X) - X) / X[~np.isnan(X).any(axis=1)].std() * 1.0)
        scaled = np.square((model.reconstruct(X) - X) / column_statistics(X).scale)
        np.testing.assert_allclose(model.loss_curve_[0], np.nanmean(scaled, axis=1).mean(), rtol=1e-6)

    @pytest.mark.parametrize(
        "changes",
        [
            {"network": Dense(tied_weights=True)},
            {"network": Dense(layerwise_pretraining=True), "max_iter": 8},
            {"network": "convolutional"},
            {"network": Recurrent(sample_shape=(2, 3)), "hidden_layer_sizes": 4},
            {"network": "attention", "hidden_layer_sizes": 8},
            {"objective": "variational"},
            {"objective": "adversarial"},
            {"objective": Reconstruction("kl")},
            {"objective": Reconstruction(trim=0.2)},
            {"corruption": Masking(0.5, rescale=True)},
            {"corruption": "gaussian"},
            {"scaling": "minmax", "loss": "binary_cross_entropy"},
            {"scaling": "robust"},
            {"early_stopping": True, "max_iter": 100, "n_iter_no_change": 3},
            {"whiten": True},
            {"hidden_layer_sizes": (), "activation": "identity"},
        ],
        ids=str,
    )
    def test_every_part(self, X, changes):
        model = transformer(**changes).fit(X)
        codes = model.transform(X)
        assert np.isfinite(codes).all()
        assert np.isfinite(model.inverse_transform(codes)).all()
        assert np.isfinite(model.sample(3, random_state=0)).all()
        assert np.isfinite(model.loss_curve_).all()
        assert np.isfinite(model.score(X))
        np.testing.assert_array_equal(clone(model).fit(X).transform(X), codes)

    def test_hardly_anything_is_known(self):
        rng = np.random.default_rng(0)
        X = np.where(rng.random((1000, 20)) < 0.99, np.nan, rng.normal(size=(1000, 20)))
        with pytest.warns(UserWarning, match="samples of X have no observed value; they are left out"):
            model = transformer().fit(X)
        assert np.isfinite(model.transform(X)).all()

    def test_validation_samples_and_partial_fit(self, X, complete):
        model = transformer().fit(complete, X_val=X)
        assert np.isfinite(model.validation_loss_curve_).all()
        model = transformer().partial_fit(complete).partial_fit(X)
        assert np.isfinite(model.transform(X)).all()

    def test_warm_start(self, X, complete):
        model = transformer(warm_start=True).fit(complete).fit(X)
        assert np.isfinite(model.transform(X)).all()
        assert len(model.loss_curve_) == 6

    def test_input_is_not_changed(self, X):
        before = X.copy()
        transformer().fit(X).transform(X)
        np.testing.assert_array_equal(X, before)


class TestCorruption:
    def test_masking_hides_missing_values_too(self):
        rows = torch.full((400, 2), torch.nan)
        rows[:, 1] = 1.0
        noisy = Masking(0.5)(rows, torch.Generator().manual_seed(0))
        assert 0.3 < float((noisy[:, 0] == 0).double().mean()) < 0.7
        assert noisy[:, 0].isnan().sum() + (noisy[:, 0] == 0).sum() == 400

    def test_swap_moves_value_and_gap_together(self):
        rows = torch.where(torch.arange(1000)[:, None] % 2 == 0, torch.nan, 5.0).expand(-1, 3)
        noisy = Swap(0.5)(rows, torch.Generator().manual_seed(0))
        assert set(noisy[~noisy.isnan()].tolist()) == {5.0}
        assert 0.45 < float(noisy.isnan().double().mean()) < 0.55


@pytest.fixture(scope="module")
def gone(X):
    X = X.copy()
    X[:, 4] = np.nan
    X[7] = np.nan
    return X


@pytest.fixture(scope="module")
def fitted(gone):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = transformer().fit(gone)
    assert [str(warning.message)[:46] for warning in caught] == [
        "1 of 120 samples of X have no observed value; ",
        "Column 4 has no observed value: it is left out",
    ]
    return model


class TestColumnsAndSamplesWithoutValues:
    def test_column_comes_back_nan_and_takes_no_part(self, fitted, gone):
        others = np.delete(np.arange(N_FEATURES), 4)
        for rows in (fitted.reconstruct(gone), fitted.inverse_transform(np.zeros((3, 2))), fitted.sample(3)):
            assert np.isnan(rows[:, 4]).all()
            assert np.isfinite(rows[:, others]).all()
        seen_later = gone.copy()
        seen_later[:, 4] = 100.0
        np.testing.assert_array_equal(fitted.transform(seen_later), fitted.transform(gone))

    def test_name_of_the_column(self, gone):
        frame = pd.DataFrame(gone, columns=list("abcdef"))
        with pytest.warns(UserWarning, match="Column 'e' has no observed value"):
            transformer().fit(frame.drop(index=7))

    def test_sample_has_the_code_of_nothing_known(self, fitted, gone):
        nothing = np.full((1, N_FEATURES), np.nan)
        np.testing.assert_array_equal(fitted.transform(gone)[7:8], fitted.transform(nothing))
        assert np.isfinite(fitted.transform(nothing)).all()
        assert np.isnan(fitted.reconstruction_error(nothing)).all()

    def test_nothing_at_all(self):
        with pytest.raises(ValueError, match="X has no observed value"):
            transformer().fit(np.full((9, 3), np.nan))

    def test_linear_network(self, gone):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = transformer(hidden_layer_sizes=(), activation="identity", corruption=None).fit(gone)
        assert np.isfinite(model.components_).all()
        np.testing.assert_array_equal(model.components_[:, 4], 0)


class TestInference:
    @pytest.mark.parametrize("method", ["transform", "reconstruct", "reconstruction_error"])
    def test_does_not_depend_on_other_samples(self, model, X, complete, method):
        rows = np.vstack([X[:50], complete[:50]])
        whole = getattr(model, method)(rows)
        alone = np.concatenate([getattr(model, method)(rows[i : i + 1]) for i in range(0, 100, 7)])
        np.testing.assert_array_equal(whole[::7], alone)
        np.testing.assert_array_equal(getattr(model, method)(complete[:50]), whole[50:])

    def test_error_is_the_mean_over_observed_values(self, model, X):
        squares = np.square(model.reconstruct(X) - X)
        np.testing.assert_allclose(model.reconstruction_error(X), np.nanmean(squares, axis=1), rtol=1e-5)
        standardized = np.nanmean(squares / np.nanvar(X, axis=0), axis=1)
        np.testing.assert_allclose(model.reconstruction_error(X, standardize=True), standardized, rtol=1e-5)

    def test_score_is_the_mean_over_observed_values(self, model, X):
        squares = np.square(model.reconstruct(X) - X)
        expected = np.maximum(1 - np.nanmean(squares, axis=0) / np.nanvar(X, axis=0), -1).mean()
        assert model.score(X) == pytest.approx(expected, rel=1e-6)

    def test_likelihood_is_that_of_the_observed_values(self, X, complete):
        """With a code that says nothing, features are independent, and a missing one is left out of the sum."""
        model = transformer(objective=Variational(beta=1e6), max_iter=30, precision="float64").fit(complete)
        first = complete[:1]
        without = [np.where(np.arange(N_FEATURES) == j, np.nan, first) for j in range(N_FEATURES)]
        parts = model.score_samples(first) - np.concatenate([model.score_samples(row) for row in without])
        np.testing.assert_allclose(parts.sum(), model.score_samples(first)[0], rtol=1e-3)

    def test_exported_encoder(self, model, X):
        encoder, decoder = model.to_torch()
        codes = encoder(torch.tensor(X))
        np.testing.assert_allclose(codes.detach(), model.transform(X), atol=1e-5)
        np.testing.assert_allclose(decoder(codes).detach(), model.reconstruct(X), atol=1e-4)

    @pytest.mark.parametrize("method", ["fit", "transform", "score"])
    def test_infinity_is_refused(self, model, X, method):
        with pytest.raises(ValueError, match="infinity"):
            getattr(clone(model) if method == "fit" else model, method)(np.where(np.isnan(X), np.inf, X))


class TestContainers:
    @pytest.mark.parametrize(
        "container",
        [
            sparse.csr_array,
            pd.DataFrame,
            lambda X: pd.DataFrame(X).astype("Float64").mask(np.isnan(X)),
            lambda X: pd.DataFrame(X).astype(object).where(~np.isnan(X), pd.NA),
            lambda X: pd.DataFrame(X).astype(object).where(~np.isnan(X), None),
            lambda X: np.where(np.isnan(X), None, X),
            lambda X: pl.DataFrame(X).with_columns(pl.all().fill_nan(None)),
            torch.tensor,
            lambda X: X.tolist(),
            np.asfortranarray,
        ],
        ids=[
            "csr",
            "frame",
            "Float64",
            "NA objects",
            "None objects",
            "None array",
            "polars",
            "tensor",
            "list",
            "fortran",
        ],
    )
    def test_equal_results(self, X, container):
        expected = transformer().fit(X).transform(X)
        found = transformer().fit(container(X)).transform(container(X))
        np.testing.assert_array_equal(np.asarray(found), expected)

    def test_nullable_integers(self):
        numbers = pd.DataFrame({"a": pd.array([1, 2, None, 4], dtype="Int64"), "b": [1.0, 5.0, 2.0, 7.0]})
        expected = transformer(n_components=1).fit(numbers.astype(float)).transform(numbers.astype(float))
        np.testing.assert_array_equal(transformer(n_components=1).fit(numbers).transform(numbers), expected)

    def test_float32_stays(self, model, X):
        assert model.transform(X.astype(np.float32)).dtype == np.float32

    def test_text_is_refused_by_name(self, X):
        frame = pd.DataFrame(X, columns=list("abcdef")).assign(c="text")
        with pytest.raises(ValueError, match="'c'"):
            transformer().fit(frame)


class TestStorage:
    def test_skops_and_pickle(self, model, X):
        for loaded in (pickle.loads(pickle.dumps(model)), skops.loads(skops.dumps(model), trusted=trusted_types())):
            np.testing.assert_array_equal(loaded.transform(X), model.transform(X))

    def test_checkpoint_knows_samples_and_weights(self, X, tmp_path):
        weight = np.linspace(1, 2, N_SAMPLES)
        expected = transformer(max_iter=4).fit(X, sample_weight=weight).transform(X)
        saving = transformer(max_iter=4, checkpoint=tmp_path / "training")
        saving.fit(X, sample_weight=weight)
        np.testing.assert_array_equal(clone(saving).fit(X, sample_weight=weight).transform(X), expected)
        for other in ({"X": X, "sample_weight": weight[::-1]}, {"X": np.nan_to_num(X), "sample_weight": weight}):
            with pytest.raises(ValueError, match="checkpoint"):
                clone(saving).fit(**other)

    @pytest.mark.parametrize("n_threads", [1, 2])
    def test_threads(self, model, X, n_threads):
        expected = model.transform(np.tile(X, (50, 1)))
        before = torch.get_num_threads()
        torch.set_num_threads(n_threads)
        try:
            found = model.transform(np.tile(X, (50, 1)))
        finally:
            torch.set_num_threads(before)
        np.testing.assert_array_equal(found, expected)


def test_search_and_pipeline(X):
    grid = {"autoencodertransformer__n_components": [1, 2]}
    search = GridSearchCV(make_pipeline(StandardScaler(), transformer()), grid, cv=3, error_score="raise").fit(X)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.parametrize("in_training", [False, True])
def test_validation_measures_the_model_itself(in_training):
    """A network that was trained without missing values does not complete them; the other does from the first epoch."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 3)) @ rng.normal(size=(3, 8)) + 0.1 * rng.normal(size=(500, 8))
    gaps = np.where(rng.random(X.shape) < 0.3, np.nan, X)
    model = AutoencoderTransformer(3, max_iter=50, random_state=0, corruption=None)
    curve = model.fit(gaps if in_training else X, X_val=gaps).validation_loss_curve_
    unit = np.nanstd(gaps if in_training else X, axis=0)
    own = np.nanmean(np.square((model.reconstruct(gaps) - gaps) / unit), axis=1).mean()
    assert curve[-1] == pytest.approx(own, rel=1e-3)
    if not in_training:
        assert max(curve[29] / curve[30], curve[30] / curve[29]) < 1.1  # completion would begin at 60 %
