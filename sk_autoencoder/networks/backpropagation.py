"""Backpropagation through affine layers without autograd, whose bookkeeping dominates the time of small networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

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
        before = torch.baddbmm(bias, rows, weight.mT if transposed else weight)
        after = ACTIVATIONS[activation].function(before)
        steps.append(Step(rows, before, after))
        rows = after
    return steps


def backpropagate(layers: Sequence[Layer], steps: Sequence[Step], gradient: Tensor) -> None:
    """Backward pass from the gradient of the last layer's output; gradients are added to those of the parameters."""
    for number in reversed(range(len(layers))):
        weight, bias, activation, transposed = layers[number]
        rows, before, after = steps[number]
        gradient = ACTIVATIONS[activation].derivative(gradient, before, after)
        _add(bias, gradient.sum(dim=1, keepdim=True))
        _add(weight, torch.bmm(gradient.mT, rows) if transposed else torch.bmm(rows.mT, gradient))
        if number > 0:
            gradient = torch.bmm(gradient, weight if transposed else weight.mT)


def _add(parameter: nn.Parameter, gradient: Tensor) -> None:
    if parameter.requires_grad:
        parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
