"""Activations by name, and the spread of initial weights that suits each."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import sqrt
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Activation(NamedTuple):
    """An activation in all the forms in which networks use it.

    ``derivative`` takes the gradient after the activation, and the values before and after it, and returns the gradient
    before it, by the kernels that autograd uses. ``in_place`` writes over its input, where torch offers that.
    """

    function: Callable[[Tensor], Tensor]
    derivative: Callable[[Tensor, Tensor, Tensor], Tensor]
    module: type[nn.Module]
    in_place: Callable[[Tensor], Tensor] | None = None


def identity(x: Tensor) -> Tensor:
    """Return the input."""
    return x


_aten = torch.ops.aten
# Slope below zero and scale of SELU (Klambauer et al.).
_SELU = (1.6732632423543772, 1.0507009873554805)

ACTIVATIONS: dict[str, Activation] = {
    "identity": Activation(identity, lambda g, _x, _y: g, nn.Identity),
    "relu": Activation(torch.relu, lambda g, _, y: _aten.threshold_backward.default(g, y, 0.0), nn.ReLU, torch.relu_),
    "leaky_relu": Activation(
        F.leaky_relu,
        lambda g, x, _: _aten.leaky_relu_backward.default(g, x, 0.01, False),
        nn.LeakyReLU,
        F.leaky_relu_,
    ),
    "elu": Activation(F.elu, lambda g, x, _: _aten.elu_backward.default(g, 1.0, 1.0, 1.0, False, x), nn.ELU, F.elu_),
    "selu": Activation(
        torch.selu, lambda g, x, _: _aten.elu_backward.default(g, *_SELU, 1.0, False, x), nn.SELU, torch.selu_
    ),
    "gelu": Activation(F.gelu, lambda g, x, _: _aten.gelu_backward.default(g, x), nn.GELU),
    "silu": Activation(
        F.silu, lambda g, x, _: _aten.silu_backward.default(g, x), nn.SiLU, partial(F.silu, inplace=True)
    ),
    "mish": Activation(
        F.mish, lambda g, x, _: _aten.mish_backward.default(g, x), nn.Mish, partial(F.mish, inplace=True)
    ),
    "softplus": Activation(F.softplus, lambda g, x, _: _aten.softplus_backward.default(g, x, 1.0, 20.0), nn.Softplus),
    "tanh": Activation(torch.tanh, lambda g, _, y: _aten.tanh_backward.default(g, y), nn.Tanh, torch.tanh_),
    "sigmoid": Activation(
        torch.sigmoid, lambda g, _, y: _aten.sigmoid_backward.default(g, y), nn.Sigmoid, torch.sigmoid_
    ),
}


def initial_std(activation: str, fan_in: float, fan_out: float) -> float:
    """Return the standard deviation of initial weights: LeCun's for SELU, Glorot's for all others.

    He's wider weights for rectifiers suit layers that read rectified values; those beside row and code do not, and
    the narrow code makes them wider still.

    References: Klambauer et al., NeurIPS 2017; Glorot and Bengio, AISTATS 2010.
    """
    return sqrt(1.0 / fan_in) if activation == "selu" else sqrt(2.0 / (fan_in + fan_out))
