"""Indicators of missing values: inputs of the network beside the features."""

import pickle
import warnings

import numpy as np
import pytest
import skops.io as skops
import torch
from scipy import sparse
from sklearn.linear_model import LinearRegression
from torch import nn

from sk_autoencoder import AutoencoderOutlierDetector, AutoencoderTransformer, trusted_types
from sk_autoencoder.corruptions import Gaussian, Masking, Swap
from sk_autoencoder.estimators._assembly import Samples
from sk_autoencoder.networks import Attention, Convolutional, Custom, Dense, Network, Recurrent
from sk_autoencoder.networks.base import with_indicators
from sk_autoencoder.objectives import Reconstruction
from sk_autoencoder.scaling import Affine, MinMax
from sk_autoencoder.training import RowDataset, Scaler
from sk_autoencoder.training.rows import TrainingBatches

N_FEATURES, COMPLETE = 12, 3  # the column without missing values


@pytest.fixture(scope="module")
def X():  # noqa: N802
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 3)) @ rng.normal(size=(3, N_FEATURES)) + 0.1 * rng.normal(size=(100, N_FEATURES))
    hidden = rng.random(X.shape) < 0.2
    hidden[:, COMPLETE] = False
    return np.where(hidden, np.nan, X)


def transformer(**changes):
    return AutoencoderTransformer(
        **{"n_components": 3, "max_iter": 2, "random_state": 0, "add_indicator": True} | changes
    )


@pytest.fixture(scope="module")
def model(X):
    return transformer().fit(X)


def linear(n_in, n_out):
    return nn.Linear(n_in, n_out)


class TestInputs:
    def test_follow_the_features_and_are_one_where_values_are_missing(self):
        values, observed = torch.tensor([[5.0, 6.0, 7.0]]), torch.tensor([[True, False, False]])
        assert with_indicators(values, observed, (0, 2)).tolist() == [[5.0, 6.0, 7.0, 0.0, 1.0]]
        assert with_indicators(values, None, (0, 2)).tolist() == [[5.0, 6.0, 7.0, 0.0, 0.0]]
        assert with_indicators(values, observed, ()) is values

    def test_are_of_the_columns_with_missing_values(self, model):
        module = model.net_.module_
        assert module.shape.indicators == tuple(np.delete(np.arange(N_FEATURES), COMPLETE))
        assert module.encoder_weights[0].shape[1] == 2 * N_FEATURES - 1
        assert module.decoder_weights[-1].shape[2] == N_FEATURES

    @pytest.mark.parametrize(
        ("network", "weight", "axis", "width"),
        [
            (Convolutional(), "encoder_kernels.0", 2, 2),
            (Convolutional(sample_shape=(3, 2, 2)), "encoder_kernels.0", 2, 6),
            (Recurrent(sample_shape=(3, 4)), "encoder.0.input_weight", 5, 6),
            (Recurrent(sample_shape=(3, 4), cell="gru", feedback=True), "encoder.0.input_weight", 5, 6),
            (Attention(sample_shape=(3, 4), patch_size=2), "embedding.weight", 1, 12),
            (Dense(sample_shape=(3, 4)), "encoder_weights.0", 1, 24),
            (Custom(linear, linear), "encoders.0.weight", 1, 23),
        ],
        ids=lambda value: type(value).__name__ if isinstance(value, Network) else str(value),
    )
    def test_are_channels_of_networks_that_read_channels(self, X, network, weight, axis, width):
        model = transformer(network=network).fit(X)
        assert model.net_.module_.get_parameter(weight).shape[axis] == width
        codes = model.transform(X)
        for n_rows in (1, 7):
            np.testing.assert_allclose(model.transform(X[:n_rows]), codes[:n_rows], atol=1e-6)
        assert np.isfinite(model.reconstruct(X)).all()
        encoder, decoder = model.to_torch()
        with torch.no_grad():
            exported = encoder(torch.tensor(X))
            np.testing.assert_allclose(exported, codes, atol=1e-5)
            np.testing.assert_allclose(decoder(exported), model.inverse_transform(codes), atol=1e-4)

    def test_distinguish_a_missing_value_from_the_mean(self, X, model):
        """The network gets its reconstruction of its reconstruction of the mean."""
        plain = transformer(add_indicator=False).fit(X)
        completed = np.where(np.isnan(X), np.nanmean(X, axis=0), X)
        for _ in range(2):
            completed = np.where(np.isnan(X), plain.reconstruct(completed), X)
        np.testing.assert_allclose(plain.transform(X), plain.transform(completed), atol=1e-6)
        completed = np.where(np.isnan(X), model.reconstruct(X), X)
        assert np.abs(model.transform(X) - model.transform(completed)).max() > 1e-3

    def test_without_missing_values_are_none(self, X):
        complete = np.nan_to_num(X)
        one, other = (transformer(add_indicator=flag).fit(complete) for flag in (True, False))
        assert one._shape.indicators == ()
        np.testing.assert_array_equal(one.transform(complete), other.transform(complete))

    def test_are_none_of_empty_columns_and_for_empty_samples(self, X):
        complete = np.nan_to_num(X)
        complete[0], complete[:, 5], complete[1, 7] = np.nan, np.nan, np.nan
        with pytest.warns(UserWarning, match="no observed value"):
            assert transformer().fit(complete)._shape.indicators == (7,)
        with pytest.warns(UserWarning, match="no observed value"):
            detector = AutoencoderOutlierDetector(add_indicator=True, max_iter=1, random_state=0).fit(complete)
        assert detector._shape.indicators == (7,)

    def test_are_not_bounded_by_the_input_margin(self, X):
        model = transformer(scaling=MinMax(feature_range=(-0.1, 0.1), input_margin=0.01)).fit(X)
        seen = model._rows(Samples(X, has_gaps=True)).batch(slice(None), 1).corrupted[0, :, N_FEATURES:]
        np.testing.assert_array_equal(seen, np.delete(np.isnan(X), COMPLETE, axis=1))


