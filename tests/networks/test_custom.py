"""Networks of a user's own modules: parameters, randomness, members, and errors before training."""

import pickle

import numpy as np
import pytest
import skorch.callbacks
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from torch import nn

from sk_autoencoder import AutoencoderOutlierDetector, AutoencoderTransformer
from sk_autoencoder.networks import Custom
from sk_autoencoder.objectives import Reconstruction


class Perceptron(nn.Sequential):
    def __init__(self, n_in, n_out, width=8, dropout=0.3):
        layers = nn.Linear(n_in, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, n_out)
        super().__init__(*layers)


def frozen_first_layer(n_in, n_out, **kwargs):
    module = Perceptron(n_in, n_out, **kwargs)
    module[0].requires_grad_(False)
    return module


def too_wide(n_in, n_out):
    return nn.Linear(n_in, n_out + 1)


def recurrent(n_in, n_out):
    return nn.LSTM(n_in, n_out)


def not_a_module(n_in, n_out):
    return n_in + n_out


def custom(**kwargs):
    return Custom(encoder=Perceptron, decoder=Perceptron, **kwargs)


def model(network=None, kind=AutoencoderTransformer, **parameters):
    return kind(2, network=network or custom(), **{"max_iter": 3, "random_state": 0, **parameters})


class TestParameters:
    def test_show_what_is_passed_on(self):
        network = custom(width=5)
        assert network.get_params() == {
            "encoder": Perceptron,
            "decoder": Perceptron,
            "out_activation": "auto",
            "sample_shape": None,
            "width": 5,
        }
        assert network.set_params(width=6, dropout=0.1) is network
        assert (network.get_params()["width"], network.get_params()["dropout"]) == (6, 0.1)
        assert "width=6" in repr(network)

    def test_clones_and_pickles(self):
        network = custom(width=5)
        for copy in (clone(network), pickle.loads(pickle.dumps(network))):
            assert copy.get_params() == network.get_params()
            assert copy.set_params(width=7).get_params() != network.get_params()

    def test_reach_the_modules(self, rows):
        fitted = model(custom(width=5)).fit(rows)
        assert fitted.net_.module_.encoders[0][0].weight.shape == (5, 5)
        search = GridSearchCV(model(custom(width=5)), {"network__width": [3, 4], "network__dropout": [0.0]}, cv=2)
        best = search.fit(rows).best_estimator_
        assert best.net_.module_.encoders[0][0].out_features == search.best_params_["network__width"]


class TestRandomness:
    @pytest.mark.parametrize("kind", [AutoencoderTransformer, AutoencoderOutlierDetector])
    def test_second_fit_is_equal_and_global_state_stays(self, kind, rows):
        before = torch.get_rng_state()
        first = model(kind=kind).fit(rows)
        assert torch.equal(torch.get_rng_state(), before)
        torch.manual_seed(123)
        second = model(kind=kind).fit(rows)
        np.testing.assert_array_equal(first.reconstruct(rows), second.reconstruct(rows))
        assert first.loss_curve_ == second.loss_curve_
        third = model(kind=kind, random_state=1).fit(rows)
        assert third.loss_curve_ != first.loss_curve_

    def test_dropout_differs_between_steps(self, rows):
        fitted = model(learning_rate_init=1e-12, batch_size=len(rows)).fit(rows)
        assert len(np.unique(np.round(fitted.loss_curve_, 4))) == 3

    def test_results_after_fit_are_fixed(self, rows):
        fitted = model().fit(rows)
        before = torch.get_rng_state()
        np.testing.assert_array_equal(fitted.transform(rows), fitted.transform(rows))
        assert torch.equal(torch.get_rng_state(), before)


def test_members_are_separate_networks(rows):
    detector = model(kind=AutoencoderOutlierDetector, n_estimators=3).fit(rows)
    weights = [encoder[0].weight for encoder in detector.net_.module_.encoders]
    assert len(weights) == 3
    assert not torch.equal(weights[0], weights[1])
    assert detector.score_samples(rows).shape == (len(rows),)


def test_each_member_keeps_its_best_weights(rows):
    stopping = {"n_iter_no_change": 2, "max_iter": 50, "learning_rate_init": 10.0, "learning_rate": "constant"}
    detector = model(kind=AutoencoderOutlierDetector, n_estimators=2, **stopping).fit(rows)
    assert detector.n_iter_ < 50
    module = detector.net_.module_
    state = module.state_dict()
    shares = [module.of_member(state, member) for member in range(2)]
    assert shares[0] | shares[1] == state
    assert len(shares[0]) == len(shares[1]) == 2 * 9
    losses = np.array(detector.net_.history[:, "valid_member_loss"])  # an epoch is one batch
    for share, best in zip(shares, losses.argmin(axis=0), strict=True):
        assert {int(value) for name, value in share.items() if name.endswith("num_batches_tracked")} == {best + 1}


def test_stored_models_and_plain_modules_are_equal(rows):
    fitted = model(loss="binary_cross_entropy").fit(rows)
    codes = fitted.transform(rows)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).transform(rows), codes)
    encoder, decoder = fitted.to_torch()
    np.testing.assert_allclose(encoder(torch.tensor(rows)).detach(), codes, atol=1e-5)
    np.testing.assert_allclose(
        decoder(torch.tensor(codes, dtype=torch.float32)).detach(), fitted.inverse_transform(codes), atol=1e-5
    )


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_learns(precision):
    X = np.random.default_rng(0).normal(size=(200, 2)) @ np.random.default_rng(1).normal(size=(2, 6))
    fitted = model(custom(dropout=0.0), max_iter=100, precision=precision).fit(X)
    assert fitted.score(X) > 0.8


