"""Blocks: a row's result does not depend on how many rows come with it."""

import numpy as np
import pytest
import torch
from scipy import sparse

from sk_autoencoder import AutoencoderOutlierDetector, AutoencoderTransformer
from sk_autoencoder.blocks import BLOCK_ROWS


@pytest.mark.parametrize("n_rows", [1, BLOCK_ROWS - 1, BLOCK_ROWS, BLOCK_ROWS + 1, 1000])
def test_every_row_comes_back(n_rows):
    X = np.random.default_rng(0).normal(size=(n_rows, 3))
    model = AutoencoderTransformer(2, max_iter=1, random_state=0).fit(X)
    encoder, _ = model.to_torch()
    np.testing.assert_allclose(model.transform(X), encoder(torch.tensor(X)).detach(), rtol=1e-4, atol=1e-5)


def test_many_blocks_side_by_side():
    X = np.random.default_rng(0).normal(size=(20_000, 7))
    model = AutoencoderTransformer(3, max_iter=1, random_state=0).fit(X[:500])
    whole = model.transform(X)
    for first in (0, 63, 64, 4095, 4096, 8191, 16_383, 19_999):
        np.testing.assert_array_equal(model.transform(X[first : first + 3]), whole[first : first + 3])


@pytest.mark.parametrize("score", ["reconstruction", "mahalanobis"])
@pytest.mark.parametrize("n_rows", [8191, 8193, 16_385])
def test_scores_of_many_rows(score, n_rows):
    X = np.random.default_rng(0).normal(size=(n_rows, 7))
    model = AutoencoderOutlierDetector(n_estimators=1, outlier_score=score, max_iter=1, random_state=0).fit(X[:500])
    whole = model.score_samples(X)
    for first in (0, 8190, n_rows - 1):
        np.testing.assert_array_equal(model.score_samples(X[first : first + 2]), whole[first : first + 2])


def test_number_of_blocks_at_once_changes_no_bit():
    X = np.random.default_rng(0).normal(size=(1000, 33))
    model = AutoencoderTransformer(3, max_iter=1, random_state=0).fit(X)
    expected = model.transform(X), model.reconstruct(X)
    for n_blocks in (1, 2, 50):
        model._inference._plan.n_blocks = n_blocks
        np.testing.assert_array_equal(model.transform(X), expected[0])
        np.testing.assert_array_equal(model.reconstruct(X), expected[1])


def test_rows_beyond_float32_give_finite_codes(rows):
    model = AutoencoderTransformer(2, max_iter=1, random_state=0).fit(rows)
    assert np.isfinite(model.transform(rows * 1e200)).all()


@pytest.mark.parametrize("make", [np.array, sparse.csr_array], ids=["array", "csr"])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_infinity_is_found_in_any_part(make, kind):
    X = np.random.default_rng(0).normal(size=(40_000, 7)).astype(kind)
    model = AutoencoderTransformer(3, max_iter=1, random_state=0).fit(X[:500])
    for position in (0, 32_767, 39_999):
        spoilt = X.copy()
        spoilt[position, 6] = -np.inf
        for method in (model.transform, model.reconstruct, model.reconstruction_error):
            with pytest.raises(ValueError, match="Input X contains infinity"):
                method(make(spoilt))


def test_a_huge_row_changes_no_other_rows_bits():
    X = np.random.default_rng(0).normal(size=(300, 7)).astype(np.float32)
    model = AutoencoderTransformer(3, max_iter=1, random_state=0).fit(X)
    detector = AutoencoderOutlierDetector(max_iter=1, random_state=0).fit(X)
    spoilt = X.copy()
    spoilt[100] = np.finfo(np.float32).max
    rest = np.arange(300) != 100
    for method in (model.transform, model.reconstruct, detector.score_samples):
        found = method(spoilt)
        assert np.isfinite(found).all()
        np.testing.assert_array_equal(found[rest], method(X)[rest])


class TestFullMemory:
    """A device that holds only so many rows at once, played by the CPU."""

    @pytest.fixture
    def model(self):
        X = np.random.default_rng(0).normal(size=(1000, 7))
        return AutoencoderTransformer(3, max_iter=1, random_state=0).fit(X)

    @staticmethod
    def limit(model, monkeypatch, most):
        encode = model._inference.network.encode

        def limited(rows):
            if rows.shape[0] * rows.shape[1] > most:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return encode(rows)

        monkeypatch.setattr(model._inference.network, "encode", limited)

    def test_fewer_blocks_at_once_change_no_bit(self, model, monkeypatch):
        X = np.random.default_rng(1).normal(size=(1000, 7))
        expected = model.transform(X)
        self.limit(model, monkeypatch, most=3 * BLOCK_ROWS)
        with pytest.warns(UserWarning, match="The memory of cpu was full; samples now go .* blocks of 32, 2 at once"):
            np.testing.assert_array_equal(model.transform(X), expected)
        np.testing.assert_array_equal(model.transform(X), expected)  # remembered, and no further warning

    def test_blocks_are_halved(self, model, monkeypatch):
        X = np.random.default_rng(1).normal(size=(1000, 7))
        expected = model.reconstruct(X)
        self.limit(model, monkeypatch, most=40)
        with pytest.warns(UserWarning, match="in blocks of 16, 1 at once. Their last bits may differ"):
            np.testing.assert_allclose(model.reconstruct(X), expected, rtol=1e-4, atol=1e-5)

    def test_nothing_fits(self, model, monkeypatch):
        self.limit(model, monkeypatch, most=0)
        with pytest.raises(torch.OutOfMemoryError):
            model.transform(np.ones((3, 7)))
