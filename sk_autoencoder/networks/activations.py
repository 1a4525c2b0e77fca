"""Activations by name, and the spread of initial weights that suits each."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def identity(x: Tensor) -> Tensor:
    """Return the input."""
    return x


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": identity,
    "relu": torch.relu,
    "leaky_relu": F.leaky_relu,
    "elu": F.elu,
    "selu": torch.selu,
    "gelu": F.gelu,
    "silu": F.silu,
    "mish": F.mish,
    "softplus": F.softplus,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
}

_aten = torch.ops.aten
# Slope below zero and scale of SELU (Klambauer et al.).
_SELU = (1.6732632423543772, 1.0507009873554805)

# What becomes of a gradient, given also the values x before and y after the activation: autograd's own kernels.
DERIVATIVES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "identity": lambda gradient, _x, _y: gradient,
    "relu": lambda gradient, _, y: _aten.threshold_backward.default(gradient, y, 0.0),
    "leaky_relu": lambda gradient, x, _: _aten.leaky_relu_backward.default(gradient, x, 0.01, False),
    "elu": lambda gradient, x, _: _aten.elu_backward.default(gradient, 1.0, 1.0, 1.0, False, x),
    "selu": lambda gradient, x, _: _aten.elu_backward.default(gradient, *_SELU, 1.0, False, x),
    "gelu": lambda gradient, x, _: _aten.gelu_backward.default(gradient, x),
    "silu": lambda gradient, x, _: _aten.silu_backward.default(gradient, x),
    "mish": lambda gradient, x, _: _aten.mish_backward.default(gradient, x),
    "softplus": lambda gradient, x, _: _aten.softplus_backward.default(gradient, x, 1.0, 20.0),
    "tanh": lambda gradient, _, y: _aten.tanh_backward.default(gradient, y),
    "sigmoid": lambda gradient, _, y: _aten.sigmoid_backward.default(gradient, y),
}

# The activations, written over their input, where torch offers that.
IN_PLACE: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu_,
    "leaky_relu": F.leaky_relu_,
    "elu": F.elu_,
    "selu": torch.selu_,
    "silu": partial(F.silu, inplace=True),
    "mish": partial(F.mish, inplace=True),
    "tanh": torch.tanh_,
    "sigmoid": torch.sigmoid_,
}

# The activations as modules, for exported networks.
ACTIVATION_MODULES: dict[str, type[nn.Module]] = {
    "identity": nn.Identity,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


def initial_std(activation: str, fan_in: float, fan_out: float) -> float:
    """Spread of a layer's first weights: LeCun's for SELU, Glorot's for all others.

    He's wider weights for rectifiers suit layers that read rectified values; those beside row and code do not, and
    the narrow code makes them wider still.

    References: Klambauer et al., NeurIPS 2017; Glorot and Bengio, AISTATS 2010.
    """
    return sqrt(1.0 / fan_in) if activation == "selu" else sqrt(2.0 / (fan_in + fan_out))
