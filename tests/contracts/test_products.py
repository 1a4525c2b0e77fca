"""Axes multiply: every network learns every objective under every corruption, alone and as three members."""

import pickle
from itertools import product

import numpy as np
import pytest
import torch
from sklearn.base import clone
from skorch.callbacks import Callback

from sk_autoencoder import AutoencoderOutlierDetector, AutoencoderTransformer
from sk_autoencoder.corruptions import CORRUPTIONS
from sk_autoencoder.networks import NETWORKS
from sk_autoencoder.objectives import OBJECTIVES

from .variants import assert_equal, outputs

PRODUCTS = {
    f"{network}-{objective}-{corruption}": {"network": network, "objective": objective, "corruption": corruption}
    for network, objective, corruption in product(NETWORKS, OBJECTIVES, [None, *CORRUPTIONS])
}
each_product = pytest.mark.parametrize("parts", PRODUCTS.values(), ids=PRODUCTS)


class Start(Callback):
    """Keeps the weights that training begins with."""

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        self.weights_ = {name: weight.detach().clone() for name, weight in net.module_.named_parameters()}


@each_product
def test_weights_move_and_shapes_come_back(parts, rows):
    settings = {"max_iter": 3, "alpha": 0.0, "callbacks": [("start", Start())], "random_state": 0}
    model = AutoencoderTransformer(2, **settings, **parts)
    codes = model.fit_transform(rows)
    assert np.isfinite(model.loss_curve_).all()
    before = dict(model.net_.callbacks_)["start"].weights_
    for name, weight in model.net_.module_.named_parameters():
        assert not torch.equal(weight, before[name]), name  # without weight decay, gradients alone move it
    assert codes.shape == (120, 2)
    assert model.inverse_transform(codes).shape == model.reconstruct(rows).shape == rows.shape
    assert model.sample(3, random_state=0).shape == (3, 5)


@each_product
def test_three_members_learn_with_every_weight_and_repeat_bit_by_bit(parts, rows):
    model = AutoencoderOutlierDetector(2, n_estimators=3, max_iter=2, random_state=0, **parts).fit(rows)
    for name, weight in model.net_.module_.named_parameters():
        assert (weight.grad.flatten(1).abs().amax(dim=1) > 0).all(), name  # (n_members,)
    assert len(model.net_.history[-1]["train_member_loss"]) == 3
    found = outputs(model, rows)
    assert_equal(outputs(model, rows), found)  # nothing is drawn after fit
    assert_equal(outputs(pickle.loads(pickle.dumps(model)), rows), found)
    again = clone(model).fit(rows)
    assert_equal(outputs(again, rows), found)
    assert again.loss_curve_ == model.loss_curve_
