"""The net as skorch sees it, and what an epoch writes down."""

import numpy as np
import pytest
import skorch
import skorch.callbacks
import torch
from skorch.callbacks import Callback

from sk_autoencoder import AutoencoderOutlierDetector, AutoencoderTransformer
from sk_autoencoder.estimators._assembly import Samples
from sk_autoencoder.networks import Dense
from sk_autoencoder.training import SCHEDULES


def fitted(rows, **parameters):
    return AutoencoderTransformer(2, **{"max_iter": 3, "random_state": 0, **parameters}).fit(rows)


def test_is_a_skorch_net(rows):
    net = fitted(rows).net_
    assert isinstance(net, skorch.NeuralNet)
    assert len(net.history) == 3
    assert {"train_loss", "dur", "epoch"} <= set(net.history[-1])


def test_curve_is_the_mean_over_rows_and_features(rows):
    """At a standstill the training loss is the reconstruction error of the scaled rows."""
    still = {"learning_rate_init": 1e-30, "learning_rate": "constant", "corruption": None}
    model = fitted(rows, batch_size=50, precision="float64", **still)
    error = (model.reconstruct(rows) - rows) / rows.std(axis=0)
    np.testing.assert_allclose(model.loss_curve_, (error**2).mean())


@pytest.mark.parametrize("name", ["constant", "cosine", "onecycle"])
def test_schedule_runs_from_the_first_to_the_last_step(name, rows):
    rates = []

    class Watch(Callback):
        def on_grad_computed(self, net, **kwargs):
            rates.append(net.optimizer_.param_groups[0]["lr"])

    fitted(rows, learning_rate=name, learning_rate_init=0.5, batch_size=40, callbacks=[Watch()])
    np.testing.assert_allclose(rates, [0.5 * SCHEDULES[name](step / 9) for step in range(9)])


def test_evaluation_for_callbacks_that_predict(rows):
    """The net's own forward is the reconstruction of scaled rows."""
    model = fitted(rows, precision="float64")
    dataset = model._rows(Samples(rows))
    found = torch.cat(list(model.net_.forward_iter(dataset)))[:, 0].numpy()
    np.testing.assert_allclose(found * rows.std(axis=0) + rows.mean(axis=0), model.reconstruct(rows))


def test_ends_in_evaluation_mode_without_noise(rows):
    net = fitted(rows).net_
    assert not net.module_.training
    assert net.module_.noise is None


@pytest.mark.parametrize(
    "choice", [{}, {"batch_size": 1}, {"early_stopping": True, "learning_rate_init": 1e-30, "n_iter_no_change": 1}]
)
def test_history_is_plain_values(choice, rows):
    for epoch in fitted(rows, **choice).net_.history:
        for name, value in epoch.items():
            if name != "batches":
                assert isinstance(value, int | float | bool | list), name


class Clipped(Dense):
    """A network whose gradients are clipped."""

    largest = 1e-3

    def build(self, shape, generators):
        module = super().build(shape, generators)
        module.max_gradient_norm = self.largest
        return module


class Norms(skorch.callbacks.Callback):
    """Record the norm of each member's gradients."""

    def on_train_begin(self, net, **kwargs):
        self.norms_ = []

    def on_grad_computed(self, net, named_parameters, **kwargs):
        self.norms_.append(float(sum(w.grad.square().sum() for _, w in named_parameters if w.grad is not None) ** 0.5))


class TestClipping:
    def test_norm_of_each_member(self, rows):
        parameters = {"max_iter": 2, "n_estimators": 3, "random_state": 0, "callbacks": [("norms", Norms())]}
        clipped, plain = (
            AutoencoderOutlierDetector(2, network=network, **parameters).fit(rows) for network in (Clipped(), Dense())
        )
        norms, free = (dict(model.net_.callbacks_)["norms"].norms_ for model in (clipped, plain))
        assert len(norms) == len(free) == 6
        assert min(free) > 0.01
        np.testing.assert_allclose(norms, 1e-3, rtol=1e-2)

    def test_members_are_clipped_alone(self, rows):
        first, sixth = (
            AutoencoderOutlierDetector(
                2, network=Clipped(), solver="sgd", n_estimators=n, max_iter=3, random_state=0
            ).fit(rows)
            for n in (1, 6)
        )
        weights = (model.net_.module_.encoder_weights[0][0].detach() for model in (first, sixth))
        torch.testing.assert_close(*weights)

    def test_small_gradients_stay_as_they_are(self, rows, monkeypatch):
        monkeypatch.setattr(Clipped, "largest", 1e6)
        clipped, plain = (
            AutoencoderTransformer(2, network=network, max_iter=2, random_state=0).fit(rows)
            for network in (Clipped(), Dense())
        )
        np.testing.assert_array_equal(clipped.transform(rows), plain.transform(rows))
