"""Matrix products and means whose result for a sample is bitwise independent of the other samples in the batch.

The order of summation in a matrix product depends on the shapes of the matrices. Therefore all matrix products here are
batched products of blocks with a fixed number of rows and padded widths. There are at least two blocks, since torch
calls a different kernel for a single one. On the CPU the bits of a block do not depend on the number of blocks.

oneDNN's kernels are faster. In some versions of torch, their result for a row does not depend on the number of rows. If
a test at runtime confirms this, all blocks of a network are computed as a single product, and a few rows need not be
filled up to a whole block. Whether smaller blocks keep the bits is tested for batched products, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sk_autoencoder._torch import linear

__all__ = [
    "BLOCK_ROWS",
    "MULTIPLE",
    "affine",
    "cellwise",
    "cut",
    "joined",
    "mean_of",
    "mean_of_votes",
    "padded",
    "rounded_up",
    "row_product",
    "rows_of_block",
]

Activation = Callable[[Tensor], Tensor]
Product = Callable[[Tensor, Tensor, Tensor, str], Tensor]

BLOCK_ROWS = 32
# Widths are padded to a multiple of this number, so that they fill whole vector registers. Otherwise the order of
# summation may depend on the position of a row.
MULTIPLE = 16
_FEWEST_PRODUCTS = 2
# oneDNN's kernels need a CPU with AVX2.
_ONEDNN = torch.backends.mkldnn.is_available() and torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")
_MOST_ADDENDS = 1 << 14  # maximum n_in; the sum of a longer row (from 20000 on) is split between threads
# Layers that oneDNN's kernels are tested with, (n_in, n_out, number of blocks). The first has the maximum number of
# rows, the last has the maximum n_in.
_TEST_LAYERS = ((3, 16, 512), (128, 784, 16), (784, 128, 32), (_MOST_ADDENDS - 1, 16, 5))
_FEW_ROWS = (2, 4, 8, 16)  # sizes of smaller blocks; a single row is multiplied by other kernels
_FEWEST_ADDENDS = 16  # with fewer, batched products of small blocks sum in another order
_DISTINCT = 37  # distinct rows in a test; they are repeated, so that each occurs at all positions within a block
# Fused activations: oneDNN computes them with the product, with the same result as torch.
_FUSED: dict[Activation | None, str] = {torch.relu: "relu", torch.relu_: "relu"}
_CELLS_OF_ONE_THREAD = 1 << 15  # fewer are not shared between threads
_CELLS_OF_THREADS = 12 * 32  # registers of one to four threads
_WIDE = 1 << 14  # number of weights of a member from which on one oneDNN call per member is faster


def cut(rows: Tensor, n_members: int, block_rows: int = BLOCK_ROWS, fewest: int = 1) -> Tensor:
    """Split samples into blocks, (n_members or 1, n, width) -> (n_members * n_blocks, block_rows, width).

    Zeros are appended to fill the last block. There are at least ``fewest`` blocks for each member, and at least two in
    total.
    """
    n_rows, fewest = rows.shape[1], max(fewest, -(-_FEWEST_PRODUCTS // n_members))
    missing = max(fewest * block_rows - n_rows, -n_rows % block_rows)
    if missing:
        rows = F.pad(rows, (0, 0, 0, missing))
    return rows.unflatten(1, (-1, block_rows)).expand(n_members, -1, -1, -1).flatten(0, 1)


def rows_of_block(n_rows: int, weights: Iterable[Tensor]) -> int:
    """Return the number of rows of a block for samples that are multiplied with weights (n_members, n_in, n_out).

    A few samples get a smaller block if the results of all products for a row are the same in it.
    """
    if n_rows <= _FEW_ROWS[-1] and torch.is_inference_mode_enabled():
        weights = list(weights)
        if all(weight.device.type == "cpu" and weight.shape[1] >= _FEWEST_ADDENDS for weight in weights):
            kernels = {(linear if _for_onednn(weight) else _batched, weight.dtype) for weight in weights}
            fitting = (rows for rows in _FEW_ROWS if n_rows <= rows)
            return next((rows for rows in fitting if all(_few_rows(*k, rows).passes() for k in kernels)), BLOCK_ROWS)
    return BLOCK_ROWS


def joined(blocks: Tensor, n_members: int) -> Tensor:
    """Join blocks, (n_members * n_blocks, block_rows, ...) -> (n_members, n_blocks * block_rows, ...)."""
    return blocks.unflatten(0, (n_members, -1)).flatten(1, 2)


def affine(blocks: Tensor, weight: Tensor, bias: Tensor, activation: Activation | None = None) -> Tensor:
    """Compute ``activation(blocks @ weight + bias)``, where consecutive blocks share the weights of their member.

    The shapes are (n_members * n_blocks, n, n_in) for ``blocks``, (n_members, n_in, n_out) for ``weight`` and
    (n_members, 1, n_out) for ``bias``. The weights are not copied.
    """
    if torch.is_inference_mode_enabled() and _for_onednn(weight):
        fused = _FUSED.get(activation, "none")
        results = _as_one_product(blocks, weight, bias, fused)
        activation = None if fused != "none" else activation
    else:
        results = _as_many_products(blocks, weight, bias)
    if activation is None:
        return results
    return cellwise(activation, results) if torch.is_grad_enabled() else activation(results)


def cellwise(function: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """Compute a function of single cells, with the same bits on one, two and four threads, also of its gradient.

    Threads share large tensors equally. If a share does not fill vector registers, its last cells are computed by other
    instructions. So the cells beyond a multiple of four threads' registers are computed by one thread, separately.
    """
    n_cells = tensors[0].numel()
    if n_cells < _CELLS_OF_ONE_THREAD:
        return function(*tensors)
    n_rest = n_cells % _CELLS_OF_THREADS
    shared = tensors[0].device.type == "cpu" and torch.get_num_threads() > 1
    if not (shared and n_rest):
        return function(*tensors)
    flat = [tensor.flatten() for tensor in tensors]
    parts = (function(*(cells[own] for cells in flat)) for own in (slice(-n_rest), slice(-n_rest, None)))
    return torch.cat(list(parts)).view(tensors[0].shape)


def _as_many_products(blocks: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """One product per block, in batched calls."""
    n_members, n_blocks = len(weight), len(blocks) // len(weight)
    if n_blocks == 1:
        return torch.baddbmm(bias, blocks, weight)
    if torch.is_grad_enabled():  # what is written into given memory has no gradient
        members = zip(blocks.unflatten(0, (n_members, n_blocks)), weight, bias, strict=True)
        return torch.cat([torch.baddbmm(b, own, w.expand(n_blocks, -1, -1)) for own, w, b in members])
    results = blocks.new_empty(*blocks.shape[:2], weight.shape[2])
    grid, out = (tensor.unflatten(0, (n_members, n_blocks)) for tensor in (blocks, results))
    if n_blocks < n_members:  # loop over the shorter axis
        for block in range(n_blocks):
            torch.baddbmm(bias, grid[:, block], weight, out=out[:, block])
    else:
        for member_blocks, matrix, offset, result in zip(grid, weight, bias, out, strict=True):
            torch.baddbmm(offset.expand(n_blocks, -1, -1), member_blocks, matrix.expand(n_blocks, -1, -1), out=result)
    return results


def _as_one_product(blocks: Tensor, weight: Tensor, bias: Tensor, activation: str) -> Tensor:
    """One product per member."""
    if len(weight) == 1:
        return linear(blocks, weight[0].mT, bias[0, 0], activation)
    members = zip(blocks.unflatten(0, (len(weight), -1)), weight, bias, strict=True)
    return torch.cat([linear(rows, matrix.mT, offset[0], activation) for rows, matrix, offset in members])


def _for_onednn(weight: Tensor) -> bool:
    """Whether to compute a layer with oneDNN."""
    n_members, n_in, n_out = weight.shape
    fits = _ONEDNN and weight.device.type == "cpu" and weight.dtype == torch.float32 and n_in < _MOST_ADDENDS
    return fits and (n_members == 1 or n_in * n_out >= _WIDE) and _onednn_rows.passes()


class _RowIndependence:
    """Whether the result of a product for a row is bitwise independent of the other rows.

    This is tested once for each number of threads that is in use, when ``passes`` is called. The results must also be
    the same for all numbers of threads, since small arrays use fewer of them. After one failure ``passes`` returns
    False for the rest of the process. Concurrent tests in several Python threads are harmless, as they have the same
    result.
    """

    def __init__(self, test: Callable[[], bytes | None]):
        self._test = test
        self._tested: set[int] = set()  # numbers of threads
        self._expected: bytes | None = None  # results of the first test
        self._failed = False

    def passes(self) -> bool:
        """Test the current number of threads, if not yet done, and return whether all tests succeeded."""
        n_threads = torch.get_num_threads()
        if not self._failed and n_threads not in self._tested:
            results = self._test()
            self._expected = self._expected or results
            self._failed = results is None or results != self._expected
            self._tested.add(n_threads)
        return not self._failed


def results_of(product: Product) -> bytes | None:
    """Return the results of test layers as bytes; None if they are wrong, or if a row depends on the other rows."""
    generator = torch.Generator("cpu").manual_seed(0)
    try:
        results = [_result_of(product, *layer, generator) for layer in _TEST_LAYERS]
    except (AttributeError, RuntimeError, TypeError):  # torch lacks the product, or its arguments differ
        return None
    return None if None in results else b"".join(results)  # type: ignore[arg-type]


def _layer(
    n_in: int, n_out: int, generator: torch.Generator, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw distinct rows (n, n_in), weights (n_in, n_out) and a bias."""

    def draw(n_cells: int) -> Tensor:
        return torch.empty(n_cells, dtype=dtype, device="cpu").uniform_(-1, 1, generator=generator)

    rows = draw(n_in + _DISTINCT - 1).unfold(0, n_in, 1)  # overlapping windows: distinct rows of few numbers
    return rows, draw(n_in * n_out).view(n_in, n_out), draw(n_out)


