"""Windows of time series, and sequences as samples."""

import numpy as np
import pytest

from sk_autoencoder import AutoencoderOutlierDetector, AutoencoderTransformer
from sk_autoencoder.networks import NETWORKS
from sk_autoencoder.windows import cut_windows, from_samples, join_windows, to_samples

X = np.random.default_rng(0).normal(size=(50, 3))


@pytest.mark.parametrize(("size", "step"), [(1, 1), (7, 1), (7, 3), (7, 7), (7, 9), (50, 1)])
def test_windows_are_views_of_the_series(size, step):
    windows = cut_windows(X, size, step)
    assert windows.shape == (1 + (50 - size) // step, 3, size)
    assert np.shares_memory(windows, X)
    assert not windows.flags.writeable
    for number, window in enumerate(windows):
        np.testing.assert_array_equal(window, X[number * step : number * step + size].T)


@pytest.mark.parametrize(("size", "step"), [(1, 1), (7, 1), (7, 3), (7, 7), (50, 1)])
def test_joined_windows_are_the_series(size, step):
    joined = join_windows(cut_windows(X, size, step), step)
    np.testing.assert_allclose(joined, X[: len(joined)], rtol=1e-12)
    assert len(joined) > 50 - step


def test_joined_steps_are_means():
    windows = np.arange(12.0, dtype=np.float32).reshape(3, 1, 4)
    joined = join_windows(windows, step=2)
    assert joined.dtype == np.float32
    np.testing.assert_array_equal(joined[:, 0], [0, 1, (2 + 4) / 2, (3 + 5) / 2, (6 + 8) / 2, (7 + 9) / 2, 10, 11])


def test_samples_hold_one_sensor_after_the_other():
    sequences = X.reshape(5, 10, 3)
    samples = to_samples(sequences)
    np.testing.assert_array_equal(samples[2], np.concatenate([sequences[2, :, sensor] for sensor in range(3)]))
    np.testing.assert_array_equal(from_samples(samples, 3), sequences)
    windows = cut_windows(X, 10, 10)
    np.testing.assert_array_equal(windows.reshape(5, -1), samples)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_takes_the_same_windows(name):
    """The window in which the second sensor stands still is the most outlying one."""
    steps = np.arange(400)[:, None]
    series = np.sin(0.4 * steps + [0, 1]) + 0.05 * np.random.default_rng(0).normal(size=(400, 2))
    windows = cut_windows(series, window_size=16, step=2)
    samples = windows.reshape(len(windows), -1)
    network = NETWORKS[name](sample_shape=windows.shape[1:])
    settings = {"network": network, "hidden_layer_sizes": (32,), "corruption": None, "random_state": 0}
    settings |= {"batch_size": 32, "learning_rate_init": 0.01, "max_iter": 40}

    model = AutoencoderTransformer(4, **settings).fit(samples)
    assert model.transform(samples).shape == (len(windows), 4)
    rebuilt = join_windows(model.reconstruct(samples).reshape(windows.shape), step=2)
    assert np.mean((rebuilt - series) ** 2) < 0.5 * series.var()

    broken = windows.copy()
    broken[50, 1] = broken[50, 1, 0]
    detector = AutoencoderOutlierDetector(4, n_estimators=2, outlier_score="reconstruction", **settings).fit(samples)
    assert np.argmin(detector.score_samples(broken.reshape(len(windows), -1))) == 50


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cut_windows(X, 51), "window_size=51 needs at least as many steps, but X has 50"),
        (lambda: cut_windows(X, 0), "window_size == 0, must be >= 1"),
        (lambda: join_windows(cut_windows(X, 3), step=4), "step=4 leaves gaps between windows of 3 steps"),
        (lambda: join_windows(X), r"windows must have three axes, got an array of shape \(50, 3\)"),
        (lambda: to_samples(X), r"sequences must have three axes, got an array of shape \(50, 3\)"),
        (lambda: from_samples(X, 2), "n_sensors=2 does not divide the 3 features of X"),
    ],
)
def test_what_does_not_fit_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