class TestRefusals:
    @pytest.mark.parametrize("estimator", [AutoencoderTransformer, AutoencoderOutlierDetector])
    @pytest.mark.parametrize("fill", [np.nan, 0.0])
    def test_tied_weights(self, X, estimator, fill):
        model = estimator(network=Dense(tied_weights=True), add_indicator=True)
        with pytest.raises(
            ValueError, match=r"add_indicator=True is not supported by network=Dense\(tied_weights=True\)"
        ):
            model.fit(np.where(np.isnan(X), fill, X))

    def test_networks_that_do_not_declare_it(self, X):
        class Plain(Network):
            def build(self, shape, generators):
                raise AssertionError("no network is built")

        with pytest.raises(ValueError, match="add_indicator=True is not supported by network=Plain"):
            transformer(network=Plain()).fit(X)


class TestCorruptions:
    """Inputs of a network and losses, with corrupted samples."""

    def batch(self, X, corruption):
        scaler = Scaler(Affine(np.zeros(X.shape[1]), np.ones(X.shape[1])), torch.device("cpu"), torch.float32)
        rows = RowDataset(X, scaler, fill=torch.full((X.shape[1],), 9.0), indicators=tuple(range(X.shape[1])))
        (batch,) = TrainingBatches(rows, len(X), 1, seed=0, epoch=0, corruption=corruption)
        values, indicators = batch.corrupted[0].chunk(2, dim=1)
        return batch, values, indicators == 1

    def test_masking_hides_values_as_missing_ones(self, X):
        batch, values, indicators = self.batch(X, Masking(0.5).with_gaps())
        missing = ~batch.observed[0]
        hidden = indicators & ~missing
        assert 0.3 < hidden.float().mean() / (~missing).float().mean() < 0.7
        assert indicators[missing].all()
        assert (values[indicators] == 9.0).all()
        assert torch.equal(values[~indicators], batch.clean[0][~indicators])

    def test_masking_hides_spans(self, X):
        masking = Masking(0.3, span=2).shaped((3, 4)).with_gaps()
        _, _, indicators = self.batch(np.nan_to_num(X), masking)
        steps = indicators.unflatten(1, (3, 4))
        assert steps.any()
        assert torch.equal(steps.any(dim=1), steps.all(dim=1))

    def test_swap_moves_values_and_gaps_together(self):
        X = np.arange(20.0)[:, None] * [1.0, 100.0]
        X[::2, 1] = np.nan
        batch, values, indicators = self.batch(X, Swap(1.0))
        assert torch.equal(indicators, values == 9.0)
        assert indicators.sum(dim=0).tolist() == [0, int((values[:, 1] == 9.0).sum())]
        assert not torch.equal(indicators[:, 1], ~batch.observed[0, :, 1])

    def test_gaussian_keeps_gaps(self, X):
        batch, _, indicators = self.batch(X, Gaussian())
        assert torch.equal(indicators, ~batch.observed[0])

    def test_hidden_values_stay_in_the_loss(self, X):
        batch, _, _ = self.batch(X, Masking(0.5).with_gaps())
        assert int(batch.observed.sum()) == np.isfinite(X).sum()
        assert batch.clean.shape[-1] == X.shape[1]

    def test_masking_is_unchanged_without_indicators(self, X):
        """Also with add_indicator=True, if no value is missing in fit."""
        complete = np.nan_to_num(X)
        one, other = (transformer(corruption="masking", add_indicator=flag).fit(complete) for flag in (True, False))
        assert one.loss_curve_ == other.loss_curve_


