"""Layer-wise pretraining: stages share the weights of the whole, see the codes below, and keep to the budget."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone

from sk_autoencoder import AutoencoderOutlierDetector, AutoencoderTransformer
from sk_autoencoder.networks import Dense, NetworkShape
from sk_autoencoder.objectives import OBJECTIVES
from sk_autoencoder.training import split_epochs
from sk_autoencoder.training.seeding import weight_generators

SIZES = {"hidden_layer_sizes": (6, 4), "network": Dense(layerwise_pretraining=True), "random_state": 0}


def build(network, n_members=2, n_encoded=3, **changes):
    kinds = {"hidden_layer_sizes": (6, 4), "activation": "tanh", "out_activation": "sigmoid", "n_members": n_members}
    shape = NetworkShape(n_features=7, n_components=3, n_encoded=n_encoded, **{**kinds, **changes})
    return network.build(shape, weight_generators(0, n_members))


@pytest.mark.parametrize("tied_weights", [False, True])
class TestStages:
    def test_make_up_the_whole(self, tied_weights):
        module = build(Dense(tied_weights=tied_weights)).eval()
        rows = torch.rand(2, 5, 7, generator=torch.Generator().manual_seed(0))
        codes = rows
        for stage in module.stages():
            codes = stage.encode(codes)
        torch.testing.assert_close(codes, module.encode(rows))
        for stage in reversed(module.stages()):
            codes = stage.decode(codes)
        torch.testing.assert_close(codes, module(rows))

    def test_share_all_weights(self, tied_weights):
        module = build(Dense(tied_weights=tied_weights))
        shared = [parameter for stage in module.stages() for parameter in stage.parameters()]
        assert {id(parameter) for parameter in shared} == {id(parameter) for parameter in module.parameters()}


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_each_objective(objective, rows):
    model = AutoencoderTransformer(3, objective=objective, max_iter=6, **SIZES).fit(rows)
    assert [len(curve) for curve in model.stage_loss_curves_] == [1, 1, 1]


def test_stages_of_an_encoder_wider_than_the_code():
    top = build(Dense(), n_encoded=6).stages()[-1]
    assert top(torch.rand(2, 5, 4)).shape == (2, 5, 4)


@pytest.mark.parametrize(
    ("epochs", "n_stages", "each", "rest"), [(20, 4, 2, 12), (60, 3, 10, 30), (7, 2, 1, 5), (3, 3, 1, 1), (1, 4, 1, 1)]
)
def test_split_epochs(epochs, n_stages, each, rest):
    assert split_epochs(epochs, n_stages) == (each, rest)


def test_curves(rows):
    model = AutoencoderTransformer(2, max_iter=12, **SIZES).fit(rows)
    assert [len(curve) for curve in model.stage_loss_curves_] == [2, 2, 2]
    assert model.n_iter_ == len(model.loss_curve_) == 6
    assert pickle.loads(pickle.dumps(model)).stage_loss_curves_ == model.stage_loss_curves_
    assert AutoencoderTransformer(2, max_iter=1).fit(rows).stage_loss_curves_ == []


def test_each_layer_learns(rows):
    model = AutoencoderTransformer(2, max_iter=120, learning_rate_init=0.01, **SIZES).fit(rows)
    assert all(np.mean(curve[-3:]) < 0.9 * curve[0] for curve in model.stage_loss_curves_)


def test_trains_deep_sigmoid_nets():
    """Without it, the signal is lost in six layers and the reconstruction is the mean."""
    X = np.random.default_rng(0).normal(size=(400, 3)) @ np.random.default_rng(1).normal(size=(3, 12))
    deep = {"hidden_layer_sizes": (32, 24, 16, 12, 8), "activation": "sigmoid", "alpha": 0.0, "batch_size": 64}
    model = AutoencoderTransformer(3, network=Dense(), learning_rate_init=0.05, max_iter=120, **deep)
    plain, pretrained = (
        np.mean(
            [
                clone(model).set_params(network__layerwise_pretraining=layerwise, random_state=seed).fit(X).score(X)
                for seed in range(3)
            ]
        )
        for layerwise in (False, True)
    )
    assert pretrained > plain + 0.5


@pytest.mark.parametrize("corruption", ["masking", "gaussian", "swap"])
def test_stages_denoise(corruption, rows):
    plain = AutoencoderTransformer(2, max_iter=12, corruption=None, **SIZES).fit(rows)
    noisy = AutoencoderTransformer(2, max_iter=12, corruption=corruption, **SIZES).fit(rows)
    for quiet, loud in zip(plain.stage_loss_curves_, noisy.stage_loss_curves_, strict=True):
        assert quiet != loud


def test_members_do_not_depend_on_their_number(rows):
    detectors = [AutoencoderOutlierDetector(2, n_estimators=n, max_iter=6, **SIZES).fit(rows) for n in (5, 6)]
    fewer, more = (detector.net_.module_.encoder_weights[-1][0].detach() for detector in detectors)
    torch.testing.assert_close(fewer, more)


def test_first_stage_knows_the_loss(rows):
    model = AutoencoderTransformer(2, max_iter=6, loss="binary_cross_entropy", **SIZES).fit(rows)
    assert 0.3 < model.stage_loss_curves_[0][0] < 1.0
    assert np.isfinite(model.transform(rows)).all()


class TestGoingOn:
    def test_warm_start_pretrains_only_new_weights(self, rows):
        model = AutoencoderTransformer(2, max_iter=12, warm_start=True, **SIZES).fit(rows)
        curves = model.stage_loss_curves_
        assert model.fit(rows).stage_loss_curves_ == curves
        assert model.n_iter_ == 6 + 12

    def test_partial_fit_does_not_pretrain(self, rows):
        model = AutoencoderTransformer(2, **SIZES).partial_fit(rows)
        assert model.stage_loss_curves_ == []
        assert model.n_iter_ == 1


class Stageless(Dense):
    """Builds a module whose layers cannot learn one by one."""

    def build(self, shape, generators):
        module = super().build(shape, generators)
        module.stages = list
        return module


def test_other_networks_are_refused(rows):
    model = AutoencoderTransformer(2, network=Stageless(layerwise_pretraining=True))
    with pytest.raises(ValueError, match="layerwise_pretraining=True is not supported by network=Stageless"):
        model.fit(rows)
    assert not hasattr(model, "net_")
