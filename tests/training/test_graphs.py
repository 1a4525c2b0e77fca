"""Captured training steps.

On the CPU a stand-in captures them: it calls the step again, with the tensors that it was given.
"""

import pickle
from typing import ClassVar

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from torch.utils._python_dispatch import TorchDispatchMode

from sk_autoencoder import AutoencoderOutlierDetector, AutoencoderTransformer
from sk_autoencoder.losses import Huber, SquaredError
from sk_autoencoder.networks import Attention, Convolutional, Custom, Dense, Recurrent
from sk_autoencoder.networks.attention import AttentionAutoencoder
from sk_autoencoder.networks.convolutional import ConvolutionalAutoencoder
from sk_autoencoder.networks.dense import DenseAutoencoder
from sk_autoencoder.networks.recurrent import RecurrentAutoencoder
from sk_autoencoder.objectives import Reconstruction
from sk_autoencoder.solvers import FusedAdam
from sk_autoencoder.training import graphs, net


class OnTheDevice(TorchDispatchMode):
    """Fail where a number is read from a tensor, or a tensor is made from a number of the host; filling is allowed."""

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        assert operation not in (torch.ops.aten.lift_fresh.default, torch.ops.aten._local_scalar_dense.default)
        return operation(*args, **(kwargs or {}))


@pytest.fixture
def captured(monkeypatch):
    """Shapes of the clean samples of all captured steps."""
    shapes = []

    def capture(step, batch):
        shapes.append(tuple(batch.clean.shape))
        with OnTheDevice():
            evaluation = step(batch)  # the first replay is done
        assert evaluation.loss.grad_fn is None
        assert evaluation.reconstruction.grad_fn is None
        replays = 0

        def replay():
            nonlocal replays
            replays += 1
            if replays > 1:
                result = step(batch)
                for name in ("loss", "code", "reconstruction"):
                    getattr(evaluation, name).copy_(getattr(result, name))

        return evaluation, replay

    monkeypatch.setattr(net, "capture_on", lambda device: capture)
    return shapes


def with_gaps(X):
    X = X.copy()
    X[::7, 1] = np.nan
    return X


class Freezing(Callback):
    """Freeze the first weights from the third epoch on."""

    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) == 3:
            next(net.module_.parameters()).requires_grad_(False)


def fitted(X, estimator=AutoencoderTransformer, sample_weight=None, **parameters):
    """Fit with mini-batches of 32 samples, and a last one of 24."""
    weights = {} if sample_weight is None else {"sample_weight": sample_weight}
    return estimator(batch_size=32, max_iter=6, random_state=0, **parameters).fit(X, **weights)


FITS = {
    "transformer": lambda X: fitted(X, n_components=2),
    "corruption": lambda X: fitted(X, n_components=2, corruption="masking"),
    "huber": lambda X: fitted(X, n_components=2, loss="huber"),
    "gaps": lambda X: fitted(with_gaps(X), n_components=2),
    "weights": lambda X: fitted(X, n_components=2, sample_weight=np.arange(len(X))),
    "members": lambda X: fitted(X, AutoencoderOutlierDetector, n_estimators=3),
    "penalty_l1": lambda X: fitted(X, n_components=2, objective=Reconstruction(sparsity="l1")),
    "penalty_kl": lambda X: fitted(X, n_components=2, objective=Reconstruction(sparsity="kl")),
    "bfloat16": lambda X: fitted(X, n_components=2, precision="bfloat16"),
    "convolutional": lambda X: fitted(X, n_components=2, network="convolutional"),
    "attention": lambda X: fitted(X, n_components=2, network="attention", hidden_layer_sizes=(8,)),
    "recurrent": lambda X: fitted(X, n_components=2, network="recurrent", hidden_layer_sizes=(8,)),
    "feedback": lambda X: fitted(X, n_components=2, network=Recurrent(feedback=True), hidden_layer_sizes=(8,)),
    "freezing": lambda X: fitted(X, n_components=2, callbacks=[Freezing()]),
}


@pytest.mark.parametrize("name", FITS)
def test_same_training(name, rows, captured, monkeypatch):
    found = FITS[name](rows)
    assert len(captured) >= 1, "nothing was captured"
    monkeypatch.setattr(net, "capture_on", lambda device: None)
    expected = FITS[name](rows)
    assert found.loss_curve_ == expected.loss_curve_
    for weight, other in zip(found.net_.module_.parameters(), expected.net_.module_.parameters(), strict=True):
        torch.testing.assert_close(weight, other, rtol=0, atol=0)


def test_a_step_that_cannot_be_captured(rows, monkeypatch):
    n_captures = 0

    def capture(step, batch):
        nonlocal n_captures
        n_captures += 1
        try:
            raise RuntimeError("not in a graph\nSee the manual.")
        finally:
            raise RuntimeError("capture ended")

    expected = FITS["transformer"](rows)
    monkeypatch.setattr(net, "capture_on", lambda device: capture)
    with pytest.warns(UserWarning, match="torch cannot capture the training steps.*: not in a graph$"):
        found = FITS["transformer"](rows)
    assert n_captures == 1
    assert found.loss_curve_ == expected.loss_curve_


def test_one_capture_for_each_shape(rows, captured):
    FITS["transformer"](rows)
    assert captured == [(1, 32, 5), (1, 120 % 32, 5)]


def test_captured_again_when_weights_are_frozen(rows, captured):
    FITS["freezing"](rows)
    assert captured == [(1, 32, 5), (1, 32, 5), (1, 120 % 32, 5)]


class Changing(Callback):
    """Call a function with the net before the fourth epoch."""

    def __init__(self, change):
        self.change = change

    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) == 4:
            self.change(net)


def set_activity(net):
    net.module_.activity = net.module_.activity.clone()


