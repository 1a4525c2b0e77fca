"""Scalings agree with scikit-learn's, and keep what a naive computation loses."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from sk_autoencoder import scaling
from sk_autoencoder.scaling import MinMax, Robust, Standard, column_statistics


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
    np.testing.assert_allclose(scaled(part, np.full((5, 2), 0.1)), expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("part", [Standard(), MinMax(), Robust()], ids=repr)
@pytest.mark.parametrize("value", [0.1, -7.0, 1e6, 3e-12, 1e-280])
def test_a_change_of_a_constant_column_is_measured_by_its_value(part, value):
    X = np.full((300, 1), value)
    affine = part.fit(X, column_statistics(X))
    assert (1.5 * value - value) / affine.scale == pytest.approx(50 * np.sign(value), rel=1e-6)


@pytest.mark.parametrize("value", [0.0, 1e-300, 5e-324])
def test_a_constant_column_of_zeros_has_no_unit(value):
    assert column_statistics(np.full((5, 1), value)).scale[0] == 1.0


@pytest.mark.parametrize("part", [Standard(), Robust()], ids=repr)
@pytest.mark.parametrize("n_rare", [1, 10, 49])
def test_the_unit_of_rare_values_is_their_deviation(part, n_rare):
    X = np.full((100, 1), 3.0)
    X[:n_rare] += np.linspace(4, 6, n_rare)[:, None] if n_rare > 1 else 5
    affine = part.fit(X, column_statistics(X))
    assert affine.scale[0] == pytest.approx(5.0, rel=0.03)


def test_one_sentinel_among_rare_values_does_not_make_their_unit():
    X = np.zeros((1000, 1))
    X[:10], X[10] = 1.0, 1e9
    statistics = column_statistics(X)
    assert statistics.scale[0] == pytest.approx(X.std())
    assert scaling._usual_deviation(X, None)[0] == 1.0


def test_units_of_long_and_sparse_tables(monkeypatch):
    X = np.random.default_rng(0).integers(0, 2, size=(500, 7)) * np.arange(1.0, 8)
    X[np.random.default_rng(1).random(X.shape) < 0.7] = 0
    whole = column_statistics(X).scale
    np.testing.assert_array_equal(whole, np.arange(1, 8))
    for cells in (100, 1000):  # some rows; some rows, in several blocks of columns
        monkeypatch.setattr(scaling, "_SAMPLED_CELLS", cells)
        np.testing.assert_array_equal(column_statistics(sparse.csr_array(X)).scale, whole)


@pytest.mark.parametrize("size", [1e-12, 1.0, 1e12])
def test_the_unit_of_other_columns_is_their_standard_deviation(size):
    rng = np.random.default_rng(0)
    X = np.c_[rng.normal(size=(500, 1)), rng.uniform(size=(500, 1)), rng.lognormal(size=(500, 1))] * size
    np.testing.assert_allclose(column_statistics(X).scale, X.std(axis=0))


def test_robust_is_not_moved_by_a_few_rows(rows):
    wild = rows.copy()
    wild[:5] = 1e9
    clean, moved = (Robust().fit(X, column_statistics(X)) for X in (rows, wild))
    np.testing.assert_allclose(moved.scale, clean.scale, rtol=0.3)


def test_robust_reads_at_most_50000_rows():
    X = np.random.default_rng(0).normal(size=(120_001, 2))
    affine = Robust().fit(X, column_statistics(X))
    np.testing.assert_array_equal(affine.center, np.median(X[::3], axis=0))


class TestSharedScale:
    PART = Standard(shared_scale=True)

    def test_is_the_root_of_the_mean_variance(self, rows):
        affine = self.PART.fit(rows, column_statistics(rows))
        np.testing.assert_allclose(affine.center, rows.mean(axis=0))
        np.testing.assert_allclose(affine.scale, np.sqrt(rows.var(axis=0).mean()))

    def test_distances_keep_their_proportions(self, rows):
        moved = scaled(self.PART, rows * 1e6 + np.arange(5.0))
        ratios = np.linalg.norm(moved - moved[0], axis=1)[1:] / np.linalg.norm(rows - rows[0], axis=1)[1:]
        np.testing.assert_allclose(ratios, ratios[0])

    def test_constant_columns_do_not_change_it(self, rows):
        wider = np.c_[rows, np.full((len(rows), 3), 7.0)]
        found, expected = (self.PART.fit(X, column_statistics(X)).scale for X in (wider, rows))
        np.testing.assert_allclose(found, expected[0])

    def test_without_a_feature_that_varies_it_is_that_of_standard(self):
        statistics = column_statistics(np.full((5, 2), 0.1))
        np.testing.assert_array_equal(self.PART.fit(None, statistics).scale, statistics.scale)

    def test_missing_values_and_weights(self, rows):
        gaps = np.where(rows > rows.mean(axis=0), np.nan, rows)
        expected = np.sqrt(np.nanvar(gaps, axis=0).mean())
        np.testing.assert_allclose(self.PART.fit(gaps, column_statistics(gaps)).scale, expected)
        weight = np.arange(len(rows)) % 3
        repeated = np.repeat(rows, weight, axis=0)
        found, expected = column_statistics(rows, weight), column_statistics(repeated)
        np.testing.assert_allclose(self.PART.fit(rows, found).scale, self.PART.fit(repeated, expected).scale)

    def test_a_feature_without_values_does_not_change_it(self, rows):
        wider = np.c_[rows, np.full(len(rows), np.nan)]
        found, expected = (self.PART.fit(X, column_statistics(X)).scale for X in (wider, rows))
        np.testing.assert_array_equal(found[:5], expected)

    @pytest.mark.parametrize("container", [sparse.csr_array, np.float32])
    def test_equal_numbers_give_equal_bits(self, container):
        X = np.random.default_rng(0).integers(0, 4, size=(300, 5)) / 8
        found, expected = (self.PART.fit(rows, column_statistics(rows)) for rows in (container(X), X))
        np.testing.assert_array_equal(found, expected)

    def test_large_variances_do_not_overflow(self):
        X = np.array([[9e153, -9e153], [-9e153, 9e153]])
        np.testing.assert_allclose(self.PART.fit(X, column_statistics(X)).scale, 9e153)

    def test_the_input_margin_is_in_units_of_the_shared_scale(self, rows):
        X = np.c_[rows, np.full(len(rows), 7.0)]
        part = Standard(input_margin=1.0, shared_scale=True)
        np.testing.assert_array_equal(part.unit(column_statistics(X)), part.fit(X, column_statistics(X)).scale)


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
        weight = np.linspace(1, 2, len(rows))
        rows = np.where(rows > 1, np.nan, rows)
        whole = column_statistics(rows, weight)
        monkeypatch.setattr(scaling, "_BLOCK_CELLS", 35)
        for ours, theirs in zip(vars(column_statistics(rows, weight)).values(), vars(whole).values(), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-12)

    def test_order_of_memory_does_not_matter(self, rows):
        found, expected = column_statistics(np.asfortranarray(rows)), column_statistics(rows)
        np.testing.assert_array_equal(found.mean, expected.mean)
        np.testing.assert_array_equal(found.variance, expected.variance)

    @pytest.mark.parametrize("container", [sparse.csr_array, sparse.csr_matrix, np.float32, np.asfortranarray])
    def test_equal_numbers_give_equal_bits(self, container):
        X = np.random.default_rng(0).integers(0, 4, size=(300, 5)) / 8
        found, expected = column_statistics(container(X)), column_statistics(X)
        for ours, theirs in zip(vars(found).values(), vars(expected).values(), strict=True):
            np.testing.assert_array_equal(ours, theirs)

    def test_repeated_entries_stand_for_their_sum(self):
        X = sparse.csr_array(([1.0, 2.0, 5.0], [0, 0, 1], [0, 3, 3]), shape=(2, 2))
        assert not X.has_canonical_format
        found = column_statistics(X)
        np.testing.assert_array_equal(found.mean, [1.5, 2.5])
        np.testing.assert_array_equal(found.variance, [1.5**2, 2.5**2])
        np.testing.assert_array_equal(found.high, [3, 5])

    def test_float32_is_summed_in_float64(self):
        X = np.full((100_000, 1), 16_777_217 / 3, dtype=np.float32)
        assert column_statistics(X).mean[0] == X[0, 0]

    def test_large_offset(self):
        seconds = (1.7e9 + np.arange(60.0))[:, None]
        assert column_statistics(seconds).scale[0] == pytest.approx(np.arange(60.0).std(), rel=1e-6)
