"""The reconstruction objective: what is compared with what."""

import pytest
import torch

from sk_autoencoder import AbsoluteError, BinaryCrossEntropy, Dense, Reconstruction, SquaredError
from sk_autoencoder.networks import NetworkShape
from sk_autoencoder.objectives import Batch
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
    torch.testing.assert_close(evaluation.parts["reconstruction"], error.mean(dim=2))
    torch.testing.assert_close(evaluation.loss, error.mean(dim=(1, 2)))
    torch.testing.assert_close(evaluation.code, network.encode(batch.corrupted))
    assert evaluation.target is batch.clean


def test_loss_on_logits_gets_logits(network, batch):
    evaluation = Reconstruction()(network.eval(), batch, BinaryCrossEntropy())
    logits = network.decode(network.encode(batch.corrupted), logits=True)
    torch.testing.assert_close(
        evaluation.parts["reconstruction"], BinaryCrossEntropy()(logits, batch.clean).mean(dim=2)
    )
    torch.testing.assert_close(evaluation.reconstruction, logits.sigmoid())


def test_members_do_not_touch_each_other(network, batch):
    other = Batch(batch.corrupted.clone(), batch.clean)
    other.corrupted[1] = 0
    first, second = (Reconstruction()(network, b, SquaredError()).loss for b in (batch, other))
    assert (first != second).tolist() == [False, True, False]