class TestEffect:
    """Large values are missing: which values are missing tells what they, and the others, are."""

    @pytest.mark.parametrize("corruption", [None, "swap", "masking"])
    def test_codes_and_reconstructions_are_better(self, corruption):
        rng = np.random.default_rng(0)
        latent = rng.normal(size=(400, 1))
        X = latent + 0.5 * rng.normal(size=(400, 6))
        hidden = (X > 0.8) & ~(X > 0.8).all(axis=1, keepdims=True)
        gaps, train, test = np.where(hidden, np.nan, X), slice(300), slice(300, None)
        code_errors, errors = {}, {}
        for flag in (True, False):
            model = transformer(
                n_components=2, corruption=corruption, max_iter=40, hidden_layer_sizes=(32,), add_indicator=flag
            )
            codes = model.fit(gaps[train]).transform(gaps)
            readout = LinearRegression().fit(np.hstack([codes, codes**2])[train], latent[train])
            code_errors[flag] = np.square(readout.predict(np.hstack([codes, codes**2])[test]) - latent[test]).mean()
            errors[flag] = np.square(model.reconstruct(gaps) - X)[test][hidden[test]].mean()
        assert code_errors[True] < 0.7 * code_errors[False]
        # What Masking hides looks like a missing value, so that the network completes missing ones without indicators.
        assert errors[True] < (1.0 if corruption == "masking" else 0.9) * errors[False]


