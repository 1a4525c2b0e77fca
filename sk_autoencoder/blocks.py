"""Matrix products and means in which a row's bits do not depend on its batch.

Kernels choose their order of summation by the shape that they are given. Here every matrix product has the same: a
block of rows, padded widths, and at least one other block beside it, for a single product takes another path than
several. On the CPU the number of blocks changes no bit. oneDNN's kernels are faster and, in some versions of torch, add
up a row alike beside any number of others. Where a test of their bits finds that they do, they take all blocks of a
network as one product.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sk_autoencoder._torch import linear

__all__ = ["BLOCK_ROWS", "MULTIPLE", "affine", "cut", "joined", "mean_of", "mean_of_votes", "row_product"]

Activation = Callable[[Tensor], Tensor]
Product = Callable[[Tensor, Tensor, Tensor, str], Tensor]

BLOCK_ROWS = 32
# Kernels treat rows alike only when every width fills whole vector registers.
MULTIPLE = 16
_FEWEST_PRODUCTS = 2
# oneDNN has the kernels in question for processors with AVX2.
_ONEDNN = torch.backends.mkldnn.is_available() and torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")
_MOST_ADDENDS = 1 << 14  # of a row; threads share those of longer ones (from 20000 on)
# Layers that their bits are tested with, (n_in, n_out, blocks of rows). The first has the most rows, the last the most
# addends that layers are ever given.
_TESTED = ((3, 16, 512), (128, 784, 16), (784, 128, 32), (_MOST_ADDENDS - 1, 16, 5))
_DISTINCT = 37  # rows of a test; the others repeat them, at all places within a block
# Activations that they apply by the way, exactly as torch does.
_FUSED: dict[Activation | None, str] = {torch.relu: "relu", torch.relu_: "relu"}
_WIDE = 1 << 14  # cells of weights from which on each member's product is worth a call of its own


def cut(rows: Tensor, n_members: int, block_rows: int = BLOCK_ROWS, fewest: int = 1) -> Tensor:
    """(n_members or 1, n, width) -> (n_members * n_blocks, block_rows, width), filled up with zeros at the end.

    There are at least ``fewest`` blocks for each member, and never a single one in all.
    """
    n_rows, fewest = rows.shape[1], max(fewest, -(-_FEWEST_PRODUCTS // n_members))
    missing = max(fewest * block_rows - n_rows, -n_rows % block_rows)
    if missing:
        rows = F.pad(rows, (0, 0, 0, missing))
    return rows.unflatten(1, (-1, block_rows)).expand(n_members, -1, -1, -1).flatten(0, 1)


def joined(blocks: Tensor, n_members: int) -> Tensor:
    """(n_members * n_blocks, block_rows, ...) -> (n_members, n_blocks * block_rows, ...)."""
    return blocks.unflatten(0, (n_members, -1)).flatten(1, 2)


def affine(blocks: Tensor, weight: Tensor, bias: Tensor, activation: Activation | None = None) -> Tensor:
    """Multiply blocks (n_members * n_blocks, n, n_in) by (n_members, n_in, n_out), add (n_members, 1, n_out), activate.

    The blocks of a member lie side by side and share its weights, which are not copied.
    """
    if torch.is_inference_mode_enabled() and _for_onednn(weight):
        fused = _FUSED.get(activation, "none")
        results = _as_one_product(blocks, weight, bias, fused)
        activation = None if fused != "none" else activation
    else:
        results = _as_many_products(blocks, weight, bias)
    return results if activation is None else activation(results)


def _as_many_products(blocks: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    n_members, n_blocks = len(weight), len(blocks) // len(weight)
    if n_blocks == 1:
        return torch.baddbmm(bias, blocks, weight)
    results = blocks.new_empty(*blocks.shape[:2], weight.shape[2])
    grid, out = (tensor.unflatten(0, (n_members, n_blocks)) for tensor in (blocks, results))
    if n_blocks < n_members:  # the shorter loop
        for block in range(n_blocks):
            torch.baddbmm(bias, grid[:, block], weight, out=out[:, block])
    else:
        for own, matrix, offset, result in zip(grid, weight, bias, out, strict=True):
            torch.baddbmm(offset.expand(n_blocks, -1, -1), own, matrix.expand(n_blocks, -1, -1), out=result)
    return results


def _as_one_product(blocks: Tensor, weight: Tensor, bias: Tensor, activation: str) -> Tensor:
    """One for each member, that is."""
    if len(weight) == 1:
        return linear(blocks, weight[0].mT, bias[0, 0], activation)
    members = zip(blocks.unflatten(0, (len(weight), -1)), weight, bias, strict=True)
    return torch.cat([linear(own, matrix.mT, offset[0], activation) for own, matrix, offset in members])


def _for_onednn(weight: Tensor) -> bool:
    n_members, n_in, n_out = weight.shape
    fits = _ONEDNN and weight.device.type == "cpu" and weight.dtype == torch.float32 and n_in < _MOST_ADDENDS
    return fits and (n_members == 1 or n_in * n_out >= _WIDE) and _onednn_bits.kept()


class _BitsOfRows:
    """Whether a product keeps a row's bits, tested when that is first asked with a number of threads.

    All numbers must find the same bits, since small arrays are given fewer threads. One failure settles it for the
    whole process. Threads that ask at the same time may test at the same time, and find the same.
    """

    def __init__(self, product: Product):
        self._product = product
        self._found: dict[int, bytes | None] = {}  # by the number of threads

    def kept(self) -> bool:
        """Test them, unless they were, and say whether no test has failed."""
        n_threads, first = torch.get_num_threads(), next(iter(self._found.values()), b"")
        if first is not None and n_threads not in self._found:
            found = bits_of(self._product)
            self._found = {n_threads: None} if first not in (b"", found) else {**self._found, n_threads: found}
        return None not in self._found.values()


def bits_of(product: Product) -> bytes | None:
    """Compute ``activation(rows @ weight.mT + bias)`` of test layers; None if wrong, or dependent on rows beside."""
    generator = torch.Generator("cpu").manual_seed(0)
    try:
        found = [_bits_of(product, *layer, generator) for layer in _TESTED]
    except (AttributeError, RuntimeError, TypeError):  # there is no such product, or it has other arguments
        return None
    return None if None in found else b"".join(found)  # type: ignore[arg-type]


def _bits_of(product: Product, n_in: int, n_out: int, n_blocks: int, generator: torch.Generator) -> bytes | None:
    """Test one layer; numpy copies and compares, since it does so without threads, which may have to be waited for."""

    def draw(n_cells: int) -> Tensor:
        return torch.empty(n_cells, dtype=torch.float32, device="cpu").uniform_(-1, 1, generator=generator)

    rows = draw(n_in + _DISTINCT - 1).unfold(0, n_in, 1)
    weight, bias = draw(n_in * n_out).view(n_in, n_out), draw(n_out)
    blocks = torch.from_numpy(np.resize(rows.numpy(), (n_blocks, BLOCK_ROWS, n_in)))
    found = product(blocks, weight.mT, bias, "none").numpy()
    first = found.reshape(-1, n_out)[:_DISTINCT]
    kept = (
        np.allclose(first, torch.addmm(bias, rows, weight).numpy(), rtol=1e-4, atol=1e-5 * n_in**0.5)
        and np.array_equal(found, np.resize(first, found.shape))
        and all(
            np.array_equal(product(blocks[:few], weight.mT, bias, "relu").numpy(), np.maximum(found[:few], 0))
            for few in {_FEWEST_PRODUCTS, _FEWEST_PRODUCTS + 1, n_blocks // 2}
        )
    )
    return first.tobytes() if kept else None


_onednn_bits = _BitsOfRows(linear)


def row_product(rows: Tensor, matrix: Tensor) -> Tensor:
    """``rows @ matrix``, (n_members, n, n_in) by (n_members, n_in, n_out), with equal bits for equal rows."""
    n_members, n_rows = rows.shape[:2]
    n_in, n_out = matrix.shape[-2:]
    if n_in % MULTIPLE or n_out % MULTIPLE:  # or F.pad would copy them
        rows = F.pad(rows, (0, -n_in % MULTIPLE))
        matrix = F.pad(matrix, (0, -n_out % MULTIPLE, 0, -n_in % MULTIPLE))
    blocks = cut(rows, n_members)
    product = affine(blocks, matrix, matrix.new_zeros(n_members, 1, matrix.shape[2]))
    return joined(product, n_members)[:, :n_rows, :n_out]


def mean_of_votes(votes: Tensor) -> Tensor:
    """Mean along the first axis of those entries that are not NaN, added up in their order; NaN if there are none."""
    if len(votes) == 1:
        return votes[0]
    absent = votes.isnan()
    first, *others = votes.masked_fill(absent, 0)
    return sum(others, start=first) / (~absent).sum(dim=0)


def mean_of(tensors: Iterable[Tensor]) -> Tensor:
    """Mean of several tensors, or along a tensor's first axis, added up in their order.

    ``torch.mean`` groups its addends by the place of an entry in memory.
    """
    first, *others = tensors
    return sum(others, start=first) / (1 + len(others)) if others else first
