"""Whatever mode of torch the caller is in, results are the same bits, and the mode is as it was."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

from sk_autoencoder import AutoencoderTransformer
from sk_autoencoder._validation import own_modes
from sk_autoencoder.networks import Custom, Dense

from .variants import ESTIMATORS, assert_equal, outputs

MODES = {
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
}


def perceptron(n_in, n_out):
    return nn.Sequential(nn.Linear(n_in, 16), nn.BatchNorm1d(16), nn.SiLU(), nn.Linear(16, n_out))


CHOICES = {
    "default": {},
    "autograd": {"network": Dense(dropout=0.1), "solver": "sgd"},
    "variational": {"objective": "variational"},
    "convolutional": {"network": "convolutional", "hidden_layer_sizes": (4,)},
    "custom": {"network": Custom(perceptron, perceptron)},
    "layerwise": {"network": Dense(layerwise_pretraining=True), "max_iter": 4},
    "stopping": {"n_iter_no_change": 20},
}
each_mode = pytest.mark.parametrize("mode", MODES.values(), ids=MODES)


def state():
    return torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu")


@each_mode
@pytest.mark.parametrize("choice", CHOICES.values(), ids=CHOICES)
@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.filterwarnings("ignore:Training ended after max_iter")
def test_fit_and_calls(estimator, choice, mode, rows):
    if choice is CHOICES["stopping"] and estimator is AutoencoderTransformer:
        choice = choice | {"early_stopping": True}
    model = estimator(**({"max_iter": 2, "random_state": 0} | choice))
    expected = outputs(clone(model).fit(rows), rows)
    with mode():
        inside = state()
        fitted = model.fit(rows)
        assert state() == inside
        assert_equal(outputs(fitted, rows), expected)
        assert state() == inside
    assert_equal(outputs(fitted, rows), expected)


@each_mode
def test_stored_models_go_on(mode, rows):
    first = AutoencoderTransformer(2, random_state=0).partial_fit(rows)
    stored = pickle.dumps(first)
    expected = first.partial_fit(rows).partial_fit(rows).transform(rows)
    with mode():
        opened = pickle.loads(stored).partial_fit(rows)
    np.testing.assert_array_equal(opened.partial_fit(rows).transform(rows), expected)
    with mode():
        opened = pickle.loads(stored)
    np.testing.assert_array_equal(opened.partial_fit(rows).partial_fit(rows).transform(rows), expected)


@each_mode
def test_plain_modules_can_be_trained(mode, rows):
    fitted = AutoencoderTransformer(2, max_iter=1, random_state=0).fit(rows)
    with mode():
        encoder, decoder = fitted.to_torch()
    decoder(encoder(torch.tensor(rows))).sum().backward()
    assert all(weight.grad is not None for weight in encoder.parameters())


@own_modes()
def failing():
    assert state() == (True, False, False)
    raise ZeroDivisionError


@each_mode
def test_an_error_leaves_the_mode(mode):
    with mode():
        inside = state()
        with pytest.raises(ZeroDivisionError):
            failing()
        assert state() == inside
