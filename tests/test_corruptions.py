"""Amounts and kinds of noise."""

import numpy as np
import pytest

from sk_autoencoder.corruptions import Gaussian, Masking, Swap

X = np.random.default_rng(0).normal(size=(4000, 5)) + 10


@pytest.mark.parametrize("std", [0.0, 0.2, 0.5])
def test_gaussian_noise_has_its_spread_and_no_mean(std):
    noise = Gaussian(std=std).corrupt(X, random_state=0) - X
    assert noise.std() == pytest.approx(std, rel=0.02)
    assert noise.mean() == pytest.approx(0, abs=0.02)
    assert np.cov(noise.T)[0, 1] == pytest.approx(0, abs=0.05 * std**2)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.6, 0.99])
def test_masking_rate(rate):
    noisy = Masking(rate=rate).corrupt(X, random_state=0)
    assert (noisy == 0).mean() == pytest.approx(rate, abs=0.02)
    np.testing.assert_array_equal(noisy[noisy != 0], X[noisy != 0])


def test_masking_rescaled_keeps_the_mean():
    noisy = Masking(rate=0.6, rescale=True).corrupt(X, random_state=0)
    np.testing.assert_allclose(noisy[noisy != 0], X[noisy != 0] / 0.4)
    assert noisy.mean() == pytest.approx(X.mean(), rel=0.03)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.6, 1.0])
def test_swap_rate(rate):
    noisy = Swap(rate=rate).corrupt(X, random_state=0)
    assert (noisy != X).mean() == pytest.approx(rate, abs=0.02)


def test_swap_takes_values_of_other_rows_in_the_same_column():
    noisy = Swap(rate=1.0).corrupt(X, random_state=0)
    assert (noisy != X).all()  # never the row itself
    for column in range(X.shape[1]):
        assert np.isin(noisy[:, column], X[:, column]).all()


def test_swap_takes_each_cell_from_a_row_of_its_own():
    rows = np.arange(100.0)[:, None] * np.ones(4)
    noisy = Swap(rate=1.0).corrupt(rows, random_state=0)
    assert (noisy.min(axis=1) < noisy.max(axis=1)).mean() > 0.9


def test_swap_takes_values_of_all_other_rows():
    noisy = Swap(rate=1.0).corrupt(np.arange(5.0)[:, None] * np.ones(200), random_state=0)
    for row in range(5):
        assert set(noisy[row]) == set(range(5)) - {row}


def test_swap_of_two_rows_exchanges_them():
    np.testing.assert_array_equal(Swap(rate=1.0).corrupt([[1.0, 2.0], [3.0, 4.0]]), [[3, 4], [1, 2]])


def test_swap_leaves_a_single_row():
    np.testing.assert_array_equal(Swap(rate=1.0).corrupt([[1.0, 2.0]]), [[1, 2]])


def test_corrupt_checks_rows_and_parameters():
    with pytest.raises(ValueError, match="Expected 2D array"):
        Gaussian().corrupt([1.0, 2.0])
    with pytest.raises(ValueError, match="contains NaN"):
        Gaussian().corrupt([[np.nan]])
    with pytest.raises(ValueError, match="The 'std' parameter of Gaussian must be"):
        Gaussian(std=-1).corrupt(X)
    with pytest.raises(ValueError, match="The 'rate' parameter of Masking must be"):
        Masking(rate=1).corrupt(X)  # nothing is left to divide by 1 - rate


def test_random_state_instance_moves_on():
    source = np.random.RandomState(0)
    first, second = (Gaussian().corrupt(X, random_state=source) for _ in range(2))
    assert not np.array_equal(first, second)
