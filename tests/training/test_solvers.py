"""Solvers against torch's own, and the shapes of the schedules."""

from copy import deepcopy
from math import cos, pi

import numpy as np
import pytest
import torch

from sk_autoencoder import AutoencoderOutlierDetector, AutoencoderTransformer
from sk_autoencoder.solvers import SGD, Adam, Custom
from sk_autoencoder.training.schedules import SCHEDULES, constant, cosine, onecycle


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
    ours = follow(lambda weights: Adam(momentum).build(weights, 0.01, alpha))
    theirs = follow(lambda weights: torch.optim.AdamW(weights, lr=0.01, betas=(momentum, 0.999), weight_decay=alpha))
    for found, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_is_torchs_without_decay(momentum):
    ours = follow(lambda weights: SGD(momentum).build(weights, 0.001, 0.0))
    theirs = follow(lambda weights: torch.optim.SGD(weights, lr=0.001, momentum=momentum, nesterov=momentum > 0))
    for found, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(found, expected)


def test_decay_of_sgd_bypasses_momentum():
    weight = torch.nn.Parameter(torch.ones(1))
    solver = SGD().build([weight], 0.1, 0.5)
    for _ in range(3):
        weight.grad = torch.zeros(1)
        solver.step()
    assert weight.item() == pytest.approx(0.95**3)


def test_adam_goes_on_from_a_loaded_state():
    first, second = (torch.nn.Parameter(torch.ones(4)) for _ in range(2))
    ours, copy = Adam().build([first], 0.1, 0.0), Adam().build([second], 0.1, 0.0)
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


def test_copies_and_new_weights_go_on():
    first, second = torch.nn.Parameter(torch.ones(4)), torch.nn.Parameter(torch.ones(2))
    optimizer = Adam().build([first], 0.1, 0.0)
    optimizer.add_param_group({"params": [second]})
    copied = deepcopy(optimizer)
    for solver in (optimizer, copied):
        weights = [weight for group in solver.param_groups for weight in group["params"]]
        for weight in weights:
            weight.grad = torch.ones_like(weight)
        solver.step()
        for weight in weights:
            torch.testing.assert_close(weight.detach(), torch.full_like(weight, 0.9))


@pytest.mark.parametrize("kind", [Adam(), SGD(), Custom(torch.optim.RMSprop)])
def test_rate_of_a_group_is_followed(kind):
    weight = torch.nn.Parameter(torch.ones(1))
    solver = kind.build([weight], 0.1, 0.0)
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


def no_optimizer(weights, lr, weight_decay):
    return {}


class TestCustom:
    def test_is_adam_with_torchs_adamw(self, rows):
        ours = AutoencoderTransformer(2, max_iter=3, random_state=0).fit(rows)
        theirs = AutoencoderTransformer(2, solver=Custom(torch.optim.AdamW), max_iter=3, random_state=0).fit(rows)
        np.testing.assert_allclose(theirs.transform(rows), ours.transform(rows), rtol=1e-4, atol=1e-5)
        assert theirs.net_.optimizer_.param_groups[0]["weight_decay"] == theirs.alpha

    def test_arguments_are_parameters(self, rows):
        model = AutoencoderTransformer(2, solver=Custom(torch.optim.RMSprop, momentum=0.5), max_iter=1)
        assert model.get_params()["solver__momentum"] == 0.5
        model.set_params(solver__momentum=0.1).fit(rows)
        assert model.net_.optimizer_.param_groups[0]["momentum"] == 0.1

    def test_each_member_learns_as_if_alone(self, rows):
        solver = Custom(torch.optim.NAdam)
        fewer, more = (
            AutoencoderOutlierDetector(2, solver=solver, n_estimators=n, max_iter=3, random_state=0).fit(rows)
            for n in (5, 6)
        )
        weights = (detector.net_.module_.encoder_weights[0][0].detach() for detector in (fewer, more))
        torch.testing.assert_close(*weights)

    @pytest.mark.parametrize(
        ("solver", "alpha", "message"),
        [
            (Custom(torch.optim.Rprop), 0.1, r"Custom\(Rprop\) does not support .*, got alpha=0.1; use alpha=0.0"),
            (Custom(torch.optim.LBFGS), 0.0, r"Custom\(LBFGS\) needs a closure in each step"),
            (Custom(no_optimizer), 0.0, r"Custom\(no_optimizer\) must return a torch optimizer, got .* dict\."),
        ],
    )
    def test_what_cannot_be_used(self, solver, alpha, message, rows):
        with pytest.raises(ValueError, match=message):
            AutoencoderTransformer(2, solver=solver, alpha=alpha).fit(rows)


def test_a_schedule_of_ones_own(rows):
    constant_rate = AutoencoderTransformer(2, learning_rate="constant", max_iter=3, random_state=0).fit(rows)
    own = AutoencoderTransformer(2, learning_rate=lambda progress: 1.0, max_iter=3, random_state=0).fit(rows)
    np.testing.assert_array_equal(own.transform(rows), constant_rate.transform(rows))
    falling = AutoencoderTransformer(2, learning_rate=lambda progress: 1 - progress, max_iter=3, random_state=0)
    assert falling.fit(rows).loss_curve_ != own.loss_curve_
