"""All rows of the benchmark of known systems run, here with few images and one epoch."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from joblib import parallel_config
from sklearn.datasets import load_digits

from benchmarks.reconstruction import ROWS
from benchmarks.studies import Study
from sk_autoencoder import AutoencoderTransformer


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Digits with 28 x 28 pixels in place of MNIST and of clothes, 1000 for training and 750 for tests."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "images").mkdir()
    X, y = load_digits(return_X_y=True)
    X = (np.kron(X.reshape(-1, 8, 8), np.ones((1, 4, 4)))[:, 2:30, 2:30] * 15).astype(np.uint8)
    parts = {"X_train": X[:1000], "y_train": y[:1000], "X_test": X[1000:1750], "y_test": y[1000:1750]}
    for name in ("mnist", "fashion_mnist"):
        np.savez(folder / "images" / f"{name}.npz", **parts)
    return folder


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_row_runs(row, data, tmp_path, monkeypatch):
    fit = AutoencoderTransformer.fit
    monkeypatch.setattr(AutoencoderTransformer, "fit", lambda self, *a, **k: fit(self.set_params(max_iter=1), *a, **k))
    with parallel_config(backend="sequential"):  # other processes would not know of the epoch
        result = row.run(Study(data, tmp_path, full=False))
    assert result.measured
    assert isinstance(result.passed, (bool, np.bool_))
    assert not plt.get_fignums()
