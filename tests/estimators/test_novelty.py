"""The detector with ``novelty=True``: the training samples are all inliers."""

import copy

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_autoencoder import AutoencoderOutlierDetector
from sk_autoencoder.networks import Attention
from sk_autoencoder.scores import Combined, ResidualDistance, SampleDistance

CLAIM = "novelty=True states that all training samples are inliers"


@pytest.fixture(scope="module", name="X")
def samples():
    rng = np.random.default_rng(0)
    return rng.normal(size=(600, 5)) @ rng.normal(size=(5, 5))


@pytest.fixture(scope="module")
def fitted(X):
    return AutoencoderOutlierDetector(novelty=True, random_state=0).fit(X)


@pytest.mark.parametrize("has_shape", [False, True], ids=["table", "samples with a shape"])
def test_score_is_what_the_docstring_says(X, has_shape):
    X = X[:200]
    shape = {"network": Attention(sample_shape=(1, 5)), "hidden_layer_sizes": (8,)} if has_shape else {}
    tree = [] if has_shape else ["dependence_tree"]
    unchanged = {"damped": False, "clipped": False}
    of_dependence = Combined(["mahalanobis", ResidualDistance(1), *tree], n_largest=2, **unchanged)
    parts = [of_dependence, SampleDistance(1, 3072), "relative_distance", "feature_tails"]
    written_out, fitted = (
        AutoencoderOutlierDetector(**choice, **shape, max_iter=5, novelty=True, random_state=0).fit(X)
        for choice in ({"outlier_score": Combined(parts, n_largest=3, **unchanged)}, {})
    )
    np.testing.assert_array_equal(written_out.score_samples(X[:50]), fitted.score_samples(X[:50]))
    assert "sample_isolation" not in fitted.component_scores(X[:5])


def test_auto_is_the_conformal_threshold(X, fitted):
    detector = copy.deepcopy(fitted)
    assert detector.recalibrate(contamination="conformal").offset_ == fitted.offset_
    assert detector.recalibrate(contamination="tail").offset_ != fitted.offset_
    assert (fitted.predict(X) == -1).mean() == pytest.approx(0.05, abs=0.005)


def test_explicit_choices_are_not_changed(X):
    parameters = {"outlier_score": "sample_distance", "contamination": "tail", "max_iter": 5, "random_state": 0}
    novel, default = (AutoencoderOutlierDetector(novelty=flag, **parameters).fit(X) for flag in (True, False))
    np.testing.assert_array_equal(novel.score_samples(X), default.score_samples(X))
    assert novel.offset_ == default.offset_


def test_finds_more_among_clean_digits():
    X, y = load_digits(return_X_y=True)
    trained = np.isin(np.arange(len(y)), np.flatnonzero(y == 3)[:100])
    novel, default = (
        roc_auc_score(y[~trained] != 3, -detector.fit(X[trained]).score_samples(X[~trained]))
        for detector in (AutoencoderOutlierDetector(novelty=flag, random_state=0) for flag in (True, False))
    )
    assert novel > default


@pytest.mark.parametrize("share", [0.04, 0.1])
def test_warns_if_there_are_plainly_outliers(X, share):
    X = X.copy()
    n_outliers = int(share * len(X))
    X[:n_outliers] = 10 * X.std(axis=0) * np.random.default_rng(1).normal(size=(n_outliers, 5))
    with pytest.warns(UserWarning, match=rf"{CLAIM}, but \d\.\d% of them"):
        AutoencoderOutlierDetector(novelty=True, max_iter=20, random_state=0).fit(X)


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng: rng.normal(size=(300, 4)),
        lambda rng: rng.lognormal(size=(300, 4)),
        lambda rng: rng.uniform(size=(60, 3)),
        lambda rng: rng.integers(2, size=(300, 6)).astype(float),
        lambda rng: rng.poisson(size=(500, 5)).astype(float),
        lambda rng: np.repeat(rng.normal(size=(10, 4)), 20, axis=0),
        lambda rng: np.ones((50, 3)),
        lambda rng: rng.normal(size=(8, 3)),
    ],
    ids=["normal", "lognormal", "uniform", "binary", "counts", "repeated", "constant", "few"],
)
def test_does_not_warn_of_inliers(draw):
    for seed in range(3):
        AutoencoderOutlierDetector(novelty=True, max_iter=5, random_state=seed).fit(draw(np.random.default_rng(seed)))


def test_a_score_that_is_no_logarithm(X):
    AutoencoderOutlierDetector(novelty=True, outlier_score="reconstruction", random_state=0).fit(X)


def test_in_a_search(X):
    pipeline = make_pipeline(StandardScaler(), AutoencoderOutlierDetector(max_iter=2, random_state=0))
    y = np.where(np.arange(len(X)) % 10 == 0, -1, 1)
    grid = {"autoencoderoutlierdetector__novelty": [True, False]}
    search = GridSearchCV(pipeline, grid, scoring="roc_auc", cv=2).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
