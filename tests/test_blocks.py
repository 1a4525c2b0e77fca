"""Products and means that treat equal rows alike, beside torch's own."""

import pytest
import torch

from sk_autoencoder import blocks as blocks_module
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


@pytest.fixture(params=[1, 2, 16])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize(("n_in", "n_out"), [(2, 16), (20, 64), (784, 128), (5000, 32), (16383, 16), (20000, 16)])
@pytest.mark.parametrize("n_members", [1, 2])
@pytest.mark.usefixtures("threads")
class TestInference:
    def tensors(self, n_members, n_in, n_out, n_blocks):
        shapes = (n_members * n_blocks, BLOCK_ROWS, n_in), (n_members, n_in, n_out), (n_members, 1, n_out)
        return [draw(*shape, seed=seed).float() for seed, shape in enumerate(shapes)]

    def test_bits_do_not_depend_on_the_number_of_blocks(self, n_members, n_in, n_out):
        n_blocks = 128 if n_in < 1000 else 16
        blocks, weight, bias = self.tensors(n_members, n_in, n_out, n_blocks)
        of_member = blocks.unflatten(0, (n_members, n_blocks))
        with torch.inference_mode():
            whole = affine(blocks, weight, bias, torch.relu).unflatten(0, (n_members, n_blocks))
            for few in (2, 3, n_blocks // 2):
                for chosen in (slice(0, few), slice(n_blocks - few, n_blocks)):
                    found = affine(of_member[:, chosen].flatten(0, 1), weight, bias, torch.relu)
                    assert torch.equal(found.unflatten(0, (n_members, few)), whole[:, chosen])

    def test_every_kernel_computes_the_same(self, n_members, n_in, n_out, monkeypatch):
        blocks, weight, bias = self.tensors(n_members, n_in, n_out, 3)
        expected = (blocks.unflatten(0, (n_members, 3)) @ weight[:, None] + bias[:, None]).flatten(0, 1)
        for activation in (None, torch.relu, torch.relu_, torch.tanh):
            activated = expected if activation is None else activation(expected.clone())
            for known in (True, False):
                monkeypatch.setattr(blocks_module, "_ONEDNN", known and blocks_module._ONEDNN)
                with torch.inference_mode():
                    found = affine(blocks, weight, bias, activation)
                torch.testing.assert_close(found, activated, rtol=1e-4, atol=1e-5 * n_in**0.5)
            monkeypatch.undo()


def test_gradients_pass_through_layers():
    rows, weight = draw(2, BLOCK_ROWS, 5), draw(2, 5, 7, seed=1).requires_grad_()
    found = affine(rows, weight, draw(2, 1, 7, seed=2), torch.relu)
    found.sum().backward()
    torch.testing.assert_close(weight.grad, rows.mT @ (found > 0).double())


def test_fewest_blocks():
    assert cut(draw(1, 3, 5), 2, block_rows=8, fewest=4).shape == (8, 8, 5)


def test_mean():
    members = draw(7, 100, 3)
    torch.testing.assert_close(mean_of(members), members.mean(dim=0))
    assert torch.equal(mean_of(members[:, 99:]), mean_of(members)[99:])
