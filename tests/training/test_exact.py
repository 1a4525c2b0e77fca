"""The engine against plain loops: the same numbers, for one network and for each member of an ensemble."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from skorch.callbacks import Callback, GradientNormClipping
from torch import nn

from sk_autoencoder import AutoencoderOutlierDetector, AutoencoderTransformer
from sk_autoencoder.corruptions import Gaussian
from sk_autoencoder.networks import Custom
from sk_autoencoder.training.seeding import epoch_seeds, seeded


def by_hand(model, rows, n_epochs, batch_size, lr):
    """Train the fitted model's network again from its first weights with torch.optim.AdamW."""
    scaled = torch.tensor((rows - rows.mean(axis=0)) / rows.std(axis=0))
    encoder, decoder = model.net_.module_.plain()
    network = nn.Sequential(*encoder, *decoder)
    optimizer = torch.optim.AdamW(network.parameters(), lr=lr, weight_decay=0.1)
    for epoch in range(1, n_epochs + 1):
        seed = epoch_seeds(model._plan.seed, epoch, 1)[:, 0]
        order = torch.randperm(len(rows), generator=seeded(seed, torch.device("cpu"))[0])
        for batch in scaled[order].split(batch_size):
            optimizer.zero_grad()
            nn.functional.mse_loss(network(batch), batch).backward()
            optimizer.step()
    with torch.no_grad():
        return network(scaled).numpy() * rows.std(axis=0) + rows.mean(axis=0)


@pytest.mark.parametrize("activation", ["silu", "tanh", "relu"])
def test_float64_is_that_of_a_plain_loop(activation, rows):
    choice = {"activation": activation, "precision": "float64", "batch_size": 32, "learning_rate": "constant"}
    plain = {"hidden_layer_sizes": (16, 8), "corruption": None, "random_state": 0, "max_iter": 10}
    model = AutoencoderTransformer(2, **plain, **choice)
    first = clone(model).set_params(learning_rate_init=1e-300, alpha=0.0).fit(rows)
    expected = by_hand(first, rows, n_epochs=10, batch_size=32, lr=0.005)
    np.testing.assert_allclose(model.fit(rows).reconstruct(rows), expected, rtol=0, atol=1e-10 * np.abs(rows).max())


@pytest.mark.parametrize("choice", [{}, {"corruption": Gaussian(0.2)}, {"solver": "sgd"}])
def test_members_are_those_trained_alone(choice):
    """After 20 steps, own order and noise included. Below 10 rows nothing is held out, so all see the same rows."""
    X = np.random.default_rng(0).normal(size=(8, 6))
    parameters = {"batch_size": 4, "max_iter": 10, "random_state": 0, **choice}
    many = AutoencoderOutlierDetector(3, n_estimators=4, **parameters).fit(X)
    alone = AutoencoderOutlierDetector(3, n_estimators=1, **parameters).fit(X)
    assert_first_member_is(alone, many)


def assert_first_member_is(alone, many):
    found, expected = (model.net_.module_.of_member(model.net_.module_.state_dict(), 0) for model in (many, alone))
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-5, atol=1e-5)


class Exploding(Callback):
    """Lets the gradients of all members but the first grow out of all proportion."""

    def initialize(self):
        self.calls_ = 0
        return self

    def on_grad_computed(self, net, named_parameters, **kwargs):
        for _, weight in named_parameters:
            weight.grad.mul_(1e6 if self.calls_ % net.module_.shape.n_members else 1.0)
        self.calls_ += 1


@pytest.mark.parametrize("network", ["dense", Custom(encoder=nn.Linear, decoder=nn.Linear)])
def test_clipping_is_by_member(network):
    """One that explodes neither silences the others nor gets away itself."""
    X = np.random.default_rng(0).normal(size=(8, 6))
    parameters = {"batch_size": 4, "max_iter": 10, "random_state": 0, "solver": "sgd", "network": network}
    parameters["callbacks"] = [Exploding(), GradientNormClipping(0.01)]
    many = AutoencoderOutlierDetector(3, n_estimators=3, **parameters).fit(X)
    alone = AutoencoderOutlierDetector(3, n_estimators=1, **parameters).fit(X)
    assert_first_member_is(alone, many)
    assert max(weight.abs().max() for weight in many.net_.module_.parameters()) < 10
