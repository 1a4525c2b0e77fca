import matplotlib
import numpy as np
import pytest
from sklearn.datasets import load_digits

from sk_autoencoder import AutoencoderTransformer

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def _figures_closed():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


@pytest.fixture(scope="session")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:300], y[:300]


@pytest.fixture(scope="session")
def fitted(digits):
    """One quick model for each width of the code."""
    X, _ = digits
    settings = {"hidden_layer_sizes": (16,), "max_iter": 3, "random_state": 0}
    return {n: AutoencoderTransformer(n, **settings).fit(X[:250], X_val=X[250:]) for n in (1, 2, 5)}


@pytest.fixture
def drawn():
    """Assert that a figure renders to pixels that are not all alike."""

    def check(figure):
        figure.canvas.draw()
        pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3]
        assert pixels.min() < 128 < pixels.max()

    return check
