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

# The same, written over the input, where torch offers that.
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

# The same as modules, for exported networks.
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
