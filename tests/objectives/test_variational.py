"""The variational objective: the bound, its parts, the draw and the spread."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch.distributions import Laplace, Normal, kl_divergence

from sk_autoencoder import AutoencoderTransformer
from sk_autoencoder.losses import AbsoluteError, BinaryCrossEntropy, Huber, SquaredError
from sk_autoencoder.networks import Dense, NetworkShape
from sk_autoencoder.objectives import Batch, Variational
from sk_autoencoder.training.seeding import weight_generators


def made(**parameters):
    objective = Variational(**parameters)
    network = Dense().build(NetworkShape(4, 2, 4, (6,), "tanh", "sigmoid", 3), weight_generators(0, 3))
    objective.extend(network)
    network.noise = weight_generators(1, 3)
    return objective, network


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    return Batch(*(torch.rand(3, 10, 4, generator=generator) for _ in range(2)))


def test_parts_are_a_likelihood_and_a_divergence(batch):
    objective, network = made(beta=3.0)
    network.eval().get_buffer("spread").copy_(torch.tensor([0.1, 1.0, 2.0]).reshape(3, 1, 1))
    found = objective(network, batch, SquaredError())
    mean, log_variance = network.encode(batch.corrupted).chunk(2, dim=-1)
    likelihood = Normal(network.decode(mean), network.get_buffer("spread").sqrt()).log_prob(batch.clean)
    divergence = kl_divergence(Normal(mean, (0.5 * log_variance).exp()), Normal(0.0, 1.0)).sum(dim=-1)
    torch.testing.assert_close(found.terms["reconstruction"], -likelihood.mean(dim=-1))
    torch.testing.assert_close(found.terms["kl"], divergence / 4)
    torch.testing.assert_close(found.loss, (found.terms["reconstruction"] + 3 * found.terms["kl"]).mean(dim=-1))
    torch.testing.assert_close(found.code, mean)


def test_trains_on_draws_and_evaluates_at_the_mean(batch):
    objective, network = made()
    drawn = [objective(network, batch, SquaredError()) for _ in range(2)]
    assert not torch.equal(drawn[0].reconstruction, drawn[1].reconstruction)
    torch.testing.assert_close(drawn[0].code, drawn[1].code)
    network.eval()
    network.noise = None
    first, second = (objective(network, batch, SquaredError()) for _ in range(2))
    assert torch.equal(first.loss, second.loss)
    torch.testing.assert_close(first.reconstruction, network(batch.corrupted))


def test_spread_is_the_batchs_own_while_training(batch):
    objective, network = made(beta=0.0)
    found = objective(network, batch, SquaredError())
    error = (found.reconstruction - batch.clean).square().mean(dim=(1, 2)).detach()
    torch.testing.assert_close(found.loss.detach(), 0.5 * (1 + (2 * np.pi * error).log()))
    torch.testing.assert_close(network.get_buffer("spread").flatten(), 0.9 + 0.1 * error)


def test_warm_up_follows_progress(batch):
    def loss(progress, **parameters):
        objective, network = made(**parameters)
        network.eval()
        found = objective(network, Batch(batch.corrupted, batch.clean, progress), SquaredError())
        weight = (found.loss - found.terms["reconstruction"].mean(dim=-1)) / found.terms["kl"].mean(dim=-1)
        return weight.mean().item()

    weights = [loss(progress, beta=2.0, warmup=0.5) for progress in (0.0, 0.25, 0.5, 1.0)]
    assert weights == pytest.approx([0.0, 1.0, 2.0, 2.0], abs=1e-5)
    assert loss(0.0, beta=2.0) == pytest.approx(2.0, abs=1e-5)


def test_partial_fit_has_no_warm_up(rows):
    cold, warm = (
        AutoencoderTransformer(2, objective=Variational(warmup=warmup), random_state=0).partial_fit(rows)
        for warmup in (0.0, 0.5)
    )
    assert cold.loss_curve_ == warm.loss_curve_


@pytest.mark.parametrize("loss", [SquaredError(), AbsoluteError(), Huber(0.7), Huber(5.0)])
def test_likelihoods_are_densities(loss):
    values = torch.linspace(-60, 60, 240001, dtype=torch.float64)
    spread = torch.tensor(0.8, dtype=torch.float64)
    density = (-loss.negative_log_likelihood(loss(values, torch.zeros_like(values)), spread)).exp()
    assert torch.trapezoid(density, values).item() == pytest.approx(1.0, abs=1e-4)


def test_likelihoods_against_torch_and_scipy():
    value, spread = torch.tensor(1.7), torch.tensor(0.3)
    error = AbsoluteError()(value, torch.zeros(()))
    found = AbsoluteError().negative_log_likelihood(error, spread)
    torch.testing.assert_close(found, -Laplace(0.0, spread).log_prob(value))
    found = SquaredError().negative_log_likelihood(value**2, spread)
    assert found.item() == pytest.approx(-stats.norm(scale=0.3**0.5).logpdf(1.7))
    assert BinaryCrossEntropy().negative_log_likelihood(value, spread) is value


def test_variances_cannot_overflow(batch):
    objective, network = made()
    network.eval()
    far = Batch(batch.corrupted * 1e15, batch.clean)
    found = objective(network, far, SquaredError())
    assert all(torch.isfinite(part).all() for part in found.terms.values())


def test_tied_weights_say_why_not(rows):
    with pytest.raises(
        ValueError, match=r"tied_weights=True\) needs an encoder with n_components=2 .*use tied_weights=F"
    ):
        AutoencoderTransformer(2, objective="variational", network=Dense(tied_weights=True)).fit(rows)


def test_early_stopping_restores_the_spread_of_the_best_epoch(rows):
    settings = {"objective": "variational", "random_state": 0, "learning_rate": "constant", "batch_size": 120}
    settings["learning_rate_init"] = 0.05
    best = AutoencoderTransformer(2, max_iter=3, **settings).fit(rows, X_val=rows)
    stopped = AutoencoderTransformer(2, max_iter=200, early_stopping=True, n_iter_no_change=1, **settings)
    stopped.fit(rows, X_val=rows)
    epoch = int(np.argmin(stopped.validation_loss_curve_)) + 1
    best = AutoencoderTransformer(2, max_iter=epoch, **settings).fit(rows, X_val=rows)
    assert torch.equal(stopped.net_.module_.get_buffer("spread"), best.net_.module_.get_buffer("spread"))
