"""Cells far outside the training set: they do not decide what the network makes of the others, and stay outliers."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from sk_autoencoder import AutoencoderOutlierDetector, AutoencoderTransformer
from sk_autoencoder.corruptions import Gaussian
from sk_autoencoder.networks.bounds import InputBounds
from sk_autoencoder.scaling import Affine, MinMax, Robust, Scaling, Standard
from tests.contracts.variants import ESTIMATORS, VARIANTS


def test_denoising_digits():
    """Pixels that are rarely on must not be scaled to hundreds of standard deviations."""
    X = load_digits().data
    train, clean = X[:1347], X[1347:]
    noisy = np.clip(clean + np.random.default_rng(0).normal(scale=4, size=clean.shape), 0, 16)
    model = AutoencoderTransformer(20, corruption=Gaussian(0.3), max_iter=60, random_state=0).fit(train)
    pca = PCA(20).fit(train)
    errors = [((rebuilt - clean) ** 2).mean() for rebuilt in (model.reconstruct(noisy), noisy)]
    assert errors[0] < 0.8 * errors[1]
    assert errors[0] < 1.1 * ((pca.inverse_transform(pca.transform(noisy)) - clean) ** 2).mean()


class TestInput:
    @pytest.fixture(params=ESTIMATORS)
    def model(self, request):
        return request.param(max_iter=5, random_state=0)

    def test_none_sets_no_bound(self, model, rows):
        inside = rows[10:20]
        free, bounded = (clone(model).set_params(scaling=Standard(m)).fit(rows) for m in (None, 5.0))
        np.testing.assert_array_equal(free.reconstruct(inside), bounded.reconstruct(inside))
        far = rows.copy()
        far[:, 2] += 1e6 * rows[:, 2].std()
        moved = [np.abs(m.reconstruct(far) - m.reconstruct(rows)).max() for m in (bounded, free)]
        assert moved[0] < 1e-3 * moved[1]

    def test_margin_in_units_of_the_column(self, model, rows):
        model.set_params(scaling=Standard(input_margin=2.0)).fit(rows)
        low, high, unit = model._bounds
        scale = rows.std(axis=0)
        np.testing.assert_allclose(low, (rows.min(axis=0) - rows.mean(axis=0)) / scale - 2)
        np.testing.assert_allclose(high, (rows.max(axis=0) - rows.mean(axis=0)) / scale + 2)
        np.testing.assert_allclose(unit, 1)
        model.set_params(scaling=MinMax(input_margin=2.0)).fit(rows)
        span = np.ptp(rows, axis=0)
        np.testing.assert_allclose(model._bounds.high, 1 + 2 * scale / span)
        np.testing.assert_allclose(model._bounds.unit, scale / span)

    def test_errors_are_not_bounded(self, model, rows):
        model.set_params(scaling=Standard(input_margin=0.0)).fit(rows)
        far = rows.copy()
        far[:, 0] += 1e6
        np.testing.assert_allclose(model.reconstruction_error(far), 1e12 / 5, rtol=0.01)

    @pytest.mark.parametrize("scaling", ["standard", MinMax(), Robust(), None], ids=repr)
    def test_auto_depends_on_the_estimator(self, scaling, model, rows):
        bounds = model.set_params(scaling=scaling).fit(rows)._bounds
        if isinstance(model, AutoencoderOutlierDetector):
            assert bounds is None
        else:
            center, scale = model._affine
            np.testing.assert_allclose(bounds.high * scale + center, rows.max(axis=0) + rows.std(axis=0))

    def test_scalings_of_users(self, model, rows):
        class Shift(Scaling):
            def fit(self, X, statistics):
                return Affine(statistics.mean, np.ones(len(statistics.mean)))

        class Bounded(Shift):
            def __init__(self, input_margin=3.0):
                self.input_margin = input_margin

        assert (clone(model).set_params(scaling=Shift()).fit(rows)._bounds is None) == (model._input_margin is None)
        bounds = model.set_params(scaling=Bounded()).fit(rows)._bounds
        np.testing.assert_allclose(bounds.low, rows.min(axis=0) - rows.mean(axis=0) - 3 * rows.std(axis=0))


@pytest.mark.parametrize("name", [name for name in VARIANTS if "Transformer-network" in name or "tied" in name])
def test_exported_modules_have_the_bounds(name, rows):
    model = clone(VARIANTS[name]).set_params(scaling=Standard(input_margin=0.0)).fit(rows[:60])
    far = rows * 1.5
    encoder, _ = model.to_torch()
    np.testing.assert_allclose(encoder(torch.tensor(far)).detach(), model.transform(far), atol=1e-4)
    assert any(isinstance(module, InputBounds) for module in encoder)


@pytest.mark.parametrize("margin", [None, 1.0])
@pytest.mark.parametrize("column", range(5))
def test_scores_of_an_extreme_cell_do_not_fall(margin, column, rows):
    model = AutoencoderOutlierDetector(scaling=Standard(margin), max_iter=40, random_state=0).fit(rows)
    samples = np.tile(rows[:10], (5, 1, 1))
    for sample, factor in zip(samples[1:], (2, 10, 100, 1e6), strict=True):
        sample[:, column] = rows[:, column].min() + factor * np.ptp(rows[:, column])
    scores = np.array([model.score_samples(sample) for sample in samples])
    assert (np.diff(scores, axis=0) <= 1e-6).all()
    assert (model.predict(samples[2]) == -1).all()


def test_one_sentinel_leaves_other_verdicts():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 3)) @ rng.normal(size=(3, 6)) + 0.1 * rng.normal(size=(500, 6))
    strange = np.arange(20)
    X[strange] += 4 * rng.choice([-1, 1], size=(20, 6))
    marked = X.copy()
    marked[100, 2] = 1e9
    detector = AutoencoderOutlierDetector(contamination=0.05, random_state=0)
    before, after = clone(detector).fit(X), clone(detector).fit(marked)
    assert after.predict(marked)[100] == -1
    others = np.delete(np.arange(500), 100)
    assert (before.predict(X)[others] == after.predict(marked)[others]).mean() > 0.97


def test_a_column_that_is_rarely_on_counts():
    rng = np.random.default_rng(0)
    X = np.c_[rng.normal(size=(2000, 4)), np.zeros(2000)]
    X[[500, 1500], 4] = 1.0
    assert AutoencoderTransformer(max_iter=1).fit(X)._statistics.scale[4] == 1.0
    model = AutoencoderOutlierDetector(random_state=0, contamination="tail").fit(X)
    new = np.c_[rng.normal(size=(200, 4)), np.zeros(200)]
    on = np.c_[new[:, :4], np.ones(200)]
    assert (model.score_samples(on) < model.score_samples(new)).mean() > 0.9
    assert (model.predict(on) == -1).mean() > 0.5
