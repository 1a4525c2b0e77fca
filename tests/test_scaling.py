"""Scalings agree with scikit-learn's, and keep what a naive computation loses."""

import numpy as np
import pytest
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from sk_autoencoder import MinMax, Robust, Standard, scaling
from sk_autoencoder.scaling import column_statistics


def scaled(part, X):
    affine = part.fit(X, column_statistics(X))
    return (X - affine.center) / affine.scale


@pytest.mark.parametrize(
    ("part", "reference"),
    [
        (Standard(), StandardScaler()),
        (MinMax(), MinMaxScaler()),
        (MinMax(feature_range=(-1.0, 1.0)), MinMaxScaler((-1, 1))),
        (Robust(), RobustScaler()),
        (Robust(quantile_range=(5.0, 95.0)), RobustScaler(quantile_range=(5, 95))),
    ],
    ids=repr,
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_agrees_with_scikit_learn(part, reference, dtype, rows):
    X = rows.astype(dtype)
    np.testing.assert_allclose(scaled(part, X), reference.fit_transform(X.astype(np.float64)), atol=1e-9)


@pytest.mark.parametrize(
    ("part", "expected"), [(Standard(), 0), (MinMax(), 0), (MinMax(feature_range=(-1.0, 1.0)), -1), (Robust(), 0)]
)
def test_constant_columns(part, expected):
    np.testing.assert_array_equal(scaled(part, np.full((5, 2), 0.1)), expected)


def test_robust_falls_back_on_the_deviation():
    X = np.zeros((100, 1))
    X[:10] = 5
    affine = Robust().fit(X, column_statistics(X))
    assert affine.scale[0] == pytest.approx(X.std())


def test_robust_is_not_moved_by_a_few_rows(rows):
    wild = rows.copy()
    wild[:5] = 1e9
    clean, moved = (Robust().fit(X, column_statistics(X)) for X in (rows, wild))
    np.testing.assert_allclose(moved.scale, clean.scale, rtol=0.3)


def test_robust_reads_at_most_50000_rows():
    X = np.random.default_rng(0).normal(size=(120_001, 2))
    affine = Robust().fit(X, column_statistics(X))
    np.testing.assert_array_equal(affine.center, np.median(X[::3], axis=0))


@pytest.mark.parametrize("bounds", [(1.0, 0.0), (1.0, 1.0)])
def test_minmax_range(bounds, rows):
    with pytest.raises(ValueError, match="MinMax needs feature_range=\\(low, high\\) with low < high, got"):
        MinMax(feature_range=bounds).fit(rows, column_statistics(rows))


class TestStatistics:
    def test_values(self, rows):
        found = column_statistics(rows)
        np.testing.assert_allclose(found.mean, rows.mean(axis=0))
        np.testing.assert_allclose(found.variance, rows.var(axis=0))
        np.testing.assert_allclose(found.scale, rows.std(axis=0))
        np.testing.assert_array_equal(found.low, rows.min(axis=0))
        np.testing.assert_array_equal(found.high, rows.max(axis=0))

    def test_blocks_do_not_matter(self, monkeypatch, rows):
        whole = column_statistics(rows)
        monkeypatch.setattr(scaling, "_BLOCK_CELLS", 35)
        for ours, theirs in zip(vars(column_statistics(rows)).values(), vars(whole).values(), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-12)

    def test_order_of_memory_does_not_matter(self, rows):
        found, expected = column_statistics(np.asfortranarray(rows)), column_statistics(rows)
        np.testing.assert_array_equal(found.mean, expected.mean)
        np.testing.assert_array_equal(found.variance, expected.variance)

    def test_float32_is_summed_in_float64(self):
        X = np.full((100_000, 1), 16_777_217 / 3, dtype=np.float32)
        assert column_statistics(X).mean[0] == X[0, 0]

    def test_large_offset(self):
        seconds = (1.7e9 + np.arange(60.0))[:, None]
        assert column_statistics(seconds).scale[0] == pytest.approx(np.arange(60.0).std(), rel=1e-6)
