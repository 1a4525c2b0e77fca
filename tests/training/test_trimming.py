"""Rows left out of mini-batches, on numbers made by hand."""

import numpy as np
import torch
from torch import nn

from sk_autoencoder.losses import SquaredError
from sk_autoencoder.networks import Custom, Dense, NetworkShape
from sk_autoencoder.objectives import Batch, Reconstruction
from sk_autoencoder.training.seeding import weight_generators
from sk_autoencoder.training.trimming import Trimming


def network(**choices):
    return Dense(**choices).build(NetworkShape(3, 2, 2, (4,), "silu", "identity", n_members=2), weight_generators(0, 2))


def test_the_rows_that_are_rebuilt_worst_are_left_out():
    net = network()
    clean = torch.randn(2, 10, 3, generator=torch.Generator("cpu").manual_seed(0))
    clean[0, 3] += 100
    clean[1, 7] -= 100
    corrupted = clean + 1
    corrupted[:, 0] += 1000  # noise does not make a row strange
    trimmed = Trimming(net, 0.15)(Batch(corrupted, clean, 0.5), Reconstruction(), SquaredError())
    assert trimmed.clean.shape == (2, 9, 3)
    assert trimmed.progress == 0.5
    torch.testing.assert_close(trimmed.corrupted[:, 0], trimmed.clean[:, 0] + 1001)
    torch.testing.assert_close(trimmed.corrupted[:, 1:], trimmed.clean[:, 1:] + 1)
    torch.testing.assert_close(trimmed.clean[0], clean[0][[0, 1, 2, 4, 5, 6, 7, 8, 9]])
    torch.testing.assert_close(trimmed.clean[1], clean[1][[0, 1, 2, 3, 4, 5, 6, 8, 9]])


def test_dropout_does_not_judge():
    clean = torch.randn(2, 10, 3, generator=torch.Generator("cpu").manual_seed(0))
    trimming = Trimming(network(dropout=0.5), 0.3)
    first, *others = (trimming(Batch(clean, clean, 0.5), Reconstruction(), SquaredError()).clean for _ in range(5))
    assert all(torch.equal(first, other) for other in others)


def test_the_average_is_quick_at_first_and_later_slow():
    """Share of a jump of the weights that one more step takes over."""
    net = network()
    trimming = Trimming(net, 0.1)
    shares = []
    for step in range(2000):
        with torch.no_grad():
            jump = 1.0 if step in (0, 20, 1999) else 0.0
            net.encoder_weights[0].add_(jump)
            before = trimming.slow.encoder_weights[0] + 0.0
            gap = (net.encoder_weights[0] - before).mean()
            trimming.follow()
            shares.append(float((trimming.slow.encoder_weights[0] - before).mean() / gap))
    assert shares[0] > 0.8
    assert 0.2 < shares[20] < 0.5
    assert 0.005 < shares[1999] < 0.02


def test_running_means_are_copied():
    def layers(n_in, n_out):
        return nn.Sequential(nn.Linear(n_in, n_out), nn.BatchNorm1d(n_out))

    net = Custom(layers, layers).build(NetworkShape(3, 2, 2, (), "silu", "identity"), weight_generators(0, 1))
    trimming = Trimming(net, 0.1)
    net.train()(torch.randn(1, 10, 3, generator=torch.Generator("cpu").manual_seed(0)) + 5)
    assert any(not torch.equal(*pair) for pair in zip(trimming.slow.buffers(), net.buffers(), strict=True))
    trimming.follow()
    assert all(torch.equal(*pair) for pair in zip(trimming.slow.buffers(), net.buffers(), strict=True))


def test_the_average_follows_slowly():
    net = network()
    trimming = Trimming(net, 0.1)
    before = [weight.clone() for weight in trimming.slow.parameters()]
    with torch.no_grad():
        for weight in net.parameters():
            weight += 1
    for _ in range(5):
        trimming.follow()
    for old, slow, new in zip(before, trimming.slow.parameters(), net.parameters(), strict=True):
        assert ((old < slow) & (slow < new)).all()
    for _ in range(3000):
        trimming.follow()
    for slow, new in zip(trimming.slow.parameters(), net.parameters(), strict=True):
        np.testing.assert_allclose(slow, new.detach(), rtol=1e-4, atol=1e-4)