def set_weight(net):
    net.criterion_.sparsity_weight = 100.0


def set_delta(net):
    net.plan.loss.delta = 0.01


def set_largest_norm(net):
    net.module_.max_gradient_norm = 1e-3


def set_data(net):
    weight = next(net.module_.parameters())
    weight.data = weight.data.clone()


KL = {"objective": Reconstruction(sparsity="kl")}
CHANGES = {
    "number_of_the_objective": (KL, set_weight),
    "buffer": (KL, set_activity),
    "loss": ({"loss": Huber()}, set_delta),
    "largest_gradient": ({"network": "attention", "hidden_layer_sizes": (8,)}, set_largest_norm),
    "memory_of_a_weight": ({}, set_data),
}


@pytest.mark.parametrize("name", CHANGES)
def test_captured_again_when_a_callback_changes_what_is_fixed(name, rows, captured, monkeypatch):
    parameters, change = CHANGES[name]
    model = AutoencoderTransformer(2, batch_size=40, max_iter=8, random_state=0, callbacks=[Changing(change)])
    model.set_params(**parameters)
    found = model.fit(rows).loss_curve_
    assert len(captured) == 2
    monkeypatch.setattr(net, "capture_on", lambda device: None)
    assert model.fit(rows).loss_curve_ == found
    same = model.set_params(callbacks=None).fit(rows).loss_curve_ == found
    assert same == (name in ("buffer", "memory_of_a_weight"))


def test_memory_is_free_after_training(rows):
    model = fitted(rows, n_components=2, objective=Reconstruction(trim=0.1))
    assert model.net_._trimming is None


class OwnConvolutional(ConvolutionalAutoencoder):
    def encode(self, rows):
        return super().encode(rows)


class OwnRecurrent(RecurrentAutoencoder):
    def decode(self, code, logits=False, clean=None):
        return super().decode(code, logits)


class OwnAttention(AttentionAutoencoder):
    def encode(self, rows):
        return super().encode(rows)


class OwnDense(DenseAutoencoder):
    def decode(self, code, logits=False):
        return super().decode(code, logits)


@pytest.mark.parametrize("kind", [OwnConvolutional, OwnRecurrent, OwnAttention, OwnDense])
def test_what_children_compute_is_not_captured(kind, rows):
    """They may draw random numbers, or read values on the host."""
    name = kind.__name__.removeprefix("Own").lower()
    own, parent = (fitted(rows, n_components=2, network=name).net_.module_ for _ in range(2))
    own.__class__ = kind
    assert parent.repeats_operations
    assert not own.repeats_operations


class Listening(Callback):
    def on_batch_end(self, net, **kwargs):
        pass


class Own(SquaredError):
    pass


class OwnObjective(Reconstruction):
    def __call__(self, network, batch, loss):
        return super().__call__(network, batch, loss)


class Hooking(Callback):
    """Count how often a layer is evaluated."""

    n_calls = 0

    def on_train_begin(self, net, **kwargs):
        net.module_.to_code.register_forward_hook(self.count)

    def count(self, module, inputs, output):
        self.n_calls += 1


def test_hooks_of_modules_are_called_in_each_step(rows, captured):
    model = fitted(rows, n_components=2, network="attention", hidden_layer_sizes=(8,), callbacks=[Hooking()])
    assert captured == []
    assert model.net_.callbacks_[-1][1].n_calls == 6 * 4


@pytest.mark.parametrize(
    "parameters",
    [
        {"callbacks": [Listening()]},
        {"loss": Own()},
        {"solver": "sgd"},
        {"objective": "variational"},
        {"objective": OwnObjective()},
        {"objective": Reconstruction(trim=0.1)},
        {"network": Dense(dropout=0.1)},
        {"network": Convolutional(dropout=0.1)},
        {"network": Attention(dropout=0.1)},
        {"network": Recurrent(dropout=0.1), "hidden_layer_sizes": (4, 4)},
        {"network": Custom(encoder=torch.nn.Linear, decoder=torch.nn.Linear)},
    ],
    ids=[
        "callback",
        "own_loss",
        "solver",
        "objective",
        "own_objective",
        "trim",
        "dense_dropout",
        "convolutional_dropout",
        "attention_dropout",
        "recurrent_dropout",
        "own_network",
    ],
)
def test_what_is_not_captured(parameters, rows, captured):
    fitted(rows, n_components=2, **parameters)
    assert captured == []


def test_the_cpu_does_not_capture():
    assert graphs.capture_on(torch.device("cpu")) is None
    assert graphs.capture_on(torch.device("cuda")) is graphs.on_cuda


class Storing(Callback):
    stored: ClassVar = []

    def on_epoch_end(self, net, **kwargs):
        self.stored.append(pickle.dumps(net))


def test_callbacks_can_store_the_net(rows, captured):
    model = fitted(rows, n_components=2, callbacks=[Storing()])
    assert captured
    found, expected = (net.module_.state_dict() for net in (pickle.loads(Storing.stored[-1]), model.net_))
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_what_is_fixed_does_not_depend_on_rates():
    """Reading the value of a rate would wait for the device, and a rate of 0 would not differ from none."""
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = FusedAdam([weight], lr=0.1, betas=(0.9, 0.999), weight_decay=0.0)
    optimizer._rates = [torch.zeros(())]
    fixed = optimizer.fixed()
    optimizer.set_rates()
    assert optimizer._rates[0] == 0.1
    assert optimizer.fixed() == fixed
    assert "tensor" not in repr(fixed)
    weight.requires_grad_(False)
    assert optimizer.fixed() != fixed
    weight.requires_grad_(True)
    optimizer.param_groups[0]["weight_decay"] = 0.1
    assert optimizer.fixed() != fixed