class Sizes(skorch.callbacks.Callback):
    def initialize(self):
        self.sizes_ = []

    def on_batch_begin(self, net, batch=None, training=None, **kwargs):
        self.sizes_ += [len(batch)] if training else []


class TestBatchesOfOne:
    """Batch normalisation cannot take them: a last one is left out, and where there are no others, an error says so."""

    @pytest.mark.parametrize("kind", [AutoencoderTransformer, AutoencoderOutlierDetector])
    @pytest.mark.parametrize("batch_size", ["auto", 2, 7, 64])
    def test_any_number_of_samples(self, batch_size, kind):
        for n in (2, 3, 64, 65, 129, 161):  # four fifths of 161 are 129
            X = np.random.default_rng(n).normal(size=(n, 5))
            choices = {"batch_size": batch_size, "max_iter": 1}
            assert np.isfinite(model(kind=kind, **choices).fit(X).reconstruct(X)).all()

    def test_all_but_the_last_are_trained_on(self):
        X = np.random.default_rng(0).normal(size=(129, 5))
        heard = model(callbacks=[("sizes", Sizes())], batch_size=64, max_iter=2).fit(X)
        assert dict(heard.net_.callbacks_)["sizes"].sizes_ == [64, 64] * 2
        plain = model(without_normalisation(), callbacks=[("sizes", Sizes())], batch_size=64, max_iter=1).fit(X)
        assert dict(plain.net_.callbacks_)["sizes"].sizes_ == [64, 64, 1]
        silent = model(batch_size=64, max_iter=2).fit(X)
        np.testing.assert_array_equal(silent.transform(X), heard.transform(X))

    def test_partial_fit(self, rows):
        fitted = model().partial_fit(rows).partial_fit(rows[:3])
        codes = fitted.transform(rows)
        with pytest.raises(ValueError, match=r"batch_size='auto' with 1 training sample\(s\) is 1; use a batch_size"):
            fitted.partial_fit(rows[:1])
        np.testing.assert_array_equal(fitted.transform(rows), codes)

    @pytest.mark.parametrize("kind", [AutoencoderTransformer, AutoencoderOutlierDetector])
    def test_no_batch_of_two(self, kind, rows):
        for choice, X in (({"batch_size": 1}, rows), ({}, rows[:1])):
            refused = model(kind=kind, **choice)
            message = (
                r"(?s)network=Custom\(.*\) has batch normalization, which needs at least 2 .*batch_size of at least 2"
            )
            with pytest.raises(ValueError, match=message):
                refused.fit(X)
            assert not hasattr(refused, "net_")

    def test_trimming_keeps_two(self, rows):
        few = {"objective": Reconstruction(trim=0.9), "batch_size": 2, "max_iter": 1}
        detector = model(kind=AutoencoderOutlierDetector, n_estimators=2, **few)
        assert np.isfinite(detector.fit(rows[:20]).score_samples(rows)).all()

    def test_training_goes_on_where_it_was(self, rows, tmp_path):
        choices = {"batch_size": 7, "max_iter": 4}  # 120 = 17 * 7 + 1
        with pytest.raises(ZeroDivisionError):
            model(checkpoint=tmp_path, callbacks=[Dying()], **choices).fit(rows)
        resumed, whole = model(checkpoint=tmp_path, **choices).fit(rows), model(**choices).fit(rows)
        assert resumed.loss_curve_ == whole.loss_curve_


class Dying(skorch.callbacks.Callback):
    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) == 3:
            raise ZeroDivisionError


def without_normalisation():
    return Custom(encoder=nn.Linear, decoder=nn.Linear)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_weights_frozen_by_their_maker_can_be_set_free(solver, rows):
    network = Custom(encoder=frozen_first_layer, decoder=Perceptron)
    free = skorch.callbacks.Unfreezer("encoders.0.0.*", at=3)
    weights = {
        n: model(network, max_iter=n, solver=solver, callbacks=[free]).fit(rows).net_.module_.encoders[0][0].weight
        for n in (1, 2, 3)
    }
    assert torch.equal(weights[1], weights[2])
    assert not torch.equal(weights[2], weights[3])


def test_frozen_weights_stay(rows):
    network = Custom(encoder=frozen_first_layer, decoder=Perceptron)
    short, long = (model(network, max_iter=n).fit(rows).net_.module_.encoders[0] for n in (1, 4))
    assert torch.equal(short[0].weight, long[0].weight)
    assert not torch.equal(short[-1].weight, long[-1].weight)


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        (too_wide, r"Custom\(encoder=too_wide\) must .* 5 inputs and 2 outputs, but .* \(2, 5\) .* is \(2, 3\)"),
        (
            recurrent,
            r"Custom\(encoder=recurrent\) must .* 5 inputs and 2 outputs, but .* is a tuple instead of \(2, 2\)",
        ),
        (not_a_module, r"Custom\(encoder=not_a_module\) must return a torch.nn.Module, got an object of type int"),
        (nn.Linear(5, 2), r"Custom\(encoder=Linear\) got an instance of torch.nn.Module; pass its class"),
        ("dense", r"The 'encoder' parameter of Custom must be a callable"),
    ],
)
def test_what_does_not_fit_is_named_before_training(encoder, message, rows):
    with pytest.raises(ValueError, match=message):
        model(Custom(encoder=encoder, decoder=Perceptron)).fit(rows)


def test_wrong_decoder_is_named(rows):
    with pytest.raises(ValueError, match=r"Custom\(decoder=too_wide\) must .* with 2 inputs and 5 outputs"):
        model(Custom(encoder=Perceptron, decoder=too_wide)).fit(rows)
