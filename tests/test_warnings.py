"""A warning names the line of the user's code that led to it."""

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import LRScheduler

from sk_autoencoder import AutoencoderOutlierDetector, AutoencoderTransformer

CASES = {
    "n_components=20 exceeds": (AutoencoderTransformer(20, corruption=None, max_iter=1), {}),
    "callbacks contains LRScheduler": (AutoencoderTransformer(2, max_iter=1, callbacks=[LRScheduler()]), {}),
    "Training ended after": (AutoencoderOutlierDetector(2, max_iter=1, n_iter_no_change=5), {}),
    "X_val differs from X": (AutoencoderTransformer(2, max_iter=1), {"X_val": np.full((60, 5), 1e6)}),
}


@pytest.mark.parametrize("message", CASES)
def test_in_fit(message, rows):
    model, extra = CASES[message]
    with pytest.warns(UserWarning, match=message) as caught:
        model.fit(rows, **extra)
    assert {warning.filename for warning in caught} == {__file__}


def test_behind_a_pipeline(rows):
    with pytest.warns(UserWarning, match="n_components=20 exceeds") as caught:
        make_pipeline(StandardScaler(), AutoencoderTransformer(20, corruption=None, max_iter=1)).fit(rows)
    assert caught[0].filename == __file__
