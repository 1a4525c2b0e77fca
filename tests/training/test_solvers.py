"""Solvers against torch's own, and the shapes of the schedules."""

from copy import deepcopy
from math import cos, pi

import numpy as np
import pytest
import torch

from sk_autoencoder.training.solvers import SCHEDULES, adam, constant, cosine, onecycle, sgd


def follow(make, n_steps=20):
    """Weights after some steps on a fixed quadratic."""
    generator = torch.Generator().manual_seed(0)
    weights = [torch.nn.Parameter(torch.randn(3, 4, generator=generator)), torch.nn.Parameter(torch.arange(5.0))]
    solver = make(weights)
    for step in range(n_steps):
        for weight in weights:
            weight.grad = 2 * weight.detach() + step
        solver.step()
    return [weight.detach() for weight in weights]


@pytest.mark.parametrize("alpha", [0.0, 0.1])
@pytest.mark.parametrize("momentum", [0.5, 0.9])
def test_adam_is_torchs_adamw(alpha, momentum):
    ours = follow(lambda weights: adam(weights, lr=0.01, momentum=momentum, alpha=alpha))
    theirs = follow(lambda weights: torch.optim.AdamW(weights, lr=0.01, betas=(momentum, 0.999), weight_decay=alpha))
    for found, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_is_torchs_without_decay(momentum):
    ours = follow(lambda weights: sgd(weights, lr=0.001, momentum=momentum, alpha=0.0))
    theirs = follow(lambda weights: torch.optim.SGD(weights, lr=0.001, momentum=momentum, nesterov=momentum > 0))
    for found, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(found, expected)


def test_decay_of_sgd_bypasses_momentum():
    weight = torch.nn.Parameter(torch.ones(1))
    solver = sgd([weight], lr=0.1, momentum=0.9, alpha=0.5)
    for _ in range(3):
        weight.grad = torch.zeros(1)
        solver.step()
    assert weight.item() == pytest.approx(0.95**3)


def test_adam_goes_on_from_a_loaded_state():
    first, second = (torch.nn.Parameter(torch.ones(4)) for _ in range(2))
    ours, copy = adam([first], 0.1, 0.9, 0.0), adam([second], 0.1, 0.9, 0.0)
    for _ in range(3):
        first.grad = first.detach().clone()
        ours.step()
    with torch.no_grad():
        second.copy_(first)
    copy.load_state_dict(deepcopy(ours.state_dict()))  # torch shares the tensors of a state that it loads
    for weight, solver in ((first, ours), (second, copy)):
        weight.grad = torch.ones(4)
        solver.step()
    torch.testing.assert_close(first, second, rtol=0, atol=0)


@pytest.mark.parametrize("make", [adam, sgd])
def test_rate_of_a_group_is_followed(make):
    weight = torch.nn.Parameter(torch.ones(1))
    solver = make([weight], 0.1, 0.9, 0.0)
    solver.param_groups[0]["lr"] = 0.0
    weight.grad = torch.ones(1)
    solver.step()
    assert weight.item() == 1


def test_constant():
    assert [constant(p) for p in (0.0, 0.5, 1.0)] == [1, 1, 1]


def test_cosine():
    np.testing.assert_allclose([cosine(p) for p in (0.0, 0.25, 0.5, 1.0)], [1, 0.5 + 0.5 * cos(pi / 4), 0.5, 0])


def test_onecycle():
    assert onecycle(0.0) == pytest.approx(1 / 25)
    assert onecycle(0.3) == pytest.approx(1)
    assert onecycle(1.0) == pytest.approx(0)
    rates = np.array([onecycle(step / 1000) for step in range(1001)])
    assert (np.diff(rates[:300]) > 0).all()
    assert (np.diff(rates[301:]) < 0).all()


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_have_no_jumps(name):
    rates = np.array([SCHEDULES[name](step / 1000) for step in range(1001)])
    assert np.abs(np.diff(rates)).max() < 0.01
