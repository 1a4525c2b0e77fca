"""The reconstruction objective: what is compared with what."""

import pytest
import torch
from torch.distributions import Bernoulli, kl_divergence

from sk_autoencoder import AutoencoderTransformer
from sk_autoencoder.losses import AbsoluteError, BinaryCrossEntropy, SquaredError
from sk_autoencoder.networks import Dense, NetworkShape
from sk_autoencoder.objectives import Batch, Reconstruction
from sk_autoencoder.training.seeding import weight_generators


@pytest.fixture
def network():
    return Dense().build(NetworkShape(4, 2, 2, (6,), "tanh", "sigmoid", 3), weight_generators(0, 3))


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    return Batch(*(torch.rand(3, 10, 4, generator=generator) for _ in range(2)))


@pytest.mark.parametrize("loss", [SquaredError(), AbsoluteError()])
def test_corrupted_row_goes_in_and_clean_row_is_the_target(loss, network, batch):
    evaluation = Reconstruction()(network, batch, loss)
    error = loss(network(batch.corrupted), batch.clean)
    torch.testing.assert_close(evaluation.terms["reconstruction"], error.mean(dim=2))
    torch.testing.assert_close(evaluation.loss, error.mean(dim=(1, 2)))
    torch.testing.assert_close(evaluation.code, network.encode(batch.corrupted))
    assert evaluation.target is batch.clean


def test_loss_on_logits_gets_logits(network, batch):
    evaluation = Reconstruction()(network.eval(), batch, BinaryCrossEntropy())
    logits = network.decode(network.encode(batch.corrupted), logits=True)
    torch.testing.assert_close(
        evaluation.terms["reconstruction"], BinaryCrossEntropy()(logits, batch.clean).mean(dim=2)
    )
    torch.testing.assert_close(evaluation.reconstruction, logits.sigmoid())


def test_members_do_not_touch_each_other(network, batch):
    other = Batch(batch.corrupted.clone(), batch.clean)
    other.corrupted[1] = 0
    first, second = (Reconstruction()(network, b, SquaredError()).loss for b in (batch, other))
    assert (first != second).tolist() == [False, True, False]


class TestSparsity:
    def test_l1_is_a_sum_over_the_code_for_each_feature(self, network, batch):
        found = Reconstruction(sparsity="l1", sparsity_weight=0.3)(network, batch, SquaredError())
        plain = Reconstruction()(network, batch, SquaredError())
        torch.testing.assert_close(found.terms["sparsity"], plain.code.abs().sum(dim=-1) / 4)
        torch.testing.assert_close(found.loss, plain.loss + 0.3 * found.terms["sparsity"].mean(dim=-1))

    def test_kl_is_a_divergence_of_coins(self, network, batch):
        objective = Reconstruction(sparsity="kl", sparsity_target=0.2)
        objective.extend(network)
        found = objective(network, batch, SquaredError())
        activity = (found.code**2 / (1 + found.code**2)).mean(dim=1)
        expected = kl_divergence(Bernoulli(torch.tensor(0.2)), Bernoulli(activity)).sum(dim=-1) / 4
        torch.testing.assert_close(found.terms["sparsity"].mean(dim=1), expected)
        torch.testing.assert_close(network.get_buffer("activity")[:, 0], 0.9 * 0.2 + 0.1 * activity.detach())

    def test_kl_uses_the_running_mean_after_training(self, network, batch):
        objective = Reconstruction(sparsity="kl", sparsity_target=0.2)
        objective.extend(network)
        assert objective(network.eval(), batch, SquaredError()).terms["sparsity"].abs().max() < 1e-6
        network.get_buffer("activity").fill_(0.5)
        few = Batch(batch.corrupted[:, :3], batch.clean[:, :3])
        parts = [objective(network, rows, SquaredError()).terms["sparsity"] for rows in (batch, few)]
        assert torch.equal(parts[0][:, :3], parts[1])
        assert (parts[0] > 0.05).all()

    @pytest.mark.parametrize("sparsity", ["l1", "kl"])
    def test_entries_fall_silent(self, sparsity, rows):
        settings = {"max_iter": 60, "batch_size": 32, "random_state": 0}
        objective = Reconstruction(sparsity=sparsity, sparsity_weight=1.0)
        codes = [
            AutoencoderTransformer(5, objective=o, **settings).fit_transform(rows)
            for o in (objective, "reconstruction")
        ]
        activity = [(code**2 / (1 + code**2)).mean() for code in codes]
        assert activity[0] < 0.5 * activity[1]
