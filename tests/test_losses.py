"""Values of the losses."""

import numpy as np
import pytest
import torch

from sk_autoencoder.losses import AbsoluteError, BinaryCrossEntropy, Huber, SquaredError

OUTPUT, TARGET = torch.tensor([0.0, 1.0, -3.0]), torch.tensor([0.5, 1.0, 1.0])


def test_squared():
    np.testing.assert_allclose(SquaredError()(OUTPUT, TARGET), [0.25, 0, 16])


def test_absolute():
    np.testing.assert_allclose(AbsoluteError()(OUTPUT, TARGET), [0.5, 0, 4])


@pytest.mark.parametrize(("delta", "expected"), [(1.0, [0.125, 0, 3.5]), (0.25, [0.09375, 0, 0.96875])])
def test_huber(delta, expected):
    np.testing.assert_allclose(Huber(delta)(OUTPUT, TARGET), expected)


def test_huber_with_a_wide_square_is_half_the_squared_error():
    np.testing.assert_allclose(Huber(100.0)(OUTPUT, TARGET), SquaredError()(OUTPUT, TARGET) / 2)


def test_binary_cross_entropy_works_on_logits():
    p = OUTPUT.sigmoid()
    expected = -(TARGET * p.log() + (1 - TARGET) * (1 - p).log())
    np.testing.assert_allclose(BinaryCrossEntropy()(OUTPUT, TARGET), expected, rtol=1e-6)


def test_binary_cross_entropy_cuts_targets_at_the_unit_interval():
    loss = BinaryCrossEntropy()
    ends = loss(OUTPUT, torch.tensor([0.0, 1.0, 1.0]))
    np.testing.assert_array_equal(loss(OUTPUT, torch.tensor([-4.0, 2.0, 9.0])), ends)


def test_binary_cross_entropy_is_exact_for_large_logits():
    np.testing.assert_allclose(BinaryCrossEntropy()(torch.tensor([80.0, -80.0]), torch.tensor([0.0, 1.0])), [80, 80])


@pytest.mark.parametrize(("loss", "kurtosis"), [(SquaredError(), 3), (AbsoluteError(), 6), (Huber(), 3)])
def test_draws_have_the_given_spread_around_their_means(loss, kurtosis):
    means, stds = np.array([-3.0, 5.0]), np.array([0.1, 2.0])
    drawn = loss.draw(np.tile(means, (100_000, 1)), stds, np.random.RandomState(0))
    np.testing.assert_allclose(drawn.mean(axis=0), means, atol=0.05)
    np.testing.assert_allclose(drawn.std(axis=0), stds, rtol=0.02)
    np.testing.assert_allclose((((drawn - means) / stds) ** 4).mean(axis=0), kurtosis, rtol=0.1)


def test_draws_of_zeros_and_ones_have_the_probability_of_their_means():
    drawn = BinaryCrossEntropy().draw(np.tile([0.0, 0.3, 1.0], (10_000, 1)), np.ones(3), np.random.RandomState(0))
    assert set(np.unique(drawn)) == {0.0, 1.0}
    np.testing.assert_allclose(drawn.mean(axis=0), [0, 0.3, 1], atol=0.02)
