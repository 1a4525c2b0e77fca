"""Matrix products and means in which a row's bits do not depend on its batch.

Kernels choose their order of summation by the shape that they are given. Here every matrix product has the same: a
block of rows, padded widths, and at least one other block beside it, for a single product takes another path than
several. On the CPU the number of blocks changes no bit. oneDNN's kernels are faster and add up a row alike beside any
number of others, so that they take all blocks of a network as one product.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["BLOCK_ROWS", "MULTIPLE", "affine", "cut", "joined", "mean_of", "mean_of_votes", "row_product"]

Activation = Callable[[Tensor], Tensor]

BLOCK_ROWS = 32
# Kernels treat rows alike only when every width fills whole vector registers.
MULTIPLE = 16
_FEWEST_PRODUCTS = 2
# oneDNN's brgemm kernels add up a row alike beside any number of others, unless threads share its addends (from 20000
# on). Other versions of torch, and older processors, have other kernels.
_ONEDNN = (
    torch.__version__.startswith(("2.13.", "2.14."))
    and torch.backends.mkldnn.is_available()
    and torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")
)
_MOST_ADDENDS = 1 << 14
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
    linear = torch.ops.mkldnn._linear_pointwise
    if len(weight) == 1:
        return linear(blocks, weight[0].mT, bias[0, 0], activation, [], "")
    members = zip(blocks.unflatten(0, (len(weight), -1)), weight, bias, strict=True)
    return torch.cat([linear(own, matrix.mT, offset[0], activation, [], "") for own, matrix, offset in members])


def _for_onednn(weight: Tensor) -> bool:
    n_members, n_in, n_out = weight.shape
    known = _ONEDNN and weight.device.type == "cpu" and weight.dtype == torch.float32 and n_in < _MOST_ADDENDS
    return known and (n_members == 1 or n_in * n_out >= _WIDE)


def row_product(rows: Tensor, matrix: Tensor) -> Tensor:
    """``rows @ matrix``, (n_members, n, n_in) by (n_members, n_in, n_out), with equal bits for equal rows."""
    n_members, n_rows = rows.shape[:2]
    n_in, n_out = matrix.shape[-2:]
    blocks = cut(F.pad(rows, (0, -n_in % MULTIPLE)), n_members)
    matrix = F.pad(matrix, (0, -n_out % MULTIPLE, 0, -n_in % MULTIPLE))
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
