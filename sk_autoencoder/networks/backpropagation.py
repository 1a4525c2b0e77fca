"""Backpropagation through affine layers without autograd, whose bookkeeping dominates the time of small networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sk_autoencoder.blocks import MULTIPLE, cellwise
from sk_autoencoder.networks.activations import ACTIVATIONS


class Layer(NamedTuple):
    """Affine layer of all members, and the name of its activation."""

    weight: nn.Parameter  # (n_members, n_in, n_out)
    bias: nn.Parameter  # (n_members, 1, n_out)
    activation: str
    transposed: bool = False  # whether the weight is transposed


class Step(NamedTuple):
    """Input of a layer, and its output before and after the activation, each (n_members, n, width)."""

    rows: Tensor
    before: Tensor
    after: Tensor


def run(layers: Sequence[Layer], rows: Tensor) -> list[Step]:
    """Forward pass; return the inputs and outputs of each layer."""
    steps = []
    for weight, bias, activation, transposed in layers:
        before = _product(rows, weight.mT if transposed else weight, bias)
        after = cellwise(ACTIVATIONS[activation].function, before)
        steps.append(Step(rows, before, after))
        rows = after
    return steps


def backpropagate(layers: Sequence[Layer], steps: Sequence[Step], gradient: Tensor) -> None:
    """Backward pass from the gradient of the last layer's output; gradients are added to those of the parameters."""
    for number in reversed(range(len(layers))):
        weight, bias, activation, transposed = layers[number]
        rows, before, after = steps[number]
        gradient = cellwise(ACTIVATIONS[activation].derivative, gradient, before, after)
        _add(bias, gradient.sum(dim=1, keepdim=True))
        _add(weight, _product(gradient.mT, rows) if transposed else _product(rows.mT, gradient))
        if number > 0:
            gradient = _product(gradient, weight if transposed else weight.mT)


def _product(left: Tensor, right: Tensor, bias: Tensor | None = None) -> Tensor:
    """``left @ right + bias``; on the CPU, products of few columns are computed from the transposed matrices.

    Kernels compute whole vectors of a row, and take three times as long for 10 columns as for 10 rows.
    """
    if right.size(2) < MULTIPLE < left.size(1) and left.device.type == "cpu":
        return _product(right.mT, left.mT, None if bias is None else bias.mT).mT.contiguous()
    return torch.bmm(left, right) if bias is None else torch.baddbmm(bias, left, right)


def _add(parameter: nn.Parameter, gradient: Tensor) -> None:
    if parameter.requires_grad:
        parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
