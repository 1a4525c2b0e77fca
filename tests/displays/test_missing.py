"""Samples with missing values can be drawn."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba
from scipy.sparse import csr_array

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


@pytest.mark.filterwarnings("ignore:X has feature names, but")
@pytest.mark.parametrize("kind", ["nullable", "objects", "lists"])
def test_kinds_of_missing_values(kind, model, X):
    frame = pd.DataFrame(X, columns=list("abcd"))
    given = {"nullable": frame.convert_dtypes(), "objects": frame.astype(object).where(frame.notna(), None)}
    given["lists"] = given["objects"].to_numpy().tolist()
    names = [label.get_text() for label in FeatureScoresDisplay.from_estimator(model, X).ax_.get_yticklabels()]
    drawn = FeatureScoresDisplay.from_estimator(model, given[kind])
    assert [label.get_text() for label in drawn.ax_.get_yticklabels()] == names
    display = OutlierReconstructionDisplay.from_estimator(model, given[kind], n_samples=3)
    line = display.axes_[0].lines[0].get_ydata()
    np.testing.assert_array_equal(line, X[0])


def test_sparse_samples_cannot_be_drawn(model, X):
    sparse = csr_array(np.nan_to_num(X))
    for display in (FeatureScoresDisplay, OutlierReconstructionDisplay, ReconstructionDisplay):
        with pytest.raises(ValueError, match=r"X is sparse and cannot be drawn; pass X\.toarray\(\)"):
            display.from_estimator(model, sparse)


def test_infinity_cannot_be_drawn():
    with pytest.raises(ValueError, match="X holds infinity"):
        ReconstructionDisplay(np.array([[1.0, np.inf]]), np.zeros((1, 2))).plot()
