"""Products and means that treat equal rows alike, beside torch's own."""

import subprocess
import sys
from functools import partial
from threading import Barrier, Thread

import pytest
import torch

from sk_autoencoder import blocks as blocks_module
from sk_autoencoder._torch import linear
from sk_autoencoder.blocks import (
    BLOCK_ROWS,
    affine,
    cut,
    joined,
    mean_of,
    results_of,
    results_of_few,
    row_product,
    rows_of_block,
)


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


@pytest.mark.parametrize(("n_in", "n_out"), [(2, 16), (20, 64), (784, 128), (5000, 32), (16383, 16), (20000, 16)])
@pytest.mark.parametrize("n_members", [1, 2])
@pytest.mark.usefixtures("n_threads")
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


def plain(rows, weight, bias, activation):
    """The product, rounded once: float64 holds every sum of such products, so that their order changes nothing."""
    rows, weight, bias = ((tensor.double() * 2**18).round() / 2**18 for tensor in (rows, weight, bias))
    result = (rows @ weight.mT + bias).float()
    return result.relu() if activation == "relu" else result


def broken(choose):
    """The product, but the next number in the last cell of some rows; ``choose`` cuts them out of (n, 32, n_out)."""

    def product(rows, weight, bias, activation):
        result = plain(rows, weight, bias, "none")
        cells = choose(result)[..., -1]
        cells.copy_(torch.nextafter(cells, torch.tensor(torch.inf)))
        return result.relu() if activation == "relu" else result

    return product


def without_bias(rows, weight, bias, activation):
    return plain(rows, weight, torch.zeros_like(bias), activation)


def with_another_activation(rows, weight, bias, activation):
    result = plain(rows, weight, bias, "none")
    return result.clamp(min=1e-3) if activation == "relu" else result


def fails(rows, weight, bias, activation):
    raise AttributeError("'_OpNamespace' 'mkldnn' object has no attribute '_linear_pointwise'")


beside_few_others = broken(lambda result: result if len(result) == 3 else result[:0])
BROKEN = [
    beside_few_others,
    broken(lambda result: result.flatten(0, 1)[-8:]),  # at the end
    broken(lambda result: result[:, 5]),  # by place
    lambda rows, *others: (broken(lambda result: result[:1]) if rows.shape[-1] > 16_000 else plain)(rows, *others),
    without_bias,
    with_another_activation,
    fails,
    lambda rows, weight, bias: None,
    lambda *args: torch.ops.mkldnn._linear_pointwise(*args),
]


