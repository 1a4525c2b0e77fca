"""Amounts and kinds of noise."""

import pickle

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from sk_autoencoder import AutoencoderTransformer
from sk_autoencoder.corruptions import Gaussian, Masking, Swap
from sk_autoencoder.networks import Convolutional, Dense

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


class TestSpans:
    @pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9])
    @pytest.mark.parametrize(
        ("span", "shape"), [(1, (2, 30)), (5, (2, 30)), (30, (2, 30)), (3, (2, 6, 5)), (5, (1, 5, 12))]
    )
    def test_rate_is_the_share_of_hidden_values(self, span, shape, rate):
        rows = np.ones((6000, 60))
        noisy = Masking(rate=rate, span=span).corrupt(rows, random_state=0, sample_shape=shape)
        hidden = (noisy == 0).mean(axis=0)  # the same at the ends as in the middle
        np.testing.assert_allclose(hidden, rate, atol=0.035)

    def test_runs_of_steps_in_all_sensors(self):
        noisy = Masking(rate=0.3, span=4).corrupt(np.ones((500, 60)), random_state=0, sample_shape=(3, 20))
        hidden = noisy.reshape(500, 3, 20) == 0
        assert (hidden == hidden[:, :1]).all()
        beyond = np.pad(hidden[:, 0], ((0, 0), (3, 3)), constant_values=True)
        covered = sliding_window_view(sliding_window_view(beyond, 4, axis=1).all(axis=2), 4, axis=1).any(axis=2)
        assert (covered == hidden[:, 0]).all()

    def test_squares_in_all_channels(self):
        """Each hidden value of an image lies in a square of hidden ones, which may reach beyond the image."""
        noisy = Masking(rate=0.2, span=3).corrupt(np.ones((200, 128)), random_state=0, sample_shape=(2, 8, 8))
        hidden = noisy.reshape(200, 2, 8, 8) == 0
        assert (hidden[:, 0] == hidden[:, 1]).all()
        beyond = np.pad(hidden[:, 0], ((0, 0), (2, 2), (2, 2)), constant_values=True)
        squares = sliding_window_view(beyond, (3, 3), axis=(1, 2)).all(axis=(3, 4))  # by their first corners
        covered = sliding_window_view(squares, (3, 3), axis=(1, 2)).any(axis=(3, 4))
        assert hidden.any()
        assert (covered == hidden[:, 0]).all()

    def test_rescaled_spans_keep_the_mean(self):
        noisy = Masking(rate=0.4, span=3, rescale=True).corrupt(X, random_state=0, sample_shape=(1, 5))
        assert noisy.mean() == pytest.approx(X.mean(), rel=0.03)

    @pytest.mark.parametrize("network", [Dense(sample_shape=(2, 6)), Convolutional(sample_shape=(2, 6))])
    def test_in_an_estimator(self, network):
        rows = np.random.default_rng(0).normal(size=(60, 12))
        parameters = {"network": network, "hidden_layer_sizes": (4,), "max_iter": 2, "random_state": 0}
        spans = AutoencoderTransformer(2, corruption=Masking(span=3), **parameters).fit(rows)
        cells = AutoencoderTransformer(2, corruption=Masking(), **parameters).fit(rows)
        assert spans.loss_curve_ != cells.loss_curve_
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(spans)).transform(rows), spans.transform(rows))

    def test_codes_of_layers_have_no_shape(self):
        network = Dense(sample_shape=(2, 6), layerwise_pretraining=True)
        model = AutoencoderTransformer(
            2, corruption=Masking(span=3), network=network, hidden_layer_sizes=(5,), max_iter=4, random_state=0
        )
        assert np.isfinite(model.fit(np.random.default_rng(0).normal(size=(60, 12))).loss_curve_).all()

    @pytest.mark.parametrize(
        ("shape", "message"),
        [
            (None, r"Masking\(span=3\) hides neighboring values and needs sample_shape=\(sensors, steps\)"),
            ((6, 2), r"Masking\(span=3\) exceeds a side of sample_shape=\(6, 2\)"),
            ((12,), r"needs sample_shape=.*, but sample_shape=\(12,\)"),
        ],
    )
    def test_needs_a_shape_before_training(self, shape, message):
        model = AutoencoderTransformer(2, corruption=Masking(span=3), network=Dense(sample_shape=shape))
        with pytest.raises(ValueError, match=message):
            model.fit(np.random.default_rng(0).normal(size=(60, 12)))
        assert not hasattr(model, "net_")

    def test_shape_that_does_not_fit(self):
        with pytest.raises(ValueError, match=r"sample_shape=\(2, 3\) does not fit the 5 features"):
            Masking(span=2).corrupt(X, sample_shape=(2, 3))
