"""Products and means that treat equal rows alike, beside torch's own."""

import pytest
import torch

from sk_autoencoder.blocks import BLOCK_ROWS, affine, cut, joined, mean_of, row_product


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator("cpu").manual_seed(seed), dtype=torch.float64, device="cpu")


@pytest.mark.parametrize("n_members", [1, 3, 5])  # fewer and more than blocks
@pytest.mark.parametrize("n_rows", [1, BLOCK_ROWS, 3 * BLOCK_ROWS + 1])
class TestBlocks:
    def test_every_row_comes_back(self, n_rows, n_members):
        rows = draw(n_members, n_rows, 5)
        blocks = cut(rows, n_members)
        assert blocks.shape[1:] == (BLOCK_ROWS, 5)
        assert len(blocks) >= 2  # never one product alone
        whole = joined(blocks, n_members)
        assert torch.equal(whole[:, :n_rows], rows)
        assert not whole[:, n_rows:].any()

    def test_members_may_share_rows(self, n_rows, n_members):
        rows = draw(1, n_rows, 5)
        assert torch.equal(joined(cut(rows, n_members), n_members)[:, :n_rows], rows.expand(n_members, -1, -1))

    def test_affine(self, n_rows, n_members):
        rows, weight, bias = draw(n_members, n_rows, 5), draw(n_members, 5, 7, seed=1), draw(n_members, 1, 7, seed=2)
        found = joined(affine(cut(rows, n_members), weight, bias), n_members)[:, :n_rows]
        torch.testing.assert_close(found, rows @ weight + bias)

    def test_row_product(self, n_rows, n_members):
        rows, matrix = draw(n_members, n_rows, 5), draw(n_members, 5, 7, seed=1)
        product = row_product(rows, matrix)
        torch.testing.assert_close(product, rows @ matrix)
        assert torch.equal(row_product(rows[:, -1:], matrix), product[:, -1:])


def test_fewest_blocks():
    assert cut(draw(1, 3, 5), 2, block_rows=8, fewest=4).shape == (8, 8, 5)


def test_mean():
    members = draw(7, 100, 3)
    torch.testing.assert_close(mean_of(members), members.mean(dim=0))
    assert torch.equal(mean_of(members[:, 99:]), mean_of(members)[99:])
