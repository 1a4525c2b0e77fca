"""Samples with missing values can be drawn."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgba

from sk_autoencoder import (
    AutoencoderOutlierDetector,
    FeatureScoresDisplay,
    OutlierReconstructionDisplay,
    ReconstructionDisplay,
)
from sk_autoencoder.displays.style import MISSING


@pytest.fixture(scope="module")
def X():  # noqa: N802
    rng = np.random.default_rng(0)
    return np.where(rng.random((60, 4)) < 0.2, np.nan, rng.normal(size=(60, 4)))


@pytest.fixture(scope="module")
def model(X):
    return AutoencoderOutlierDetector(2, max_iter=2, random_state=0).fit(X)


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_error_is_that_of_observed_values():
    display = ReconstructionDisplay(np.array([[1.0, np.nan, 3.0]]), np.array([[2.0, 5.0, 3.0]])).plot()
    assert display.axes_[0].get_title() == f"error {np.sqrt(0.5):.3g}"


@pytest.mark.parametrize("display", [ReconstructionDisplay, OutlierReconstructionDisplay])
def test_images_and_lines(display, model, X):
    assert np.isnan(X[:3]).any()
    lines = display.from_estimator(model, X, n_samples=3)
    images = display.from_estimator(model, X, n_samples=3, image_shape=(2, 2))
    picture = images.axes_[0, 0].get_images()[0]
    assert tuple(picture.cmap.get_bad()) == to_rgba(MISSING)
    assert np.isfinite(picture.get_clim()).all()
    assert len(lines.axes_) == 3


def test_features(model, X):
    row = int(np.flatnonzero(np.isnan(X).sum(axis=1) == 1)[0])
    display = FeatureScoresDisplay.from_estimator(model, X, index=row)
    texts = [label.get_text() for label in display.ax_.get_yticklabels()]
    missing = int(np.flatnonzero(np.isnan(X[row]))[0])
    [text] = [text for text in texts if "missing" in text]
    assert text.startswith(f"x{missing} missing")
    assert display.bars_[texts.index(text)].get_width() == 0


def test_infinity_cannot_be_drawn():
    with pytest.raises(ValueError, match="X holds infinity"):
        ReconstructionDisplay(np.array([[1.0, np.inf]]), np.zeros((1, 2))).plot()