def _result_of(product: Product, n_in: int, n_out: int, n_blocks: int, generator: torch.Generator) -> bytes | None:
    """Test one layer; numpy copies and compares, because torch would wake its threads for it."""
    rows, weight, bias = _layer(n_in, n_out, generator)
    blocks = torch.from_numpy(np.resize(rows.numpy(), (n_blocks, BLOCK_ROWS, n_in)))
    result = product(blocks, weight.mT, bias, "none").numpy()
    first = result.reshape(-1, n_out)[:_DISTINCT]
    correct_and_independent = (
        np.allclose(first, torch.addmm(bias, rows, weight).numpy(), rtol=1e-4, atol=1e-5 * n_in**0.5)
        and np.array_equal(result, np.resize(first, result.shape))
        and all(  # fewer blocks, and the fused activation
            np.array_equal(product(blocks[:few], weight.mT, bias, "relu").numpy(), np.maximum(result[:few], 0))
            for few in {_FEWEST_PRODUCTS, _FEWEST_PRODUCTS + 1, n_blocks // 2}
        )
    )
    return first.tobytes() if correct_and_independent else None


def results_of_few(product: Product, dtype: torch.dtype, n_rows: int) -> bytes | None:
    """Return the results of test layers as bytes; None if the result for a row is another one in a smaller block."""
    generator = torch.Generator("cpu").manual_seed(0)
    results = []
    for n_in, n_out, _ in _TEST_LAYERS:
        rows, weight, bias = _layer(max(n_in, _FEWEST_ADDENDS), n_out, generator, dtype)
        blocks = torch.stack([rows[:BLOCK_ROWS], rows[-BLOCK_ROWS:]])
        result = product(blocks, weight.mT, bias, "none")
        if not torch.equal(product(blocks[:, -n_rows:], weight.mT, bias, "relu"), result[:, -n_rows:].relu()):
            return None
        results.append(result.numpy().tobytes())
    return b"".join(results)


def _batched(blocks: Tensor, weight: Tensor, bias: Tensor, activation: str) -> Tensor:
    results = _as_many_products(blocks, weight.mT[None], bias[None, None])
    return results.relu() if activation == "relu" else results


_onednn_rows = _RowIndependence(lambda: results_of(linear))


@cache
def _few_rows(product: Product, dtype: torch.dtype, n_rows: int) -> _RowIndependence:
    """Return the test of smaller blocks of this size."""
    return _RowIndependence(lambda: results_of_few(product, dtype, n_rows))


def rounded_up(width: int) -> int:
    """Round up to a multiple of ``MULTIPLE``, so that all samples have the same alignment in memory."""
    return width + -width % MULTIPLE


def padded(matrix: Tensor, rows: bool = True) -> Tensor:
    """Append zeros to columns, and to ``rows``, of (..., n_in, n_out), up to a multiple of ``MULTIPLE``."""
    n_in, n_out = matrix.shape[-2] if rows else 0, matrix.shape[-1]
    if n_in % MULTIPLE == n_out % MULTIPLE == 0:  # F.pad copies even if there is nothing to pad
        return matrix
    return F.pad(matrix, (0, -n_out % MULTIPLE, 0, -n_in % MULTIPLE))


def row_product(rows: Tensor, matrix: Tensor, bias: Tensor | None = None) -> Tensor:
    """``rows @ matrix + bias`` for (n_members, n, n_in) and (n_members, n_in, n_out); equal rows give equal bits.

    A matrix that is used often may be ``padded`` before. The bias has the shape (n_members, 1, n_out).
    """
    n_members, n_rows = rows.shape[:2]
    n_out, matrix = matrix.shape[-1], padded(matrix)
    if missing := matrix.shape[-2] - rows.shape[-1]:
        rows = F.pad(rows, (0, missing))
    blocks = cut(rows, n_members, rows_of_block(n_rows, [matrix]))
    if bias is None:
        bias = matrix.new_zeros(n_members, 1, matrix.shape[2])
    product = affine(blocks, matrix, F.pad(bias, (0, matrix.shape[2] - bias.shape[2])))
    return joined(product, n_members)[:, :n_rows, :n_out]


def mean_of_votes(votes: Tensor) -> Tensor:
    """Mean along the first axis, ignoring NaN and summed in order; NaN if all entries are NaN."""
    if len(votes) == 1:
        return votes[0]
    absent = votes.isnan()
    first, *others = votes.masked_fill(absent, 0)
    return sum(others, start=first) / (~absent).sum(dim=0)


def mean_of(tensors: Iterable[Tensor]) -> Tensor:
    """Mean of several tensors, or along a tensor's first axis, summed in order.

    The order of summation of ``torch.mean`` depends on the position of an entry in memory.
    """
    first, *others = tensors
    return sum(others, start=first) / (1 + len(others)) if others else first