class TestBitsOfRows:
    def test_a_product_that_keeps_them(self):
        assert results_of(plain) == results_of(plain) != b""

    @pytest.mark.parametrize("product", BROKEN)
    def test_a_product_that_does_not(self, product):
        assert results_of(product) is None

    def test_every_test_multiplies_the_same(self):
        calls = [], []
        for arguments in calls:
            results_of(lambda *args: arguments.extend(args[:3]) or plain(*args))  # noqa: B023 - called at once
        assert len(calls[0]) == len(calls[1]) > 0
        assert all(map(torch.equal, *calls))

    def test_torch_is_left_as_it_was(self):
        before = torch.get_rng_state(), torch.get_num_threads(), torch.get_num_interop_threads()
        results_of(linear)
        assert torch.equal(torch.get_rng_state(), before[0])
        assert (torch.get_num_threads(), torch.get_num_interop_threads()) == before[1:]

    @pytest.mark.skipif(not blocks_module._ONEDNN, reason="oneDNN has no such kernels here")
    @pytest.mark.usefixtures("n_threads")
    def test_a_product_without_them_is_not_used(self, monkeypatch):
        shapes = (4, BLOCK_ROWS, 20), (1, 20, 64), (1, 1, 64)
        tensors = [draw(*shape, seed=seed).float() for seed, shape in enumerate(shapes)]
        products = [lambda *args: 2 * linear(*args), plain]
        found = []
        for product in products:
            monkeypatch.setattr(blocks_module, "linear", lambda *args: torch.full((4, BLOCK_ROWS, 64), torch.nan))
            monkeypatch.setattr(
                blocks_module, "_onednn_rows", blocks_module._RowIndependence(partial(results_of, product))
            )
            with torch.inference_mode():
                found.append(affine(*tensors))
        assert torch.equal(found[0], blocks_module._as_many_products(*tensors))
        assert found[1].isnan().all()

    @pytest.mark.parametrize("last", [None, b"others"])
    def test_each_number_of_threads_is_tested_once_and_one_failure_is_final(self, monkeypatch, last):
        n_threads, tested = 0, []
        monkeypatch.setattr(torch, "get_num_threads", lambda: n_threads)
        answers = {1: b"bits", 2: b"bits", 3: last}
        bits = blocks_module._RowIndependence(lambda: tested.append(n_threads) or answers[n_threads])
        assert tested == []
        for n_threads in (1, 1, 2, 2, 1):
            assert bits.passes()
            assert n_threads in tested
        for n_threads in (3, 3, 1, 4):
            assert not bits.passes(), n_threads
        assert tested == [1, 2, 3]

    @pytest.mark.parametrize("product", [plain, beside_few_others])
    def test_threads_that_ask_at_the_same_time_find_the_same(self, product):
        bits, start, found = blocks_module._RowIndependence(partial(results_of, product)), Barrier(4), []

        def ask():
            start.wait()
            found.append(bits.passes())

        threads = [Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [product is plain] * 4

    @pytest.mark.parametrize("n_rows", [2, 4, 8, 16])
    def test_few_rows(self, n_rows):
        assert results_of_few(plain, torch.float32, n_rows) is not None
        in_few = broken(lambda result: result if result.shape[1] == n_rows else result[:0])
        assert results_of(in_few) is not None
        assert results_of_few(in_few, torch.float32, n_rows) is None

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_few_rows_are_multiplied_in_their_own_precision(self, dtype):
        """Sums of products of float32 numbers would be exact in float64, and so the same in any order."""
        n_places = torch.finfo(dtype).bits - {torch.float32: 8, torch.float64: 11}[dtype]

        def product(rows, weight, bias, activation):
            assert rows.dtype == weight.dtype == bias.dtype == dtype
            assert not torch.equal(rows * 2 ** (n_places - 4), (rows * 2 ** (n_places - 4)).round())
            result = rows @ weight.mT + bias
            return result.relu() if activation == "relu" else result

        results_of_few(product, dtype, 4)

    def test_nothing_is_tested_before_the_first_use(self):
        program = "import sk_autoencoder.blocks as b; print(b._onednn_rows._tested, b._few_rows.cache_info().currsize)"
        result = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
        assert result.stdout.split() == ["set()", "0"]


@pytest.mark.parametrize("fails", [(), (2,), (2, 4), (2, 4, 8, 16)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_few_rows_get_small_blocks_where_they_keep_their_bits(monkeypatch, fails, dtype):
    """Of the products of a network, all must keep the bits in a small block."""
    monkeypatch.setattr(blocks_module, "_ONEDNN", True)
    monkeypatch.setattr(blocks_module, "_onednn_rows", blocks_module._RowIndependence(lambda: b"bits"))

    def test_of(product, tested, n_rows):
        return blocks_module._RowIndependence(
            lambda: None if n_rows in fails and (product, tested) == (blocks_module._batched, dtype) else b"bits"
        )

    monkeypatch.setattr(blocks_module, "_few_rows", test_of)
    wide, small = draw(3, 128, 128).float(), draw(3, 16, 16).to(dtype)  # the first is oneDNN's
    expected = [min({2, 4, 8, 16, BLOCK_ROWS}.difference(fails) & {*range(n, 33)}) for n in (1, 3, 16)]
    with torch.inference_mode():
        assert [rows_of_block(n, [small]) for n in (1, 3, 16)] == expected
        assert [rows_of_block(n, [wide, small]) for n in (1, 3, 16)] == expected
        assert [rows_of_block(n, [wide]) for n in (1, 3, 16)] == [2, 4, 16]
        for n_rows, weights in ((17, [wide]), (1000, [wide]), (1, [wide, draw(3, 8, 16).float()])):
            assert rows_of_block(n_rows, weights) == BLOCK_ROWS
    assert rows_of_block(1, [wide]) == BLOCK_ROWS  # other kernels compute gradients


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n_members", [1, 5])
@pytest.mark.parametrize("n_threads", [1, 2], indirect=True)  # inference uses no more
def test_few_rows_have_the_bits_of_many(n_members, dtype, n_threads):
    for n_in, n_out in ((16, 16), (48, 7), (200, 33), (1900, 1500), (17, 100)):
        rows, matrix = draw(n_members, 40, n_in).to(dtype), draw(n_members, n_in, n_out, seed=1).to(dtype)
        with torch.inference_mode():
            whole = row_product(rows, matrix)
            for few in (1, 2, 3, 4, 7, 16):
                assert torch.equal(row_product(rows[:, 5 : 5 + few], matrix), whole[:, 5 : 5 + few])


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
