"""Gradients that are written out against those of autograd."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.base import clone
from skorch.callbacks import Callback

from sk_autoencoder import AutoencoderTransformer
from sk_autoencoder.losses import LOSSES, SquaredError
from sk_autoencoder.networks import Dense, NetworkShape
from sk_autoencoder.networks.activations import ACTIVATIONS
from sk_autoencoder.networks.dense import DenseAutoencoder
from sk_autoencoder.objectives import Batch, Evaluation, Reconstruction


def network_and_batch(activation="silu", network=None, out_activation="identity", n_members=3, hidden=(4, 3)):
    shape = NetworkShape(5, 2, 2, hidden, activation, out_activation, n_members, dtype="float64")
    generators = [torch.Generator().manual_seed(seed) for seed in range(n_members)]
    module = (network or Dense()).build(shape, generators)
    rows = torch.rand(n_members, 7, 5, dtype=torch.float64, generator=generators[0])
    return module, Batch(rows + 0.1, rows)


def assert_gradients_are_those_of_autograd(module, batch, loss):
    objective = Reconstruction()
    evaluation = objective.backpropagate(module, batch, loss)
    found = {name: weight.grad for name, weight in module.named_parameters()}
    module.zero_grad()
    expected = objective(module, batch, loss)
    expected.loss.backward(torch.ones_like(expected.loss))
    for name, weight in module.named_parameters():
        assert (weight.grad is None) == (found[name] is None)
        if weight.grad is not None:
            assert found[name].stride() == weight.stride()
            torch.testing.assert_close(found[name], weight.grad, rtol=1e-12, atol=1e-14)
    for name in ("loss", "code", "reconstruction", "target"):
        torch.testing.assert_close(getattr(evaluation, name), getattr(expected, name), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_of_every_activation(activation):
    module, batch = network_and_batch(activation)
    assert_gradients_are_those_of_autograd(module, batch, LOSSES["squared_error"]())


@pytest.mark.parametrize("network", [Dense(), Dense(tied_weights=True)], ids=["untied", "tied"])
def test_of_products_with_few_columns(network):
    """They are computed from transposed matrices: all but those of the wide layer."""
    module, batch = network_and_batch(network=network, hidden=(40,))
    batch = batch.map(lambda tensor: tensor.repeat(1, 5, 1))
    assert_gradients_are_those_of_autograd(module, batch, LOSSES["squared_error"]())


@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.parametrize("network", [Dense(), Dense(tied_weights=True)], ids=["untied", "tied"])
def test_of_every_loss(loss, network):
    loss = LOSSES[loss]()
    module, batch = network_and_batch("tanh", network, loss.out_activation)
    assert_gradients_are_those_of_autograd(module, batch, loss)


@pytest.mark.parametrize("loss", ["squared_error", "huber"])
@pytest.mark.parametrize("known", ["observed", "weight", "both"])
def test_with_missing_values_and_weights(loss, known):
    module, batch = network_and_batch("tanh")
    generator = torch.Generator().manual_seed(9)
    observed = torch.rand(batch.clean.shape, generator=generator) < 0.5
    weight = torch.rand(batch.clean.shape[:2], generator=generator, dtype=torch.float64)
    given = {"observed": observed, "weight": weight}
    batch = replace(batch, **(given if known == "both" else {known: given[known]}))
    assert_gradients_are_those_of_autograd(module, batch, LOSSES[loss]())


def test_of_the_stages_of_a_network():
    module, batch = network_and_batch(out_activation="sigmoid")
    for stage in module.stages():
        assert_gradients_are_those_of_autograd(stage, batch, LOSSES["squared_error"]())
        with torch.no_grad():
            rows = stage.encode(batch.clean)
        batch = Batch(rows, rows)


def test_frozen_weights_get_none():
    module, batch = network_and_batch()
    module.encoder_weights[1].requires_grad_(False)
    assert_gradients_are_those_of_autograd(module, batch, LOSSES["squared_error"]())


def test_dropout_and_penalties_are_left_to_autograd():
    for network, objective in ((Dense(dropout=0.5), Reconstruction()), (Dense(), Reconstruction("l1"))):
        module, _ = network_and_batch(network=network)
        assert not objective.backpropagates(module, LOSSES["squared_error"]())


class Doubled(Reconstruction):
    def __call__(self, network, batch, loss):
        found = super().__call__(network, batch, loss)
        return Evaluation(2 * found.loss, found.terms, found.code, found.reconstruction, found.target)


class Tripled(SquaredError):
    def __call__(self, output, target):
        return 3 * super().__call__(output, target)


class Shifted(DenseAutoencoder):
    def encode(self, rows):
        return super().encode(rows) + 1


def test_children_that_do_otherwise_are_not_passed_over():
    module, batch = network_and_batch()
    assert not Doubled().backpropagates(module, SquaredError())
    shifted = Shifted(module.shape, [torch.Generator() for _ in range(3)], tied_weights=False, dropout=0.0)
    assert not Reconstruction().backpropagates(shifted, SquaredError())
    assert_gradients_are_those_of_autograd(module, batch, Tripled())


class Silencing(Callback):
    """Hangs a hook on a weight, as some do to clip gradients."""

    def on_train_begin(self, net, **kwargs):
        self.weight = net.module_.encoder_weights[0]
        self.weight.register_hook(lambda gradient: 0 * gradient)


class Counting(Callback):
    """Hangs a hook on a weight that is called after its gradient has been added up."""

    n_calls = 0

    def on_train_begin(self, net, **kwargs):
        net.module_.encoder_weights[0].register_post_accumulate_grad_hook(self.count)

    def count(self, weight):
        self.n_calls += 1


def test_hooks_after_the_gradients_are_called(rows):
    net = AutoencoderTransformer(2, max_iter=2, batch_size=60, callbacks=[Counting()], random_state=0).fit(rows).net_
    assert net.callbacks_[-1][1].n_calls == 4


def test_hooks_of_weights_are_called(rows):
    """A first layer whose gradient the hook silences stays as it was."""
    model = AutoencoderTransformer(2, max_iter=2, alpha=0.0, random_state=0)
    first = clone(model).set_params(learning_rate_init=1e-300).fit(rows).net_.module_.encoder_weights[0]
    free, hooked = (clone(model).set_params(callbacks=c).fit(rows).net_ for c in (None, [Silencing()]))
    np.testing.assert_array_equal(hooked.module_.encoder_weights[0].detach(), first.detach())
    assert not torch.equal(free.module_.encoder_weights[0], first)