class TestFittedModels:
    @pytest.mark.parametrize("corruption", ["swap", "masking"])
    def test_are_stored(self, X, corruption):
        model = transformer(corruption=corruption).partial_fit(X)
        copies = [pickle.loads(pickle.dumps(model)), skops.loads(skops.dumps(model), trusted=trusted_types())]
        for copy in copies:
            np.testing.assert_array_equal(copy.transform(X), model.transform(X))
        model.partial_fit(X)
        for copy in copies:
            np.testing.assert_array_equal(copy.partial_fit(X).transform(X), model.transform(X))

    def test_resume_from_a_checkpoint(self, X, tmp_path):
        whole = transformer(corruption="masking", max_iter=3).fit(X)
        transformer(corruption="masking", max_iter=3, checkpoint=tmp_path).fit(X)
        resumed = transformer(corruption="masking", max_iter=3, checkpoint=tmp_path).fit(X)
        np.testing.assert_array_equal(resumed.transform(X), whole.transform(X))
        with pytest.raises(ValueError, match="add_indicator"):
            transformer(corruption="masking", max_iter=3, checkpoint=tmp_path, add_indicator=False).fit(X)

    def test_partial_fit_keeps_the_columns_of_the_first_call(self, X):
        model = transformer().partial_fit(X)
        columns = model._shape.indicators
        model.partial_fit(np.nan_to_num(X))
        fewer = X.copy()
        fewer[:, 0] = 0.0
        model.partial_fit(fewer)
        assert model._shape.indicators == columns
        new = X.copy()
        new[0, COMPLETE] = np.nan
        with pytest.warns(UserWarning, match=f"Column {COMPLETE} has missing values, but had none when training began"):
            model.partial_fit(new)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).transform(X), model.transform(X))

    def test_validation_samples_with_new_gaps_warn(self, X):
        new = X.copy()
        new[0, COMPLETE] = np.nan
        with pytest.warns(UserWarning, match="has no indicator"):
            transformer().fit(X, X_val=new)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            transformer().fit(X, X_val=X[:50])

    def test_warm_start_continues(self, X):
        model = transformer(warm_start=True).fit(X)
        before = model.loss_curve_[-1]
        model.set_params(max_iter=20, alpha=0.0).fit(np.where(np.arange(N_FEATURES) == 0, 0.0, X))
        assert model._shape.n_inputs == 2 * N_FEATURES - 1
        assert model.loss_curve_[-1] < before
        with pytest.raises(ValueError, match=r"cannot continue training with add_indicator=False \(was True\)"):
            model.set_params(add_indicator=False).fit(X)

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_bits_do_not_depend_on_the_batch_or_container(self, X, dtype):
        X = X.astype(dtype)
        model = transformer(precision="float64").fit(X)
        codes = model.transform(X)
        np.testing.assert_array_equal(np.vstack([model.transform(X[i : i + 1]) for i in range(20)]), codes[:20])
        complete = np.flatnonzero(~np.isnan(X).any(axis=1))
        np.testing.assert_array_equal(model.transform(X[complete]), codes[complete])
        np.testing.assert_array_equal(model.transform(sparse.csr_array(X)), codes)

    def test_gradients_are_those_of_autograd(self, X):
        """A hook on a weight has its gradient computed by autograd, not by the written-out backward pass."""
        codes = []
        for hooked in (False, True):
            model = transformer(precision="float64").partial_fit(X)
            if hooked:
                model.net_.module_.encoder_weights[0].register_hook(lambda gradient: gradient)
            codes.append(model.partial_fit(X).transform(X))
        np.testing.assert_allclose(*codes, rtol=1e-9)

    @pytest.mark.parametrize(
        "changes",
        [
            {"network": Dense(layerwise_pretraining=True), "hidden_layer_sizes": (16, 8), "max_iter": 4},
            {"objective": Reconstruction(trim=0.2)},
            {"objective": "variational", "corruption": "masking"},
            {"objective": "adversarial"},
            {"hidden_layer_sizes": (), "corruption": None, "whiten": True},
        ],
        ids=["layerwise", "trimmed", "variational", "adversarial", "linear"],
    )
    def test_ways_of_training(self, X, changes):
        model = transformer(**changes).fit(X)
        assert np.isfinite(model.loss_curve_).all()
        assert model.reconstruct(X).shape == X.shape
        assert model.inverse_transform(model.transform(X)).shape == X.shape
        with torch.no_grad():
            exported = model.to_torch()[0](torch.tensor(X))
        np.testing.assert_allclose(exported, model.transform(X), atol=1e-4)


class TestDetector:
    def test_scores_do_not_depend_on_the_batch(self, X):
        detector = AutoencoderOutlierDetector(add_indicator=True, n_estimators=3, max_iter=5, random_state=0).fit(X)
        new = X + 0.01
        scores = detector.score_samples(new)
        assert np.isfinite(scores).all()
        np.testing.assert_array_equal(detector.score_samples(new[:1]), scores[:1])
        np.testing.assert_array_equal(detector.score_samples(X), detector.training_scores_)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(detector)).score_samples(new), scores)

    def test_adds_members(self, X):
        detector = AutoencoderOutlierDetector(add_indicator=True, n_estimators=2, max_iter=1, warm_start=True)
        detector.fit(X).set_params(n_estimators=3).fit(X)
        assert detector.net_.module_.encoder_weights[0].shape[:2] == (3, 2 * N_FEATURES - 1)
